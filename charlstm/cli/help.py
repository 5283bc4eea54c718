"""`--help` as data, in up to 100 columns.

Every command imports this module, so it imports nothing but click.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from charlstm.cli import output

ARGUMENTS = "charlstm.config.arguments"
"""Key of a context's `meta` for the program's arguments."""

_MOST_COLUMNS = 100


class HelpFormatter(click.HelpFormatter):
    """click's formatter, without the import of `shutil` for the terminal's width."""

    def __init__(
        self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None
    ) -> None:
        super().__init__(indent_increment, width or _columns(max_width or _MOST_COLUMNS), max_width)


def _columns(most: int) -> int:
    """The terminal's columns minus 2, as click uses them: at least 50, at most `most` - 2."""
    try:
        columns = int(os.environ.get("COLUMNS") or 0)
    except ValueError:
        columns = 0
    if columns <= 0:
        try:
            columns = os.get_terminal_size(sys.__stdout__.fileno()).columns  # type: ignore[union-attr]
        except (AttributeError, ValueError, OSError):
            columns = 0
    return max(min(columns or 80, most) - 2, 50)


class WideContext(click.Context):
    """A context whose help is up to 100 columns wide."""

    formatter_class = HelpFormatter

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_content_width", _MOST_COLUMNS)
        super().__init__(*args, **kwargs)


class QuietHelp(click.Command):
    """A command whose `--help` is written as data: the reader may close the pipe early."""

    context_class = WideContext

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse arguments; an error names this command and not the group."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if error.ctx is None:
                error.ctx = ctx
            raise

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """The `--help` option, which writes through `charlstm.cli.output`."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _show_help
        return option


def _show_help(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        output.data_line(ctx.get_help())
        ctx.exit()
