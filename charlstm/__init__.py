"""Character-level LSTM language models: train on your own text, write text with them.

`import charlstm` is cheap: numpy is imported by the first `load`, torch only by training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from charlstm.errors import CharlstmError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable
    from typing import Any

    from charlstm.inference.language_model import LanguageModel
    from charlstm.training.events import Event
    from charlstm.training.result import TrainedRun
    from charlstm.training.session import Training

__version__ = "0.1.0"
__all__ = ["CharlstmError", "__version__", "load", "start_training", "train"]


def load(run: str | os.PathLike[str] | None = None) -> LanguageModel:
    """Open a trained model for writing and scoring text; needs numpy only.

    Args:
        run: a run's folder or name (its best checkpoint is taken), or one checkpoint file; None:
            the newest run.

    Raises:
        ArgumentTypeError: `run` is something else.
        RunError: there is no such run.
        CheckpointError: the checkpoint is damaged, or not a checkpoint.
    """
    from charlstm.inference.language_model import LanguageModel

    return LanguageModel.load(run)


def train(
    texts: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = (),
    *,
    text: str | None = None,
    resume: str | os.PathLike[str] | bool | None = None,
    runs_dir: str | os.PathLike[str] | None = None,
    on_event: Callable[[Event], None] | None = None,
    on_notice: Callable[[str], None] | None = None,
    **options: Any,
) -> TrainedRun:
    """Train a model on a text, or continue a run, as `charlstm train` does.

    Args:
        texts: paths of files and folders, joined in order; one or several.
        text: the text itself, in place of paths.
        resume: a run's folder or name to continue exactly where it stopped; True: the newest.
        runs_dir: where runs live; None: `$CHARLSTM_RUNS_DIR`, or `checkpoints`.
        on_event: receives each event, see `charlstm.training.events`.
        on_notice: receives, in a sentence, what was chosen, reduced or passed over; None: it is
            logged by the logger `charlstm`, at the level INFO.
        **options: those of `charlstm train`, with underscores: `epochs=3`, `minutes=5`,
            `hidden_size=256`, `layers=2`, `name="hamlet"`, `recipe="char-rnn"`, ... None stands
            for an option that is not given.

    Returns:
        The run: its folder, its best loss, and `load()` for its best model.

    Raises:
        ArgumentTypeError: an argument has the wrong type, or there is no such option.
        ConfigError: an option is out of range, or two contradict each other.
        SourceError, CorpusError: the text cannot be read, or is too short.
        RunError: the run's name is taken, or there is no such run.
        DivergenceError: the loss is not finite.
        CheckpointError: a checkpoint cannot be written.
    """
    training = start_training(
        texts, text=text, resume=resume, runs_dir=runs_dir, on_notice=on_notice, **options
    )
    for event in training:
        if on_event is not None:
            on_event(event)
    return training.result


def start_training(
    texts: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = (),
    *,
    text: str | None = None,
    resume: str | os.PathLike[str] | bool | None = None,
    runs_dir: str | os.PathLike[str] | None = None,
    on_notice: Callable[[str], None] | None = None,
    **options: Any,
) -> Training:
    """Set up a training whose events the caller iterates over; that is what trains.

    In a process that torchrun has started beside others, the options of the first one count.

    Args:
        texts, text, resume, runs_dir, on_notice, **options: as for `train`.

    Returns:
        An iterator of events. `stop()` ends it after the current step, with everything saved;
        `result` is the run, once it has ended.

    Raises:
        CharlstmError: as for `train`.
    """
    from charlstm.training.api import plan_from_keywords

    plan = plan_from_keywords(texts, text, resume, runs_dir, options)
    from charlstm.training.session import start_any  # needs torch, and the options are right

    return start_any(plan, on_notice)
