"""Report on the result of a search."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING, Any

from charlstm.cli.full_command import as_options, full_command
from charlstm.config import Config
from charlstm.config.fields import flag_of

if TYPE_CHECKING:
    from charlstm.search.result import SearchResult
    from charlstm.search.search import Search

_NOT_SHOWN = ("seed", "sample_every", "threads")


def report(search: Search, result: SearchResult, say: Any) -> None:
    """Report the winner, its confidence, the importance of options, and commands to use it."""
    verdict, winner = result.verdict, result.winner
    if verdict is None:
        say(f"trial {winner.number} is the best; no trial was trained with other seeds")
    else:
        for number, losses in sorted(verdict.losses.items(), key=lambda pair: sum(pair[1])):
            mean = sum(losses) / len(losses)
            shown = ", ".join(f"{nats:.4f}" for nats in losses)
            say(f"trial {number} with other seeds: {shown}; mean {mean:.4f} nats per character")
        say(f"trial {winner.number} is the best: {verdict.sentence()}")
    if result.importances:
        shown = ", ".join(
            f"{_flag(name)} {part:.0%}" for name, part in result.importances.items() if part >= 0.01
        )
        say(f"importance of options: {shown}")
    if result.test is not None:
        times = "once" if result.test.readings == 1 else f"{result.test.readings} times"
        say(
            f"test part: {result.test.nats:.4f} nats, {result.test.nats / math.log(2):.4f} "
            f"bits/char ({result.test.run}); evaluated {times} in this search"
        )
    say(f"full command: {command_of(search, result)}")
    run, folder = shlex.quote(str(result.run)), shlex.quote(str(search.plan.folder))
    both = result.options.get("direction") == "both"
    use = f"fill {run} 'a text with ___ in it'" if both else f"sample {run}"
    say(f"{'Fill blanks:' if both else 'Write text: '} charlstm {use}")
    say(f"All runs:    charlstm runs --runs-dir {folder}")


def command_of(search: Search, result: SearchResult) -> str:
    """The winner's full command."""
    from charlstm.training.setup import ENDLESS

    options = result.options
    names = [name for name in options if name not in _NOT_SHOWN and options[name] is not None]
    hidden = {"minutes"} if not options["minutes"] else set()
    if options["epochs"] >= ENDLESS:
        hidden.add("epochs")
    config = Config().override(options)
    return full_command(
        search.plan.texts,
        search.plan.runs_dir,
        as_options(config, set(names) - hidden),
        separate=search.plan.separate,
    )


def summary(search: Search, result: SearchResult) -> dict[str, Any]:
    """The result of a search as a JSON object."""
    verdict, test = result.verdict, result.test
    return {
        "search": str(search.plan.folder),
        "winner": result.winner.number,
        "run": str(result.run),
        "command": command_of(search, result),
        "options": dict(result.options),
        "better": verdict is not None and verdict.is_better,
        "gain_nats_per_char": None if verdict is None else verdict.gain,
        "margin_nats_per_char": None if verdict is None else verdict.margin,
        "verdict": None if verdict is None else verdict.sentence(),
        "importances": {_flag(name): part for name, part in result.importances.items()},
        "test_nats_per_char": None if test is None else test.nats,
        "test_readings": None if test is None else test.readings,
        "trials": [row.to_json() for row in result.rows],
    }


def _flag(name: str) -> str:
    """An option's name without dashes in front."""
    from charlstm.search.space import triable

    return flag_of(triable()[name][1]).removeprefix("--")
