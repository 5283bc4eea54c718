"""`ProcessGroup`: the processes that train one model together, and what they exchange.

Each process holds the whole model and reads its shard of the parallel streams. The leader (rank 0)
reads the text, evaluates, reports and saves. Here is the trivial form, a single process;
`charlstm.training.distributed` has the form of several.
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
    """A single process: the trivial form of a process group, which exchanges nothing.

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
        """Whether a request to one process takes effect only once all processes know it."""
        return False

    def agree(self, due: Due, sums: list[float]) -> tuple[Due, list[float]]:
        """What is due for all processes, and each sum added up over them; the same in each."""
        return due, sums

    def on_leader(
        self, function: Callable[[], float | None], *, all_threads: bool = False
    ) -> float | None:
        """What a function returns on the leader, in every process.

        Args:
            function: called on the leader only.
            all_threads: let it use the threads of all processes of its machine.
        """
        del all_threads
        return function()

    def sync_interval(self, work: float) -> int:
        """Steps between two synchronisations of the processes.

        Args:
            work: floating point operations of a step.
        """
        del work
        return 1

    def shard(self, total: int) -> slice:
        """This process's part of `total` streams; parts differ by at most one stream."""
        return slice(0, total)

    def wrap(self, network: CharLSTM, maxlen: int) -> nn.Module:
        """The network, with its gradients averaged over all processes.

        Args:
            network: with the same weights in each process.
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
            rows: of this process, float32; as many as `shard(total)` says.
            total: the number of all rows.
        """
        del total
        return rows

    def guard(self) -> AbstractContextManager[None]:
        """A context that turns torch's connection errors into `DistributedError`."""
        return contextlib.nullcontext()

    def first(self, count: int) -> ProcessGroup | None:
        """The group of the first `count` processes; None in the others. All must call it."""
        del count
        return self
