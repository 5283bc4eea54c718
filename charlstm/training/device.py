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

    Where a processor has no bfloat16 products, torch's are many times slower than float32, and
    where it has them they are well faster: a small probe of one fixed shape tells. Both kinds
    take turns and the best pass of each counts, so that other work on the machine hardly can
    tip it.
    """
    if name != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
    shape = ModelConfig(num_layers=1, hidden_size=512, dropout=0.0)
    kinds = (torch.float32, torch.bfloat16)
    networks = {kind: CharLSTM(shape, 64, dtype=kind).to(device) for kind in kinds}
    times: dict[torch.dtype, list[float]] = {kind: [] for kind in kinds}
    for _ in range(6):
        for kind, network in networks.items():
            times[kind].append(_seconds(network))
    faster = min(times[torch.bfloat16]) < 0.9 * min(times[torch.float32])
    return torch.bfloat16 if faster else torch.float32


def _seconds(network: CharLSTM) -> float:
    """One pass, forward and backward, over a window."""
    ids = torch.zeros(16, 32, dtype=torch.int64, device=network.device)
    state = network.initial_state(32)
    start = time.perf_counter()
    logits, _state = network(ids, state)
    torch.autograd.backward(logits.sum())
    if network.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start
