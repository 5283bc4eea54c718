"""The result of a search: the winner, its confidence, and the importance of options."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charlstm.errors import ChangedTextError
from charlstm.search.events import Row
from charlstm.search.finals import Verdict, best_trials, judge
from charlstm.search.plan import digest_of, load_text
from charlstm.search.search import Search
from charlstm.search.storage import load_optuna
from charlstm.search.trial import options_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

TEST = "test"
"""Key of the study's user attribute with the losses on the test part."""
_MIN_TRIALS = 8  # with a loss; importances from fewer trials are unreliable


@dataclass(frozen=True)
class TestLoss:
    """The loss of the winner's best run on the test part.

    Attributes:
        run: the run's name.
        nats: nats per character.
        readings: number of evaluations on the test part in this search, of any winner.
    """

    run: str
    nats: float
    readings: int


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    Attributes:
        winner: the best trial.
        run: the winner's run with the lowest validation loss, of all its seeds.
        options: all options of the winner, by field.
        verdict: the comparison of the final runs; None without final runs.
        importances: fraction of the variance that each option explains, by field, highest first;
            empty for few trials.
        test: the loss on the test part; None without one.
        rows: all trials, then all final runs.
    """

    winner: Row
    run: Path
    options: Mapping[str, Any]
    verdict: Verdict | None
    importances: Mapping[str, float]
    test: TestLoss | None
    rows: Sequence[Row]


def result_of(search: Search, check: Callable[[], None]) -> SearchResult | None:
    """The result of a search whose trials have ended; None if no trial has a loss.

    This evaluates the winner on the test part, at most once for each winner.

    Args:
        search: the search.
        check: called while waiting for another process; may raise.

    Raises:
        CharlstmError: the storage, the text or the winner's run cannot be read.
    """
    trials, finals, record = search.trials(), search.finals(), search.record
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    if not complete:
        return None
    verdict = judge(best_trials(trials), finals, record.seed)
    first = min(complete, key=lambda trial: (trial.value, trial.number))
    number = first.number if verdict is None else verdict.winner
    rows = search.rows()
    runs = [row for row in rows if row.number == number and row.nats is not None]
    best = min(runs, key=lambda row: (row.nats, row.run))
    options = options_of(record, trials[number].params, record.seed)
    with search.folder.exclusive(check):
        test = _test(search, best.run)
    return SearchResult(
        winner=rows[number],
        run=search.plan.folder / best.run,
        options=options,
        verdict=verdict,
        importances=importances_of(trials),
        test=test,
        rows=rows,
    )


def importances_of(trials: Sequence[FrozenTrial]) -> dict[str, float]:
    """Optuna's importances of the options, highest first; empty for few trials.

    Args:
        trials: all trials; those without a loss, or outside the space, do not count.
    """
    optuna = load_optuna()
    counted = [trial for trial in trials if trial.state.name == "COMPLETE" and trial.params]
    if len(counted) < _MIN_TRIALS:
        return {}
    study = optuna.create_study()
    study.add_trials(counted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of options whose values hardly differ
        found = optuna.importance.get_param_importances(study)
    return {name: float(part) for name, part in found.items() if math.isfinite(part)}


def _test(search: Search, run: str) -> TestLoss | None:
    """The loss of a run on the test part, which is read unless the storage has the loss."""
    if not search.record.given.get("test_fraction") and "test" not in search.plan.separate:
        return None
    known = list(search.shared.attribute(TEST) or [])
    for entry in known:
        if entry["run"] == run:
            return TestLoss(run, entry["nats"], len(known))
    from charlstm.inference.language_model import LanguageModel  # noqa: PLC0415 - when used

    model = LanguageModel.load(search.plan.folder / run)
    corpus = load_text(search.plan, model.tokenizer)
    if digest_of(corpus) != search.record.sha256:
        raise ChangedTextError("the text has changed since the search began.")
    if corpus.test.predictions < 1:
        return None
    nats = model.score_ids(corpus.test).nats_per_char
    search.shared.set_attribute(TEST, [*known, {"run": run, "nats": nats}])
    return TestLoss(run, nats, len(known) + 1)
