"""What to train with: device, precision, kernel, and processor threads."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TypeVar

import torch

from charlstm.cells import TRAINING_KERNEL_CELLS
from charlstm.config import Config, ModelConfig
from charlstm.errors import CompiledCodeError, DeviceError, ProcessorError
from charlstm.kernels.availability import unavailable
from charlstm.nn.network import CharLSTM
from charlstm.processors import available_processors
from charlstm.training.compiling import CompileWatch
from charlstm.training.events import Notice
from charlstm.training.process_group import ProcessGroup

_DEFAULT_THREADS = torch.get_num_threads()  # one for each core, unless OMP_NUM_THREADS is set
_Kind = TypeVar("_Kind")


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """The device of that name; `auto` takes cuda, then mps, then cpu.

    Args:
        name: as configured.
        local_rank: which of a machine's processes asks; each takes a GPU of its own.

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
    if name == "cuda":
        count = torch.cuda.device_count()
        if local_rank >= count:
            raise DeviceError(
                f"this machine has {count} GPU(s), fewer than processes that want one; start "
                f"{count}, or use --device cpu."
            )
        return torch.device("cuda", local_rank)
    return torch.device(name)


def check_machine(precision: str, kernel: str, device: torch.device) -> None:
    """Check that a device has a number format and a kernel that are asked for by name.

    Raises:
        DeviceError: it does not.
    """
    if precision == "tf32" and device.type != "cuda":
        raise DeviceError(
            f"--precision tf32 is a format of NVIDIA GPUs, not of {device.type}; "
            "use float32, bfloat16 or auto."
        )
    if kernel == "compiled" and device.type != "cpu":
        raise DeviceError(f"--kernel compiled is for CPUs, not for {device.type}; use auto.")


def pick_precision(name: str, device: torch.device) -> str:
    """The number format of the products; `auto` is bfloat16 where a probe finds it faster.

    Where a processor has no bfloat16 products, torch's are many times slower than float32, and
    where it has them they are well faster: a small probe of one fixed shape tells. Both kinds
    take turns and the best pass of each counts, so that other work on the machine hardly can
    tip it. A device that fails with bfloat16 does not have it.

    Raises:
        DeviceError: the device does not have it.
    """
    check_machine(name, "auto", device)
    if name in ("float32", "tf32"):
        return name
    if not _has_bfloat16(device):
        if name == "auto":
            return "float32"
        raise DeviceError(
            f"--precision bfloat16 does not work on this {device.type} device; use float32."
        )
    if name == "bfloat16":
        return name
    shape = ModelConfig(num_layers=1, hidden_size=512, dropout=0.0)
    kinds = (torch.float32, torch.bfloat16)
    networks = {kind: CharLSTM(shape, 64, dtype=kind).to(device) for kind in kinds}
    times = _probe(networks)
    faster = times[torch.bfloat16] < 0.9 * times[torch.float32]
    return "bfloat16" if faster else "float32"


def _has_bfloat16(device: torch.device) -> bool:
    """Whether a small network's forward and backward pass work in bfloat16."""
    shape = ModelConfig(num_layers=1, hidden_size=8, dropout=0.0)
    try:
        _seconds(CharLSTM(shape, 4, dtype=torch.bfloat16).to(device))
    except (RuntimeError, TypeError):  # how torch reports that a device lacks a type
        return False
    return True


def pick_kernel(
    name: str,
    cell: str,
    precision: str,
    device: torch.device,
    notice: Notice | None = None,
    watch: CompileWatch | None = None,
) -> str:
    """What computes windows: `torch` or `compiled`; `auto` is what a probe finds faster.

    Without bfloat16 products `auto` is torch, whose float32 kernel is as fast.

    Args:
        name: as configured.
        cell, precision, device: what they are for.
        notice: receives why `auto` cannot use the compiled code that is installed.
        watch: reports and times what is compiled for the answer.

    Raises:
        DeviceError: compiled code does not work here, or is not for that device.
    """
    check_machine("auto", name, device)
    if name == "compiled":
        why = compiled_fault(precision, watch)
        if why:
            raise DeviceError(f"--kernel compiled does not work here: {why}\nUse --kernel torch.")
    if name != "auto":
        return name
    fits = cell in TRAINING_KERNEL_CELLS and precision == "bfloat16" and device.type == "cpu"
    if not fits:
        return "torch"
    if error := _compiled_error(precision, watch):
        if notice is not None and not isinstance(error, ImportError | ProcessorError):
            notice(f"compiled code is not used, and training takes longer: {_first_line(error)}")
        return "torch"
    shape = ModelConfig(cell=cell, num_layers=1, hidden_size=512, dropout=0.0)
    kernels = {"torch": False, "compiled": True}
    networks = {
        kernel: CharLSTM(shape, 64, dtype=product_type(precision), compiled=compiled)
        for kernel, compiled in kernels.items()
    }
    return min(kernels, key=_probe(networks).__getitem__)


def compiled_fault(precision: str, watch: CompileWatch | None = None) -> str:
    """Why compiled code does not work here; empty if it does, and is compiled then.

    Args:
        precision: of the products.
        watch: reports and times what is compiled.
    """
    error = _compiled_error(precision, watch)
    return "" if error is None else _first_line(error)


def _first_line(error: Exception) -> str:
    """An error's first line, with its type where the text is not ours."""
    line = (str(error).splitlines() or [""])[0]
    known = isinstance(error, ImportError | CompiledCodeError)
    return line if known else f"{type(error).__name__}: {line}"


def _compiled_error(precision: str, watch: CompileWatch | None) -> Exception | None:
    """What compiled code fails with here; an ImportError where numba is not installed."""
    try:
        if error := unavailable("bfloat16" if precision == "bfloat16" else "float32"):
            return error
        (watch or CompileWatch()).warm_up(product_type(precision))
    except Exception as fault:  # any, on a machine that numba does not support
        return fault
    return None


def product_type(precision: str) -> torch.dtype:
    """The type of the tensors that are multiplied."""
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def allow_tf32(allowed: bool) -> None:
    """Whether a GPU may round float32 factors to TF32's 10 bits, which is several times faster."""
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed


def _probe(networks: Mapping[_Kind, CharLSTM]) -> dict[_Kind, float]:
    """The time of the best of six passes of each, which take turns."""
    times: dict[_Kind, list[float]] = {kind: [] for kind in networks}
    for _ in range(6):
        for kind, network in networks.items():
            times[kind].append(_seconds(network))
    return {kind: min(passes) for kind, passes in times.items()}


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


def set_threads(config: Config, notice: Notice, group: ProcessGroup) -> None:
    """Use the configured number of processor threads, but no more than may be used here."""
    asked = config.train.threads
    processors = available_processors()
    if asked > processors:
        notice(
            f"--threads reduced from {asked} to {processors}: this process may use no more "
            "processors."
        )
    divide_threads(asked, group)


def divide_threads(asked: int, group: ProcessGroup) -> None:
    """Use `asked` processor threads; 0 divides the available processors among the processes."""
    processors = available_processors()
    if asked:
        torch.set_num_threads(min(asked, processors))
    elif group.local_size > 1:
        torch.set_num_threads(max(1, processors // group.local_size))
    elif "OMP_NUM_THREADS" in os.environ:
        torch.set_num_threads(_DEFAULT_THREADS)
    else:
        torch.set_num_threads(min(_DEFAULT_THREADS, processors))
