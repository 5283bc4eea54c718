"""The pages of `docs/reference/`, made from the commands, their options, and docstrings.

`python docs/make_reference.py` writes them. `tests/test_docs.py` fails when they are out of date.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

import charlstm
import charlstm.errors
from charlstm.checkup.report import Checkup
from charlstm.cli import COMMANDS, main
from charlstm.cli.help import WideContext
from charlstm.config import SECTIONS
from charlstm.config.fields import flag_of
from charlstm.download.corpora import readme_table
from charlstm.download.stored import Fetched
from charlstm.inference.language_model import LanguageModel
from charlstm.inference.samples import Sample
from charlstm.inference.score import Score
from charlstm.training.result import TrainedRun
from charlstm.training.session import Training

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"
CORPORA_PAGE = ROOT / "corpora" / "README.md"
HELP = list(main.context_settings["help_option_names"])
NOTE = "<!-- Made by docs/make_reference.py: change the code, then run `make docs`. -->"

EXIT_CODES = {
    0: "done; also when the reader of a pipe closes it early",
    1: "failure: one or two lines on stderr say what is wrong and what to do",
    2: "wrong usage: an unknown option, or a value out of range",
    3: "`charlstm check --strict` has findings",
    129: "the terminal was closed (SIGHUP); training has saved",
    130: "Ctrl-C (SIGINT); training has saved",
    143: "SIGTERM; training has saved",
}

ENVIRONMENT = {
    "CHARLSTM_RUNS_DIR": "Folder of the runs. `--runs-dir` overrides it; the default is "
    "`checkpoints` in the current folder.",
    "CHARLSTM_CACHE_LIMIT": "How large the cache of texts may grow: `500MB`, `20GB`; the default "
    "is `10GB`. Above it, the least recently used texts are removed, never one that is in use.",
    "XDG_CACHE_HOME": "Texts whose characters take more than 32 MB are encoded once and kept in "
    "`$XDG_CACHE_HOME/charlstm`; the default is `~/.cache/charlstm`. `charlstm cache` shows and "
    "clears it.",
    "OMP_NUM_THREADS": "Threads of torch and numpy where `--threads` is not given.",
    "GLOO_SOCKET_IFNAME": "Network interface over which processes on a CPU exchange gradients. "
    "`--processes` sets it to the loopback interface unless it is set.",
}
"""Every variable that the package reads, with its meaning."""

FOREIGN = {
    "NUMBA_CACHE_DIR": "Folder where numba keeps compiled code (the extra `fast`).",
    "NUMBA_CPU_NAME": "Processor that compiled code is made for, by LLVM's name, such as `haswell` "
    "(AVX2) or `skylake-avx512`; the default is this one. With another processor's name, "
    "`ONEDNN_MAX_CPU_ISA` and `ATEN_CPU_CAPABILITY` do the same for torch.",
    "_CHARLSTM_COMPLETE": "Used by the [shell completion](../how-to/shell-completion.md) scripts.",
}
"""Variables that libraries read for the package."""


LISTED_ELSEWHERE = {
    "--cell": "Recurrent cell; the [table of cells](../explanation/equations.md) lists them.",
}
"""Options whose choices have a generated table of their own."""


def pages() -> dict[str, str]:
    """The text of each page, by file name."""
    made = {f"{name}.md": command_page(name) for name in COMMANDS}
    return {"index.md": index_page(), "python.md": python_page(), **made}


# --- Commands ---


def command_page(name: str) -> str:
    """The page of one command."""
    command: click.Command = importlib.import_module(COMMANDS[name][0]).command
    context = WideContext(command, info_name=f"charlstm {name}", help_option_names=HELP)
    first, _, rest = inspect.cleandoc(command.help or "").partition("\n\n")
    usage = " ".join(command.collect_usage_pieces(context))
    parts = [f"# charlstm {name}", NOTE, first, f"```text\ncharlstm {name} {usage}\n```"]
    parts += [paragraph for paragraph in rest.split("\n\n") if paragraph]
    if any(_changes_on_resume(param, context) for param in _options(command)):
        parts.append("An option marked *resume* can be changed when a run is resumed.")
    groups: dict[str, list[click.Option]] = {}
    for option in _options(command, context):
        groups.setdefault(getattr(option, "group", "Other"), []).append(option)
    other = groups.pop("Other", [])
    for group, options in {**groups, "Other": other}.items():
        rows = [[_names(o), *_meaning(o, context)] for o in options]
        parts += [f"## {group}", _table(["option", "meaning", "default", "allowed"], rows)]
    if command.epilog:
        parts.append(command.epilog)
    return "\n\n".join(parts) + "\n"


def _options(command: click.Command, context: click.Context | None = None) -> list[click.Option]:
    params = command.params if context is None else command.get_params(context)
    return [param for param in params if isinstance(param, click.Option) and not param.hidden]


def _names(option: click.Option) -> str:
    value = option.metavar or "VALUE"
    if "|" in value:  # the allowed words stand in a column of their own
        value = next((part for part in value.split("|") if part.isupper()), "WORD")
    words = "" if option.is_flag or option.count else f" {value}"
    names = [f"`{name}{words}`" for name in sorted(option.opts, key=len, reverse=True)]
    return _cell(", ".join([*names, *(f"`{name}`" for name in option.secondary_opts)]))


def _meaning(option: click.Option, context: click.Context) -> list[str]:
    """What an option does, its default, and what it may be; the last two end its help."""
    record = option.get_help_record(context)
    text = (option.help or (record[1] if record else "")).strip()
    notes = re.fullmatch(r"(.*?)\s*\[([^\[\]]*)\]", text, flags=re.DOTALL)
    default, allowed = "", []
    if notes:
        text = notes[1]
        for note in notes[2].split("; "):
            if note.startswith("default: "):
                default = note.removeprefix("default: ")
                default = default if " " in default else f"`{default}`"
            else:
                allowed.append(note)
    words = [word for word in (option.metavar or "").split("|") if word.islower()]
    allowed = [", ".join(f"`{word}`" for word in words)] * bool(words) + allowed
    for name in LISTED_ELSEWHERE.keys() & set(option.opts):
        text, allowed = LISTED_ELSEWHERE[name], ["those of the table"]
    if _changes_on_resume(option, context):
        text += " *(resume)*"
    return [_cell(text), _cell(default), _cell("; ".join(allowed))]


def _changes_on_resume(option: click.Option, context: click.Context) -> bool:
    """Whether it is an option of `train` that a resumed run may change."""
    if context.info_name != "charlstm train":
        return False  # the trials of a search have no such options
    fields = [spec for kind in SECTIONS.values() for spec in dataclasses.fields(kind)]  # type: ignore[arg-type]
    return any(spec.metadata["on_resume"] for spec in fields if flag_of(spec) in option.opts)


# --- The index ---


def index_page() -> str:
    """The page that lists commands, exit codes, errors and environment variables."""
    commands = [[f"[`charlstm {name}`]({name}.md)", text] for name, (_, text) in COMMANDS.items()]
    context = click.Context(main, help_option_names=HELP)
    options = [[_names(o), *_meaning(o, context)[:1]] for o in _options(main, context)]
    errors = [[f"`{kind.__name__}`", str(kind.exit_code), _first_line(kind)] for kind in _errors()]
    variables = {**ENVIRONMENT, **FOREIGN}
    _check_environment()
    return "\n\n".join(
        [
            "# Reference",
            NOTE,
            "Every option of every command, and what Python programs can use. The terms are "
            "explained in the [glossary](../glossary.md).",
            _table(["command", "purpose"], commands),
            "[From Python](python.md): `charlstm.train`, `charlstm.load`, `charlstm.check` and "
            "what they return.",
            "These options stand before the command:",
            _table(["option", "meaning"], options),
            "## Exit codes",
            _table(["code", "meaning"], [[str(n), text] for n, text in EXIT_CODES.items()]),
            "## Errors",
            "Each error that a user can correct is a `charlstm.CharlstmError`. Its text is one or "
            "two lines. The command line shows them after `Error:` and ends with the exit code.",
            _table(["class in `charlstm.errors`", "exit code", "meaning"], errors),
            "## Environment variables",
            _table(["variable", "meaning"], [[f"`{n}`", text] for n, text in variables.items()]),
        ]
    ) + "\n"  # fmt: skip


def _errors() -> list[type[charlstm.CharlstmError]]:
    found = [
        kind
        for _, kind in inspect.getmembers(charlstm.errors, inspect.isclass)
        if issubclass(kind, charlstm.CharlstmError) and kind.__module__ == "charlstm.errors"
    ]
    # The base class first.
    return sorted(found, key=lambda kind: (len(kind.__mro__), kind.__name__))


def _check_environment() -> None:
    """Hold `ENVIRONMENT` to what the package reads.

    Raises:
        AssertionError: a variable is missing, or no longer read.
    """
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "charlstm").rglob("*.py"))
    # What torchrun sets is no user's business; SC_CLK_TCK is a name of sysconf's.
    foreign = r"LOCAL_|WORLD_|MASTER_|TORCHELASTIC_|SC_"
    read = set(re.findall(rf'"((?!{foreign})[A-Z]+(?:_[A-Z]+)+)"', code))
    assert read == set(ENVIRONMENT), f"environment variables: {read ^ set(ENVIRONMENT)}"


# --- Python ---


def python_page() -> str:
    """The page of the library."""
    parts = [
        "# From Python",
        NOTE,
        "`import charlstm` loads neither numpy nor torch; `charlstm.load` and `charlstm.check` "
        "load numpy, `charlstm.train` torch. "
        "The [how-to](../how-to/python.md) has examples.",
    ]
    for name in charlstm.__all__:
        thing = getattr(charlstm, name)
        if inspect.isfunction(thing):
            parts += _documented(f"charlstm.{name}", thing)
    for kind in (Checkup, TrainedRun, Training, LanguageModel, Sample, Score, Fetched):
        parts += [f"## {kind.__name__}", f"`{kind.__module__}.{kind.__name__}`", *_doc(kind)]
        for name, member in vars(kind).items():
            if name.startswith("_"):
                continue
            if isinstance(member, property):
                parts += [f"### {kind.__name__}.{name}", *_doc(member)]
            elif inspect.isfunction(getattr(member, "__func__", member)):
                function = getattr(member, "__func__", member)
                parts += _documented(f"{kind.__name__}.{name}", function, "###")
    return "\n\n".join(parts) + "\n"


def _documented(title: str, function: Callable[..., Any], level: str = "##") -> list[str]:
    return [f"{level} {title}", f"```text\n{_signature(title, function)}\n```", *_doc(function)]


def _signature(title: str, function: Callable[..., Any]) -> str:
    signature = inspect.signature(function)
    words: list[str] = []
    for name, parameter in signature.parameters.items():
        if name in ("self", "cls"):
            continue
        star = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in words:
            words.append("*")
        has_default = parameter.default is not parameter.empty
        default = f" = {_value(parameter.default)}" if has_default else ""
        words.append(f"{star}{name}: {parameter.annotation}{default}")
    one_line = f"{title}({', '.join(words)}) -> {signature.return_annotation}"
    if len(one_line) <= 96:
        return one_line
    inner = "".join(f"    {word},\n" for word in words)
    return f"{title}(\n{inner}) -> {signature.return_annotation}"


def _value(default: object) -> str:
    if inspect.isroutine(default):
        return f"{default.__module__.lstrip('_')}.{default.__qualname__}"
    return repr(default)


_SECTION = re.compile(r"(Args|Returns|Yields|Raises|Attributes):\n((?:    .*\n?|\n)*)")


def _doc(thing: object) -> list[str]:
    """A docstring as Markdown: its sections become lists."""
    text = inspect.getdoc(thing) or ""
    parts: list[str] = []
    position = 0
    for match in _SECTION.finditer(text):
        parts += _paragraphs(text[position : match.start()])
        entries = textwrap.dedent(match[2]).strip()
        if match[1] in ("Returns", "Yields"):
            parts.append(f"**{match[1]}:** {' '.join(entries.split())}")
        else:
            items = re.split(r"\n(?=\S)", entries)
            lines = [re.sub(r"^([\w*, ]+):", r"- `\1`:", " ".join(i.split())) for i in items]
            parts.append("\n".join([f"**{match[1]}:**", "", *lines]))
        position = match.end()
    return parts + _paragraphs(text[position:])


def _paragraphs(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]


# --- Markdown ---


def _first_line(thing: object) -> str:
    return _cell((inspect.getdoc(thing) or "").partition("\n")[0])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def corpora_page() -> str:
    """`corpora/README.md` with the table of known corpora renewed."""
    page = CORPORA_PAGE.read_text("utf-8")
    return re.sub(r"^\| name \|.*?\n\n", lambda _: f"{readme_table()}\n\n", page, flags=re.S | re.M)


if __name__ == "__main__":
    CORPORA_PAGE.write_text(corpora_page(), "utf-8")
    made = pages()
    FOLDER.mkdir(exist_ok=True)
    for file in FOLDER.glob("*.md"):
        file.unlink()
    for file_name, page in made.items():
        (FOLDER / file_name).write_text(page, "utf-8")
