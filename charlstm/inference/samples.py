"""Samples: generated texts, one in pieces or several in one batch."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from charlstm.config import FillConfig, SampleConfig
from charlstm.config.output import SAMPLES
from charlstm.errors import ConfigError
from charlstm.inference.engine import Session
from charlstm.inference.generation import generate_ids
from charlstm.inference.sampling import Floats, Sampler
from charlstm.inference.stop_text import StopText
from charlstm.text.tokenizer import BOUNDARY_ID, CharTokenizer


@dataclass(frozen=True)
class Sample:
    """A finished sample.

    Attributes:
        index: its index in the batch, from 0.
        text: the generated text, without the prompt.
        finish: why it ends: `length`, `stop` at a stop text, or `end` of its document.
    """

    index: int
    text: str
    finish: str


def seed_of(config: SampleConfig | FillConfig) -> int:
    """The configured seed, or a new one below 2**53, which JSON readers represent exactly."""
    return secrets.randbits(53) if config.seed is None else config.seed


def check_count(count: int) -> None:
    """Check a number of samples.

    Raises:
        ConfigError: it is out of range.
    """
    if count not in SAMPLES:
        raise ConfigError(f"-n {count} (from Python: count) is out of range; allowed: {SAMPLES}.")


def continue_text(
    session: Session,
    logits: Floats,
    config: SampleConfig,
    tokenizer: CharTokenizer,
    stop: StopText | None = None,
) -> Iterator[str]:
    """Generate one text, as an iterator of strings.

    Args:
        session: a single stream that has read the prompt.
        logits: the logits of its last step, (V,).
        config: how to sample.
        tokenizer: the vocabulary.
        stop: the filter that ends the text; None: a new one for `config.stop`.
    """
    stop = stop or StopText(config.stop)
    characters, border = tokenizer.characters, _border(tokenizer)
    sampler = Sampler(config, 1, seed_of(config))
    ids = generate_ids(session, logits, sampler, config.length)
    for _, char_id in zip(range(config.length), ids, strict=False):
        if char_id == border:
            stop.end()
            break
        if not stop.texts:  # a small model generates a character in the time of the calls below
            yield characters[char_id]
            continue
        if text := stop.feed(characters[char_id]):
            yield text
        if stop.found:
            return
    if rest := stop.rest():
        yield rest


def _border(tokenizer: CharTokenizer) -> int:
    """The id that ends a document; -1 if none does."""
    return BOUNDARY_ID if tokenizer.boundary else -1


def continue_texts(
    session: Session,
    logits: Floats,
    config: SampleConfig,
    tokenizer: CharTokenizer,
    count: int,
    written: Callable[[int], None] | None,
) -> list[Sample]:
    """Generate several texts in one batch.

    Args:
        session, logits, config, tokenizer: as for `continue_text`.
        count: number of samples.
        written: receives the number of characters generated so far in all samples.
    """
    if count == 1:
        parts: list[str] = []
        length, one = 0, StopText(config.stop)
        for piece in continue_text(session, logits, config, tokenizer, one):
            parts.append(piece)
            length += len(piece)
            if written is not None:
                written(length)
        return [Sample(0, "".join(parts), one.finish)]
    streams = session.spread(count)
    many = np.repeat(logits[None, :], count, axis=0)  # (N, V)
    sampler = Sampler(config, count, seed_of(config))
    ids = generate_ids(streams, many, sampler, count * config.length)
    stops = [StopText(config.stop) for _ in range(count)]
    texts: list[list[str]] = [[] for _ in range(count)]
    characters, border = tokenizer.characters, _border(tokenizer)
    for done, step in zip(range(1, config.length + 1), ids, strict=False):
        for stop, text_parts, char_id in zip(stops, texts, step.tolist(), strict=True):
            if stop.found:
                continue
            if char_id == border:
                stop.end()
            else:
                text_parts.append(stop.feed(characters[char_id]))
        if written is not None:
            written(done * count)
        if all(stop.found for stop in stops):
            break
    return [
        Sample(n, "".join(parts) + stop.rest(), stop.finish)
        for n, (parts, stop) in enumerate(zip(texts, stops, strict=True))
    ]
