"""What a run's course says, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_RISE = 0.004  # nats: what validation may rise by chance
_GAP = 0.3  # nats between training and validation: a text that is nearly known by heart

Entry = Mapping[str, float | None]
"""An evaluation, as a run's history has it."""


def verdict(history: Sequence[Entry]) -> str:
    """Train and validation side by side, and what would help; empty without a validation part.

    Args:
        history: the run's evaluations, in order.
    """
    known = [(entry, nats) for entry in history if (nats := _nats(entry)) is not None]
    if not known:
        return ""
    (last, end), (best, least) = known[-1], min(known, key=lambda pair: pair[1])
    train = last["train_nats"]
    sides = f"validation {end:.4f} nats at the end"
    if train is not None:
        sides = f"train {train:.4f}, {sides}"
    if end - least > _RISE:
        text = f"overfits from epoch {best['epoch']:.0f}: the best is kept, from there"
        if (best["step"] or 0) < (last["step"] or 0) / 2:
            text += "; too little text for this size: a smaller --size, or more --dropout"
    elif len(known) == 1:
        text = "looked at once, which shows no trend"
    elif train is not None and end - train > _GAP:
        text = "nearly known by heart: more text helps, or more --dropout"
    elif known[-2][1] - end > _RISE:
        text = "still improving: more minutes help"
    else:
        text = "level at the end: a larger --size may help"
    return f"{sides}: {text}."


def _nats(entry: Entry) -> float | None:
    """The better of what the weights and their average reach."""
    found = [entry.get(name) for name in ("val_nats", "average_nats")]
    return min((nats for nats in found if nats is not None), default=None)
