"""Early decay: a run that overfits restores its best weights, decays the learning rate, and ends.

The learning rate falls linearly to 0. These functions depend only on the run's progress, so that a
resumed run decides as an uninterrupted one does.
"""

from __future__ import annotations

from charlstm.format.progress import Progress, lower_nats

_OVERFIT_NATS = 0.01
"""Increase of the validation loss that counts as overfitting, in nats per character."""
_OVERFIT_STEPS = 0.3
"""Minimum number of steps since the best evaluation, relative to the step of that evaluation. This
value is for the peak learning rate, at which the validation loss varies; it is proportional to the
rate."""
_DECAY_LENGTH = 0.5
"""Length of an early decay, relative to the run up to the best evaluation."""
_NEXT_RATE = 0.3
"""Learning rate at the beginning of a further early decay, relative to the previous one."""
_MOST_DECAYS = 5


def overfits(progress: Progress, rate: float) -> bool:
    """Whether the last evaluation calls for an early decay.

    It does if the validation loss exceeds the lowest one by `_OVERFIT_NATS`, the lowest one is
    `_OVERFIT_STEPS` ago, and the training loss is lower than at the previous evaluation. During an
    early decay the training loss always falls, so that condition is not checked.

    A fine-tuned run whose best evaluation is that of its base goes on: its loss may rise at first.

    Args:
        progress: the run's progress, after an evaluation.
        rate: the learning rate, relative to its peak.
    """
    losses = [entry["train_nats"] for entry in progress.history[-2:]]
    nats = lower_nats(progress.history[-1])
    if nats is None or len(losses) < 2 or losses[0] is None or losses[1] is None:
        return False
    if not progress.best_step:
        return False
    if nats <= progress.best_nats + _OVERFIT_NATS or progress.decays >= _MOST_DECAYS:
        return False
    if progress.step < (1 + _OVERFIT_STEPS * rate) * progress.best_step:
        return False
    return progress.decays > 0 or losses[1] < losses[0]


def begin_early_decay(progress: Progress, fraction: float, rate: float) -> None:
    """Record in `progress` that the learning rate decays to 0 from now on, and then the run ends.

    The first decay begins at the current rate, and takes half as long as the run up to the best
    evaluation. A further decay begins at a fraction of that rate, and takes half as long.

    Args:
        progress: the run's progress; updated.
        fraction: progress as a fraction, 0 to 1.
        rate: the current learning rate.
    """
    if progress.decays:
        rate = _NEXT_RATE * progress.decay_rate
        length = (progress.decay_until - progress.decay_from) / 2
    else:
        length = _DECAY_LENGTH * fraction * progress.best_step / max(1, progress.step)
    progress.decays += 1
    progress.decay_from, progress.decay_until = fraction, min(1.0, fraction + length)
    progress.decay_rate, progress.decay_step = rate, progress.step
    progress.ended = 0.0


def decayed_rate(progress: Progress, fraction: float) -> float:
    """The learning rate in an early decay; fraction: progress as a fraction, 0 to 1."""
    left = max(0.0, progress.decay_until - fraction)
    return progress.decay_rate * left / max(1e-12, progress.decay_until - progress.decay_from)
