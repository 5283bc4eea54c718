"""The decorator of compiled functions, and their cache on disk.

numba compiles a function at its first call and keeps the result in a folder: `NUMBA_CACHE_DIR`,
`__pycache__` beside the source, or the user's cache. It compiles again when the function's own
source file changes. But kernels call each other, so that code of one file becomes part of
functions of others. Therefore every function's name in the cache ends with a digest of all source
files of this folder: `matmul.multiply_0123456789ab-110.py311.nbi`. When any of them changes, all
functions are compiled again, and files with another digest are removed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

from charlstm.errors import CompiledCodeError
from charlstm.kernels.llvm import use_features_of_named_processor

_Function = TypeVar("_Function", bound=Callable[..., object])

_SOURCES = sorted(Path(__file__).parent.glob("*.py"))
_DIGEST_LENGTH = 12

# Sums may be reordered and fused, which vectors need; infinities stay what they are.
FAST_MATH = {"contract", "reassoc", "nsz", "arcp"}


def _digest() -> str:
    """A digest of the names and contents of all source files of this folder."""
    whole = hashlib.sha256()
    for path in _SOURCES:
        content = path.read_bytes()
        whole.update(f"{path.name} {len(content)} ".encode() + content)
    return whole.hexdigest()[:_DIGEST_LENGTH]


VERSION = _digest()
use_features_of_named_processor()


def jit(function: _Function) -> _Function:
    """Compile a function at its first call, without the interpreter's lock; cached on disk.

    Raises:
        CompiledCodeError: numba has no folder for its cache, or its compiler is turned off.
    """
    if cast(Any, numba).config.DISABLE_JIT:
        raise CompiledCodeError("numba's compiler is turned off (NUMBA_DISABLE_JIT).")
    function.__qualname__ += f"_{VERSION}"  # the cache's files are named after it
    try:
        compiled = numba.njit(cache=True, fastmath=FAST_MATH, error_model="numpy", nogil=True)(
            function
        )
    except RuntimeError as error:  # numba raises it where no cache folder can be written
        raise CompiledCodeError(
            "numba has no folder to keep compiled code in; set NUMBA_CACHE_DIR to a folder that "
            "can be written."
        ) from error
    _remove_outdated(compiled.stats.cache_path)
    return cast(_Function, compiled)


@cache
def _remove_outdated(folder: str) -> None:
    """Remove what was compiled from other versions of this folder's files."""
    modules = "|".join(path.stem for path in _SOURCES)
    pattern = re.compile(rf"(?:{modules})\.\w+_([0-9a-f]{{{_DIGEST_LENGTH}}})-\d+\..*\.nb[ic]")
    for path in Path(folder).iterdir():
        found = pattern.fullmatch(path.name)
        if found and found[1] != VERSION:
            with suppress(OSError):  # another process may have removed it
                path.unlink()
