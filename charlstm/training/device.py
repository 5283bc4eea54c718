"""Which device and which number format to train with."""

from __future__ import annotations

import time

import torch

from charlstm.config import ModelConfig
from charlstm.errors import DeviceError
from charlstm.nn.network import CharLSTM


def pick_device(name: str) -> torch.device:
    """The device of that name; `auto` takes cuda, then mps, then cpu.

    Raises:
        DeviceError: this machine does not have it.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(kind for kind, there in present.items() if there)
    if not present[name]:
        there = ", ".join(kind for kind, there in present.items() if there)
        raise DeviceError(f"--device {name}: this machine has none. It has: {there} (or auto).")
    return torch.device(name)


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """The type of the products; `auto` is bfloat16 where a probe finds it faster.

    Where a processor has no bfloat16 products, torch's are far slower than float32, and where it
    has them they are far faster: a small probe of one fixed shape tells, the same way each time.
    """
    if name == "auto":
        faster = _seconds(torch.bfloat16, device) < 0.9 * _seconds(torch.float32, device)
        return torch.bfloat16 if faster else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def _seconds(dtype: torch.dtype, device: torch.device) -> float:
    """The best of a few passes, forward and backward, over a window of a small model."""
    shape = ModelConfig(num_layers=1, hidden_size=256, dropout=0.0)
    network = CharLSTM(shape, 64, dtype=dtype).to(device)
    ids = torch.zeros(16, 32, dtype=torch.int64, device=device)
    times = []
    for _ in range(4):
        start = time.perf_counter()
        logits, _state = network(ids, network.initial_state(32))
        logits.sum().backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)
