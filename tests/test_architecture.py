"""The house's rules: who may import whom, and what must stay light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "charlstm"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Each room, and the rooms, or single modules of a room, that it may import. The same table is in
# CONTRIBUTING.md.
ALLOWED = {
    "errors": set[str](),
    "cells": set[str](),
    "config": {"errors", "config", "cells"},
    "layers": {"cells", "config"},
    "cgroups": set[str](),
    "processors": {"cgroups"},
    "memory": {"cgroups"},
    "planner": {"config", "planner"},
    "kernels": {"errors", "kernels"},
    "format": {"errors", "config", "layers", "format", "text.tokenizer", "version"},
    "runs": {"errors", "format", "runs"},
    "text": {"errors", "config", "text", "format.files"},
    "download": {
        "config", "download", "errors", "format.files", "text.documents", "text.unpacking",
        "text.zips", "version",
    },
    "inference": {
        "errors", "config", "cells", "layers", "processors", "kernels", "format", "runs", "text",
        "inference",
    },
    "nn": {"errors", "config", "cells", "layers", "kernels", "nn"},
    "training": {
        "errors", "config", "cells", "layers", "processors", "memory", "planner", "kernels",
        "format", "runs", "text", "inference", "nn", "training", "version", "doctor",
    },
    "checkup": {"checkup", "config", "doctor.speeds", "errors", "planner", "text"},
    "doctor": {"doctor", "errors", "kernels", "memory", "processors", "text.cache", "version"},
    "search": {
        "errors", "config", "cells", "processors", "planner", "format", "runs", "text", "inference",
        "training", "search", "start_training",
    },
}  # fmt: skip
NUMPY_ONLY = {
    "errors", "config", "cells", "layers", "cgroups", "processors", "memory", "planner", "kernels",
    "format", "runs", "text", "inference", "doctor", "checkup", "download",
}  # fmt: skip

FREE = {"cli", "__init__", "__main__"}  # the command line and the front door import anything


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            found.add(node.module)
            if node.module == "charlstm":
                found.remove("charlstm")
                found |= {
                    "charlstm.version" if a.name == "__version__" else f"charlstm.{a.name}"
                    for a in node.names
                }
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_who_imports_whom(path: Path) -> None:
    room, imported = room_of(path), imports_of(path)
    assert room in ALLOWED.keys() | FREE, f"{room} is a new room: add it to ALLOWED"
    outside = {name.partition(".")[0] for name in imported}
    if room in NUMPY_ONLY:
        assert "torch" not in outside, f"{room} may not import torch"
    if room not in ("cli", "__main__"):
        assert not outside & {"click", "tqdm"}, "only cli may import click and tqdm"
    if room != "kernels":
        assert not outside & {"numba", "llvmlite"}, "only kernels may import numba"
    if path.name != "llvm.py":
        internals = {name for name in imported if name.startswith(("numba.", "llvmlite"))}
        assert internals <= {"numba.extending"}, "charlstm/kernels/llvm.py has numba's internals"
    if room in ALLOWED:
        for parts in [n.split(".")[1:] for n in imported if n.startswith("charlstm.")]:
            name = ".".join(parts)
            assert {parts[0], name} & ALLOWED[room], f"{room} may not import {name}"


def test_the_map_in_contributing_is_up_to_date() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", page, flags=re.MULTILINE)
    shown = {room: set(re.findall(r"`([\w.]+)`", names)) for room, names in rows}
    assert shown.pop("cli") == set()  # anything
    assert shown == {room: allowed - {room} for room, allowed in ALLOWED.items()}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_has_at_most_300_lines_or_says_why(path: Path) -> None:
    source = path.read_text("utf-8")
    if len(source.splitlines()) > 300:
        reason = ast.get_docstring(ast.parse(source)) or ""
        assert "More than 300 lines: " in reason, f"{path.name}: divide it, or say why at its top"


def name_of(path: Path) -> str:
    parts = ("charlstm", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts).removesuffix(".__init__")


def imports_on_load(path: Path, modules: Collection[str]) -> set[str]:
    """Modules of the package that are imported together with one of them."""
    found: set[str] = set()
    for statement in ast.parse(path.read_text("utf-8")).body:
        if isinstance(statement, ast.ImportFrom):
            submodules = {f"{statement.module}.{alias.name}" for alias in statement.names}
            found |= submodules & set(modules) or {str(statement.module)} & set(modules)
    return found


def test_no_import_cycle() -> None:
    paths = {name_of(path): path for path in MODULES}
    graph = {name: imports_on_load(path, paths) for name, path in paths.items()}
    while leaves := {name for name, imported in graph.items() if not imported & graph.keys()}:
        graph = {name: imported for name, imported in graph.items() if name not in leaves}
    assert not graph, "these modules import each other"


@pytest.mark.parametrize(
    "command", ["evaluate", "fill", "info", "runs", "rename", "delete", "cache", "fetch"]
)
def test_commands_that_do_not_train_do_not_import_training(command: str) -> None:
    found = imports_of(PACKAGE / "cli" / f"{command}.py")
    assert not any(name.startswith("charlstm.training") for name in found)


def test_compiled_code_is_asked_for_late() -> None:
    modules = ("sampling", "language_model", "engine", "bidirectional", "scoring")
    code = "\n".join(f"import charlstm.inference.{name}" for name in modules)
    assert not loaded_by(code) & {"numba"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_that_runs_what_it_reads(path: Path) -> None:
    assert not imports_of(path) & {"pickle", "dill", "marshal", "shelve"}
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            assert name not in ("eval", "exec", "torch.load", "torch.save", "print") or (
                name == "print" and path.name == "output.py"
            )
            for keyword in node.keywords:
                assert keyword.arg != "allow_pickle" or ast.unparse(keyword.value) == "False"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_json_goes_to_stdout_through_one_function(path: Path) -> None:
    if room_of(path) == "cli" and path.name != "output.py":
        assert "json" not in imports_of(path), "use output.json_line, which writes valid JSON"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_handler_ends_a_request_to_stop(path: Path) -> None:
    """What handles `BaseException` (or has no type) cleans up and raises it again."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ExceptHandler):
            kind = "" if node.type is None else ast.unparse(node.type)
            if not kind or "BaseException" in kind:
                assert isinstance(node.body[-1], ast.Raise), f"{path}:{node.lineno}"
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            assert not {"BaseException", "Exception", "Stopped", "KeyboardInterrupt"} & {
                ast.unparse(argument) for argument in node.args
            }


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh process has loaded after the code."""
    script = f"import sys\n{code}\nprint(*{{n.partition('.')[0] for n in sys.modules}}, sep='\\n')"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def test_import_charlstm_is_light() -> None:
    assert not loaded_by("import charlstm") & {"torch", "numpy", "click", "tqdm"}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["train", "-h"], ["sample", "-h"]]
)
def test_help_needs_neither_torch_nor_numpy(arguments: list[str]) -> None:
    code = (
        f"sys.argv[1:] = {arguments}\n"
        "from charlstm.cli import entry_point\n"
        "import os\nout = os.dup(1)\nos.dup2(os.open(os.devnull, os.O_WRONLY), 1)\n"
        "try: entry_point()\nexcept SystemExit: pass\n"
        "sys.stdout.flush()\nos.dup2(out, 1)"
    )
    assert not loaded_by(code) & {"torch", "numpy", "tqdm"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["sample", "{run}", "--length", "5"],
        ["eval", "{run}"],
        ["info", "{run}"],
        ["check", "{run}/../../play.txt", "--no-speed-test"],
        ["runs", "--runs-dir", "{run}/.."],
    ],
    ids=lambda arguments: arguments[0],
)
def test_commands_that_read_and_write_need_no_torch(arguments: list[str], trained: Path) -> None:
    run = str(trained / "checkpoints" / "play")
    code = (
        f"sys.argv[1:] = {[argument.format(run=run) for argument in arguments]}\n"
        "from charlstm.cli import entry_point\n"
        "import os\nout = os.dup(1)\nos.dup2(os.open(os.devnull, os.O_WRONLY), 1)\n"
        "code = None\n"
        "try: entry_point()\nexcept SystemExit as e: code = e.code\n"
        "assert code == 0, code\n"
        "sys.stdout.flush()\nos.dup2(out, 1)"
    )
    loaded = loaded_by(code)
    assert not loaded & {"torch", "numba"}
    assert "numpy" in loaded
