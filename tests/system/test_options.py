"""Any legal combination of `charlstm train`'s options trains, as a user would start it."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from charlstm.cells import CELLS as CELL_SPECS
from charlstm.cells import TRAINING_KERNEL_CELLS, ZONEOUT_CELLS
from charlstm.cli import main
from charlstm.config import SECTIONS, Config
from charlstm.config.fields import flag_of
from charlstm.errors import ConfigError
from charlstm.format.checkpoint import load_checkpoint
from charlstm.planner.presets import RECIPES, SIZES
from charlstm.training import setup
from charlstm.training.device import compiled_fault
from charlstm.training.loop import Trainer
from tests.cli.test_options import planned
from tests.system.conftest import Count, Record

ROOT = Path(__file__).parents[2]
Options = dict[str, Any]
STACKED = ("residual", "dense_output", "layer_norm")
CELLS = tuple(CELL_SPECS)
shares = st.sampled_from([0.0, 0.1, 0.5])
KERNELS = ["auto", "torch"] + ["compiled"] * (not compiled_fault("float32"))
PRECISIONS = ["auto", "float32"] + ["bfloat16"] * (not compiled_fault("bfloat16"))

# Every option that is a field of the configuration, in values that two steps take no time for.
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "glob": st.sampled_from([("**/*.txt",), ("*.txt", "sub/*.md")]),
    "exclude": st.sampled_from([("draft*",), ("a/*", ".b")]),
    "encoding": st.sampled_from(["utf-8", "latin-1", "cp1252", "utf-16-le"]),
    "encoding_errors": st.sampled_from(["strict", "replace", "ignore"]),
    "html": st.sampled_from(["text", "markup"]),
    "keep_newlines": st.booleans(),
    "lowercase": st.booleans(),
    "min_count": st.integers(1, 30),
    "replay": st.just(0.0),  # more needs another run to start from
    "unknown": st.sampled_from(["error", "skip", "replace", "map"]),
    "split": st.sampled_from(["auto", "tail", "blocks"]),
    "documents": st.sampled_from(["none", "auto", "line", "blank-line"]),
    "val_fraction": st.sampled_from([0.0, 0.001, 0.1, 0.4]),
    "test_fraction": st.sampled_from([0.0, 0.1, 0.5]),
    "cell": st.sampled_from(CELLS),
    "direction": st.sampled_from(["forward", "both"]),
    "num_layers": st.integers(1, 3),
    "hidden_size": st.integers(1, 20),
    "embedding": st.integers(0, 5),
    **{name: st.booleans() for name in STACKED},
    "dropout": shares,
    "locked_dropout": shares,
    "input_dropout": shares,
    "recurrent_dropout": shares,
    "logit_scale": st.sampled_from([0.1, 1.0, 3.0]),
    "zoneout": shares,
    "maxlen": st.integers(1, 40) | st.just(200),
    "batch_size": st.integers(1, 9) | st.just(5000),
    "stateless": st.booleans(),
    "grow": st.sampled_from([0.0, 0.5, 1.0]),
    "reset": shares,
    "step": st.integers(1, 50),
    "targets": st.sampled_from(["all", "last"]),
    "epochs": st.integers(0, 3) | st.just(10**6),
    "on_overfit": st.sampled_from(["continue", "decay"]),
    "minutes": st.sampled_from([0.0, 1.0, 60.0]),
    "stop_after": st.integers(0, 2),
    "patience": st.integers(0, 2),
    "seed": st.integers(0, 2**31 - 1),
    "freeze": st.just(0),  # more needs another run to start from
    "optimizer": st.sampled_from(["adamw", "adam", "rmsprop", "sgd"]),
    "lr": st.sampled_from([1e-6, 0.01]),
    "schedule": st.sampled_from(["constant", "linear", "cosine", "step"]),
    "warmup": st.integers(0, 3),
    "decay_after": st.sampled_from([0.0, 0.5, 1.0, 7.0]),
    "decay_every": st.integers(1, 3),
    "decay_rate": st.sampled_from([0.5, 1.0]),
    "weight_decay": shares,
    "l1": shares,
    "average": shares,
    "label_smoothing": shares,
    "beta1": shares,
    "beta2": shares,
    "clip_norm": st.sampled_from([0.0, 0.5]),
    "clip_value": st.sampled_from([0.0, 0.5]),
    "device": st.sampled_from(["auto", "cpu"]),
    "precision": st.sampled_from(PRECISIONS),
    "kernel": st.sampled_from(KERNELS),
    "processes": st.just(1),
    "threads": st.integers(0, 1),
    "eval_every": st.integers(0, 2),
    "log_every": st.integers(1, 2),
    "sample_every": st.integers(0, 2),
    "save_every": st.integers(0, 2),
    "keep": st.integers(0, 3),
}
# What stands beside them, or in place of some.
OTHERS: dict[str, st.SearchStrategy[Any]] = {
    "recipe": st.sampled_from(sorted(RECIPES)),
    "size": st.sampled_from(["tiny", "small"]),
    "name": st.just("a name"),
    "quiet": st.just(True),
    "json": st.just(True),
}
FIELDS = [spec for name in SECTIONS for spec in dataclasses.fields(getattr(Config(), name))]
DEFAULTS = {spec.name: spec.default for spec in FIELDS}
FLAGS = {spec.name: flag_of(spec) for spec in FIELDS}


def test_every_option_is_drawn() -> None:
    assert VALUES.keys() == DEFAULTS.keys()


def faults(options: Options) -> list[set[str]]:
    """Which options contradict each other, by what their help says."""
    recipe = RECIPES[options["recipe"]] if "recipe" in options else {}
    found: list[set[str]] = []

    def value(name: str) -> Any:
        return options.get(name, recipe.get(name, DEFAULTS[name]))

    cell = options.get("cell") or ("peephole" if value("zoneout") else "lstm")
    if value("zoneout") and cell not in ZONEOUT_CELLS:
        found.append({"zoneout", "cell"})
    if value("kernel") == "compiled" and cell not in TRAINING_KERNEL_CELLS:
        found.append({"kernel", "cell" if "cell" in options else "zoneout"})
    if {"size", "hidden_size"} <= options.keys():
        found.append({"size", "hidden_size"})
    if options.get("num_layers") == 1:
        found += [{name, "num_layers"} for name in STACKED if options.get(name)]
    if "unknown" in options:  # for --val and --test
        found.append({"unknown"})
    if options.get("direction") == "both" and options.get("targets") == "last":
        found.append({"direction", "targets"})
    if value("schedule") in ("linear", "cosine") and options.get("decay_after", 0) > 1:
        found.append({"decay_after"})
    return found


@st.composite
def combinations(draw: st.DrawFn) -> Options:
    """Options that go together: of those that do not, one is left out."""
    drawn: Options = draw(st.fixed_dictionaries({}, optional=VALUES | OTHERS))
    while found := faults(drawn):
        del drawn[draw(st.sampled_from(sorted(found[0] & drawn.keys())))]
    return drawn


def words(options: Options) -> list[str]:
    """The options as a command line has them."""
    said = []
    for name, value in options.items():
        flag = FLAGS.get(name, f"--{name}")
        if value is True:
            said.append(flag)
        elif value is False:
            said.append(flag.replace("--", "--no-", 1))
        elif isinstance(value, tuple):  # an option that is given once for each
            said += [word for part in value for word in (flag, part)]
        else:
            said += [flag, str(value)]
    return said


def run(*arguments: str) -> int:
    """`charlstm ARGUMENTS` in this process; its exit code."""
    try:
        main.main(list(arguments), prog_name="charlstm", standalone_mode=False)
    except SystemExit as stop:
        assert isinstance(stop.code, int)
        return stop.code
    return 0


@contextmanager
def stopping_after(steps: int, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Trainers are asked to stop, as by Ctrl-C, when they have done so many steps."""
    step, done = Trainer._step, itertools.count(1)

    def counted(self: Trainer) -> Any:
        stepped = step(self)
        if next(done) == steps:
            self.request_stop()
        return stepped

    with patch.context() as context:
        context.setattr(Trainer, "_step", counted)
        yield


