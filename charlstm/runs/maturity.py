"""Whether a model has been trained enough for its text to be more than noise."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

FEW_STEPS = 10
"""Optimizer steps below which any model is hardly trained."""
_CLEARLY_BELOW = 0.95
_SURE = 0.05  # nats: a text of one character has no entropy, and is learned all the same
MORE = "--more-minutes 5"
"""The options that train such a run on."""


def hardly_trained(meta: Mapping[str, Any]) -> str:
    """Why a checkpoint's weights are hardly trained; empty if they are, or nothing is known.

    They are where there were fewer than `FEW_STEPS` steps, or where the loss is not clearly below
    the entropy of the training text's single characters (`unigram_nats`): then the model knows
    little more than how frequent each character is. A checkpoint from before that was recorded is
    compared with equal frequencies.

    Args:
        meta: of the checkpoint.
    """
    progress, corpus = meta.get("progress"), meta.get("corpus")
    if not isinstance(progress, Mapping):
        return ""
    step = progress.get("step")
    if not _is_number(step):
        return ""
    steps = "1 step" if step == 1 else f"{step:,} steps"
    loss = _loss(progress)
    if step < FEW_STEPS or loss is None:
        return f"{steps} of training" if step < FEW_STEPS else ""
    unigram = corpus.get("unigram_nats") if isinstance(corpus, Mapping) else None
    what = "character frequencies alone give"
    if not _is_number(unigram):
        tokenizer = meta.get("tokenizer")
        known = tokenizer.get("characters") if isinstance(tokenizer, Mapping) else None
        if not isinstance(known, (str, list)) or not known:
            return ""
        unigram, what = math.log(len(known)), "equal probabilities give"
    if loss <= max(_CLEARLY_BELOW * unigram, _SURE):
        return ""
    return f"{steps} of training, loss {loss:.2f} nats per character; {what} {unigram:.2f}"


def how_to_train_on(path: Path, meta: Mapping[str, Any]) -> str:
    """A warning about a checkpoint that is hardly trained, with the way out; otherwise empty."""
    why = hardly_trained(meta)
    if not why:
        return ""
    folder = path.parent
    command = f"charlstm train --resume {shlex.quote(str(folder))} {MORE}"
    more = f" Train it more: {command}" if (folder / "last.npz").is_file() else ""
    return f"this model is hardly trained ({why}): expect noise.{more}"


def _loss(progress: Mapping[str, Any]) -> float | None:
    """The best loss of an evaluation, or the mean training loss before the first one."""
    best, nats, steps = (progress.get(key) for key in ("best_nats", "epoch_nats", "epoch_steps"))
    if _is_number(best):
        return float(best)
    return nats / steps if _is_number(nats) and _is_number(steps) and steps else None


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
