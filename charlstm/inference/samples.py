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


@dataclass(frozen=True)
class Sample:
    """A finished sample.

    Attributes:
        index: its index in the batch, from 0.
        text: the generated text, without the prompt.
        finish: why it ends: `length`, or `stop` at a stop text.
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
    session: Session, logits: Floats, config: SampleConfig, characters: str
) -> Iterator[str]:
    """Generate one text, as an iterator of strings.

    Args:
        session: a single stream that has read the prompt.
        logits: the logits of its last step, (V,).
        config: how to sample.
        characters: the vocabulary.
    """
    stop = StopText(config.stop)
    sampler = Sampler(config, 1, seed_of(config))
    ids = generate_ids(session, logits, sampler, config.length)
    for _, char_id in zip(range(config.length), ids, strict=False):
        if text := stop.feed(characters[char_id]):
            yield text
        if stop.found:
            return
    if rest := stop.rest():
        yield rest


def continue_texts(
    session: Session,
    logits: Floats,
    config: SampleConfig,
    characters: str,
    count: int,
    written: Callable[[int], None] | None,
) -> list[Sample]:
    """Generate several texts in one batch.

    Args:
        session, logits, config, characters: as for `continue_text`.
        count: number of samples.
        written: receives the number of characters generated so far in all samples.
    """
    if count == 1:
        parts: list[str] = []
        length = 0
        for piece in continue_text(session, logits, config, characters):
            parts.append(piece)
            length += len(piece)
            if written is not None:
                written(length)
        text = "".join(parts)
        return [Sample(0, text, "length" if len(text) == config.length else "stop")]
    streams = session.spread(count)
    many = np.repeat(logits[None, :], count, axis=0)  # (N, V)
    sampler = Sampler(config, count, seed_of(config))
    ids = generate_ids(streams, many, sampler, count * config.length)
    stops = [StopText(config.stop) for _ in range(count)]
    texts: list[list[str]] = [[] for _ in range(count)]
    for done, step in zip(range(1, config.length + 1), ids, strict=False):
        for stop, text_parts, char_id in zip(stops, texts, step.tolist(), strict=True):
            if not stop.found:
                text_parts.append(stop.feed(characters[char_id]))
        if written is not None:
            written(done * count)
        if all(stop.found for stop in stops):
            break
    return [
        Sample(n, "".join(parts) + stop.rest(), "stop" if stop.found else "length")
        for n, (parts, stop) in enumerate(zip(texts, stops, strict=True))
    ]
