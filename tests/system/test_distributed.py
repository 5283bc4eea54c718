"""Several processes that train one model: real ones, met through torchrun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from charlstm.config import Config
from charlstm.errors import ConfigError, DistributedError
from charlstm.format.checkpoint import load_checkpoint
from charlstm.runs.folder import Run
from charlstm.training.distributed import DistributedGroup, _connection_errors
from charlstm.training.process_group import ProcessGroup
from charlstm.training.rank import RankInfo, rank_from_environment
from charlstm.training.setup import new_run

ROOT = Path(__file__).parent.parent.parent
BASE: dict[str, Any] = {
    "hidden_size": 12, "maxlen": 8, "batch_size": 6, "epochs": 2, "sample_every": 0,
    "log_every": 5, "eval_every": 13, "dropout": 0.25, "precision": "float32", "lr": 0.01,
    "kernel": "torch",
}  # fmt: skip
CASES: list[dict[str, Any]] = [
    {"name": "plain", "options": {}},
    {"name": "uneven", "options": {"batch_size": 5, "num_layers": 2}},
    {"name": "no-dropout", "options": {"dropout": 0.0, "clip_norm": 0.1}},
    {"name": "masks", "options": {
        "locked_dropout": 0.2, "input_dropout": 0.1, "recurrent_dropout": 0.1, "num_layers": 2,
        "embedding": 5, "layer_norm": True, "dense_output": True,
    }},
    {"name": "peephole", "options": {"cell": "peephole", "zoneout": 0.2}},
    {"name": "gru", "options": {"cell": "gru"}},
    # 77 windows: the last batch has one, which leaves nothing for the first of two processes.
    {"name": "stateless", "options": {"stateless": True, "step": 7, "batch_size": 4}},
    {"name": "stateless-grows", "options": {"stateless": True, "step": 7, "grow": 0.9}},
    {"name": "last", "options": {"stateless": True, "step": 5, "targets": "last"}},
    {"name": "both", "options": {"direction": "both"}},
    {"name": "both-1", "options": {"direction": "both", "maxlen": 1}},
    {"name": "both-grows", "options": {"direction": "both", "maxlen": 4, "grow": 0.7}},
    {"name": "average", "options": {"average": 0.5, "reset": 0.2, "grow": 0.6}},
    {"name": "smooth", "options": {"label_smoothing": 0.1, "optimizer": "rmsprop"}},
    {"name": "blocks", "options": {"split": "blocks", "val_fraction": 0.2, "test_fraction": 0.1}},
    {"name": "mapped", "options": {}, "mapped": True},
    {"name": "apart", "options": {}, "mapped": True, "apart": True},
]  # fmt: skip
NAMES = [case["name"] for case in CASES]
TIMED = {"name": "timed", "options": {"minutes": 0.08, "epochs": 100_000, "eval_every": 0}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `runs/NAME` was trained by two processes, for each case."""
    folder = tmp_path_factory.mktemp("together")
    text = folder / "x.txt"
    text.write_text("the light is low and the wind is from the north\n" * 12, "utf-8")
    cases = [
        case | {"text": str(text), "options": {**BASE, **case["options"]}}
        for case in [*CASES, TIMED]
    ]
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
            "-m", "tests.system.together", str(folder), json.dumps(cases),
        ],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def losses(run: Run) -> list[tuple[Any, ...]]:
    return [(line["step"], line["train_nats"], line["val_nats"]) for line in run.metrics.read()]


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_two_processes_learn_what_one_does(
    folder: Path, case: dict[str, Any], tmp_path: Path
) -> None:
    config = Config().override({**BASE, **case["options"]})
    alone = new_run(
        [str(folder / "x.txt")], config, runs_dir=tmp_path, name="one", notice=lambda _: None
    )
    for _ in alone.train():
        continue
    two = Run(folder / "runs" / case["name"])
    for one_line, two_line in zip(losses(alone.run), losses(two), strict=True):
        assert one_line[0] == two_line[0]
        for a, b in zip(one_line[1:], two_line[1:], strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                assert b == pytest.approx(a, rel=2e-4)
    one, other = load_checkpoint(alone.run.last), load_checkpoint(two.last)
    assert one.arrays.keys() == other.arrays.keys()
    for key, array in one.arrays.items():
        if key == "rng/dropout":
            np.testing.assert_array_equal(array, other.arrays[key])
        elif key.startswith("model/"):
            np.testing.assert_allclose(array, other.arrays[key], rtol=0.02, atol=2e-3, err_msg=key)
        else:
            assert array.shape == other.arrays[key].shape
    assert other.meta["config"]["train"]["processes"] == 2


def test_time_ends_all_processes_at_one_step(folder: Path) -> None:
    """That both ended, and not one waiting for the other, is what the fixture shows."""
    run = Run(folder / "runs" / "timed")
    progress = load_checkpoint(run.last).meta["progress"]
    assert progress["step"] == progress["evaluated_step"] > 0
    assert progress["seconds"] > 1.5


def test_ids_went_once_to_a_machine_that_has_none(folder: Path) -> None:
    assert len(list((folder / "cache-0" / "charlstm").glob("*.ids"))) == 1
    assert len(list((folder / "cache-1" / "charlstm").glob("*.copy.ids"))) == 1
    # Where the leader's file can be seen, nobody makes another.
    assert len(list((folder / "cache" / "charlstm").glob("*.ids"))) == 1


@pytest.mark.parametrize("total", [1, 2, 3, 7, 8, 32])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_shards_are_even_and_complete(total: int, size: int) -> None:
    shares = [DistributedGroup(RankInfo(rank, size)).shard(total) for rank in range(size)]
    assert [n for share in shares for n in range(share.start, share.stop)] == list(range(total))
    lengths = [share.stop - share.start for share in shares]
    assert max(lengths) - min(lengths) <= 1


def test_a_single_process_exchanges_nothing() -> None:
    group = ProcessGroup()
    assert group.is_leader
    assert group.all_reduce([1.5, 2]) == [1.5, 2]
    assert group.broadcast(b"abc") == b"abc"
    rows = torch.ones(3, 2)
    assert group.gather(rows, 3) is rows
    assert not group.must_agree


TORCHRUN = {
    "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "x", "MASTER_PORT": "1",
}  # fmt: skip


def test_the_rank_that_torchrun_gives() -> None:
    assert rank_from_environment(TORCHRUN) == RankInfo(3, 4, 1, 2)
    assert rank_from_environment({}) is None
    assert rank_from_environment({**TORCHRUN, "WORLD_SIZE": "1", "RANK": "0"}) is None
    assert rank_from_environment({k: v for k, v in TORCHRUN.items() if k != "MASTER_PORT"}) is None
    with pytest.raises(ConfigError, match="whole numbers"):
        rank_from_environment({**TORCHRUN, "RANK": "two"})


def test_only_errors_of_the_connection_are_told_as_such() -> None:
    with (
        pytest.raises(DistributedError, match=r"gone \(Connection closed by peer\)"),
        _connection_errors("gone"),
    ):
        raise RuntimeError("[gloo/pair.cc:1] Connection closed by peer [::1]:2")
    with pytest.raises(RuntimeError, match="shapes"), _connection_errors("gone"):
        raise RuntimeError("shapes do not fit")
