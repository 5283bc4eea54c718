"""How well general compressors compress a sample."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Mapping

COMPRESSORS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: zlib.compress(data, 6),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


def bits_per_char(text: str) -> dict[str, float]:
    """Bits per character of a text, which must not be empty, by compressor."""
    data = text.encode("utf-8", "surrogatepass")
    return {name: 8 * len(pack(data)) / len(text) for name, pack in COMPRESSORS.items()}
