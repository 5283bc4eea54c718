"""A process's place among those that train together, as torchrun tells it; without torch.

The variables: https://docs.pytorch.org/docs/stable/elastic/run.html#environment-variables
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from charlstm.errors import ConfigError

AUTO = "charlstm-auto"
"""The name of a launch whose number of processes is still to be chosen."""


@dataclass(frozen=True)
class Place:
    """Where a process stands.

    Attributes:
        rank: which of all processes this is; 0 leads.
        size: how many there are.
        local_rank: which of those on this machine it is.
        local_size: how many are on this machine.
        undecided: whether fewer may be chosen.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    undecided: bool = False


def place_from(environment: Mapping[str, str] = os.environ) -> Place | None:
    """The place that torchrun gave this process; None where there is none but this one.

    Raises:
        ConfigError: its variables are not readable.
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
    return Place(rank, size, local_rank, local_size, undecided)
