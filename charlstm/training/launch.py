"""Starting several training processes on this machine."""

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

_MAX_PROCESSES = 8  # with `auto`
_SHUTDOWN_SECONDS = 300  # enough for a step and a save
_START = "import sys; sys.path.append(sys.argv.pop(1)); from charlstm.__main__ import main; main()"


def launch(processes: int, arguments: Sequence[str]) -> int:
    """Run `charlstm ARGUMENTS` in several processes, with the launcher of torchrun.

    Args:
        processes: number of processes; 0: see `most_processes`. The fastest number is then
            measured, see `charlstm.training.speed`.
        arguments: the command-line arguments.

    Returns:
        The leader's exit code.

    Raises:
        DistributedError: a process was killed.
    """
    auto, count = processes == 0, processes or most_processes()
    if sys.platform == "linux":
        # All processes are on this machine: use the loopback interface, whatever the machine's
        # name resolves to.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    # Suppress torch's log messages; failures are raised below.
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
        # When one process has ended, the launcher sends SIGTERM to the others.
        killed = {r: -code for r, code in codes.items() if code < 0 and -code != signal.SIGTERM}
        if killed:
            rank = min(killed)
            why = f"process {rank + 1} of {count} was ended by {signal.Signals(killed[rank]).name}"
            if codes.get(0, 0) > 0:  # the leader has reported how to resume
                raise DistributedError(f"{why}.") from error
            raise DistributedError(
                f"{why}.\nThe last checkpoint is intact. To continue: charlstm train --resume"
            ) from error
        return codes.get(0, next(iter(codes.values())))
    return 0


def child_arguments(arguments: Sequence[str]) -> list[str]:
    """The Python interpreter's arguments for `charlstm ARGUMENTS` in a child process.

    -P keeps the current folder off the import path, where a file such as random.py would replace
    the standard module of that name. The package's parent folder is appended to the path, in case
    the package was imported from the current folder.
    """
    return ["-P", "-c", _START, str(Path(charlstm.__file__).parent.parent), *arguments]


def most_processes() -> int:
    """The number of processes that `auto` starts: one for each GPU, else for each processor."""
    return torch.cuda.device_count() or min(available_processors(), _MAX_PROCESSES)