def train(
    folder: Path,
    text: str,
    options: Options,
    patch: pytest.MonkeyPatch,
    shown: Callable[[], str],
) -> None:
    """Train for two steps, check what the run says of itself, and go on for a third.

    The command that is printed in full stands for the same configuration.
    """
    encoding = options.get("encoding", "utf-8")
    folder.mkdir()
    (folder / "play.txt").write_text(text, encoding)
    runs = str(folder / "runs")
    with stopping_after(2, patch):
        code = run("train", str(folder), *words(options), "--runs-dir", runs)
    assert code in (0, 130)
    last = next(Path(runs).iterdir()) / "last.npz"
    meta = load_checkpoint(last).meta
    assert meta["progress"]["step"] == 2 or code == 0
    config = Config.from_json(meta["config"])
    for section in SECTIONS:
        for name, value in vars(getattr(config, section)).items():
            reduced = name in ("maxlen", "batch_size") and value <= options.get(name, 0)
            settled = options.get(name) == "auto" or (name == "epochs" and not options.get(name))
            assert name not in options or reduced or settled or value == options[name], name
    if "size" in options and "hidden_size" not in options:
        assert config.model.hidden_size == SIZES[options["size"]]
    if any(options.get(name) for name in STACKED):
        assert config.model.num_layers == options.get("num_layers", 2)
    full = [line for line in shown().splitlines() if ": charlstm train " in line]
    assert bool(full) == (not options.keys() & {"recipe", "quiet"})
    for line in full:
        assert planned(patch, *shlex.split(line.partition(": charlstm ")[2])) == config
    with stopping_after(1, patch):
        longer = ["--epochs", "1000000", "--patience", "0"]
        assert run("train", "--resume", *longer, "--runs-dir", runs) in (0, 130)
    assert load_checkpoint(last).meta["progress"]["step"] > meta["progress"]["step"]


