"""A run's own text, for `eval`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charlstm.cli import output
from charlstm.cli.eval_result import Facts, Result
from charlstm.cli.progress import counting, reading
from charlstm.errors import RunError

if TYPE_CHECKING:
    from charlstm.format.checkpoint import Checkpoint
    from charlstm.inference.language_model import LanguageModel
    from charlstm.inference.long_texts import Adaptive
    from charlstm.inference.score import Score
    from charlstm.text.parts import Part

_COUNTED = 1 << 20  # characters at once


class OwnText:
    """A part of the text that a run was trained on.

    Args:
        path, checkpoint: the run's model.
        split: the part: val, test or train.
    """

    def __init__(self, path: Path, checkpoint: Checkpoint, split: str) -> None:
        self._path, self._checkpoint, self._split = path, checkpoint, split
        self.name = f"{split} part of the run's text"

    def evaluate(self, model: LanguageModel, cold_window: int, reader: Adaptive | None) -> Result:
        """Evaluate a model.

        Raises:
            CharlstmError: the text cannot be read or evaluated on.
        """
        from charlstm.text.document_part import DocumentPart

        part, release = self._read()
        facts = Facts(model)
        for ids in part.predicted(_COUNTED):
            facts.add(ids)
            release()

        def evaluate(scorer: Any, doing: str, **options: Any) -> Score:
            with counting(len(part), doing) as count:

                def progress(done: int) -> None:
                    count(done)
                    release()

                score: Score = scorer(part, progress=progress, **options)
                return score

        score = evaluate(model.score_ids, "evaluating", cold_window=cold_window)
        adapted = None
        if reader is not None:
            adapted = evaluate(reader.score, "evaluating with --dynamic")
            adapted = replace(adapted, num_bytes=score.num_bytes)
        documents = len(part.spans) if isinstance(part, DocumentPart) else None
        return Result(score, adapted, documents, facts.unigram_nats, facts.compressed())

    def _read(self) -> tuple[Part, Any]:
        """The part, and a function that releases the memory of what was read.

        Raises:
            RunError: the part is too short, or the text is not available any more.
            CheckpointError: no checkpoint of the run is intact.
        """
        from charlstm.inference.training_text import read_training_text
        from charlstm.runs.find import first_intact
        from charlstm.runs.folder import Run

        path, checkpoint = self._path, self._checkpoint
        run = Run(path.parent)
        if "paths" not in checkpoint.meta:  # a best.npz; only last.npz and numbered ones have it
            paths = [p for p in run.checkpoints() if p.is_file()] or [path]
            path, checkpoint = first_intact(paths, frozenset(), output.say)
        with reading(quiet=False) as progress:
            own = read_training_text(
                run, path, checkpoint, progress=progress,
                missing="Restore it, or give a text to evaluate on.",
            )  # fmt: skip
        part: Part = getattr(own.corpus, self._split)
        if part.predictions < 1:
            raise RunError(
                f"the run's {self._split} part has {len(part)} characters; at least 2 are needed. "
                "Give a text to evaluate on."
            )
        return part, own.corpus.release
