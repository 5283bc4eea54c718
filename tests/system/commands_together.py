"""Runs `charlstm train` with several lists of options, each in all processes that torchrun started.

`commands_together.py FOLDER COMMANDS` where COMMANDS is JSON: a list of arguments for each run, in
FOLDER/0, FOLDER/1, ... Each run is asked to stop at its second step.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from charlstm.training import distributed, setup
from tests.system.test_options import probe_once, run, stopping_after

if __name__ == "__main__":
    group = distributed.join_group(print)
    with pytest.MonkeyPatch.context() as patch:
        # Processes meet once, for all runs.
        patch.setattr(distributed, "join_group", lambda _notice: group)
        patch.setattr(distributed, "leave_group", lambda: None)
        probe_once(patch, setup)
        for number, arguments in enumerate(json.loads(sys.argv[2])):
            with stopping_after(2, patch):
                code = run(*arguments, "--runs-dir", str(Path(sys.argv[1]) / str(number)))
            assert code in (0, 130), (arguments, code)
    distributed.leave_group()
    os._exit(0)  # as charlstm.cli does, for the same reason
