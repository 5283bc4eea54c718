"""Detection of hardly trained models, whose output is close to random text."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

FEW_STEPS = 10
"""A model with fewer optimizer steps is hardly trained."""
_MAX_RATIO = 0.95  # maximum ratio of loss to unigram entropy for a trained model
_LOW_LOSS = 0.05  # nats; a model with a lower loss is trained, whatever the entropy of the text
MORE = "--more-minutes 5"
"""The options that train such a run further."""


def hardly_trained(meta: Mapping[str, Any]) -> str:
    """Why a checkpoint's weights are hardly trained; empty if they are trained, or unknown.

    A model is hardly trained with fewer than `FEW_STEPS` steps, or if its loss is not clearly below
    the unigram entropy of the training text. Checkpoints without a recorded `unigram_nats` are
    compared with the uniform distribution.

    Args:
        meta: the checkpoint's metadata.
    """
    progress, corpus = meta.get("progress"), meta.get("corpus")
    if not isinstance(progress, Mapping):
        return ""
    step = progress.get("step")
    if not _is_number(step):
        return ""
    steps = "1 step" if step == 1 else f"{step:,} steps"
    loss = _loss(progress)
    few = step < FEW_STEPS and not meta.get("ancestors")  # a base is trained
    if few or loss is None:
        return f"{steps} of training" if few else ""
    unigram = corpus.get("unigram_nats") if isinstance(corpus, Mapping) else None
    what = "character frequencies alone give"
    if not _is_number(unigram):
        tokenizer = meta.get("tokenizer")
        known = tokenizer.get("characters") if isinstance(tokenizer, Mapping) else None
        if not isinstance(known, (str, list)) or not known:
            return ""
        unigram, what = math.log(len(known)), "equal probabilities give"
    if loss <= max(_MAX_RATIO * unigram, _LOW_LOSS):
        return ""
    return f"{steps} of training, loss {loss:.2f} nats per character; {what} {unigram:.2f}"


def how_to_train_on(path: Path, meta: Mapping[str, Any]) -> str:
    """A notice about a hardly trained checkpoint, with the command to resume; otherwise empty."""
    why = hardly_trained(meta)
    if not why:
        return ""
    folder = path.parent
    command = f"charlstm train --resume {shlex.quote(str(folder))} {MORE}"
    more = f" Train it more: {command}" if (folder / "last.npz").is_file() else ""
    return f"this model is hardly trained ({why}); its output is close to random text.{more}"


def _loss(progress: Mapping[str, Any]) -> float | None:
    """The best loss of an evaluation, or before the first, the mean training loss."""
    best, nats, chars = (progress.get(key) for key in ("best_nats", "epoch_nats", "epoch_chars"))
    if _is_number(best):
        return float(best)
    return nats / chars if _is_number(nats) and _is_number(chars) and chars else None


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
