"""Devices that lack a number format, as Apple's GPUs lack float64: simulated on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from charlstm.config import Config
from charlstm.errors import DeviceError
from charlstm.format.progress import Evaluated
from charlstm.training.device import pick_precision
from charlstm.training.events import Stopped
from charlstm.training.setup import new_run


class Without(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Every operation that reads or makes a tensor of that type fails."""

    def __init__(self, dtype: torch.dtype, error: type[Exception] = TypeError) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dtype, self.error = dtype, error

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for value in tree_leaves((args, kwargs, result)):
            if isinstance(value, torch.Tensor) and value.dtype == self.dtype:
                raise self.error(f"this device does not support {self.dtype}: {function}")
        return result


def test_the_mode_fails() -> None:
    with Without(torch.float64):
        assert torch.ones(2).sum() == 2
        with pytest.raises(TypeError, match="float64"):
            torch.ones(2).sum(dtype=torch.float64)


@pytest.mark.parametrize(
    "options",
    [
        {}, {"direction": "both"}, {"cell": "gru", "optimizer": "rmsprop", "label_smoothing": 0.1},
        {"cell": "peephole", "zoneout": 0.1, "optimizer": "sgd", "l1": 1e-3},
        {
            "average": 0.6, "reset": 0.3, "grow": 0.6, "locked_dropout": 0.2, "input_dropout": 0.1,
            "recurrent_dropout": 0.1, "num_layers": 2, "layer_norm": True, "embedding": 4,
        },
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("deferred", [False, True])
def test_training_and_evaluating_without_float64(
    options: dict[str, Any], deferred: bool, tmp_path: Path
) -> None:
    (tmp_path / "x.txt").write_text("the light is low and the wind is from the north\n" * 14)
    base = {
        "hidden_size": 8, "maxlen": 8, "batch_size": 4, "epochs": 2, "sample_every": 9,
        "precision": "float32", "kernel": "torch", "dropout": 0.1, "eval_every": 7,
    }  # fmt: skip
    with Without(torch.float64):
        trainer = new_run(
            [str(tmp_path / "x.txt")], Config().override(base | options),
            runs_dir=tmp_path / "runs", name="x", notice=lambda _: None,
        )  # fmt: skip
        trainer.losses.late = deferred
        events = list(trainer.train())
    assert isinstance(events[-1], Stopped)
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    assert len(evaluated) >= 2
    assert all(event.val_nats is not None for event in evaluated)


@pytest.mark.parametrize("error", [RuntimeError, TypeError, NotImplementedError])
def test_a_bfloat16_probe_that_fails(error: type[Exception]) -> None:
    with Without(torch.bfloat16, error):
        assert pick_precision("auto", torch.device("cpu")) == "float32"
        with pytest.raises(DeviceError, match="--precision bfloat16 is not supported"):
            pick_precision("bfloat16", torch.device("cpu"))
