from __future__ import annotations

import pytest
import torch

from charlstm.errors import DeviceError
from charlstm.training.device import pick_device, pick_precision


def test_devices() -> None:
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type in ("cpu", "cuda", "mps")
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="--device cuda: this machine has none"):
            pick_device("cuda")


def test_a_slow_bfloat16_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    speeds = {torch.float32: 1.0, torch.bfloat16: 10.0}
    monkeypatch.setattr("charlstm.training.device._seconds", lambda network: speeds[network.dtype])
    assert pick_precision("auto", cpu) is torch.float32
    speeds[torch.bfloat16] = 0.5
    assert pick_precision("auto", cpu) is torch.bfloat16
    assert pick_precision("float32", cpu) is torch.float32


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
