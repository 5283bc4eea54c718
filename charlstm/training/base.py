"""The model that a fine-tuned run starts from."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.config import Config, ModelConfig
from charlstm.config.fields import flag_of
from charlstm.errors import CheckpointError, ConfigError
from charlstm.format.ancestry import Ancestor, read_ancestors
from charlstm.format.checkpoint import Checkpoint, open_checkpoint, read_checkpoint
from charlstm.format.metadata import read_meta
from charlstm.format.progress import Progress
from charlstm.format.versions import unusable
from charlstm.format.weights import check_weights
from charlstm.runs.find import MODEL, find_model_checkpoint
from charlstm.text.tokenizer import BOUNDARY, CharTokenizer

SHAPE = (
    "cell", "direction", "num_layers", "hidden_size", "embedding", "residual", "dense_output",
    "layer_norm",
)  # fmt: skip
"""The fields of `ModelConfig` that determine the weights and what they compute."""


@dataclass(frozen=True)
class Base:
    """A trained model that a new run starts from.

    Attributes:
        target: how it was given.
        path: its checkpoint file.
        sha256: digest of that file.
        config: its configuration.
        tokenizer: its vocabulary.
        weights: its weights by name.
        text_sha256: digest of its text; None if it is unknown.
        progress: the progress of its run.
        ancestors: the models that it started from in turn.
        keep_alphabet: whether to keep characters that the new text lacks.
        any_case: whether the case of the new text is as the options say, even where the base
            reads lower case only.
        warnings: notices about damaged checkpoints that were skipped.
    """

    target: str
    path: Path
    sha256: str
    config: Config
    tokenizer: CharTokenizer
    weights: Mapping[str, NDArray[np.float32]]
    text_sha256: str | None
    progress: Progress
    ancestors: tuple[Ancestor, ...]
    keep_alphabet: bool = False
    any_case: bool = False
    warnings: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The name of its run; of a file that is not in a run's folder, the file's name."""
        in_run = (self.path.parent / "last.npz").is_file()
        return self.path.resolve().parent.name if in_run else self.path.name

    @property
    def also(self) -> str:
        """The characters that the new vocabulary has, whether or not the new text has them."""
        if not self.keep_alphabet:
            return ""
        return self.tokenizer.writable.replace(BOUNDARY, "")

    def fixed(self) -> dict[str, Any]:
        """The options of a new run that follow from the base: its architecture, and zoneout.

        Zoneout is also part of what the network computes after training.
        """
        return {name: getattr(self.config.model, name) for name in (*SHAPE, "zoneout")}

    def check_shape(self, options: Mapping[str, Any], source: str = "") -> None:
        """Check that options do not contradict the architecture.

        Args:
            options: values by field.
            source: the option that sets them, for the message; empty: each its own.

        Raises:
            ConfigError: one does; the message names both values.
        """
        for spec in dataclasses.fields(ModelConfig):
            if spec.name not in SHAPE or spec.name not in options:
                continue
            own, wanted = getattr(self.config.model, spec.name), options[spec.name]
            if own != wanted:
                given = _shown(spec, wanted)
                advice = f"Omit {source or flag_of(spec)}, or train a new model without --from."
                raise ConfigError(
                    f"{f'{source} ({given})' if source else given} contradicts the base "
                    f"{self.name}, which has {_shown(spec, own)}.\n{advice}"
                )

    def check_freeze(self, layers: int) -> None:
        """Check that `--freeze` does not freeze more layers than there are.

        Raises:
            ConfigError: it does.
        """
        if layers > (most := self.config.model.num_layers):
            raise ConfigError(
                f"--freeze {layers} is out of range; the base {self.name} has --layers {most}, "
                f"allowed: 0 <= x <= {most}."
            )


def _shown(spec: dataclasses.Field[Any], value: Any) -> str:
    """An option as it is given on the command line."""
    flag = flag_of(spec)
    if isinstance(value, bool):
        return flag if value else f"no {flag}"
    return f"{flag} {value}"


def load_base(
    target: str, runs_dir: Path, *, keep_alphabet: bool = False, any_case: bool = False
) -> Base:
    """Load the model to start from: the best checkpoint of a run, or a checkpoint file.

    Args:
        target: name or path of a run, or a file.
        runs_dir: the folder of runs.
        keep_alphabet, any_case: as in `Base`.

    Raises:
        RunError: there is no such run.
        CheckpointError: no checkpoint is intact.
    """
    warnings: list[str] = []
    try:
        path, (sha256, checkpoint) = find_model_checkpoint(target, runs_dir, _read, warnings.append)
    except CheckpointError as error:
        if Path(target).is_file() and not target.endswith(".npz"):  # a text, most likely
            raise CheckpointError(
                f"--from {target}: the file is not a checkpoint.\nGive a run, or a checkpoint file "
                "(.npz): charlstm train TEXT --from RUN"
            ) from error
        raise
    config, tokenizer = read_meta(path, checkpoint)
    weights = checkpoint.part("model")
    try:
        check_weights(weights, config.model, len(tokenizer))
        recorded = checkpoint.meta.get("progress")
        progress = Progress() if recorded is None else Progress.from_json(recorded)
        ancestors = read_ancestors(checkpoint.meta)
    except CheckpointError as error:
        raise unusable(path, checkpoint.meta, error) from error
    corpus = checkpoint.meta.get("corpus")
    digest = corpus.get("sha256") if isinstance(corpus, dict) else None
    text_sha256 = digest if isinstance(digest, str) else None
    return Base(
        target, path, sha256, config, tokenizer, weights, text_sha256, progress, ancestors,
        keep_alphabet, any_case, warnings,
    )  # fmt: skip


def _read(path: Path) -> tuple[str, Checkpoint]:
    """The digest of a checkpoint file, and its contents; a file that is replaced stays open."""
    with open_checkpoint(path) as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return sha256, read_checkpoint(path, file, MODEL)
