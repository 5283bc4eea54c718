"""The automatic choice of options from corpus size, time budget and speed.

The model size follows from the number of characters that the machine can process in the time
budget, the regularisation from the number of epochs. The numbers are in `charlstm.planner.fitted`;
docs/explanation/choosing-a-model.md explains the rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from charlstm.config.model import ZONEOUT_CELL
from charlstm.planner.fitted import (
    ALWAYS,
    FEW_OCCURRENCES,
    FINE_TUNING_RATES,
    GROW_CHARS,
    GROW_COST,
    MAX_COUNTED_EPOCHS,
    MAX_EPOCHS,
    MAX_EPOCHS_TIMED,
    MAX_GROW,
    MAX_REPEATED,
    MAX_USEFUL_EPOCHS,
    MUCH_REPEATED,
    RARE_WEIGHT_DECAY,
    REFERENCE,
    REGULARISATION_LEVELS,
    REGULARISED_HIDDEN_SIZE,
    SHORT_TEXT,
    SHORT_TEXT_BATCH_SIZE,
    SHORT_TEXT_COST,
    SIZE_LEVELS,
    SMALL_VOCABULARY,
    SOFTMAX_CHARACTERS,
)


@dataclass(frozen=True)
class Choice:
    """An automatic choice, and the expected length of the run.

    Attributes:
        overrides: values of fields that were not given.
        chars: expected number of characters processed.
        epochs: the same in epochs.
        most_epochs: maximum number of epochs, even with more time.
        repeated: the fraction of the validation text that also occurs in the training text.
        seconds: expected duration, without evaluations; 0 if the speed is not known.
    """

    overrides: Mapping[str, Any]
    chars: float
    epochs: float
    most_epochs: int
    repeated: float
    seconds: float = 0.0


def implied(
    given: Mapping[str, Any], recipe: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """Values of fields that were not given, but that given options require.

    They take precedence over the recipe and the automatic choice, so that a given option is valid
    without also giving the options that it requires.

    Args:
        given: the fields given.
        recipe: the field values of the recipe, if any.
    """
    values = {**recipe, **given}
    needed: dict[str, Any] = {}
    if values.get("zoneout"):
        needed["cell"] = ZONEOUT_CELL
    stacked = ("residual", "dense_output", "layer_norm")
    if any(values.get(name) for name in stacked) and values.get("num_layers", 1) < 2:
        needed["num_layers"] = 2
    if values.get("direction") == "both" and values.get("targets") == "last":
        needed["targets"] = "all"
    if values.get("schedule") in ("linear", "cosine") and (values.get("decay_after") or 0) > 1:
        needed["decay_after"] = None  # of a recipe, in epochs of its step schedule
    return {name: value for name, value in needed.items() if name not in given}


def choose(
    given: Mapping[str, Any],
    num_chars: int,
    seconds: float,
    speed: float,
    *,
    compiled: bool = False,
    repeated: float = 0.0,
    processes: int = 1,
    vocab_size: int = 0,
    base_loss: float | None = None,
) -> Choice:
    """Choose values for the options that are not given.

    The result is a valid configuration: options that the given ones require (see `implied`) are
    also chosen.

    Args:
        given: the fields given; valid together.
        num_chars: number of characters of the training text.
        seconds: the time budget.
        speed: training speed of the reference model on this machine, in characters per second.
        compiled: whether its windows run in compiled code.
        repeated: the fraction of the validation text that also occurs in the training text.
            Memorising it takes more epochs and a larger model.
        processes: number of processes; the batch has at least as many windows.
        vocab_size: V. The speed is measured with it. Many distinct characters in a short text need
            more weight decay.
        base_loss: loss of the model that the run starts from on the training text, relative to its
            unigram entropy; None: the run starts from random weights.
    """
    needed = implied(given)
    settled = {**needed, **given}
    work = speed * seconds
    new = 1 - min(repeated, MAX_REPEATED)
    overfits_most = num_chars < SHORT_TEXT and repeated < MUCH_REPEATED
    is_timed = overfits_most and given.get("minutes")
    most_epochs = round((MAX_EPOCHS_TIMED if is_timed else MAX_EPOCHS) / new)
    layers, hidden = settled.get("num_layers", 1), given.get("hidden_size")
    if hidden is None:
        useful = min(work, MAX_USEFUL_EPOCHS / new * num_chars)
        size = [one for one in SIZE_LEVELS if useful >= one.least_work(compiled) * layers][-1]
        hidden = size.hidden_size
    else:
        size = min(SIZE_LEVELS, key=lambda one: abs(one.hidden_size - hidden))
    cost = size.cost * layers * (hidden / size.hidden_size) ** 2
    if given.get("direction") == "both":
        cost *= 2
    softmax = max(0, vocab_size - SMALL_VOCABULARY) / SOFTMAX_CHARACTERS
    cost = (cost + softmax * hidden / REFERENCE["hidden_size"]) / (1 + softmax)
    batch_size = ALWAYS["batch_size"]
    if num_chars < SHORT_TEXT:
        batch_size, cost = SHORT_TEXT_BATCH_SIZE, cost * SHORT_TEXT_COST
    growing = min(GROW_CHARS, MAX_GROW * work / cost)
    chars = work / cost - (GROW_COST - 1) * growing
    epochs = given.get("epochs") or most_epochs
    if given.get("minutes") or not given.get("epochs"):  # given epochs are not limited by time
        epochs = min(epochs, chars / max(1, num_chars))
    counted = epochs * max(1, hidden / REGULARISED_HIDDEN_SIZE)
    if not overfits_most:
        counted = min(counted, MAX_COUNTED_EPOCHS)
    level = next(one for one in REGULARISATION_LEVELS if counted <= one.max_epochs)
    chosen = {
        **ALWAYS,
        **needed,
        "batch_size": max(batch_size, processes),
        "grow": round(min(MAX_GROW, GROW_CHARS / max(1.0, epochs * num_chars)), 2),
        "hidden_size": hidden,
        "dropout": level.dropout,
        "recurrent_dropout": level.recurrent_dropout,
        "logit_scale": level.logit_scale,
        "epochs": most_epochs if given.get("minutes") else max(1, round(epochs)),
    }
    if base_loss is not None:
        rates = (rate for limit, rate in FINE_TUNING_RATES if base_loss <= limit)
        chosen["lr"] = next(rates, chosen["lr"])
    if given.get("minutes") and settled.get("schedule", "linear") in ("linear", "cosine"):
        chosen["on_overfit"] = "decay"
    if vocab_size > SMALL_VOCABULARY and num_chars < FEW_OCCURRENCES * vocab_size:
        chosen["weight_decay"] = RARE_WEIGHT_DECAY
    if given.get("stateless"):
        del chosen["reset"]  # each window starts from a zero state
    overrides = {name: value for name, value in chosen.items() if name not in given}
    chars = epochs * num_chars
    growing = min(GROW_CHARS, MAX_GROW * chars)
    needed_seconds = (chars + (GROW_COST - 1) * growing) * cost / speed if speed else 0.0
    return Choice(overrides, chars, epochs, most_epochs, repeated, needed_seconds)
