"""Start several processes on this machine."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

import charlstm
from charlstm.errors import DistributedError
from charlstm.processors import available_processors
from charlstm.training.rank import AUTO

_MOST = 8  # processes that `auto` tries
_SHUTDOWN_SECONDS = 300  # for a step and a save
_START = "import sys; sys.path.append(sys.argv.pop(1)); from charlstm.__main__ import main; main()"


def launch(processes: int, arguments: Sequence[str]) -> int:
    """Run `charlstm ARGUMENTS` in several processes at once, by torchrun's own launcher.

    Args:
        processes: how many; 0: as many as could be worth it (see
            `charlstm.training.device`).
        arguments: of the command line.

    Returns:
        The leader's exit code.

    Raises:
        DistributedError: a process was killed.
    """
    auto, count = processes == 0, processes or most_processes()
    if sys.platform == "linux":
        # On one machine the loopback will do, whatever its name resolves to.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    # What goes wrong is said below, in our words.
    logging.disable(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=AUTO if auto else "charlstm",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )
    try:
        elastic_launch(config, sys.executable)(*child_arguments(arguments))
    except SignalException as error:
        return 128 + int(error.sigval)
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        # Once one has ended, the launcher ends the others by SIGTERM.
        killed = {r: -code for r, code in codes.items() if code < 0 and -code != signal.SIGTERM}
        if killed:
            rank = min(killed)
            why = f"process {rank + 1} of {count} was ended by {signal.Signals(killed[rank]).name}"
            if codes.get(0, 0) > 0:  # the leader has said all the rest
                raise DistributedError(f"{why}.") from error
            raise DistributedError(
                f"{why}.\nWhat was saved before is whole; to go on: charlstm train --resume"
            ) from error
        return codes.get(0, next(iter(codes.values())))
    return 0


def child_arguments(arguments: Sequence[str]) -> list[str]:
    """The interpreter's arguments for `charlstm ARGUMENTS` in a child.

    With -P, `-c` and `-m` do not put the current folder on the import path: a file there that is
    called like a standard module (random.py) must not replace it. The package's own folder goes
    to the path's end, for a package that was imported from the current folder.
    """
    return ["-P", "-c", _START, str(Path(charlstm.__file__).parent.parent), *arguments]


def most_processes() -> int:
    """How many processes `auto` starts with: one for each GPU, or for each available processor."""
    return torch.cuda.device_count() or min(available_processors(), _MOST)
