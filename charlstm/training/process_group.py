"""`ProcessGroup`: the processes that train one model together, and their communication.

Each process has a copy of the model and reads its shard of the parallel streams. The leader (rank
0) also reads the text, evaluates, reports and saves. This module has the group of a single process;
`charlstm.training.distributed` has groups of several.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from torch import Tensor, nn

from charlstm.nn.network import CharLSTM
from charlstm.training.rank import RankInfo
from charlstm.training.schedule import Due


class ProcessGroup:
    """The process group of a single process, and the interface of all process groups.

    Args:
        info: this process's rank; None: the only process.

    Attributes:
        rank, size, local_rank, local_size, undecided: as in `RankInfo`.
    """

    def __init__(self, info: RankInfo | None = None) -> None:
        info = info or RankInfo()
        self.rank, self.size = info.rank, info.size
        self.local_rank, self.local_size = info.local_rank, info.local_size
        self.undecided = info.undecided

    @property
    def is_leader(self) -> bool:
        """Whether this process reads the text, evaluates, reports and saves."""
        return self.rank == 0

    @property
    def must_agree(self) -> bool:
        """Whether a request to stop must be synchronised before it takes effect."""
        return False

    def agree(self, due: Due, sums: list[float]) -> tuple[Due, list[float]]:
        """Synchronise: returns what is due, and each sum over all processes; the same in each."""
        return due, sums

    def on_leader(
        self, function: Callable[[], float | None], *, all_threads: bool = False
    ) -> float | None:
        """Call a function on the leader, and return its result in every process.

        Args:
            function: called on the leader only.
            all_threads: whether it may use the threads of all processes of its machine.
        """
        del all_threads
        return function()

    def sync_interval(self, work: float) -> int:
        """Number of steps between two synchronisations of the processes.

        Args:
            work: floating-point operations of a step.
        """
        del work
        return 1

    def shard(self, total: int) -> slice:
        """This process's shard of `total` streams; the sizes of shards differ by at most 1."""
        return slice(0, total)

    def wrap(self, network: CharLSTM, maxlen: int) -> nn.Module:
        """The network, with its gradients averaged over all processes.

        Args:
            network: the network, with the same weights in each process.
            maxlen: the length of the shortest window.
        """
        del maxlen
        return network

    def all_reduce(self, values: Sequence[float]) -> list[float]:
        """Each value, summed over all processes; the same in each."""
        return list(values)

    def broadcast(self, data: bytes = b"") -> bytes:
        """The leader's bytes, in every process."""
        return data

    def gather(self, rows: Tensor, total: int) -> Tensor:
        """Each process's rows of a matrix -> all rows, in every process.

        Args:
            rows: this process's rows, float32, one for each element of `shard(total)`.
            total: the number of all rows.
        """
        del total
        return rows

    def guard(self) -> AbstractContextManager[None]:
        """A context that raises torch's connection errors as `DistributedError`."""
        return contextlib.nullcontext()

    def first(self, count: int) -> ProcessGroup | None:
        """The group of the first `count` processes; None in the others. All processes call it."""
        del count
        return self
