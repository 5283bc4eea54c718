"""README, CONTRIBUTING and docs/: every example runs, all options are documented, links resolve."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import shlex
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

from charlstm.cells import CELLS
from charlstm.cli import COMMANDS, main
from tests.conftest import import_script
from tests.documents import (
    DOCS,
    PAGES,
    ROOT,
    Block,
    blocks,
    command_lines,
    copy_world,
    make_world,
    name_of,
    prose,
    run_line,
)

IMAGES = DOCS / "images"
WITH_EXAMPLES = [page for page in PAGES if {b.language for b in blocks(page)} & {"sh", "python"}]
# Options of other programs that the pages name: torchrun's, and those of benchmarks/quality.py.
FOREIGN = {"--nproc-per-node", "--nnodes", "--node-rank", "--master-addr", "--master-port"}
FOREIGN |= {"--held-out", "--static", "--with"}
LANGUAGES = {"sh", "python", "text", ""}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, text: str) -> Path:
    """A folder with the files and runs that the pages name."""
    folder = tmp_path_factory.mktemp("world")
    make_world(folder, text)
    return folder


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=name_of)
def test_examples_run(
    page: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_world(world, tmp_path)
    monkeypatch.chdir(tmp_path)
    # As `documents.QUICK` on command lines: float32, which torch computes, without a probe.
    monkeypatch.setattr("charlstm.training.setup.pick_precision", lambda *_: "float32")
    names: dict[str, Any] = {}
    for block in blocks(page):
        if block.language == "python":
            run_python(page, block, names)
        elif block.language == "sh":
            for line in command_lines(block):
                run_line(line, tmp_path)


def run_python(page: Path, block: Block, names: dict[str, Any]) -> None:
    """Run a program; its names stay for the page's next one."""
    # As many empty lines before it, a traceback names the page's line.
    code = compile("\n" * (block.line + 1) + block.text, name_of(page), "exec")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, names)
    assert printed.getvalue() or "print" not in block.text


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_each_fence_is_of_a_known_kind(page: Path) -> None:
    found = blocks(page)
    assert page.read_text("utf-8").count("```") == 2 * len(found)
    assert {block.language for block in found} <= LANGUAGES
    for block in found:
        if block.language != "sh":
            assert not re.match(r"(charlstm|make|pip) ", block.text) or "reference" in page.parts


def test_pages_name_all_cells() -> None:
    glossary = (DOCS / "glossary.md").read_text("utf-8")
    (row,) = (line for line in glossary.splitlines() if line.startswith("| cell |"))
    assert re.findall(r"`(\w+)`", row) == list(CELLS)
    choose = (DOCS / "how-to" / "choose-a-model.md").read_text("utf-8")
    table = choose.partition("| `--cell` |")[2].partition("\n\n")[0]
    assert sorted(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == sorted(CELLS)


# --- Commands and options ---


def commands() -> dict[str, click.Command]:
    """All commands."""
    return {name: importlib.import_module(where).command for name, (where, _) in COMMANDS.items()}


def flags(command: click.Command) -> set[str]:
    """Its options' names."""
    # The names that help has here, as click keeps the first that it is asked with.
    context = click.Context(command, **main.context_settings)
    params = command.get_params(context)
    return {flag for p in params if isinstance(p, click.Option) for flag in
            (*p.opts, *p.secondary_opts)}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name: str) -> None:
    page = (DOCS / "reference" / f"{name}.md").read_text("utf-8")
    for flag in flags(commands()[name]):
        assert re.search(rf"`{flag}[ `]", page), f"{name} {flag}"
    used = [page for page in WITH_EXAMPLES if f"charlstm {name} " in page.read_text("utf-8")]
    assert used, f"no page shows charlstm {name}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pages_name_no_option_that_is_not_there(page: Path) -> None:
    known = set().union(FOREIGN, flags(main), *map(flags, commands().values()))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9]", prose(page)))
    assert named <= known, named - known


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_in_the_text_are_right(page: Path) -> None:
    """Inline code such as `charlstm train novel.txt --minutes 20` is read by its command."""
    for code in re.findall(r"`(charlstm [^`]+)`", prose(page)):
        _, name, *arguments = shlex.split(code)
        assert name.startswith("-") or name in COMMANDS, code
        if name in COMMANDS and not {"...", "-h"} & set(arguments):
            settings = main.context_settings  # click keeps the help names of the first context
            commands()[name].make_context(
                name, arguments, resilient_parsing=not arguments, **settings
            )


