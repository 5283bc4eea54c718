"""Run every benchmark, each in a process of its own, and write RESULTS.md beside this file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPTS = ("sample_speed.py", "train_overhead.py", "startup.py", "corpus_speed.py")


def main() -> None:
    """Write the report; nothing else should run meanwhile."""
    here = Path(__file__).parent
    parts = ["# Results of `make bench`", "Medians of interleaved rounds, with their spread."]
    for script in SCRIPTS:
        print(script, file=sys.stderr, flush=True)
        result = subprocess.run(
            [sys.executable, str(here / script)], check=True, stdout=subprocess.PIPE, text=True
        )
        parts.append(result.stdout.strip())
    text = "\n\n".join(parts) + "\n"
    (here / "RESULTS.md").write_text(text, "utf-8")
    print(text)


if __name__ == "__main__":
    main()
