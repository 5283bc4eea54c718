"""How fast does text become ids, from the file, both passes, on one core?"""

from __future__ import annotations

import functools
import os
import tempfile
from pathlib import Path

from common import ROOT, interleave, machine, markdown, timed

from charlstm.config import TextConfig
from charlstm.text.corpus import load_corpus
from charlstm.text.sources import Source, find_sources

MEGABYTES = 30


def texts() -> dict[str, str]:
    """A text in ASCII, one with accents, one in Cyrillic, one in CJK characters."""
    play = (ROOT / "corpora" / "lighthouse.txt").read_text("utf-8")
    cyrillic = {ord("a") + n: 0x430 + n for n in range(26)}
    cjk = {ord("a") + n: 0x4E00 + 37 * n for n in range(26)}
    return {
        "ASCII": play,
        "Latin with accents": play.replace("e", "é").replace("a", "à"),
        "Cyrillic": play.lower().translate(cyrillic),
        "CJK": play.lower().translate(cjk),
    }


def to_ids(sources: list[Source]) -> None:
    """Both passes, into memory."""
    load_corpus(sources, TextConfig(), in_memory_bytes=1 << 30)


def run() -> str:
    """The table, in Markdown."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        for name, text in texts().items():
            path = Path(folder) / "text.txt"
            data = text.encode()
            path.write_bytes(data * (MEGABYTES * 1_000_000 // len(data)))
            size = path.stat().st_size
            sources = find_sources([str(path)])
            times = interleave(
                {
                    "read": functools.partial(timed, path.read_bytes),
                    "ids": functools.partial(timed, functools.partial(to_ids, sources)),
                }
            )
            rows.append(
                [
                    name,
                    f"{size / times['ids'].median / 1e6:,.0f} ({times['ids'].spread})",
                    f"{size / times['read'].median / 1e6:,.0f}",
                ]
            )
    return (
        "## Text to ids: megabytes per second, one core, both passes\n\n"
        f"`python benchmarks/corpus_speed.py`. {machine()}.\n\n"
        + markdown(["text", "charlstm", "reading the bytes alone"], rows)
    )


if __name__ == "__main__":
    print(run())
