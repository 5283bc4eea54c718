"""Several processes that train one model: who is who, and what they tell each other.

Each process holds the whole model and reads its share of the parallel streams. torch's
DistributedDataParallel averages gradients, so all take the same step and stay equal. One of them,
the leader, reads the text, evaluates, reports and saves; whatever it decides by the clock or by
what happens to it alone, it tells the others, lest they wait for what never comes.

`torchrun` (or `charlstm train --processes`) starts the processes and tells each its place by
environment variables: https://docs.pytorch.org/docs/stable/elastic/run.html
"""

from __future__ import annotations

import contextlib
import datetime
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from charlstm.errors import DistributedError
from charlstm.nn.network import CharLSTM
from charlstm.training.events import Notice
from charlstm.training.rank import Place, place_from

# A process that dies is noticed at once; a machine that falls silent, after so long.
_TIMEOUT = datetime.timedelta(minutes=30)
_SLOW_SECONDS = 10.0  # to meet: whoever waits longer wants to know what for
CHUNK_BYTES = 16 << 20  # sent at a time
# What errors say that come from the processes' connection and not from the work.
_SIGNS = ("gloo", "nccl", "connection", "process group", "tcpstore", "timed out", "socket")


class World:
    """The processes that train together, as one of them sees them.

    Attributes:
        rank, size, local_rank, local_size, undecided: as `Place` has them.
        group: torch's name of them; None for a single process.
    """

    def __init__(self, place: Place | None = None, group: Any = None) -> None:
        place = place or Place()
        self.rank, self.size = place.rank, place.size
        self.local_rank, self.local_size = place.local_rank, place.local_size
        self.undecided = place.undecided
        self.group = group
        self._parent = os.getppid()

    @classmethod
    def join(cls, notice: Notice) -> World:
        """Meet the other processes that torchrun has started; without it, a world of one.

        Args:
            notice: says that they are waited for, if that takes long.

        Raises:
            DistributedError: they cannot be reached.
        """
        place = place_from()
        if place is None:
            return cls()
        cuda = torch.cuda.is_available()
        backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
        with _told("the other processes cannot be reached"):
            _in_thread(
                lambda: dist.init_process_group(backend, timeout=_TIMEOUT),
                lambda: notice(f"waiting for all {place.size} processes to start"),
            )
        return cls(place, dist.group.WORLD)

    @property
    def leads(self) -> bool:
        """Whether this process is the one that reads, reports and saves."""
        return self.rank == 0

    @property
    def orphaned(self) -> bool:
        """Whether the process that started this one is gone, and with it who could stop it."""
        return self.size > 1 and os.getppid() != self._parent

    def columns(self, total: int, rank: int | None = None) -> slice:
        """A process's share (this one's, unless said) of so many streams; all but even."""
        rank = self.rank if rank is None else rank
        return slice(rank * total // self.size, (rank + 1) * total // self.size)

    def wrap(self, network: CharLSTM, maxlen: int) -> nn.Module:
        """The network, its gradients averaged over all processes.

        Args:
            network: with the same weights in each.
            maxlen: the length of the shortest window.
        """
        if self.size == 1:
            return network
        device = network.device
        with self.guard():
            return DistributedDataParallel(
                network,
                device_ids=[device] if device.type == "cuda" else None,
                process_group=self.group,
                gradient_as_bucket_view=True,
                # A window of one character has nothing for a backward stack to read.
                find_unused_parameters=maxlen == 1 and network.config.direction == "both",
            )

    def sum(self, values: Sequence[float]) -> list[float]:
        """Each value, summed over all processes; the same in each."""
        if self.size == 1:
            return list(values)
        numbers = torch.tensor(values, dtype=torch.float64)
        with self.guard():
            dist.all_reduce(numbers, group=self.group)
        summed: list[float] = numbers.tolist()
        return summed

    def broadcast(self, data: bytes = b"") -> bytes:
        """What the leader passes, in every process. Plain bytes: nothing that runs."""
        if self.size == 1:
            return data
        length = int(self.sum([len(data) if self.leads else 0])[0])
        buffer = torch.zeros(length, dtype=torch.uint8)
        if self.leads and data:
            buffer = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        with self.guard():
            for first in range(0, length, CHUNK_BYTES):
                dist.broadcast(buffer[first : first + CHUNK_BYTES], 0, group=self.group)
        return buffer.numpy().tobytes()

    def gather(self, part: Tensor, total: int) -> Tensor:
        """Each process's rows of a matrix -> all rows, in every process.

        Args:
            part: this process's share, float32; as many rows as `columns(total)` says.
            total: how many rows there are in all.
        """
        if self.size == 1:
            return part
        shares = [self.columns(total, rank) for rank in range(self.size)]
        counts = [share.stop - share.start for share in shares]
        padded = part.new_zeros(max(counts), *part.shape[1:])
        padded[: len(part)] = part
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        with self.guard():
            dist.all_gather(parts, padded, group=self.group)
        return torch.cat([rows[:count] for rows, count in zip(parts, counts, strict=True)])

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Turn what torch says when another process is gone into an error that says so.

        Raises:
            DistributedError: another process is gone.
        """
        if self.size == 1:
            yield
            return
        with _told("another process of this training has ended"):
            yield

    def first(self, count: int) -> World | None:
        """The world of the first `count` processes, for those that are of it; all must ask."""
        group = dist.new_group(list(range(count))) if count > 1 else None
        if self.rank >= count:
            return None
        place = Place(self.rank, count, self.local_rank, min(count, self.local_size))
        return World(place, group)

    @staticmethod
    def leave() -> None:
        """Part from the others."""
        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()


def _in_thread(work: Callable[[], None], is_slow: Callable[[], None]) -> None:
    """Do what waits for other processes where signals can still be met meanwhile."""
    failed: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:  # whatever it is, raised below
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
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # torch's errors of connections have no narrower type in common
        text = str(error)
        if not any(sign in text.lower() for sign in _SIGNS):
            raise
        known = ("Connection reset by peer", "Connection closed by peer", "Connection refused")
        reasons = [reason for reason in known if reason in text] or [text.partition("\n")[0][:200]]
        raise DistributedError(f"{what} ({reasons[0]}).") from error
