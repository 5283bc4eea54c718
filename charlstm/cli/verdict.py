"""The final losses of a run, with advice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from charlstm.format.progress import lower_nats
from charlstm.planner.presets import SIZES

_RISE = 0.004  # nats: random variation of the validation loss
_GAP = 0.3  # nats from training to validation loss, from which on more text would help
_UNSTABLE = 0.05  # nats that the training loss rises after the best evaluation, and not by chance
_LATE = 0.1  # last fraction of a run that shows the trend; evaluations may be close together

Entry = Mapping[str, float | None]
"""An entry of a run's history."""


def verdict(
    history: Sequence[Entry],
    units: int,
    length: str,
    *,
    ended: bool,
    other_tail: Callable[[], bool] = lambda: False,
    unigram: float | None = None,
) -> str:
    """The last losses, then a line of advice; empty without a validation part.

    Args:
        history: the run's evaluations, in order.
        units: hidden size of the model.
        length: what limits the run: minutes or epochs.
        ended: whether the run is complete; otherwise there is no advice.
        other_tail: whether the validation part is the end of the text and differs from the rest;
            called only if the validation loss is high.
        unigram: unigram entropy of the training part, in nats per character; None: unknown.
    """
    known = [(entry, nats) for entry in history if (nats := lower_nats(entry)) is not None]
    start = start_nats(history)
    if start is not None:
        del known[0]
    if not known:
        return "" if start is None else f"Before training: validation loss {start:.4f} nats."
    last, end = known[-1]
    losses = f"validation loss {end:.4f} nats per character"
    if last["train_nats"] is not None:
        losses = f"training loss {last['train_nats']:.4f}, {losses}"
    if not ended:
        return f"At step {last['step'] or 0:,.0f}: {losses}."
    advice = _advice(known, units, length)
    if start is not None:
        before = _start_advice(start, min(nats for _, nats in known), unigram)
        advice = before if start <= min(nats for _, nats in known) else f"{before}\n{advice}"
    if (tail := _tail_advice(known)) and other_tail():
        advice = tail
    return f"Final {losses}.\n{advice}"


def start_nats(history: Sequence[Entry]) -> float | None:
    """The validation loss of a fine-tuned run before its first step; None of other runs.

    Args:
        history: the run's evaluations, in order.
    """
    return lower_nats(history[0]) if history and history[0]["step"] == 0 else None


def _start_advice(start: float, least: float, unigram: float | None) -> str:
    """What a run gained from its base, from the loss before training and the lowest since."""
    gain = start - least
    if gain <= 0:
        return (
            f"Fine-tuning did not help: the base itself reaches {start:.4f}, and its weights are "
            "kept as the best.\nA lower --lr, or more text, may help."
        )
    text = f"The base reached {start:.4f} on this text; fine-tuning gained {gain:.4f} nats."
    if unigram is not None and start >= unigram:
        text += (
            f"\nThe base knew nothing of it: character frequencies alone give {unigram:.4f}. A new "
            "model, without --from, may be better."
        )
    return text


def _tail_advice(known: Sequence[tuple[Entry, float]]) -> str:
    """Advice if the end of the text differs; empty if the validation loss is not high."""
    (last, end), (best, least) = known[-1], min(known, key=lambda pair: pair[1])
    train, before = last["train_nats"], best["train_nats"]
    unstable = train is not None and before is not None and train - before > _UNSTABLE
    if end - least > _RISE and not unstable:
        high = f"validation loss was lowest in epoch {best['epoch']:.0f}"
    elif train is not None and end - train > _GAP:
        high = "the model fits the training part much better"
    else:
        return ""
    return (
        f"The end of the text, the validation part, differs from the rest: {high}.\n"
        "For a new run, --split blocks holds out blocks spread over the text."
    )


def _advice(known: Sequence[tuple[Entry, float]], units: int, length: str) -> str:
    """Advice from the trend of the validation loss."""
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
