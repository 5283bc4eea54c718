from __future__ import annotations

import pytest
import torch

from charlstm.errors import CompiledCodeError, DeviceError, ProcessorError
from charlstm.training.device import (
    allow_tf32,
    compiled_fault,
    divide_threads,
    pick_device,
    pick_kernel,
    pick_precision,
    product_type,
)
from charlstm.training.process_group import ProcessGroup
from charlstm.training.rank import RankInfo


def test_devices() -> None:
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type in ("cpu", "cuda", "mps")
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="--device cuda is not available here"):
            pick_device("cuda")


def test_a_slow_bfloat16_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    speeds = {torch.float32: 1.0, torch.bfloat16: 10.0}
    monkeypatch.setattr("charlstm.training.device._seconds", lambda network: speeds[network.dtype])
    assert pick_precision("auto", cpu) == "float32"
    speeds[torch.bfloat16] = 0.5
    assert pick_precision("auto", cpu) == "bfloat16"
    assert pick_precision("float32", cpu) == "float32"


def test_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    speeds = {False: 1.0, True: 0.5}
    monkeypatch.setattr(
        "charlstm.training.device._seconds", lambda network: speeds[network.cells[0].compiled]
    )
    monkeypatch.setattr("charlstm.training.device.compiled_fault", lambda *_: "")
    assert pick_kernel("auto", "lstm", "bfloat16", cpu) == "compiled"
    assert pick_kernel("auto", "lstm", "float32", cpu) == "compiled"
    assert pick_kernel("auto", "gru", "bfloat16", cpu) == "torch"
    assert pick_kernel("auto", "lstm", "bfloat16", torch.device("cuda")) == "torch"
    assert pick_kernel("torch", "lstm", "bfloat16", cpu) == "torch"
    assert pick_kernel("compiled", "coupled", "float32", cpu) == "compiled"
    speeds[True] = 2.0
    assert pick_kernel("auto", "lstm", "bfloat16", cpu) == "torch"
    with pytest.raises(DeviceError, match="--kernel compiled needs a CPU; the device is cuda"):
        pick_kernel("compiled", "lstm", "float32", torch.device("cuda"))


def test_where_nothing_compiled_works(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert "numba is not installed" in compiled_fault("float32")
    assert pick_kernel("auto", "lstm", "bfloat16", cpu) == "torch"
    with pytest.raises(DeviceError, match=r"charlstm\[fast\].*\nUse --kernel torch"):
        pick_kernel("compiled", "lstm", "float32", cpu)


@pytest.mark.parametrize(
    ("error", "notices"),
    [
        (CompiledCodeError("no folder; set NUMBA_CACHE_DIR."), 1),
        (OSError("disk full"), 1),
        (ProcessorError("no such products"), 0),
        (ImportError("not installed"), 0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_compiled_code_that_should_work_is_not_given_up_silently(
    error: Exception, notices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charlstm.training.device._compiled_error", lambda *_: error)
    told: list[str] = []
    cpu = torch.device("cpu")
    assert pick_kernel("auto", "lstm", "bfloat16", cpu, told.append) == "torch"
    assert pick_kernel("auto", "lstm", "float32", cpu, told.append) == "torch"
    assert len(told) == 2 * notices
    assert all(str(error) in line for line in told)


def test_a_fault_of_compiling_is_connection_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = pytest.importorskip(
        "charlstm.nn.kernel_ops", reason="numba is not installed: pip install 'charlstm[fast]'"
    )

    def fail(*_: object) -> None:
        raise RuntimeError("no folder to keep it in\nand more")

    monkeypatch.setattr(compiled, "lstm_window", fail)
    assert compiled_fault("float32") == "RuntimeError: no folder to keep it in"


def test_the_probe_is_deterministic_here() -> None:
    cpu = torch.device("cpu")
    assert len({pick_precision("auto", cpu) for _ in range(3)}) == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_window_on_the_gpu_equals_the_cpu_s() -> None:
    from charlstm.config import ModelConfig
    from charlstm.nn.network import CharLSTM

    net = CharLSTM(ModelConfig(num_layers=2, hidden_size=16, dropout=0.0), 9).eval()
    ids = torch.randint(9, (12, 4))
    with torch.inference_mode():
        expected, _ = net(ids, net.initial_state(4))
        net.to("cuda")
        found, _ = net(ids.to("cuda"), net.initial_state(4))
    torch.testing.assert_close(found.cpu(), expected, atol=1e-3, rtol=1e-3)


def test_tf32_is_for_gpus_alone() -> None:
    with pytest.raises(
        DeviceError, match="--precision tf32 needs an NVIDIA GPU; the device is cpu"
    ):
        pick_precision("tf32", torch.device("cpu"))
    assert pick_precision("tf32", torch.device("cuda")) == "tf32"
    assert product_type("tf32") is torch.float32
    for allowed, word in ((True, "high"), (False, "highest")):
        allow_tf32(allowed)
        assert torch.backends.cudnn.allow_tf32 is allowed
        assert torch.get_float32_matmul_precision() == word


def test_each_process_takes_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert pick_device("auto", 1) == torch.device("cuda", 1)
    with pytest.raises(DeviceError, match="this machine has 2"):
        pick_device("cuda", 2)


def test_threads_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    monkeypatch.setattr("torch.set_num_threads", threads.append)
    monkeypatch.setattr("charlstm.training.device.available_processors", lambda: 8)
    divide_threads(0, ProcessGroup(RankInfo(0, 4, 0, 4)))
    divide_threads(0, ProcessGroup(RankInfo(0, 16, 0, 16)))
    divide_threads(3, ProcessGroup(RankInfo(0, 4, 0, 4)))
    divide_threads(99, ProcessGroup())
    assert threads == [2, 1, 3, 8]
