"""Trains runs in each of several processes: started by torchrun, see test_distributed.py.

`together.py FOLDER CASES` where CASES is JSON: a list of {"name", "text", "options"}, and perhaps
"mapped" (ids go to a file) and "apart" (no process sees another's cache folder).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from charlstm.config import Config
from charlstm.text import corpus as corpus_module
from charlstm.training import replicate
from charlstm.training.distributed import join_group, leave_group
from charlstm.training.process_group import ProcessGroup
from charlstm.training.replicate import receive_run
from charlstm.training.setup import new_run


def train(group: ProcessGroup, folder: Path, case: dict[str, Any]) -> None:
    keywords = corpus_module.load_corpus.__kwdefaults__
    assert keywords is not None
    keywords["in_memory_bytes"] = 100 if case.get("mapped") else corpus_module.IN_MEMORY_BYTES
    apart = f"cache-{group.rank}" if case.get("apart") else "cache"
    os.environ["XDG_CACHE_HOME"] = str(folder / apart)
    if group.is_leader:
        config = Config().override(case["options"])
        trainer = new_run(
            [case["text"]], config,
            runs_dir=folder / "runs", name=case["name"], notice=lambda _: None, group=group,
        )  # fmt: skip
    else:
        find = replicate._find
        if case.get("apart"):
            replicate._find = lambda places, digest: find(
                [place for place in places if apart in str(place)], digest
            )
        following = receive_run(group)
        replicate._find = find
        assert following is not None
        trainer = following
    if case.get("mapped"):
        assert trainer.corpus.mapping is not None
        assert trainer.corpus.path is not None
        if case.get("apart") and not group.is_leader:
            assert apart in str(trainer.corpus.path)
    for _ in trainer.train():
        continue


if __name__ == "__main__":
    group = join_group(print)
    for case in json.loads(sys.argv[2]):
        if case.get("apart"):  # as if each were a machine of its own
            group.local_rank = 0
        train(group, Path(sys.argv[1]), case)
    leave_group()
    os._exit(0)  # as charlstm.cli does, for the same reason
