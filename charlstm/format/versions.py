"""Which version of the program wrote a checkpoint, where this one cannot use it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from charlstm import __version__
from charlstm.errors import CharlstmError, CheckpointError, UnknownOptionError


def unusable(
    path: Path, meta: Mapping[str, Any], error: CharlstmError, *, damaged: bool = False
) -> CheckpointError:
    """The error to report where a whole checkpoint does not hold what this version can use.

    Args:
        path: the file.
        meta: what it says of itself.
        error: what is wrong with its contents.
        damaged: whether only damage, or a newer version, can be the reason.
    """
    written = str(meta.get("charlstm"))[:20]
    newer = _version(written) > _version(__version__)
    if not newer and not isinstance(error, UnknownOptionError):
        what = f"{path} is not an intact checkpoint" if damaged else str(path)
        return CheckpointError(f"{what}: {error}")
    # A version in development has the number of the release before it or after it.
    who = f"a newer charlstm ({written}); this is {__version__}"
    if not newer:
        who = f"a newer charlstm than this {__version__}"
    reason = str(error).partition("\n")[0]
    return CheckpointError(
        f"{path} was written by {who}: {reason}\nInstall a newer charlstm to use it."
    )


def _version(text: str) -> tuple[int, ...]:
    """The numbers that a version begins with, for comparison; none where it is no version."""
    match = re.match(r"\d{1,6}(\.\d{1,6})*", text, re.ASCII)
    return tuple(map(int, match[0].split("."))) if match else ()