# --- Links ---


def anchors(page: Path) -> set[str]:
    """What a page's headings are called in links, by GitHub's rule."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "benchmarks" / "RESULTS.md"], ids=name_of)
def test_links_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        assert not target.startswith("http"), "pages need no network"
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path), target


def test_every_page_can_be_reached() -> None:
    reached, left = set[Path](), [ROOT / "README.md"]
    while left:
        page = left.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        links = re.findall(r"\]\(([^)#\s]+)", prose(page))
        left += [path for link in links if (path := (page.parent / link).resolve()).exists()]
    assert set(PAGES) <= reached, set(PAGES) - reached


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150


def test_losses_in_the_pages_were_measured() -> None:
    """A loss to four places in README, how-to or recipes stands in the results, too."""
    results = (ROOT / "benchmarks" / "RESULTS.md").read_text("utf-8")
    for page in [ROOT / "README.md", DOCS / "recipes.md", *(DOCS / "how-to").glob("*.md")]:
        found = set(re.findall(r"\b\d\.\d{4}\b", prose(page)))
        missing = {number for number in found if number not in results}
        assert not missing, f"{name_of(page)}: {missing}"


# --- What is made by scripts ---


def script(name: str) -> ModuleType:
    """One of the scripts in docs/."""
    return import_script(DOCS, name)


def test_the_reference_is_up_to_date() -> None:
    pages = script("make_reference").pages()
    written = {path.name: path.read_text("utf-8") for path in (DOCS / "reference").iterdir()}
    assert written.keys() == pages.keys()
    for name, page in pages.items():
        assert written[name] == page, f"{name} is out of date: run `make docs`"


def test_the_diagrams_are_up_to_date() -> None:
    for name, draw in script("make_diagrams").DIAGRAMS.items():
        assert (IMAGES / name).read_text("utf-8") == draw(), f"{name}: run `make docs`"


@pytest.mark.parametrize("path", sorted(IMAGES.glob("*.svg")), ids=lambda path: path.name)
def test_pictures_are_well_formed(path: Path) -> None:
    root = ET.parse(path).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.find("{http://www.w3.org/2000/svg}title") is not None


def test_a_plot_shows_the_losses_of_a_run(trained: Path, tmp_path: Path) -> None:
    run, picture = trained / "checkpoints" / "play", tmp_path / "plot.svg"
    script("make_plot").main([str(picture), f"tiny={run}"])
    words = [element.text for element in ET.parse(picture).iter()]
    assert "tiny, validation" in words
    assert "tiny, training" in words


def test_a_session_is_what_the_terminal_showed(tmp_path: Path) -> None:
    session = script("make_session")
    drawn = session.session(("charlstm --version", "printf 'over\\rback'"))
    words = [element.text for element in ET.fromstring(drawn).iter()]
    assert "$ charlstm --version" in words
    assert any(word and word.startswith("charlstm 0.") for word in words)
    assert "back" in words
    with pytest.raises(SystemExit, match="no such option"):
        session.run("charlstm --nothing 2>&1 | tr A-Z a-z; exit 1", tmp_path, {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        })  # fmt: skip


def test_a_session_leaves_the_middle_of_a_run_out() -> None:
    lines = ["$ train", *(f"step {n}" for n in range(9)), "done"]
    kept = script("make_session").without_middle(lines)
    assert kept == ["$ train", "step 0", "step 1", "...", "step 7", "step 8", "done"]
    assert script("make_session").without_middle(lines[:4]) == lines[:4]


def test_the_readme_shows_the_session_of_the_script() -> None:
    words = [element.text for element in ET.parse(IMAGES / "session.svg").iter()]
    for command in script("make_session").COMMANDS:
        assert f"$ {command}" in words, "run `make session`"


@pytest.mark.parametrize(
    ("output", "lines"),
    [
        ("one\r\ntwo", ["one", "two"]),
        ("10%\r20%\r\x1b[Kdone", ["done"]),
        ("a\r\nb\x1b[Ac", ["ac", "b"]),  # up, then on from the column
        ("\x1b[1mbold\x1b[0m", ["bold"]),
        ("ab\b\bxy", ["xy"]),
        ("12345678", ["12345", "678"]),
    ],
)
def test_screen(output: str, lines: list[str]) -> None:
    screen = script("make_session").Screen(columns=5)
    screen.feed(output)
    assert screen.lines() == lines
