"""How well general compressors compress a sample."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Mapping, Sequence

COMPRESSORS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: zlib.compress(data, 6),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}

_MOST_BYTES = 1 << 21  # xz takes a second or more for them


def bits_per_char(texts: Sequence[str]) -> dict[str, float]:
    """Bits per character of pieces of a text, not all empty, by compressor.

    Of more than two megabytes, every second or third piece is used, or the beginning of a single
    one.
    """
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    step = max(1, -(-size // _MOST_BYTES))
    whole = "".join(texts[::step])
    text = whole if len(texts) > 1 else whole[: -(-len(whole) // step)]
    data = text.encode("utf-8", "surrogatepass")
    return {name: 8 * len(pack(data)) / len(text) for name, pack in COMPRESSORS.items()}
