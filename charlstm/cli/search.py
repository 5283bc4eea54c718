"""charlstm search: look for better settings than the automatic choice."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from charlstm.cli import output
from charlstm.cli.help import ARGUMENTS
from charlstm.cli.options import (
    GroupedCommand,
    GroupedOption,
    UserPath,
    common_options,
    config_options,
    given,
    separate_texts,
)
from charlstm.cli.signals import Signals
from charlstm.config import SECTIONS, SearchConfig, SeparateConfig
from charlstm.config.search import NOT_FOR_TRIALS
from charlstm.errors import SearchError

if TYPE_CHECKING:
    from charlstm.search.control import Control
    from charlstm.search.result import SearchResult
    from charlstm.search.search import Search

_SHOW: dict[str, Any] = {"cls": GroupedOption, "group": "Output"}
_TRIAL_OPTIONS = [
    spec.name
    for kind in SECTIONS.values()
    for spec in dataclasses.fields(kind)  # type: ignore[arg-type]
    if spec.name not in NOT_FOR_TRIALS
]


@click.command(
    "search",
    cls=GroupedCommand,
    epilog="Ctrl-C or SIGTERM saves the trial that is being trained; the same command continues. "
    "So it does after a kill. Exit codes: 0 success, 1 failure, 2 usage error, 129 closed "
    "terminal, 130 Ctrl-C, 143 SIGTERM.",
)
@click.argument("texts", nargs=-1, type=UserPath())
@config_options(SearchConfig)
@config_options(SeparateConfig, names=("val", "test"))
@config_options(*SECTIONS.values(), names=_TRIAL_OPTIONS)
@click.option("--quiet", is_flag=True, help="Show errors only.", **_SHOW)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the result to stdout as JSON.", **_SHOW
)
@common_options
def command(
    texts: tuple[str, ...],
    quiet: bool,
    as_json: bool,
    runs_dir: str | None,
    **options: Any,
) -> None:
    """Search for better settings than the automatic choice, with Optuna.

    TEXTS are files and folders, as for `train`. Each trial is an ordinary run in the search's
    folder. Trial 0 is the automatic choice. The best three trials and the automatic choice are
    trained again with two other seeds, which decide. Options of training apply to all trials.
    """
    from charlstm.search.control import Control, StopRequestedError
    from charlstm.search.plan import plan_search

    own = SearchConfig(**given(options, [SearchConfig]))
    of_trials = {
        name: options[name] for name in _TRIAL_OPTIONS if options.get(name) not in (None, ())
    }
    plan = plan_search(texts, of_trials, own, runs_dir, separate_texts(options))
    say = (lambda _text: None) if quiet else output.say
    with Signals() as signals:
        control = Control()
        signals.attach(control)
        try:
            search, result = _run(plan, control, say, quiet)
        except StopRequestedError:
            result = None
        if control.stopping:
            _say_stopped(own)
    if control.stopping:
        output.flush()
        sys.exit(128 + signals.received)
    if result is None:
        raise SearchError(_no_loss(search))
    from charlstm.cli.search_report import report, summary

    report(search, result, say)
    if as_json:
        output.json_line(summary(search, result))


def _run(plan: Any, control: Control, say: Any, quiet: bool) -> tuple[Search, SearchResult | None]:
    """Search, and show the events.

    Raises:
        StopRequestedError: a stop is requested before the search began, or at its end.
    """
    from charlstm.cli.search_view import SearchView
    from charlstm.search.result import result_of
    from charlstm.search.search import Search

    view = SearchView(say, quiet)
    search = Search(plan, control, view.notice, view.moved)
    view.begin(search)
    try:
        for event in search:
            view.show(event)
    finally:
        view.close()
    return search, None if control.stopping else result_of(search, control.check)


def _say_stopped(config: SearchConfig) -> None:
    words = "stopped; everything is saved. To continue, run the same command"
    if config.storage is not None:  # whose URL may have a password
        output.say(f"{words}.")
        return
    arguments = click.get_current_context().meta[ARGUMENTS]
    output.say(f"{words}:\n{shlex.join(['charlstm', *arguments])}")


def _no_loss(search: Search) -> str:
    """Why no trial has a loss."""
    faults = [row.fault for row in search.rows() if row.fault]
    why = f": {faults[0]}" if faults else "."
    return (
        f"no trial of {search.plan.folder} has a validation loss{why.rstrip('.')}.\n"
        "Give more --trial-minutes or --trial-epochs, or other values to --try."
    )
