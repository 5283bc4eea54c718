"""The arguments of `eval`: models, and the texts after `--`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from charlstm.cli.options import GroupedCommand
from charlstm.errors import ConfigError

_AFTER = "charlstm.eval.after"


class EvalCommand(GroupedCommand):
    """A command that records how many arguments stand after `--`, which click drops."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line."""
        ctx.meta[_AFTER] = self._after_separator(ctx, args)
        return super().parse_args(ctx, args)

    def _after_separator(self, ctx: click.Context, args: Sequence[str]) -> int | None:
        """The number of arguments after the first `--`; None without one."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        takes_value = {name for option in options if not option.is_flag for name in option.opts}
        is_value = False
        for number, arg in enumerate(args):
            if arg == "--" and not is_value:
                return len(args) - number - 1
            is_value = not is_value and arg in takes_value
        return None

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """The usage: one model, or several before `--`."""
        return ["[OPTIONS]", "[RUN [TEXTS]... | RUN... -- [TEXTS]...]"]


def models_and_texts(run: str | None, rest: Sequence[str]) -> tuple[list[str | None], list[str]]:
    """The models and the texts of the command line; the model None is the newest run.

    Args:
        run, rest: the first argument, and the others.
    """
    given = [*([] if run is None else [run]), *rest]
    after = click.get_current_context().meta[_AFTER]
    models: list[str] = given[: len(given) - after] if after is not None else given[:1]
    return [*models] or [None], given[len(models) :]


def is_separated() -> bool:
    """Whether the command line has `--`."""
    return click.get_current_context().meta[_AFTER] is not None


def check_texts(texts: Sequence[str], runs_dir: Path) -> None:
    """Check that no text is meant as a model or as an option.

    Raises:
        ConfigError: without `--`, a text is a run or a checkpoint; or after it, one looks like an
            option and is no file.
    """
    from charlstm.runs.folder import Run

    separated = is_separated()
    for text in texts:
        path = Path(text)
        if separated and text.startswith("-") and text != "-" and not path.exists():
            raise ConfigError(
                f"{text} stands after --, where every word is a text.\nPut options before the "
                f"models: charlstm eval {text} RUN RUN -- TEXT"
            )
        if separated or text == "-":
            continue
        place = path if path.exists() else runs_dir / text
        if Run(place).saved_at() is not None or (path.suffix == ".npz" and path.is_file()):
            raise ConfigError(
                f"{text} is a model, not a text.\n"
                f"To compare models, end them with --: charlstm eval RUN {text} -- [TEXTS]"
            )
