"""Character-level LSTM language models: train on your own text, and generate text.

`import charlstm` is fast: it imports neither numpy, which `load` needs, nor torch, which training
needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from charlstm.errors import CharlstmError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable
    from typing import Any

    from charlstm.checkup.report import Checkup
    from charlstm.download.stored import Fetched
    from charlstm.inference.language_model import LanguageModel
    from charlstm.text.corpus import ReadingProgress
    from charlstm.training.events import Event
    from charlstm.training.result import TrainedRun
    from charlstm.training.session import Training

__version__ = "0.1.0"
__all__ = [
    "CharlstmError", "__version__", "check", "fetch", "fine_tune", "load", "start_training",
    "train",
]  # fmt: skip


def load(run: str | os.PathLike[str] | None = None) -> LanguageModel:
    """Load a trained model, to generate text and to evaluate on texts. Needs only numpy.

    Args:
        run: a run's folder or name, whose best checkpoint is loaded; or a checkpoint file; None:
            the newest run.

    Raises:
        ArgumentTypeError: `run` has another type.
        RunError: there is no such run.
        CheckpointError: the file is damaged, or not a checkpoint.
    """
    from charlstm.inference.language_model import LanguageModel

    return LanguageModel.load(run)


def check(
    texts: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = (),
    *,
    text: str | None = None,
    runs_dir: str | os.PathLike[str] | None = None,
    on_notice: Callable[[str], None] | None = None,
    on_progress: ReadingProgress | None = None,
    **options: Any,
) -> Checkup:
    """Check a text before a training, as `charlstm check --no-speed-test` does. Needs only numpy.

    Args:
        texts: paths of files and folders, joined in order; one or several.
        text: the text itself, instead of paths.
        runs_dir: the folder of runs, which is skipped in folders; None: `$CHARLSTM_RUNS_DIR`, or
            `checkpoints`.
        on_notice: receives messages about folders; None: they are logged by the logger
            `charlstm` at level INFO.
        on_progress: receives the activity and the number of characters read.
        **options: the options of `charlstm check`, with underscores: `encoding="cp1252"`,
            `documents="line"`, `minutes=5`, ... None means that an option is not given.

    Returns:
        Figures, findings and plans; `to_json()` has all of them.

    Raises:
        ArgumentTypeError: an argument has the wrong type, or there is no such option.
        ConfigError: an option is out of range, or two contradict each other.
        SourceError, CorpusError: the text cannot be read, or is empty.
    """
    import logging

    from charlstm.checkup.api import check_from_keywords
    from charlstm.config.arguments import check_path
    from charlstm.runs.find import runs_dir_from

    notice = on_notice or logging.getLogger("charlstm").info
    folder = runs_dir_from(None if runs_dir is None else check_path("runs_dir", runs_dir))
    return check_from_keywords(texts, text, folder, notice, on_progress, options)


def train(
    texts: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = (),
    *,
    text: str | None = None,
    val: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
    test: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
    val_text: str | None = None,
    test_text: str | None = None,
    replay_text: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
    resume: str | os.PathLike[str] | bool | None = None,
    runs_dir: str | os.PathLike[str] | None = None,
    on_event: Callable[[Event], None] | None = None,
    on_notice: Callable[[str], None] | None = None,
    **options: Any,
) -> TrainedRun:
    """Train a model on a text, or resume a run, as `charlstm train` does.

    Args:
        texts: paths of files and folders, joined in order; one or several.
        text: the text itself, instead of paths.
        val, test: paths of separate texts for validation and testing; None: parts of the text.
        val_text, test_text: these texts themselves, instead of paths.
        replay_text: with `base`, paths of an old text, see `--replay-text`.
        resume: folder or name of a run to resume exactly where it stopped; True: the newest run.
        runs_dir: the folder of runs; None: `$CHARLSTM_RUNS_DIR`, or `checkpoints`.
        on_event: receives each event, see `charlstm.training.events`.
        on_notice: receives messages, such as what was chosen automatically, reduced or skipped;
            None: they are logged by the logger `charlstm` at level INFO.
        **options: the options of `charlstm train`, with underscores: `epochs=3`, `minutes=5`,
            `hidden_size=256`, `layers=2`, `name="hamlet"`, `recipe="char-rnn"`, ... None means
            that an option is not given.

    Returns:
        The run, with its folder, its best loss, and `load()` for its best model.

    Raises:
        ArgumentTypeError: an argument has the wrong type, or there is no such option.
        ConfigError: an option is out of range, or two contradict each other.
        SourceError, CorpusError: the text cannot be read, or is too short.
        RunError: the run's name is taken, or there is no such run.
        DivergenceError: the loss is not finite.
        CheckpointError: a checkpoint cannot be written.
    """
    training = start_training(
        texts, text=text, val=val, test=test, val_text=val_text, test_text=test_text,
        replay_text=replay_text, resume=resume, runs_dir=runs_dir, on_notice=on_notice, **options,
    )  # fmt: skip
    for event in training:
        if on_event is not None:
            on_event(event)
    return training.result


def fine_tune(
    base: str | os.PathLike[str],
    texts: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = (),
    *,
    text: str | None = None,
    runs_dir: str | os.PathLike[str] | None = None,
    on_event: Callable[[Event], None] | None = None,
    on_notice: Callable[[str], None] | None = None,
    **options: Any,
) -> TrainedRun:
    """Train a new model on a text, starting from the weights of another model.

    Characters are matched, so that the texts may have different alphabets. The architecture is that
    of the base.

    Args:
        base: a run's folder or name, whose best checkpoint is used; or a checkpoint file.
        texts, text, runs_dir, on_event, on_notice: as for `train`.
        **options: as for `train`; those of the architecture must agree with the base.

    Returns:
        The new run. The first entry of its history is the loss of the base on the new text.

    Raises:
        ConfigError: an option contradicts the base.
        CorpusError: the base knows no character of the text.
        CheckpointError: the base is damaged.
        CharlstmError: as for `train`.
    """
    from charlstm.config.arguments import check_path

    return train(
        texts, text=text, runs_dir=runs_dir, on_event=on_event, on_notice=on_notice,
        base=check_path("base", base), **options,
    )  # fmt: skip


def start_training(
    texts: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = (),
    *,
    text: str | None = None,
    val: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
    test: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
    val_text: str | None = None,
    test_text: str | None = None,
    replay_text: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
    resume: str | os.PathLike[str] | bool | None = None,
    runs_dir: str | os.PathLike[str] | None = None,
    on_notice: Callable[[str], None] | None = None,
    **options: Any,
) -> Training:
    """Set up a training as an iterator of events. Iterating over the events trains the model.

    Under torchrun, all processes use the options of the process with rank 0.

    Args:
        texts, text, val, test, val_text, test_text, replay_text, resume, runs_dir, on_notice,
            **options: as for `train`.

    Returns:
        An iterator of events. `stop()` ends training after the current step and saves everything.
        `result` is the run after training.

    Raises:
        CharlstmError: as for `train`.
    """
    from charlstm.training.api import plan_from_keywords

    separate = {"val": (val, val_text), "test": (test, test_text), "replay": (replay_text, None)}
    plan = plan_from_keywords(texts, text, resume, runs_dir, options, separate)
    from charlstm.training.session import start_any  # imports torch, after the check of options

    return start_any(plan, on_notice)


def fetch(
    source: str,
    *,
    on_notice: Callable[[str], None] | None = None,
    on_progress: Callable[[str, int, int | None], None] | None = None,
    **options: Any,
) -> Fetched:
    """Download a text, as `charlstm fetch` does.

    Args:
        source: the name of a known corpus (`charlstm fetch --list`), or a URL.
        on_notice: receives messages; None: they are logged by the logger `charlstm` at level INFO.
        on_progress: called with the activity, the bytes done, and the total, or None if it is not
            known.
        **options: the options of `charlstm fetch`, with underscores: `folder="texts"`,
            `sha256="..."`, `unpack=False`, ... None means that an option is not given.

    Returns:
        Where the files are; `paths` is what to give to `charlstm.train`.

    Raises:
        ArgumentTypeError: an argument has the wrong type, or there is no such option.
        ConfigError: an option is out of range.
        DownloadError: the file cannot be downloaded or unpacked, is not the expected one, or one of
            that name exists.
    """
    import logging

    from charlstm.config import FetchConfig
    from charlstm.config.fields import check_type
    from charlstm.config.keywords import options_from_keywords
    from charlstm.download.fetch import fetch_text

    return fetch_text(
        check_type("source", source, str),
        FetchConfig(**options_from_keywords(options, FetchConfig)),
        notice=on_notice or logging.getLogger("charlstm").info,
        progress=on_progress or (lambda _what, _done, _total: None),
    )
