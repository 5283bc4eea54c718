"""A trained model as a library sees it: generate text, score text."""

from __future__ import annotations

import os
import secrets
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.checkpoint import Checkpoint
from charlstm.config import Config, SampleConfig
from charlstm.errors import CharlstmError, CheckpointError, ConfigError
from charlstm.fields import Range
from charlstm.inference.engine import Engine, Session
from charlstm.inference.sampling import Sampler, StopText, generate_ids
from charlstm.inference.scoring import Score, score_ids
from charlstm.runs.find import load_model_checkpoint, runs_dir_from
from charlstm.text.tokenizer import CharTokenizer

MOST_SAMPLES = Range(1, 4096)


@dataclass(frozen=True)
class Sample:
    """One finished sample.

    Attributes:
        index: which of the samples made side by side, from 0.
        text: what was written, without the prompt.
        finish: `length`, or `stop` where a stop text was met.
    """

    index: int
    text: str
    finish: str


class LanguageModel:
    """A character-level language model, ready to write and to score.

    Args:
        engine: the weights.
        tokenizer: the vocabulary.
        meta: the checkpoint's `meta` object.
        path: the checkpoint's file, if it comes from one.
    """

    def __init__(
        self,
        engine: Engine,
        tokenizer: CharTokenizer,
        meta: Mapping[str, Any],
        path: Path | None = None,
    ) -> None:
        self.engine = engine
        self.tokenizer = tokenizer
        self.meta = meta
        self.path = path

    @classmethod
    def load(
        cls,
        run: str | os.PathLike[str] | None,
        *,
        runs_dir: str | os.PathLike[str] | None = None,
        warn: Callable[[str], None] = warnings.warn,
    ) -> LanguageModel:
        """Open a run (its best checkpoint) or a checkpoint file.

        Args:
            run: a run's folder or name, or a file; None: the newest run.
            runs_dir: where runs live; None: `$CHARLSTM_RUNS_DIR`, or `checkpoints`.
            warn: told of a damaged checkpoint that another of the run stands in for.

        Raises:
            RunError: there is no such run.
            CheckpointError: no checkpoint is intact.
        """
        target = None if run is None else os.fspath(run)
        folder = runs_dir_from(None if runs_dir is None else os.fspath(runs_dir))
        return cls.from_checkpoint(*load_model_checkpoint(target, folder, warn))

    @classmethod
    def from_checkpoint(cls, path: Path, checkpoint: Checkpoint) -> LanguageModel:
        """A model from a checkpoint that was read, and its path.

        Raises:
            CheckpointError: it is not a model's.
        """
        config, tokenizer = read_meta(path, checkpoint)
        try:
            engine = Engine(checkpoint.part("model"), config.model, len(tokenizer))
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error
        return cls(engine, tokenizer, checkpoint.meta, path)

    @classmethod
    def from_weights(
        cls, weights: Mapping[str, NDArray[Any]], config: Config, tokenizer: CharTokenizer
    ) -> LanguageModel:
        """A model from weights in memory."""
        return cls(Engine(weights, config.model, len(tokenizer)), tokenizer, {})

    def start(self, prompt: str = "", unknown: str = "error") -> tuple[Session, NDArray[Any]]:
        """Read a prompt of any length from the zero state.

        Without a prompt the model has read one newline (or, if it knows none, one space or its
        first character), so that it begins as at the beginning of a line.

        Returns:
            A session of one stream, and the logits (V,) of the character that follows.

        Raises:
            UnknownCharacterError: the prompt has a character the model does not know.
        """
        ids = self.tokenizer.encode(prompt, unknown)
        if not len(ids):
            known = self.tokenizer.characters
            ids = self.tokenizer.encode(next((c for c in "\n " if c in known), known[0]))
        session = self.engine.session()
        for char_id in ids.tolist():
            logits = session.step(char_id)
        return session, logits

    def generate(
        self,
        prompt: str = "",
        *,
        unknown: str = "error",
        config: SampleConfig | None = None,
        **options: Any,
    ) -> Iterator[str]:
        """Write text that continues a prompt, piece by piece.

        Args:
            prompt: what comes before; it is not part of what is yielded.
            unknown: what to do with its unknown characters: error, skip or replace.
            config: how to draw; otherwise made from `options`.
            **options: fields of `SampleConfig`: temperature, top_k, top_p, min_p, length, seed,
                stop.

        Yields:
            Text, mostly one character at a time; none of it is taken back later.

        Raises:
            ConfigError: an option is out of range.
            UnknownCharacterError: see `unknown`.
        """
        config = config or SampleConfig(**_options(options))
        session, logits = self.start(prompt, unknown)
        return self._continue(session, logits, config)

    def _continue(
        self, session: Session, logits: NDArray[Any], config: SampleConfig
    ) -> Iterator[str]:
        stop = StopText(config.stop)
        ids = generate_ids(session, logits, Sampler(config, 1, seed_of(config)))
        characters = self.tokenizer.characters
        for _, char_id in zip(range(config.length), ids, strict=False):
            if text := stop.feed(characters[char_id]):
                yield text
            if stop.found:
                return
        if rest := stop.rest():
            yield rest

    def samples(
        self,
        count: int,
        prompt: str = "",
        *,
        unknown: str = "error",
        config: SampleConfig | None = None,
        **options: Any,
    ) -> list[Sample]:
        """Write several continuations side by side, which is faster than one after the other.

        Args:
            count: how many; sample n is the same whatever the count, up to rounding.
            prompt, unknown, config, **options: as for `generate`.

        Raises:
            ConfigError: an option is out of range.
            UnknownCharacterError: see `unknown`.
        """
        config = config or SampleConfig(**_options(options))
        if count not in MOST_SAMPLES:
            raise ConfigError(f"-n {count} is out of range; allowed: {MOST_SAMPLES}.")
        session, logits = self.start(prompt, unknown)
        if count == 1:
            text = "".join(self._continue(session, logits, config))
            return [Sample(0, text, "length" if len(text) == config.length else "stop")]
        streams = session.spread(count)
        many = np.repeat(logits[None, :], count, axis=0)
        ids = generate_ids(streams, many, Sampler(config, count, seed_of(config)))
        stops = [StopText(config.stop) for _ in range(count)]
        texts: list[list[str]] = [[] for _ in range(count)]
        for _, step in zip(range(config.length), ids, strict=False):
            for stop, text_parts, char_id in zip(stops, texts, step.tolist(), strict=True):
                if not stop.found:
                    text_parts.append(stop.feed(self.tokenizer.characters[char_id]))
            if all(stop.found for stop in stops):
                break
        return [
            Sample(n, "".join(parts) + stop.rest(), "stop" if stop.found else "length")
            for n, (parts, stop) in enumerate(zip(texts, stops, strict=True))
        ]

    def score(self, text: str, *, unknown: str = "error") -> Score:
        """How well the model predicts a text, its state carried from the text's first character.

        Raises:
            CorpusError: fewer than two characters.
            UnknownCharacterError: see `unknown`.
        """
        return score_ids(self.engine, self.tokenizer.encode(text, unknown))


def read_meta(path: Path, checkpoint: Checkpoint) -> tuple[Config, CharTokenizer]:
    """The configuration and the vocabulary in a checkpoint.

    Raises:
        CheckpointError: they are not readable.
    """
    try:
        return (
            Config.from_json(checkpoint.meta.get("config")),
            CharTokenizer.from_json(checkpoint.meta.get("tokenizer")),
        )
    except CharlstmError as error:
        raise CheckpointError(f"{path} is not an intact checkpoint: {error}") from error


def seed_of(config: SampleConfig) -> int:
    """The configured seed, or a new one."""
    return secrets.randbits(63) if config.seed is None else config.seed


def _options(options: dict[str, Any]) -> dict[str, Any]:
    """Let a caller write `stop="."` for a single stop text."""
    stop = options.get("stop")
    return {**options, "stop": (stop,)} if isinstance(stop, str) else options
