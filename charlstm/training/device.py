"""Choice of device, precision, kernel, and number of processor threads."""

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
from charlstm.training.measured import Measured
from charlstm.training.process_group import ProcessGroup

_DEFAULT_THREADS = torch.get_num_threads()  # one for each core, unless OMP_NUM_THREADS is set
_Kind = TypeVar("_Kind")


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """The device with a name; `auto` is the first available of cuda, mps and cpu.

    Args:
        name: the value of `--device`.
        local_rank: index of this process on its machine; each process uses the GPU of its index.

    Raises:
        DeviceError: this machine does not have the device.
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
        raise DeviceError(f"--device {name} is not available here. Use {there} or auto.")
    if name == "cuda":
        count = torch.cuda.device_count()
        if local_rank >= count:
            raise DeviceError(
                f"each process needs a GPU, and this machine has {count}.\nUse --processes {count} "
                "or --device cpu."
            )
        return torch.device("cuda", local_rank)
    return torch.device(name)


def check_machine(precision: str, kernel: str, device: torch.device) -> None:
    """Check that a device supports a configured precision and kernel.

    Raises:
        DeviceError: it does not.
    """
    if precision == "tf32" and device.type != "cuda":
        raise DeviceError(
            f"--precision tf32 needs an NVIDIA GPU; the device is {device.type}. "
            "Use float32, bfloat16 or auto."
        )
    if kernel == "compiled" and device.type != "cpu":
        raise DeviceError(f"--kernel compiled needs a CPU; the device is {device.type}. Use auto.")


def pick_precision(name: str, device: torch.device, measured: Measured | None = None) -> str:
    """The number format of matrix products; `auto` is bfloat16 if it is measured to be faster.

    On processors without bfloat16 instructions, torch's bfloat16 products are many times slower
    than float32; on others they are clearly faster. A short benchmark of one shape decides. The two
    formats alternate and the fastest pass of each counts, which limits the effect of other programs
    on the result.

    Args:
        name: the value of `--precision`.
        device: the device to train on.
        measured: earlier results on this machine's processors, used instead of a benchmark; None:
            there are none.

    Raises:
        DeviceError: the device does not support the format.
    """
    check_machine(name, "auto", device)
    if name in ("float32", "tf32"):
        return name
    if name == "bfloat16" or device.type != "cpu":
        measured = None
    if measured and (kept := measured.choice("precision", ("float32", "bfloat16"))):
        return kept
    if not _has_bfloat16(device):
        if name == "auto":
            return "float32"
        raise DeviceError(
            f"--precision bfloat16 is not supported by this {device.type} device; use float32."
        )
    if name == "bfloat16":
        return name
    shape = ModelConfig(num_layers=1, hidden_size=512, dropout=0.0)
    kinds = (torch.float32, torch.bfloat16)
    networks = {kind: CharLSTM(shape, 64, dtype=kind).to(device) for kind in kinds}
    times = _benchmark(networks)
    faster = times[torch.bfloat16] < 0.9 * times[torch.float32]
    precision = "bfloat16" if faster else "float32"
    if measured:
        measured.keep(precision, "precision")
    return precision


def _has_bfloat16(device: torch.device) -> bool:
    """Whether the forward and backward pass of a small network work in bfloat16."""
    shape = ModelConfig(num_layers=1, hidden_size=8, dropout=0.0)
    try:
        _seconds(CharLSTM(shape, 4, dtype=torch.bfloat16).to(device))
    except (RuntimeError, TypeError):  # torch's errors for an unsupported dtype
        return False
    return True


def pick_kernel(
    name: str,
    cell: str,
    precision: str,
    device: torch.device,
    notice: Notice | None = None,
    watch: CompileWatch | None = None,
    measured: Measured | None = None,
) -> str:
    """The implementation of windows, `torch` or `compiled`; `auto` is the one measured as faster.

    Args:
        name: the value of `--kernel`.
        cell, precision, device: what the network uses.
        notice: receives the reason if numba is installed but its code cannot be used.
        watch: reports and times the compilation.
        measured: earlier results on this machine's processors, used instead of a benchmark; None:
            there are none.

    Raises:
        DeviceError: compiled code does not work on this machine, or does not support the device.
    """
    check_machine("auto", name, device)
    if name == "compiled":
        why = compiled_fault(precision, watch)
        if why:
            raise DeviceError(f"--kernel compiled does not work here: {why}\nUse --kernel torch.")
    if name != "auto":
        return name
    if cell not in TRAINING_KERNEL_CELLS or device.type != "cpu":
        return "torch"
    if error := _compiled_error(precision, watch):
        if notice is not None and not isinstance(error, ImportError | ProcessorError):
            notice(f"compiled code is not used; training takes longer: {_first_line(error)}")
        return "torch"
    kernels = {"torch": False, "compiled": True}
    what = {"cell": cell, "precision": precision}
    if measured and (kept := measured.choice("kernel", kernels, **what)):
        return kept
    shape = ModelConfig(cell=cell, num_layers=1, hidden_size=512, dropout=0.0)
    networks = {
        kernel: CharLSTM(shape, 64, dtype=product_type(precision), compiled=compiled)
        for kernel, compiled in kernels.items()
    }
    kernel = min(kernels, key=_benchmark(networks).__getitem__)
    if measured:
        measured.keep(kernel, "kernel", **what)
    return kernel


def compiled_fault(precision: str, watch: CompileWatch | None = None) -> str:
    """The reason why compiled code does not work on this machine; empty if it works.

    Compiles the code as a side effect.

    Args:
        precision: the number format of matrix products.
        watch: reports and times the compilation.
    """
    error = _compiled_error(precision, watch)
    return "" if error is None else _first_line(error)


def _first_line(error: Exception) -> str:
    """The first line of an error's message, after its type unless charlstm raised it."""
    line = (str(error).splitlines() or [""])[0]
    known = isinstance(error, ImportError | CompiledCodeError)
    return line if known else f"{type(error).__name__}: {line}"


def _compiled_error(precision: str, watch: CompileWatch | None) -> Exception | None:
    """The error of compiled code on this machine; an ImportError if numba is not installed."""
    try:
        if error := unavailable("bfloat16" if precision == "bfloat16" else "float32"):
            return error
        (watch or CompileWatch()).warm_up(product_type(precision))
    except Exception as fault:  # any error of numba
        return fault
    return None


def product_type(precision: str) -> torch.dtype:
    """The dtype of matrix products for a precision."""
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def allow_tf32(allowed: bool) -> None:
    """Allow or forbid TF32 on GPUs: factors rounded to 10 bits, several times faster."""
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed


def _benchmark(networks: Mapping[_Kind, CharLSTM]) -> dict[_Kind, float]:
    """Seconds of each network's fastest pass of six; the networks alternate."""
    times: dict[_Kind, list[float]] = {kind: [] for kind in networks}
    for _ in range(6):
        for kind, network in networks.items():
            times[kind].append(_seconds(network))
    return {kind: min(passes) for kind, passes in times.items()}


def _seconds(network: CharLSTM) -> float:
    """Seconds of one forward and backward pass over a window."""
    ids = torch.zeros(16, 32, dtype=torch.int64, device=network.device)
    state = network.initial_state(32)
    start = time.perf_counter()
    logits, _state = network(ids, state)
    torch.autograd.backward(logits.sum())
    if network.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def set_threads(config: Config, notice: Notice, group: ProcessGroup) -> None:
    """Use the configured number of processor threads, at most the available processors."""
    asked = config.train.threads
    processors = available_processors()
    if asked > processors:
        notice(
            f"--threads reduced from {asked} to {processors}, the number of available processors."
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
