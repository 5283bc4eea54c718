"""Run benchmarks, each in a process of its own, and put what they print into RESULTS.md.

`run_all.py` runs all that need no text of one's own, some minutes each, with the rivals that are
installed; `run_all.py cells.py` renews one section; `run_all.py cell_quality.py TEXT` gives a
script its arguments.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SCRIPTS = (
    "train_speed.py", "sample_speed.py", "scaling.py", "train_overhead.py", "startup.py",
    "corpus_speed.py", "corpus_scale.py", "cells.py", "memory.py", "footprint.py", "classes.py",
    "busy.py", "busy_training.py", "more_threads.py", "check_scale.py", "oddities.py",
)  # fmt: skip
HERE = Path(__file__).parent
REPORT = HERE / "RESULTS.md"
MARK = re.compile(r"<!-- (\w+\.py) -->\n")


def sections() -> tuple[str, dict[str, str]]:
    """What the report holds now: its head, and its sections by script."""
    head, *parts = MARK.split(REPORT.read_text("utf-8"))
    return head, dict(zip(parts[::2], (part.strip() for part in parts[1::2]), strict=True))


def main() -> None:
    """Renew sections of the report; nothing else should run meanwhile."""
    head, found = sections()
    chosen, arguments = sys.argv[1:2] or list(SCRIPTS), sys.argv[2:]
    for script in chosen:
        print(script, file=sys.stderr, flush=True)
        result = subprocess.run(
            [sys.executable, str(HERE / script), *arguments],
            check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        found[script] = result.stdout.strip()
        print(found[script], flush=True)
        parts = [f"<!-- {name} -->\n{text}\n" for name, text in found.items()]
        REPORT.write_text(head + "\n".join(parts), "utf-8")


if __name__ == "__main__":
    main()
