"""What the losses of a run show, in two statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from charlstm.planner.presets import SIZES

_RISE = 0.004  # nats: how much the validation loss may rise by chance
_GAP = 0.3  # nats from training to validation loss, from which on more text would help
_UNSTABLE = 0.05  # nats that the training loss rises after the best evaluation, and not by chance
_LATE = 0.1  # the part of a run over which its final trend is judged: evaluations may be close

Entry = Mapping[str, float | None]
"""An evaluation, as a run's history has it."""


def verdict(history: Sequence[Entry], units: int, length: str, *, ended: bool) -> str:
    """The last losses, and on a line of its own what would help; empty without a validation part.

    Args:
        history: the run's evaluations, in order.
        units: of each of the model's layers.
        length: what ends such a run, and could be more: minutes, or epochs.
        ended: whether the run has ended by itself; otherwise nothing can be said of what would
            help.
    """
    known = [(entry, nats) for entry in history if (nats := _nats(entry)) is not None]
    if not known:
        return ""
    last, end = known[-1]
    losses = f"validation loss {end:.4f} nats per character"
    if last["train_nats"] is not None:
        losses = f"training loss {last['train_nats']:.4f}, {losses}"
    if not ended:
        return f"At step {last['step'] or 0:,.0f}: {losses}."
    return f"Final {losses}.\n{_advice(known, units, length)}"


def _advice(known: Sequence[tuple[Entry, float]], units: int, length: str) -> str:
    """What the course of the validation loss shows, and what would help."""
    (last, end), (best, least) = known[-1], min(known, key=lambda pair: pair[1])
    train, step = last["train_nats"], last["step"] or 0
    earlier = [nats for entry, nats in known if (entry["step"] or 0) <= (1 - _LATE) * step]
    if end - least > _RISE:
        lowest = (
            f"validation loss was lowest in epoch {best['epoch']:.0f}, whose weights are kept as "
            "the best."
        )
        before = best["train_nats"]
        if train is not None and before is not None and train - before > _UNSTABLE:
            return (
                f"Training is unstable: {lowest}\n"
                "The training loss rose, too: a lower --lr may help."
            )
        text = f"The model overfits: {lowest}"
        if (best["step"] or 0) < step / 2:
            smaller = "a smaller --size or " if units > min(SIZES.values()) else ""
            text += f"\nThere is too little text for this size: {smaller}more --dropout may help."
        return text
    if not earlier:
        return "There were too few evaluations to show a trend."
    if train is not None and end - train > _GAP:
        return (
            "The model fits the training part much better than the validation part: more text or "
            "more --dropout may help."
        )
    if earlier[-1] - end > _RISE and end == least:
        return f"Validation loss was still falling: more {length} would help."
    better = "a larger --size" if units < max(SIZES.values()) else "more text"
    return f"Validation loss was no longer falling: {better} may help."


def _nats(entry: Entry) -> float | None:
    """The better of what the weights and their average reach."""
    found = [entry.get(name) for name in ("val_nats", "average_nats")]
    return min((nats for nats in found if nats is not None), default=None)
