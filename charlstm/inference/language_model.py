"""LanguageModel: text generation and evaluation with a trained model."""

from __future__ import annotations

import os
import secrets
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.config import Config, FillConfig, SampleConfig
from charlstm.config.arguments import check_arguments
from charlstm.config.fields import Range
from charlstm.config.output import SAMPLES
from charlstm.errors import (
    CheckpointError,
    ConfigError,
    DirectionError,
    UnknownCharacterError,
    quoted,
)
from charlstm.format.checkpoint import Checkpoint
from charlstm.format.metadata import read_meta
from charlstm.format.versions import unusable
from charlstm.inference.both import BothWays
from charlstm.inference.engine import Engine, Session
from charlstm.inference.sampling import (
    ReadProgress,
    Sampler,
    StopText,
    check_precision,
    generate_ids,
    read_ids,
)
from charlstm.inference.scoring import Score, score_cold, score_ids
from charlstm.inference.texts import TextReader
from charlstm.runs.find import load_model_checkpoint, runs_dir_from
from charlstm.text.parts import Part
from charlstm.text.tokenizer import CharTokenizer

COLD_WINDOWS = Range(0, 1_000_000)


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
    """A trained character-level language model.

    Texts that it is given are read as its training text was: with the same line ends, and in lower
    case where that was trained with `--lowercase`.

    Args:
        weights: arrays by name.
        config: what they were trained with.
        tokenizer: the vocabulary.
        path: the checkpoint's file, if they come from one.
        compiled: whether a single text is written by compiled code, which the extra
            `charlstm[fast]` installs; None: where it is long enough to gain by it.

    Raises:
        ArgumentTypeError: an argument has the wrong type.
        CheckpointError: the weights do not fit the configuration.
    """

    @check_arguments
    def __init__(
        self,
        weights: Mapping[str, NDArray[Any]],
        config: Config,
        tokenizer: CharTokenizer,
        path: Path | None = None,
        *,
        compiled: bool | None = None,
    ) -> None:
        self.config = config
        self.tokenizer = tokenizer
        self.texts = TextReader(config.text, tokenizer)
        self.path = path
        self.weights = weights
        self._compiled = compiled
        self._one_way: Engine | None = None
        self._both_ways: BothWays | None = None
        if config.model.direction == "both":
            self._both_ways = BothWays(weights, config.model, len(tokenizer))
        else:
            self._one_way = Engine(weights, config.model, len(tokenizer), compiled=compiled)

    def __reduce__(self) -> tuple[Any, ...]:
        # What is derived from the weights is made again where the model is unpickled.
        make = partial(type(self), compiled=self._compiled)
        return make, (dict(self.weights), self.config, self.tokenizer, self.path)

    @property
    def reads_both_ways(self) -> bool:
        """Whether the model is bidirectional; such a model can only fill in blanks."""
        return self._both_ways is not None

    @property
    def engine(self) -> Engine:
        """The network of a forward model.

        Raises:
            DirectionError: it reads both ways.
        """
        if self._one_way is None:
            raise DirectionError(
                f"{self._named()} reads from both sides (--direction both): it cannot write left "
                "to right.\nIt can fill in blanks: charlstm fill RUN 'To be, or ___ to be'"
            )
        return self._one_way

    def _named(self) -> str:
        """The model for a message: the newest run's is used where none is named."""
        return "this model" if self.path is None else f"the model {self.path}"

    @classmethod
    @check_arguments
    def load(
        cls,
        run: str | os.PathLike[str] | None,
        *,
        runs_dir: str | os.PathLike[str] | None = None,
        warn: Callable[[str], None] = warnings.warn,
        compiled: bool | None = None,
    ) -> LanguageModel:
        """A model from a run's best checkpoint, or from a checkpoint file.

        Args:
            run: a run's folder or name, or a file; None: the newest run.
            runs_dir: where runs live; None: `$CHARLSTM_RUNS_DIR`, or `checkpoints`.
            warn: told of a damaged checkpoint that another of the run stands in for.
            compiled: see `LanguageModel`.

        Raises:
            ArgumentTypeError: an argument has the wrong type.
            RunError: there is no such run.
            CheckpointError: no checkpoint is intact.
        """
        target = None if run is None else os.fspath(run)
        folder = runs_dir_from(None if runs_dir is None else os.fspath(runs_dir))
        return cls.from_checkpoint(*load_model_checkpoint(target, folder, warn), compiled=compiled)

    @classmethod
    @check_arguments
    def from_checkpoint(
        cls, path: Path, checkpoint: Checkpoint, *, compiled: bool | None = None
    ) -> LanguageModel:
        """A model from a loaded checkpoint and its path.

        Raises:
            CheckpointError: it is not a model's.
        """
        config, tokenizer = read_meta(path, checkpoint)
        try:
            return cls(checkpoint.part("model"), config, tokenizer, path, compiled=compiled)
        except CheckpointError as error:
            raise unusable(path, checkpoint.meta, error) from error

    @check_arguments
    def start(
        self, prompt: str = "", unknown: str = "error", progress: ReadProgress | None = None
    ) -> tuple[Session, NDArray[Any]]:
        """Read a prompt of any length, from a zero state.

        Without a prompt the model has read one newline (or, if it knows none, one space or its
        first character), so that it begins as at the beginning of a line.

        Args:
            prompt: the text to read.
            unknown: what to do with its unknown characters: error, skip or replace.
            progress: told every few thousand characters how many have been read.

        Returns:
            A session of one stream, and the logits (V,) of the character that follows.

        Raises:
            ArgumentTypeError: an argument has the wrong type.
            UnknownCharacterError: the prompt has a character the model does not know.
            DirectionError: the model reads both ways.
        """
        session = self.engine.session()
        ids = self.texts.encode(prompt, unknown)
        if not len(ids):
            known = self.tokenizer.characters
            ids = self.tokenizer.encode(next((c for c in "\n " if c in known), known[0]))
        return session, read_ids(session, ids, progress)

    @check_arguments
    def generate(
        self,
        prompt: str = "",
        *,
        unknown: str = "error",
        config: SampleConfig | None = None,
        progress: ReadProgress | None = None,
        **options: Any,
    ) -> Iterator[str]:
        """Generate text that continues a prompt, as an iterator of strings.

        Args:
            prompt: what comes before; it is not part of what is yielded.
            unknown: what to do with its unknown characters: error, skip, replace or map (see
                `CharTokenizer.encode`). Under map, those of stop texts are replaced, too.
            config: how to draw; None: the defaults.
            progress: told how many of the prompt's characters have been read, see `start`.
            **options: fields of `SampleConfig`, in place of `config`'s: temperature, top_k,
                top_p, min_p, precision, length, seed (0 to 2**63 - 1), stop (one text or several).

        Yields:
            Text, mostly one character at a time; none of it is taken back later.

        Raises:
            ArgumentTypeError: an argument has the wrong type.
            ConfigError: an option is out of range, or a stop text cannot be written.
            UnknownCharacterError: see `unknown`.
        """
        config = self._with_stops(SampleConfig.from_options(options, config), unknown)
        check_precision(self.engine, config)
        session, logits = self.start(prompt, unknown, progress)
        return self._continue(session, logits, config)

    def _with_stops(self, config: SampleConfig, unknown: str) -> SampleConfig:
        """The configuration, with stop texts converted as the model writes them."""
        stops = tuple(self.texts.read_stop(stop, unknown).text for stop in config.stop)
        return replace(config, stop=stops)

    def _continue(
        self, session: Session, logits: NDArray[Any], config: SampleConfig
    ) -> Iterator[str]:
        stop = StopText(config.stop)
        sampler = Sampler(config, 1, seed_of(config))
        ids = generate_ids(session, logits, sampler, config.length)
        characters = self.tokenizer.characters
        for _, char_id in zip(range(config.length), ids, strict=False):
            if text := stop.feed(characters[char_id]):
                yield text
            if stop.found:
                return
        if rest := stop.rest():
            yield rest

    @check_arguments
    def samples(
        self,
        count: int,
        prompt: str = "",
        *,
        unknown: str = "error",
        config: SampleConfig | None = None,
        progress: ReadProgress | None = None,
        written: ReadProgress | None = None,
        **options: Any,
    ) -> list[Sample]:
        """Generate several continuations in one batch.

        Args:
            count: how many; sample n is the same whatever the count, up to rounding.
            prompt, unknown, config, progress, **options: as for `generate`.
            written: receives the number of characters written so far in all samples, at most
                `count * length`.

        Raises:
            ArgumentTypeError: an argument has the wrong type.
            ConfigError: an option is out of range.
            UnknownCharacterError: see `unknown`.
        """
        config = self._with_stops(SampleConfig.from_options(options, config), unknown)
        _check_count(count)
        check_precision(self.engine, config)
        session, logits = self.start(prompt, unknown, progress)
        if count == 1:
            parts: list[str] = []
            length = 0
            for piece in self._continue(session, logits, config):
                parts.append(piece)
                length += len(piece)
                if written is not None:
                    written(length)
            text = "".join(parts)
            return [Sample(0, text, "length" if len(text) == config.length else "stop")]
        streams = session.spread(count)
        many = np.repeat(logits[None, :], count, axis=0)
        sampler = Sampler(config, count, seed_of(config))
        ids = generate_ids(streams, many, sampler, count * config.length)
        stops = [StopText(config.stop) for _ in range(count)]
        texts: list[list[str]] = [[] for _ in range(count)]
        for done, step in zip(range(1, config.length + 1), ids, strict=False):
            for stop, text_parts, char_id in zip(stops, texts, step.tolist(), strict=True):
                if not stop.found:
                    text_parts.append(stop.feed(self.tokenizer.characters[char_id]))
            if written is not None:
                written(done * count)
            if all(stop.found for stop in stops):
                break
        return [
            Sample(n, "".join(parts) + stop.rest(), "stop" if stop.found else "length")
            for n, (parts, stop) in enumerate(zip(texts, stops, strict=True))
        ]

    @check_arguments
    def score(self, text: str, *, unknown: str = "error") -> Score:
        """Evaluate on a text, with carried state.

        A model that reads both ways gives the pseudo-likelihood, see `charlstm.inference.both`.

        Raises:
            ArgumentTypeError: an argument has the wrong type.
            CorpusError: fewer than two characters.
            UnknownCharacterError: see `unknown`.
        """
        return self.score_ids(self.texts.encode(text, unknown))

    @check_arguments
    def score_ids(
        self, ids: Any, *, cold_window: int = 0, progress: ReadProgress | None = None
    ) -> Score:
        """Evaluate on ids.

        Args:
            ids: the text: any integer array or sequence of shape (T,), or a `Part` of a text,
                each of whose segments is read from the zero state.
            cold_window: score windows of that many characters, each from the zero state; 0
                carries the state over the whole text.
            progress: receives how many characters have been predicted.

        Raises:
            ArgumentTypeError: an argument has the wrong type.
            IdError: an id lies outside the vocabulary.
            ConfigError: `cold_window` is out of range.
            CorpusError: fewer than two characters.
            DirectionError: cold windows of a model that reads both ways.
        """
        if isinstance(ids, Part):
            for segment in ids.segments:
                self.tokenizer.check_ids(segment)
        else:
            ids = self.tokenizer.check_ids(ids)
        if cold_window not in COLD_WINDOWS:
            raise ConfigError(
                f"cold_window {cold_window} is out of range; allowed: {COLD_WINDOWS}."
            )
        if cold_window and self.reads_both_ways:
            raise DirectionError(
                "cold windows are for models that read left to right; this one reads both sides "
                "of each character.\nLeave --protocol cold out."
            )
        if cold_window:
            return score_cold(self.engine, ids, cold_window, progress)
        if self._both_ways is not None:
            return self._both_ways.score(ids, progress)
        return score_ids(self.engine, ids, progress)

    @check_arguments
    def fill(
        self,
        text: str,
        count: int = 1,
        *,
        unknown: str = "error",
        config: FillConfig | None = None,
        progress: ReadProgress | None = None,
        **options: Any,
    ) -> list[str]:
        """Fill in the blanks of a text, given the text before and after each.

        Args:
            text: any text with blanks in it, one for each character.
            count: how many samples.
            unknown: what to do with unknown characters, as for `generate`.
            config: how to fill; None: the defaults.
            progress: receives the number of characters read so far, of
                `len(text) * count * (sweeps + 1)`.
            **options: fields of `FillConfig`, in place of `config`'s: blank, temperature, sweeps,
                seed.

        Raises:
            ArgumentTypeError: an argument has the wrong type.
            ConfigError: an option is out of range, or the text has no blank.
            DirectionError: the model reads left to right only.
            UnknownCharacterError: see `unknown`.
        """
        config = FillConfig.from_options(options, config)
        _check_count(count)
        check_has_blank(text, config.blank)
        if self._both_ways is None:
            raise DirectionError(
                f"{self._named()} reads left to right only: it cannot fill in blanks.\nTrain one "
                "that reads both ways (charlstm train --direction both), or use charlstm sample."
            )
        known = self.tokenizer.characters
        # As a text of its own: with a line's end before it and after it.
        edge = "\n" if "\n" in known else ""
        ids, blanks = self._with_blanks(text, config.blank, unknown)
        rim = self.tokenizer.encode(edge).astype(np.int64)
        whole = np.concatenate([rim, ids, rim])
        places = np.concatenate(
            [np.zeros(len(rim), dtype=bool), blanks, np.zeros(len(rim), dtype=bool)]
        )
        config = replace(config, seed=seed_of(config))
        swept = None if progress is None else (lambda sweeps: progress(sweeps * len(text)))
        final = self._both_ways.fill(whole, places, count, config, swept)
        return [self.tokenizer.decode(t[len(rim) : len(t) - len(rim)]) for t in final]

    def _with_blanks(
        self, text: str, blank: str, unknown: str
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Ids of a text, with arbitrary ids at its blanks, and the blanks' positions."""
        ids: list[NDArray[np.int64]] = []
        places: list[NDArray[np.bool_]] = []
        done = 0
        for number, part in enumerate(text.split(blank)):
            if number:
                ids.append(np.zeros(1, dtype=np.int64))
                places.append(np.ones(1, dtype=bool))
                done += 1
            try:
                before = blank if number else ""
                encoded = self.texts.encode(part, unknown, before=before).astype(np.int64)
            except UnknownCharacterError as error:
                raise UnknownCharacterError(
                    error.character, done + error.position, form=error.form
                ) from error
            ids.append(encoded)
            places.append(np.zeros(len(encoded), dtype=bool))
            done += len(part)
        return np.concatenate(ids), np.concatenate(places)


def check_has_blank(text: str, blank: str) -> None:
    """Check that a text has blanks to fill in.

    Raises:
        ConfigError: the text has no blank.
    """
    if blank not in text:
        raise ConfigError(
            f"the text has no blank ({quoted(blank)[1:-1]}): {quoted(text[:60])}.\n"
            "--blank sets another character; a run's name goes before the text."
        )


def seed_of(config: SampleConfig | FillConfig) -> int:
    """The configured seed, or a new one below 2**53, which JSON readers represent exactly."""
    return secrets.randbits(53) if config.seed is None else config.seed


def _check_count(count: int) -> None:
    if count not in SAMPLES:
        raise ConfigError(f"-n {count} (from Python: count) is out of range; allowed: {SAMPLES}.")
