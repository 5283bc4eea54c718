"""An early decay: a run that overfits returns to its best weights and ends sooner.

The learning rate then falls linearly to 0. These functions change or read nothing but a run's
progress, so that a resumed run decides as one that was not interrupted.
"""

from __future__ import annotations

from charlstm.format.progress import Progress, lower_nats

_OVERFIT_NATS = 0.01
"""The rise of the validation loss that counts as overfitting, in nats per character."""
_OVERFIT_STEPS = 0.3
"""How many steps ago the best evaluation is at least, relative to its own step. At a high learning
rate the validation loss varies; this number is for the peak rate, and falls with the rate."""
_DECAY_LENGTH = 0.5
"""Length of an early decay, relative to the run up to the best evaluation."""
_NEXT_RATE = 0.3
"""The learning rate at the beginning of another early decay, relative to the one before."""
_MOST_DECAYS = 5


def overfits(progress: Progress, rate: float) -> bool:
    """Whether the last evaluation calls for an early decay.

    Its validation loss is above the lowest by `_OVERFIT_NATS`, the lowest is `_OVERFIT_STEPS` ago,
    and its training loss is below that of the evaluation before. In an early decay the training
    loss falls in any case, and the end of that decay need not be the end.

    Args:
        progress: of the run, after an evaluation.
        rate: the learning rate, relative to its peak.
    """
    losses = [entry["train_nats"] for entry in progress.history[-2:]]
    nats = lower_nats(progress.history[-1])
    if nats is None or len(losses) < 2 or losses[0] is None or losses[1] is None:
        return False
    if nats <= progress.best_nats + _OVERFIT_NATS or progress.decays >= _MOST_DECAYS:
        return False
    if progress.step < (1 + _OVERFIT_STEPS * rate) * progress.best_step:
        return False
    return progress.decays > 0 or losses[1] < losses[0]


def begin_early_decay(progress: Progress, fraction: float, rate: float) -> None:
    """Record in `progress` that the rate decays to 0 from here, and that the run ends there.

    The first decay begins at the current rate, and takes half as long as the run up to the best
    evaluation. Another one begins at a fraction of that rate, and takes half as long.

    Args:
        progress: of the run; changed.
        fraction: progress of the run, 0 to 1.
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
    """The learning rate in an early decay, at that progress of the run."""
    left = max(0.0, progress.decay_until - fraction)
    return progress.decay_rate * left / max(1e-12, progress.decay_until - progress.decay_from)
