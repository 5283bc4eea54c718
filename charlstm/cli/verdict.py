"""What a run's course says, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from charlstm.recipes import SIZES

_RISE = 0.004  # nats: what validation may rise by chance
_GAP = 0.3  # nats between training and validation: a text that is nearly known by heart
_LATE = 0.1  # the share of a run over which its last trend is judged: two looks may be neighbours

Entry = Mapping[str, float | None]
"""An evaluation, as a run's history has it."""


def verdict(history: Sequence[Entry], units: int, length: str, *, ended: bool) -> str:
    """Train and validation side by side, and what would help; empty without a validation part.

    Args:
        history: the run's evaluations, in order.
        units: of each of the model's layers.
        length: what ends such a run, and could be more: minutes, or epochs.
        ended: whether the run came to its end: before it, nothing can be said of what would help.
    """
    known = [(entry, nats) for entry in history if (nats := _nats(entry)) is not None]
    if not known:
        return ""
    (last, end), (best, least) = known[-1], min(known, key=lambda pair: pair[1])
    train, step = last["train_nats"], last["step"] or 0
    earlier = [nats for entry, nats in known if (entry["step"] or 0) <= (1 - _LATE) * step]
    sides = f"validation {end:.4f} nats {'at the end' if ended else f'at step {step:,.0f}'}"
    if train is not None:  # a mean since the look before
        sides = f"train {train:.4f} {'lately' if len(known) > 1 else 'on the way'}, {sides}"
    if not ended:
        text = "the run is not at its end"
    elif end - least > _RISE:
        text = f"overfits from epoch {best['epoch']:.0f}: the best is kept, from there"
        if (best["step"] or 0) < step / 2:
            smaller = "a smaller --size, or " if units > min(SIZES.values()) else ""
            text += f"; too little text for this size: {smaller}more --dropout"
    elif not earlier:
        text = "looked at only near its end, which shows no trend"
    elif train is not None and end - train > _GAP:
        text = "nearly known by heart: more text helps, or more --dropout"
    elif earlier[-1] - end > _RISE and end == least:
        text = f"still improving: more {length} help"
    elif units < max(SIZES.values()):
        text = "level at the end: a larger --size may help"
    else:
        text = "level at the end: more text may help"
    return f"{sides}: {text}."


def _nats(entry: Entry) -> float | None:
    """The better of what the weights and their average reach."""
    found = [entry.get(name) for name in ("val_nats", "average_nats")]
    return min((nats for nats in found if nats is not None), default=None)
