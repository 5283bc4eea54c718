"""What does a large text cost: seconds to the first step, memory, and disk?

Texts of 1 MB to 1 GB are made up from four alphabets, letters drawn by Zipf's law, from a seed,
into a temporary folder that also holds the cache. `train` runs the smallest of models and is
stopped after its first step. Reading, both passes, is what its first start takes beyond that
with a tiny text; the second start finds the ids in the cache, if there are enough to be kept.
"Ids written" is `load_corpus` alone in a process of its own, into an empty cache. The texts were
just written: they come from the system's page cache, not from the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import string
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import Timing, machine, markdown
from until import Seen, until

PLAIN = string.ascii_lowercase + " \n.,;:!?'-" + string.ascii_uppercase + string.digits
ALPHABETS = {
    "ASCII": PLAIN,
    "Latin with accents": PLAIN[:36] + "".join(map(chr, range(0xC0, 0x100))) + PLAIN[36:],
    "Cyrillic": " " + "".join(map(chr, range(0x430, 0x450))) + PLAIN[26:36]
    + "".join(map(chr, range(0x410, 0x430))),
    "CJK": "".join(map(chr, range(0x4E00, 0x4E00 + 3000))) + "\n",
}  # fmt: skip
MEGABYTES = (1, 10, 100, 1000)
BLOCK = 1 << 22


def write_text(path: Path, alphabet: str, size: int) -> None:
    """Write about `size` bytes of a language that nobody speaks."""
    points = np.array([ord(c) for c in alphabet], dtype=np.uint32)
    shares = 1 / np.arange(3, len(points) + 3)
    shares /= shares.sum()
    rng = np.random.default_rng(0)
    # A draw is a look-up: each character has its share of 2^16 places, and at least one.
    places = points[np.searchsorted(np.cumsum(shares), np.arange(1 << 16) / (1 << 16))]
    places[: len(points)] = points
    with path.open("wb") as file:
        while (room := size - file.tell()) > 0:
            draws = places[rng.integers(1 << 16, size=min(BLOCK, room), dtype=np.uint16)]
            data = draws.tobytes().decode("utf-32-le").encode()
            # Not through the middle of a character.
            file.write(data[:room].decode(errors="ignore").encode() if len(data) > room else data)
            if room < 4:
                break


def cache_mb(cache: Path) -> float:
    """What the cache holds."""
    return sum(path.stat().st_size for path in cache.rglob("*") if path.is_file()) / 1e6


def first_step(text: Path) -> Seen:
    """`train` until its first step."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "charlstm", "train", str(text), "--runs-dir", folder,
            "--layers", "1", "--hidden-size", "8", "--batch-size", "8", "--maxlen", "8",
            "--precision", "float32", "--epochs", "1", "--log-every", "1", "--sample-every", "0",
        ]  # fmt: skip
        return until(command, "step", Path(folder))


def load(path: str) -> None:
    """Have the ids of a text written, and print how fast."""
    from charlstm.config import TextConfig
    from charlstm.text.corpus import load_corpus
    from charlstm.text.sources import find_sources

    sources = find_sources([path])
    start = time.perf_counter()
    corpus = load_corpus(sources, TextConfig(), in_memory_bytes=0)
    print(json.dumps({"seconds": time.perf_counter() - start, "bytes": corpus.ids.nbytes}))


def seconds(starts: list[Seen]) -> Timing:
    """Seconds until the first step."""
    return Timing([seen.seconds for seen in starts])


def peak(starts: list[Seen]) -> str:
    """Peak memory, in MB."""
    return f"{Timing([seen.peak_mb for seen in starts]).median:,.0f}"


def row_for(name: str, text: Path, cache: Path, tiny: Timing, rounds: int) -> list[str]:
    """One text's line."""

    def empty() -> None:
        shutil.rmtree(cache, ignore_errors=True)

    size = text.stat().st_size
    first, second, written = [], [], []
    for _ in range(rounds):
        empty()
        command = [sys.executable, __file__, "--load", str(text)]
        result = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        loaded = json.loads(result.stdout)
        written.append(loaded["seconds"] / loaded["bytes"])
        empty()
        first.append(first_step(text))
        disk = cache_mb(cache)
        second.append(first_step(text))
    empty()
    spent = seconds(first).median - tiny.median
    # What a small text adds is less than one start differs from the next.
    noise = max(tiny.seconds) - min(tiny.seconds)
    return [
        f"{name}, {size / 1e6:,.0f} MB",
        f"{size / spent / 1e6:,.0f}" if spent > noise else "lost in the noise",
        f"{seconds(first).median:.2f}", f"{seconds(second).median:.2f}",
        peak(first), peak(second), f"{disk:,.0f}" if disk else "none (in memory)",
        f"{1e-6 / Timing(written).median:,.0f}",
    ]  # fmt: skip


def main() -> None:
    """Print the table, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=int, default=1000, help="megabytes")
    parser.add_argument("--rounds", type=int, default=3, help="of texts below 1 GB")
    parser.add_argument("--alphabets", default=",".join(ALPHABETS), help="names, with commas")
    parser.add_argument("--load", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        load(options.load)
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        os.environ["XDG_CACHE_HOME"] = str(cache)
        text = Path(folder) / "text.txt"
        for name in options.alphabets.split(","):
            write_text(text, ALPHABETS[name], 10_000)
            first_step(text)  # warms the system's caches up
            starts = [first_step(text) for _ in range(options.rounds)]
            tiny = seconds(starts)
            rows.append([f"{name}, 10 kB", "", f"{tiny.median:.2f}", "", peak(starts), *[""] * 3])
            for megabytes in MEGABYTES:
                if megabytes <= options.largest:
                    write_text(text, ALPHABETS[name], megabytes * 1_000_000)
                    rounds = options.rounds if megabytes < 1000 else 1
                    rows.append(row_for(name, text, cache, tiny, rounds))
    header = [
        "text", "reading, MB/s", "first start: seconds to step 1", "second start",
        "peak MB, first", "peak MB, second", "cached ids, MB", "ids written, MB/s",
    ]  # fmt: skip
    print(
        "## Large texts\n\n"
        f"`python benchmarks/corpus_scale.py`. {machine()}.\n\n" + markdown(header, rows)
    )


if __name__ == "__main__":
    main()
