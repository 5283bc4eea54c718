"""The command-line interface: the only package that imports click or prints.

Each command's module imports its heavy dependencies when it runs, so that `--help` is fast.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from contextlib import suppress
from typing import Any, NoReturn

import click

from charlstm import __version__
from charlstm.cli import output
from charlstm.cli.help import ARGUMENTS, QuietHelp
from charlstm.cli.stopped import Stopped
from charlstm.errors import CharlstmError, CompiledCodeWarning

# In the order of `--help`.
COMMANDS = {
    "train": ("charlstm.cli.train", "Train a model on a text, or continue a run."),
    "check": ("charlstm.cli.check", "Check a text before training, and show what to mend."),
    "search": ("charlstm.cli.search", "Search for better settings than the automatic choice."),
    "sample": ("charlstm.cli.sample", "Write text with a trained model."),
    "fill": ("charlstm.cli.fill", "Fill in blanks with a bidirectional model."),
    "eval": ("charlstm.cli.evaluate", "Measure how well a model predicts a text."),
    "info": ("charlstm.cli.info", "Show a run's configuration and results."),
    "runs": ("charlstm.cli.runs", "List all runs, grouped by text, newest first."),
    "rename": ("charlstm.cli.rename", "Give a run another name."),
    "delete": ("charlstm.cli.delete", "Delete runs."),
    "fetch": ("charlstm.cli.fetch", "Download a text: a known corpus, or a URL."),
    "cache": ("charlstm.cli.cache", "Show or clear the cache of large texts."),
    "doctor": ("charlstm.cli.doctor", "Check this machine, and show what could be better."),
}


class _Lazy(QuietHelp, click.Group):
    """A group that imports a command's module only when the command is used."""

    def make_context(self, info_name: str | None, args: list[str], **extra: Any) -> click.Context:  # type: ignore[override]
        """A context that stores the arguments, for a command that restarts itself."""
        arguments = list(args)
        context = super().make_context(info_name, args, **extra)
        context.meta[ARGUMENTS] = arguments
        return context

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, in the order of `--help`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command with that name; None if there is none."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first argument names; otherwise a usage error with a suggestion."""
        name = args[0]
        if name not in COMMANDS and not (name.startswith("-") or ctx.resilient_parsing):
            import difflib

            near = difflib.get_close_matches(name, COMMANDS, n=1)
            suggestion = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"there is no command {name!r}.{suggestion}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing their modules."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _show_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    parts = [f"charlstm {__version__}"]
    for package in ("torch", "numpy"):
        try:
            parts.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            parts.append(f"{package} not installed")
    output.data_line(", ".join(parts))
    ctx.exit()


@click.group(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Terms such as nat, epoch and temperature: docs/glossary.md. A first model, step by "
    "step: docs/tutorial.md. Exit codes: 0 success, 1 failure, 2 usage error, 3 findings (check "
    "--strict), 129 closed terminal, 130 Ctrl-C, 143 SIGTERM.",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the versions of charlstm, torch and numpy.",
)
@click.option("--debug", is_flag=True, help="Show a traceback with an error.")
def main(debug: bool) -> None:
    """Train a character-level LSTM on your own text, and generate text with it."""


def entry_point() -> NoReturn:
    """Run the program and end the process with a documented exit code."""
    try:
        code = _run()
    except SystemExit as error:
        code = error.code
    if sys.stderr is not None:
        sys.stderr.flush()
    number = code if isinstance(code, int) else 0
    if "torch" in sys.modules:
        # Everything is saved, and reported after this flush. An orderly shutdown of torch takes
        # about a second, which `--minutes` does not include. Its communication threads may also
        # abort the process at shutdown, although the command has succeeded.
        with suppress(output.ReaderGoneError, click.ClickException):
            output.flush()
        os._exit(number)
    sys.exit(number)


def _run() -> object:
    """Run the program and return its exit code."""
    # This also matches after `--` or as an option's value, where a traceback does no harm.
    debug = "--debug" in sys.argv
    _fill_standard_descriptors()
    _show_warnings()
    try:
        code = main.main(standalone_mode=False, prog_name="charlstm")
        output.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        output.say(error.format_message())
        code = 2
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "charlstm"
        output.error(f"{error.format_message()}\nSee: {where} -h")
        code = 2
    except click.ClickException as error:
        output.error(error.format_message())
        code = error.exit_code
    except CharlstmError as error:
        _trace(debug)
        output.error(str(error))
        code = error.exit_code
    except Stopped as stop:
        if sys.stderr is not None and sys.stderr.isatty():
            output.say("")  # new line: the terminal has shown ^C
        output.error(str(stop))
        code = stop.exit_code
    except (click.Abort, KeyboardInterrupt):
        output.error("stopped.")
        code = 130
    except output.ReaderGoneError:
        # The reader has closed the pipe. Buffered data must not fail again at exit.
        output.discard()
        code = 0
    except OSError as error:
        _trace(debug)
        file = f" ({error.filename})" if error.filename else ""
        output.error(f"{error.strerror or error}{file}.")
        output.discard()
        code = 1
    except Exception as error:
        _trace(debug)
        if _is_out_of_memory(error):
            output.error(
                "out of memory. Use a smaller --batch-size, --maxlen or --hidden-size in training, "
                "otherwise a smaller -n."
            )
            return 1
        output.error(
            f"unexpected {type(error).__name__}: {error}\n"
            "This is a fault of charlstm; --debug shows a traceback."
        )
        code = 1
    return code


def _fill_standard_descriptors() -> None:
    """Open closed descriptors 0, 1 and 2, so that no file opened later receives their number."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one


def _show_warnings() -> None:
    """Show each of the library's own warnings once, as a notice; show others as Python does."""
    show = warnings.showwarning

    def shown(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, CompiledCodeWarning):
            output.say(str(message))
        else:
            show(message, category, *where, **more)

    warnings.filterwarnings("default", category=CompiledCodeWarning)
    warnings.showwarning = shown


def _is_out_of_memory(error: Exception) -> bool:
    """Whether the error of Python, numpy or torch means that memory is exhausted.

    On a CPU, torch raises a plain RuntimeError.
    """
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and any(words in str(error) for words in ("allocate memory", "out of memory"))
    )


def _trace(debug: bool) -> None:
    if debug:
        import traceback

        traceback.print_exc()
