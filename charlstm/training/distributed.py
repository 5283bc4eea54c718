"""Several processes that train one model, connected by torch.distributed.

torch's DistributedDataParallel averages gradients, so that all processes have the same weights.
Decisions that depend on the leader's clock, or on a signal that one process received, are
synchronised: otherwise some processes would wait forever.

`torchrun` (or `charlstm train --processes`) starts the processes and gives each its rank in
environment variables: https://docs.pytorch.org/docs/stable/elastic/run.html
"""

from __future__ import annotations

import contextlib
import datetime
import os
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from charlstm.errors import DistributedError
from charlstm.nn.network import CharLSTM
from charlstm.processors import available_processors
from charlstm.training.events import Notice
from charlstm.training.process_group import ProcessGroup
from charlstm.training.rank import RankInfo, rank_from_environment
from charlstm.training.schedule import Due

# A process that ends is noticed at once; a machine that no longer answers, after this time.
_TIMEOUT = datetime.timedelta(minutes=30)
_SLOW_SECONDS = 10.0  # until a notice shows what start-up waits for
CHUNK_BYTES = 16 << 20  # sent at a time
_MAX_SYNC_STEPS = 32
_SYNC_WORK = 5e10  # floating point operations: about a third of a second on two cores
# Words in torch's error messages for a failed connection.
_SIGNS = ("gloo", "nccl", "connection", "process group", "tcpstore", "timed out", "socket")


def join_group(notice: Notice) -> ProcessGroup:
    """The group of all processes that torchrun started; without torchrun, a single process.

    Args:
        notice: receives a line if the other processes take long to start.

    Raises:
        DistributedError: the other processes cannot be reached.
    """
    info = rank_from_environment()
    if info is None:
        return ProcessGroup()
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    with _connection_errors("the other processes cannot be reached"):
        _in_thread(
            lambda: dist.init_process_group(backend, timeout=_TIMEOUT),
            lambda: notice(f"waiting for all {info.size} processes to start"),
        )
    return DistributedGroup(info, dist.group.WORLD)


def leave_group() -> None:
    """Disconnect from the other processes, if there are any."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


class DistributedGroup(ProcessGroup):
    """Several processes, connected by torch.distributed.

    All processes must call the methods that communicate, in the same order. These methods raise
    `DistributedError` if another process has ended.

    Args:
        info: this process's rank.
        group: torch's process group; None: the default group.
    """

    def __init__(self, info: RankInfo, group: Any = None) -> None:
        super().__init__(info)
        self._group = group
        self._parent = os.getppid()

    @property
    def must_agree(self) -> bool:  # noqa: D102 - see ProcessGroup, here and below
        return True

    @property
    def is_orphaned(self) -> bool:
        """Whether the parent process, which would stop this one, has ended."""
        return os.getppid() != self._parent

    def agree(self, due: Due, sums: list[float]) -> tuple[Due, list[float]]:  # noqa: D102
        stop = due.stop or self.is_orphaned
        leader = due if self.is_leader else Due()  # only its clock counts
        values = [float(stop), float(leader.save), float(leader.evaluate), leader.elapsed, *sums]
        stops, saves, evaluations, elapsed, *sums = self.all_reduce(values)
        return Due(stops > 0, saves > 0, evaluations > 0, elapsed), sums

    def on_leader(  # noqa: D102
        self, function: Callable[[], float | None], *, all_threads: bool = False
    ) -> float | None:
        value = None
        if self.is_leader:
            threads = torch.get_num_threads()
            if all_threads:
                more = min(threads * self.local_size, available_processors())
                torch.set_num_threads(max(threads, more))
            try:
                value = function()
            finally:
                torch.set_num_threads(threads)
        packed = struct.pack("<?d", value is not None, value or 0.0)
        known, value = struct.unpack("<?d", self.broadcast(packed))
        return value if known else None

    def sync_interval(self, work: float) -> int:  # noqa: D102
        return max(1, min(_MAX_SYNC_STEPS, round(_SYNC_WORK / work)))

    def shard(self, total: int) -> slice:  # noqa: D102
        return self._shard_of(self.rank, total)

    def _shard_of(self, rank: int, total: int) -> slice:
        return slice(rank * total // self.size, (rank + 1) * total // self.size)

    def wrap(self, network: CharLSTM, maxlen: int) -> nn.Module:  # noqa: D102
        device = network.device
        with self.guard():
            return DistributedDataParallel(
                network,
                device_ids=[device] if device.type == "cuda" else None,
                process_group=self._group,
                gradient_as_bucket_view=True,
                # A window of one character has no input for a backward stack.
                find_unused_parameters=maxlen == 1 and network.config.direction == "both",
            )

    def all_reduce(self, values: Sequence[float]) -> list[float]:  # noqa: D102
        numbers = torch.tensor(values, dtype=torch.float64)
        with self.guard():
            dist.all_reduce(numbers, group=self._group)
        summed: list[float] = numbers.tolist()
        return summed

    def broadcast(self, data: bytes = b"") -> bytes:  # noqa: D102
        length = int(self.all_reduce([len(data) if self.is_leader else 0])[0])
        buffer = torch.zeros(length, dtype=torch.uint8)
        if self.is_leader and data:
            buffer = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        with self.guard():
            for first in range(0, length, CHUNK_BYTES):
                dist.broadcast(buffer[first : first + CHUNK_BYTES], 0, group=self._group)
        return buffer.numpy().tobytes()

    def gather(self, rows: Tensor, total: int) -> Tensor:  # noqa: D102
        shards = [self._shard_of(rank, total) for rank in range(self.size)]
        counts = [shard.stop - shard.start for shard in shards]
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        with self.guard():
            dist.all_gather(parts, padded, group=self._group)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    def guard(self) -> AbstractContextManager[None]:  # noqa: D102
        return _connection_errors("another process of this training has ended")

    def first(self, count: int) -> ProcessGroup | None:  # noqa: D102
        group = dist.new_group(list(range(count))) if count > 1 else None
        if self.rank >= count:
            return None
        info = RankInfo(self.rank, count, self.local_rank, min(count, self.local_size))
        return ProcessGroup(info) if count == 1 else DistributedGroup(info, group)


def _in_thread(work: Callable[[], None], is_slow: Callable[[], None]) -> None:
    """Call a function that waits for other processes in a thread, so that signals are handled."""
    failed: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:  # raised below
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_SLOW_SECONDS)
    if thread.is_alive():
        is_slow()
    while thread.is_alive():
        thread.join(0.2)
    if failed:
        raise failed[0]


@contextlib.contextmanager
def _connection_errors(what: str) -> Iterator[None]:
    """A context that raises torch's connection errors as `DistributedError`; `what` begins them."""
    try:
        yield
    except RuntimeError as error:  # torch's connection errors have no narrower common type
        text = str(error)
        if not any(sign in text.lower() for sign in _SIGNS):
            raise
        known = ("Connection reset by peer", "Connection closed by peer", "Connection refused")
        reasons = [reason for reason in known if reason in text] or [text.partition("\n")[0][:200]]
        raise DistributedError(f"{what} ({reasons[0]}).") from error
