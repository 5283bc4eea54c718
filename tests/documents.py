"""The examples in README.md, CONTRIBUTING.md and docs/: collected, and run on tiny texts.

A fenced block marked `sh` holds command lines, one marked `python` a program; all others are output
or files and are not run. The blocks of a page run in their order, in one folder that holds what
`make_world` puts there. A line runs as it stands but for this: `tiny` shrinks what it trains or
writes; `make`, `pip` and `.venv/bin/python` are checked and not run; `torchrun` is checked and what
it starts is run. `charlstm fetch` is checked, and the files that it names are there.
"""

from __future__ import annotations

import gzip
import html
import re
import shlex
import shutil
import string
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import run_program
from tests.text import rich_files

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
OTHER_PROGRAMS = {"cat", "echo", "head", "printf", "wc"}

_FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", flags=re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its text, and the line that it begins in."""

    language: str
    text: str
    line: int


def name_of(page: Path) -> str:
    """A page's path in the repository."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    """A page's fenced blocks."""
    text = page.read_text("utf-8")
    return [
        Block(m[2], re.sub(f"^{m[1]}", "", m[3], flags=re.MULTILINE), text[: m.start()].count("\n"))
        for m in _FENCE.finditer(text)
    ]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", page.read_text("utf-8"))


def command_lines(block: Block) -> list[str]:
    """A block's command lines, without comments; a backslash continues a line."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


# --- What the commands find ---


def make_world(folder: Path, text: str) -> None:
    """Fill a folder with the files and runs that the examples name."""
    # Each printable character occurs, so that any prompt can be read.
    alphabet = "".join(sorted(set(string.printable) - set("\t\r\x0b\x0c")))
    text = text[:1200] + alphabet * 2 + "\n" + text[1200:2400]
    for name in ("novel.txt", "other.txt", "corpora/lighthouse.txt", "notes/one.txt"):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        # No two of them are the same, as they may be parts of one training.
        path.write_text(text if name == "novel.txt" else text[700:] + text[:700] + name, "utf-8")
    (folder / "valid.txt").write_text(text[300:1100], "utf-8")
    (folder / "test.txt").write_text(text[900:1500], "utf-8")
    firsts, lasts = ("Anna", "Bob", "Ida", "Jon", "Max"), ("Fox", "Li", "Ott", "Smith", "Weber")
    names = [f"{first} {last}\n" for first in firsts for last in lasts]
    (folder / "names.txt").write_text("".join(names * 20), "utf-8")
    steps = ("start", "stop", "restart")
    lines = [
        f"12:{n:02d} {name.strip()} {step} 200\n" for n, name in enumerate(names) for step in steps
    ]
    (folder / "app.log").write_text("".join(lines * 8), "utf-8")
    (folder / "today.log").write_text("".join([*lines, "12:07 Bob Ott ' OR 1=1 -- 500\n"]), "utf-8")
    (folder / "notes" / "two.md").write_text("# Two\n" + text[:500], "utf-8")
    (folder / "more.txt.gz").write_bytes(gzip.compress(text.encode()))
    (folder / "windows.txt").write_bytes(text.replace("\n", "\r\n").encode("cp1252"))
    lines = [html.escape(line) for line in text.splitlines() if line]
    page = "".join(f"<p>{line}</p>\n" for line in lines)
    (folder / "page.html").write_text(f"<!doctype html>\n{page}", "utf-8")
    report = rich_files.word("".join(map(rich_files.paragraph, lines)))
    (folder / "report.docx").write_bytes(report)
    (folder / "opening.txt").write_text("MARTHA:\nIt has", "utf-8")
    for name, more in (("gaps", ["--direction", "both"]), ("hamlet", [])):
        result = run_program(
            "train", "novel.txt", "--name", name, "--epochs", "2", *SMALL, *QUICK, *more, cwd=folder
        )
        assert result.returncode == 0, result.stderr


SMALL = ["--hidden-size", "8", "--maxlen", "16", "--batch-size", "8", "--sample-every", "0"]
"""A model that trains in a few steps."""

QUICK = ["--precision", "float32", "--kernel", "torch", "--processes", "1", "--device", "cpu"]
"""No probes, no compiling, no second process."""


def tiny(arguments: list[str]) -> list[str]:
    """A command line that does the same on a tiny scale.

    Of an option that is given twice, the last counts.
    """
    shrunk = list(arguments)
    for n, word in enumerate(arguments[:-1]):
        if word in ("--minutes", "--more-minutes"):
            shrunk[n + 1] = "0.003"
        elif word == "--size":
            shrunk[n + 1] = "tiny"
        elif word in ("-n", "--samples"):
            shrunk[n + 1] = str(min(3, int(arguments[n + 1])))
    match arguments[:1]:
        case ["train"] if "--resume" in arguments:
            return [*shrunk, "--stop-after", "3", *QUICK[2:]]
        case ["train"]:
            length = [] if "--minutes" in arguments else ["--epochs", "1"]
            units = [] if "--size" in arguments else SMALL[:2]
            return [*shrunk, *units, *SMALL[2:], *QUICK, *length]
        case ["search"]:
            return _tiny_search(arguments)
        case ["check"]:
            return [*shrunk, "--no-speed-test"]
        case ["sample"]:
            return [*shrunk, "--length", "40", "--precision", "float32"]
        case _:
            return shrunk


def _tiny_search(arguments: list[str]) -> list[str]:
    """A search of a few trials of one epoch, with a small model where the line does not try it."""
    shrunk = list(arguments)
    for n, word in enumerate(arguments[:-1]):
        if word == "--minutes":
            shrunk[n : n + 2] = ["--trials", "2"]
        elif word == "--trials":
            shrunk[n + 1] = str(max(2, int(arguments[n + 1]) // 5))
    tried = {f"--{word.partition('=')[0]}" for word in arguments}
    for flag, value in zip(SMALL[:6:2], SMALL[1:6:2], strict=True):
        if flag not in tried:
            shrunk += [flag, value]
    return [*shrunk, *QUICK[:4], *QUICK[-2:], "--trial-epochs", "1"]


# --- Running ---


def run_line(line: str, folder: Path) -> None:
    """Run one command line.

    Raises:
        AssertionError: it fails, or names something that is not there.
    """
    if found := re.search(r"_CHARLSTM_COMPLETE=(\w+)_source charlstm", line):
        script = run_program(cwd=folder, env={"_CHARLSTM_COMPLETE": f"{found[1]}_source"})
        assert f"{found[1]}_complete" in script.stdout
        return
    for command in re.findall(r"\$\(charlstm (fetch [^)]*)\)", line):
        paths = _fetched(shlex.split(command)[1:], folder)
        line = line.replace(f"$(charlstm {command})", " ".join(paths))
    words = shlex.shlex(line, posix=True, punctuation_chars="|<>&;")
    words.whitespace_split = True
    words.commenters = "#"
    stages = list(_stages(list(words)))
    data: bytes | None = None
    for words_of_stage in stages:
        data = _run_stage(words_of_stage, data, folder)


def _stages(words: list[str]) -> Iterator[list[str]]:
    """The programs of a pipe."""
    stage: list[str] = []
    for word in words:
        if word == "|":
            yield stage
            stage = []
        elif word != "&":
            stage.append(word)
    yield stage


def _run_stage(words: list[str], data: bytes | None, folder: Path) -> bytes:
    target = None
    while len(words) > 2 and words[-2] in ("<", ">", ">>"):
        *words, sign, file = words
        if sign == "<":
            data = (folder / file).read_bytes()
        else:
            target = folder / file
    env = {}
    while re.fullmatch(r"[A-Z_]+=.*", words[0]):
        name, _, env[name] = words.pop(0).partition("=")
    output = _run_program(words, data, env, folder)
    if target is not None:
        target.write_bytes(output)
    return output


def _run_program(words: list[str], data: bytes | None, env: dict[str, str], folder: Path) -> bytes:
    program, *arguments = words
    match program:
        case "charlstm" if arguments[0] == "fetch" and "--list" not in arguments:
            return "".join(f"{path}\n" for path in _fetched(arguments[1:], folder)).encode()
        case "charlstm" | ".venv/bin/charlstm":
            # `charlstm cache --clear` must not empty the cache of whoever runs the tests.
            env = {"XDG_CACHE_HOME": str(folder / "cache"), **env}
            result = run_program(*tiny(arguments), cwd=folder, stdin=data, env=env)
            assert result.returncode == 0, f"{shlex.join(words)}\n{result.stderr}"
            return result.stdout.encode()
        case "nohup":
            return _run_program(arguments, data, env, folder)
        case "make":
            targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            assert set(arguments) <= set(targets), arguments
        case "pip":
            _check_pip(arguments)
        case ".venv/bin/python":
            missing = [word for word in arguments if "/" in word and not (ROOT / word).exists()]
            assert not missing, missing
        case "torchrun":
            _check_torchrun(arguments, folder)
        case "python":
            script = [str(ROOT / arguments[0]), *arguments[1:]]
            subprocess.run([sys.executable, *script], cwd=folder, check=True)
        case _:
            assert program in OTHER_PROGRAMS, f"what is {program}?"
            done = subprocess.run(words, cwd=folder, input=data, stdout=subprocess.PIPE, check=True)
            return done.stdout
    return b""


def _fetched(arguments: list[str], folder: Path) -> list[str]:
    """What `charlstm fetch ARGUMENTS` prints: the arguments are checked, and files made."""
    from charlstm.cli import main
    from charlstm.cli.fetch import command
    from charlstm.config import FetchConfig
    from charlstm.download.corpora import known
    from charlstm.download.http import checked_url, file_name

    # click keeps the names of help of the first context.
    options = command.make_context("fetch", list(arguments), **main.context_settings).params
    source = options["source"]
    if "://" in source:
        names = [file_name(checked_url(source)).removesuffix(".gz")]
    else:
        corpus = known(source)
        several = len(corpus.files) > 1
        parts = [file.member.rpartition("/")[2] for file in corpus.files]
        names = [f"{corpus.file}/{part}" if several else corpus.file for part in parts]
    paths = [f"{options['folder'] or FetchConfig().folder}/{name}" for name in names]
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "novel.txt", folder / path)
    return paths


def _check_pip(arguments: list[str]) -> None:
    assert arguments[0] == "install"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in arguments[1:]:
        if found := re.fullmatch(r"\.(?:\[(\w+)\])?", word):
            assert found[1] is None or found[1] in extras["optional-dependencies"]
        else:
            assert word == "torch" or word.startswith("--"), word


def _check_torchrun(arguments: list[str], folder: Path) -> None:
    """torchrun reads its own options; the command that it would start several times runs once."""
    from torch.distributed.run import get_args_parser

    read = get_args_parser().parse_args(arguments)
    assert (read.module, read.training_script) == (True, "charlstm")
    _run_program(["charlstm", *read.training_script_args], None, {}, folder)


def copy_world(world: Path, folder: Path) -> None:
    """A page's own copy, so that no page depends on another."""
    shutil.copytree(world, folder, dirs_exist_ok=True)  # times are kept, and so the newest run
