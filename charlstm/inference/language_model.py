"""LanguageModel: text generation and evaluation with a trained model.

More than 300 lines: one class, the public interface, half of it docstrings.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from charlstm.config import Config, FillConfig, SampleConfig
from charlstm.config.arguments import check_arguments
from charlstm.config.fields import Range, check_type, describe_value
from charlstm.config.inputs import check_unknown_policy
from charlstm.errors import ArgumentTypeError, CheckpointError, ConfigError, DirectionError
from charlstm.format.checkpoint import Checkpoint
from charlstm.format.metadata import read_meta
from charlstm.format.versions import unusable
from charlstm.inference.engine import Engine, Session
from charlstm.inference.generation import ReadProgress, check_precision, read_ids
from charlstm.inference.long_texts import score_excerpt
from charlstm.inference.samples import (
    Sample,
    check_count,
    continue_text,
    continue_texts,
    seed_of,
)
from charlstm.inference.score import Score, num_bytes
from charlstm.inference.texts import TextReader, part_of_stream
from charlstm.runs.find import load_model_checkpoint, runs_dir_from
from charlstm.text.code_points import num_bytes_of
from charlstm.text.excerpts import Excerpt
from charlstm.text.parts import Part, as_part
from charlstm.text.tokenizer import BOUNDARY_ID, CharTokenizer

if TYPE_CHECKING:
    from charlstm.inference.bidirectional import BidirectionalModel
    from charlstm.inference.each import EachScorer
    from charlstm.inference.text_score import TextScore

COLD_WINDOWS = Range(0, 1_000_000)
_CHECKED = 1 << 22  # ids checked at once


class LanguageModel:
    """A trained character-level language model.

    Line endings and case of given texts are converted as in the training text.

    Args:
        weights: arrays by name.
        config: the configuration of the training.
        tokenizer: the vocabulary.
        path: the file of the checkpoint, if the weights come from one.
        compiled: whether to generate with compiled code, which the extra `charlstm[fast]` installs;
            None: only long texts, which it makes faster.

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
        self.bidirectional: BidirectionalModel | None = None
        if config.model.direction == "both":
            from charlstm.inference.bidirectional import (  # noqa: PLC0415 - when used
                BidirectionalModel,
            )

            self.bidirectional = BidirectionalModel(weights, config.model, len(tokenizer))
        else:
            self._one_way = Engine(weights, config.model, len(tokenizer), compiled=compiled)

    def __reduce__(self) -> tuple[Any, ...]:
        # The engine is built again from the weights after unpickling.
        make = partial(type(self), compiled=self._compiled)
        return make, (dict(self.weights), self.config, self.tokenizer, self.path)

    @property
    def is_bidirectional(self) -> bool:
        """Whether the model is bidirectional; such a model can only fill in blanks."""
        return self.bidirectional is not None

    @property
    def engine(self) -> Engine:
        """The network of a forward model.

        Raises:
            DirectionError: the model is bidirectional.
        """
        if self._one_way is None:
            raise DirectionError(
                f"{self._named()} is bidirectional (--direction both) and cannot generate text.\n"
                "It can fill in blanks: charlstm fill RUN 'To be, or ___ to be'"
            )
        return self._one_way

    def _named(self) -> str:
        """The model for an error message, with its path if it has one."""
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
            runs_dir: the folder of runs; None: `$CHARLSTM_RUNS_DIR`, or `checkpoints`.
            warn: receives a warning if a checkpoint is damaged and another one is loaded instead.
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
            CheckpointError: it has no valid model.
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
        """Read a prompt of any length, from the zero state.

        Without a prompt, reads one newline, so that generation begins at the start of a line; if
        the vocabulary has no newline, a space or else its first character. A model of documents
        begins a new document, of which the prompt is the beginning.

        Args:
            prompt: the text to read.
            unknown: handling of its unknown characters: error, skip, replace or map.
            progress: receives the number of characters read, every few thousand characters.

        Returns:
            A session of one stream, and the logits (V,) of the character that follows.

        Raises:
            ArgumentTypeError: an argument has the wrong type.
            UnknownCharacterError: see `unknown`.
            DirectionError: the model is bidirectional.
        """
        session = self.engine.session()
        ids = self.texts.beginning(prompt, unknown)
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
            prompt: the text to continue; not part of the result.
            unknown: handling of its unknown characters: error, skip, replace or map (see
                `CharTokenizer.encode`). map also applies to stop texts.
            config: how to sample; None: the defaults.
            progress: receives the number of characters of the prompt read, see `start`.
            **options: fields of `SampleConfig` that override `config`: temperature, top_k, top_p,
                min_p, precision, length, seed (0 to 2**63 - 1), stop (one text or several).

        Yields:
            Text, usually one character at a time. With a model of documents, one document.

        Raises:
            ArgumentTypeError: an argument has the wrong type.
            ConfigError: an option is out of range, or the model cannot generate a stop text.
            UnknownCharacterError: see `unknown`.
        """
        config = self._with_stops(SampleConfig.from_options(options, config), unknown)
        check_precision(self.engine, config)
        session, logits = self.start(prompt, unknown, progress)
        return continue_text(session, logits, config, self.tokenizer)

    def _with_stops(self, config: SampleConfig, unknown: str) -> SampleConfig:
        """The configuration with stop texts converted to the model's line endings and case."""
        stops = tuple(self.texts.read_stop(stop, unknown).text for stop in config.stop)
        return replace(config, stop=stops)

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
            count: number of samples; it changes sample n only by rounding.
            prompt, unknown, config, progress, **options: as for `generate`.
            written: receives the number of characters generated so far in all samples, at most
                `count * length`.

        Raises:
            ArgumentTypeError: an argument has the wrong type.
            ConfigError: an option is out of range.
            UnknownCharacterError: see `unknown`.
        """
        config = self._with_stops(SampleConfig.from_options(options, config), unknown)
        check_count(count)
        check_precision(self.engine, config)
        session, logits = self.start(prompt, unknown, progress)
        return continue_texts(session, logits, config, self.tokenizer, count, written)

    @check_arguments
    def score(self, text: str, *, unknown: str = "error") -> Score:
        """Evaluate on a text, with carried state.

        For a bidirectional model this is the pseudo-likelihood, see
        `charlstm.inference.bidirectional`. A model of documents reads each of the text's documents
        from the zero state; the end of each counts as a character.

        Raises:
            ArgumentTypeError: an argument has the wrong type.
            CorpusError: the text has fewer than two characters.
            UnknownCharacterError: under `error`, or under `map` without an equivalent.
        """
        if self.tokenizer.boundary:
            score = self.score_ids(self.texts.encode_documents(text, unknown))
        else:
            score = self.score_ids(self.texts.encode(text, unknown))
        if unknown != "skip":
            return score
        omitted = self.tokenizer.unknown_characters(self.texts.read(text).text)
        return replace(score, unknown=sum(omitted.values()), unknown_bytes=num_bytes_of(omitted))

    def score_each(self, texts: Any, *, unknown: str = "error") -> Iterator[TextScore]:
        """Evaluate on many texts, each from its own beginning, such as the lines of a log.

        Texts are read in parallel, many times as fast as one by one. See `charlstm.inference.each`
        for what a text begins with. Its end counts as one more character.

        Args:
            texts: an iterable of texts, taken about a million characters ahead.
            unknown: handling of unknown characters: error, skip, replace or map.

        Yields:
            The score of each text, in their order: nats, characters, and the most surprising
            character with its place.

        Raises:
            ArgumentTypeError: `texts` is a single text, or not an iterable of texts.
            ConfigError: `unknown` is none of the policies.
            UnknownCharacterError: under `error`, or under `map` without an equivalent.
        """
        from charlstm.inference.each import score_texts  # noqa: PLC0415 - when used

        scorer = self.each_scorer(unknown)
        if isinstance(texts, str) or not isinstance(texts, Iterable):
            raise ArgumentTypeError(
                f"texts must be an iterable of texts, not {describe_value(texts)}."
            )
        return score_texts(scorer, texts)

    def each_scorer(self, unknown: str = "error") -> EachScorer:
        """A scorer of texts in passages, see `charlstm.inference.each`.

        Raises:
            ArgumentTypeError: `unknown` is not a string.
            ConfigError: it is none of the policies.
        """
        from charlstm.inference.each import EachScorer  # noqa: PLC0415 - when used

        check_unknown_policy(check_type("unknown", unknown, str))
        network = self.engine if self.bidirectional is None else self.bidirectional
        return EachScorer(network, self.texts, unknown)

    @check_arguments
    def score_ids(
        self, ids: Any, *, cold_window: int = 0, progress: ReadProgress | None = None
    ) -> Score:
        """Evaluate on ids.

        Args:
            ids: an integer array or sequence of shape (T,), or a `Part` of a text, each of whose
                segments is read from the zero state. For a model of documents, id 0 separates
                documents.
            cold_window: evaluate windows of that many characters, each from a zero state; 0: carry
                the state over the whole text.
            progress: receives the number of characters predicted.

        Raises:
            ArgumentTypeError: an argument has the wrong type.
            IdError: an id is outside the vocabulary.
            ConfigError: `cold_window` is out of range.
            CorpusError: the text has fewer than two characters.
            DirectionError: `cold_window` with a bidirectional model.
        """
        if isinstance(ids, Part):
            for array in ids.arrays(_CHECKED):
                self.tokenizer.check_ids(array)
        else:
            ids = self.tokenizer.check_ids(ids)
            if self.tokenizer.boundary:
                ids = part_of_stream(ids)
        if cold_window not in COLD_WINDOWS:
            raise ConfigError(
                f"cold_window {cold_window} is out of range; allowed: {COLD_WINDOWS}."
            )
        excerpt = Excerpt(as_part(ids))
        score = score_excerpt(self, excerpt, cold_window, progress)
        return replace(score, num_bytes=num_bytes(excerpt.part, self.tokenizer.utf8_lengths))

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
            text: the text; each blank stands for one character.
            count: number of samples.
            unknown: handling of unknown characters, as for `generate`.
            config: how to sample; None: the defaults.
            progress: receives the number of characters read so far, of
                `len(text) * count * (sweeps + 1)`.
            **options: fields of `FillConfig` that override `config`: blank, temperature, sweeps,
                seed.

        Raises:
            ArgumentTypeError: an argument has the wrong type.
            ConfigError: an option is out of range, or the text has no blank.
            DirectionError: the model is not bidirectional.
            UnknownCharacterError: see `unknown`.
        """
        from charlstm.inference.blanks import (  # noqa: PLC0415 - when used
            check_has_blank,
            encode_with_blanks,
        )

        config = FillConfig.from_options(options, config)
        check_count(count)
        check_has_blank(text, config.blank)
        if self.bidirectional is None:
            raise DirectionError(
                f"{self._named()} is not bidirectional and cannot fill in blanks.\nTrain a "
                "bidirectional model (charlstm train --direction both), or use charlstm sample."
            )
        known = self.tokenizer.characters
        # The model reads a newline, or the border of a document, before and after the text.
        edge = "\n" if "\n" in known else ""
        ids, blanks = encode_with_blanks(self.texts, text, config.blank, unknown)
        padding = self.tokenizer.encode(edge).astype(np.int64)
        if self.tokenizer.boundary:
            padding = np.array([BOUNDARY_ID])
        whole = np.concatenate([padding, ids, padding])
        is_blank = np.concatenate(
            [np.zeros(len(padding), dtype=bool), blanks, np.zeros(len(padding), dtype=bool)]
        )
        config = replace(config, seed=seed_of(config))
        swept = None if progress is None else (lambda sweeps: progress(sweeps * len(text)))
        never = BOUNDARY_ID if self.tokenizer.boundary else -1
        final = self.bidirectional.fill(whole, is_blank, count, config, swept, never)
        return [self.tokenizer.decode(t[len(padding) : len(t) - len(padding)]) for t in final]
