"""Character-level LSTM language models: train on your own text, write text with them.

`import charlstm` is cheap: numpy is imported by the first `load`, torch only by training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from charlstm.errors import CharlstmError

if TYPE_CHECKING:
    import os

    from charlstm.inference.language_model import LanguageModel

__version__ = "0.1.0"
__all__ = ["CharlstmError", "__version__", "load"]


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