def probe_once(patch: pytest.MonkeyPatch, module: ModuleType) -> None:
    """Probe the machine once for each question, and do not time the reference model.

    Everything else is the program's own, the configuration whose speed is measured included.

    Args:
        patch: takes it back.
        module: `charlstm.training.setup`.
    """
    for name, count in {"pick_precision": 2, "pick_kernel": 4}.items():
        # The other arguments receive notices, and differ from run to run.
        probe = functools.cache(getattr(module, name))
        patch.setattr(module, name, lambda *all_, probe=probe, count=count: probe(*all_[:count]))
    patch.setattr("charlstm.training.speed.speed_of", lambda *_: 1000.0)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """See `probe_once`."""
    probe_once(monkeypatch, setup)


@pytest.mark.usefixtures("quick")
def test_21_legal_combinations(
    tmp_path: Path, text: str, count: Count, record: Record, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    number = itertools.count()

    @settings(
        max_examples=count("options", 12, 2000), deadline=None, database=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(combinations())
    def check(options: Options) -> None:
        train(
            tmp_path / str(next(number)),
            text[:900],
            options,
            monkeypatch,
            lambda: capsys.readouterr().err,
        )

    check()
    record(21, f"{next(number)} combinations of options")


@pytest.mark.parametrize(
    "options",
    [{"num_layers": 2, "residual": True, "layer_norm": True}, {"cell": "peephole", "zoneout": 0.1}],
    ids=str,
)
def test_21_nothing_replaced(
    tmp_path: Path, text: str, options: Options, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The same with all that is measured."""
    train(tmp_path / "folder", text[:900], options, monkeypatch, lambda: capsys.readouterr().err)


def test_21_two_processes(tmp_path: Path, text: str, count: Count, record: Record) -> None:
    drawn: list[Options] = []
    # Each process needs a stream of the text, which is short.
    sizes = st.fixed_dictionaries({"maxlen": st.integers(1, 20), "batch_size": st.integers(2, 9)})

    @settings(
        max_examples=count("together", 6, 300), deadline=None, database=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(combinations(), sizes)
    def draw(options: Options, fitting: Options) -> None:
        given_sizes = {name: size for name, size in fitting.items() if name in options}
        drawn.append({**options, **given_sizes})
        for name in ("processes", "encoding"):
            drawn[-1].pop(name, None)

    draw()
    file = tmp_path / "play.txt"
    file.write_text(text[:900], "ascii")
    commands = [["train", str(file), *words(options)] for options in drawn]
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
            "-m", "tests.system.commands_together", str(tmp_path), json.dumps(commands),
        ],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-5000:]
    for number in range(len(drawn)):
        last = next((tmp_path / str(number)).iterdir()) / "last.npz"
        meta = load_checkpoint(last).meta
        assert meta["progress"]["step"] > 0
        assert meta["config"]["train"]["processes"] == 2
    record(21, f"{len(drawn)} combinations in two processes")


CONTRADICTIONS: list[Options] = [
    {"num_layers": 1, "residual": True},
    {"num_layers": 1, "dense_output": True},
    {"num_layers": 1, "layer_norm": True},
    *({"cell": cell, "zoneout": 0.1} for cell in CELLS if cell not in ZONEOUT_CELLS),
    *({"cell": cell, "kernel": "compiled"} for cell in CELLS if cell not in TRAINING_KERNEL_CELLS),
    {"zoneout": 0.1, "kernel": "compiled"},
    {"direction": "both", "targets": "last"},
    {"schedule": "cosine", "decay_after": 2.0},
    {"val_fraction": 0.5, "test_fraction": 0.5},
]


@pytest.mark.parametrize("options", CONTRADICTIONS, ids=str)
def test_contradictions_are_refused_first(
    tmp_path: Path, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a text is read, or torch is set to work."""
    monkeypatch.setattr("charlstm.cli.train._set_up", lambda *_: pytest.fail("it was set up"))
    for names in ({}, {"recipe": "stacked50"}):
        with pytest.raises(ConfigError) as caught:
            run("train", "none.txt", *words(options | names), "--runs-dir", str(tmp_path / "runs"))
        assert any(FLAGS[name] in str(caught.value) for name in options)
    assert not list(tmp_path.iterdir())
