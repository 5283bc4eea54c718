"""Texts of several kinds and sizes, gathered from what a Linux machine with Python holds.

    python benchmarks/texts.py FOLDER

writes to a folder outside the project those whose sources are there, for `quality.py`:

- `licences.txt`, 50,000 characters: `/usr/share/common-licenses`, one after the other.
- `reference.txt`, 600,000 at most: the language reference in Python's `pydoc_data`, prose.
- `russian.txt`, 3 million at most: the Russian manual pages, Cyrillic among Latin markup.
- `source.txt`, 3 million: the standard library's modules.
- `manual.txt`, 20 million: the English manual pages.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from pydoc_data.topics import topics

MANUAL = Path("/usr/share/man")
OPENERS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.decompress, ".bz2": bz2.decompress}


def contents(paths: Iterable[Path]) -> Iterator[str]:
    """What stands in those files that are text, in the order of their names; links are left out."""
    for path in sorted(paths):
        if path.is_symlink() or not path.is_file():
            continue
        try:
            yield OPENERS.get(path.suffix, bytes)(path.read_bytes()).decode("utf-8")
        except UnicodeDecodeError:
            continue


def sources() -> dict[str, tuple[int, Iterable[str]]]:
    """Name -> how many characters, and where from."""
    library = Path(sysconfig.get_path("stdlib"))
    return {
        "licences": (50_000, contents(Path("/usr/share/common-licenses").glob("*"))),
        "reference": (600_000, (topics[name] for name in sorted(topics))),
        "russian": (3_000_000, contents(MANUAL.glob("ru/man*/*"))),
        "source": (3_000_000, contents(library.glob("*.py"))),
        "manual": (20_000_000, contents(MANUAL.glob("man*/*"))),
    }


def main() -> None:
    """Write the texts and say how long they came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, (most, parts) in sources().items():
        gathered, length = [], 0
        for part in parts:
            gathered.append(part)
            length += len(part)
            if length >= most:
                break
        text = "\n".join(gathered)[:most]
        if text:
            (folder / f"{name}.txt").write_text(text, encoding="utf-8")
        print(f"{name}: {len(text):,} characters, {len(set(text)):,} different ones")


if __name__ == "__main__":
    main()
