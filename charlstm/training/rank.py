"""The rank of this process, from torchrun's environment variables. Does not import torch.

The variables: https://docs.pytorch.org/docs/stable/elastic/run.html#environment-variables
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from charlstm.errors import ConfigError

AUTO = "charlstm-auto"
"""The run id of a launch that chooses the number of processes later (`--processes auto`)."""


@dataclass(frozen=True)
class RankInfo:
    """The rank of a process in a process group.

    Attributes:
        rank: index among all processes; 0 is the leader.
        size: number of processes.
        local_rank: index among the processes of this machine.
        local_size: number of processes on this machine.
        undecided: whether fewer processes may be chosen.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    undecided: bool = False


def rank_from_environment(environment: Mapping[str, str] = os.environ) -> RankInfo | None:
    """The rank of this process in torchrun's process group; None without torchrun.

    Raises:
        ConfigError: a variable is not a whole number.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    if not all(name in environment for name in (*names, "MASTER_ADDR", "MASTER_PORT")):
        return None
    try:
        rank, size, local_rank, local_size = (int(environment[name]) for name in names)
    except ValueError as error:
        raise ConfigError(f"{', '.join(names)} must be whole numbers.") from error
    if size == 1:
        return None
    undecided = environment.get("TORCHELASTIC_RUN_ID") == AUTO
    return RankInfo(rank, size, local_rank, local_size, undecided)
