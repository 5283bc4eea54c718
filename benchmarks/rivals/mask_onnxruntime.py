"""Make the installed onnxruntime compute as on a processor without AVX-512, or without VNNI.

onnxruntime asks the processor which instructions it has, and no setting overrides the answer. This
script changes the answer in the library's machine code, so run it in an environment of its own
and name that by CHARLSTM_RIVALS:

    python -m venv avx2
    avx2/bin/pip install onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6
    avx2/bin/python benchmarks/rivals/mask_onnxruntime.py avx2

AVX-512 may be used if XCR0, which `xgetbv` reads, has the bits 0xE0 (Intel SDM, volume 1, section
15.2). The library tests them in its kernels' setup by `test $0xe0, %al` of the complement; the
test of 0xff fails on every processor, as bits 3 and 4 are not set on one without MPX. VNNI is bit
11 of cpuid's ecx: an `and` with 0x800 becomes one with 0.
"""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path

# What follows xgetbv at most so many bytes later belongs to the same setup.
_XGETBV, _SETUP = b"\x0f\x01\xd0\x89\xc0\x48\xc1\xe2\x20", 0x900
_MASKS = {
    "avx2": (rb"(?<=\xa8)\xe0(?=\x0f\x84)", b"\xff"),
    "avx512": (rb"(?<=\x81[\xe0-\xe7])\x00\x08\x00\x00", b"\x00\x00\x00\x00"),
}


def masked(code: bytes, mask: str) -> tuple[bytes, int]:
    """The machine code with the tests replaced, and how many were."""
    pattern, replacement = _MASKS[mask]
    changed, count = bytearray(code), 0
    for setup in re.finditer(re.escape(_XGETBV), code):
        first = setup.end()
        for found in re.finditer(pattern, code[first : first + _SETUP]):
            place = first + found.start()
            changed[place : place + len(replacement)] = replacement
            count += 1
    return bytes(changed), count


def main() -> None:
    """Mask the library of this environment; the argument is avx2 or avx512 (without VNNI)."""
    mask = sys.argv[1] if len(sys.argv) == 2 else ""
    spec = find_spec("onnxruntime")
    if mask not in _MASKS or spec is None or spec.origin is None:
        sys.exit(f"usage: python {sys.argv[0]} {'|'.join(_MASKS)}, where onnxruntime is installed")
    for path in Path(spec.origin).parent.glob("capi/onnxruntime_pybind11_state*.so"):
        code, count = masked(path.read_bytes(), mask)
        if not count:
            sys.exit(f"{path.name}: no such test found; this version is compiled otherwise")
        path.write_bytes(code)
        print(f"{path.name}: {count} tests changed")


if __name__ == "__main__":
    main()
