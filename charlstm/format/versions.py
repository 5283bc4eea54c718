"""Errors for checkpoints that a newer version wrote."""

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
    """The error for an intact checkpoint whose contents this version cannot use.

    Args:
        path: the file.
        meta: its metadata.
        error: the error of its contents.
        damaged: whether the only possible reasons are damage and a newer version.
    """
    written = str(meta.get("charlstm"))[:20]
    newer = _version(written) > _version(__version__)
    if not newer and not isinstance(error, UnknownOptionError):
        what = f"{path} is not an intact checkpoint" if damaged else str(path)
        return CheckpointError(f"{what}: {error}")
    # A development version may have the number of the release before or after it.
    who = f"a newer charlstm ({written}); this is {__version__}"
    if not newer:
        who = f"a newer charlstm than this {__version__}"
    reason = str(error).partition("\n")[0]
    return CheckpointError(
        f"{path} was written by {who}: {reason}\nInstall a newer charlstm to use it."
    )


def _version(text: str) -> tuple[int, ...]:
    """The leading numbers of a version, for comparison; empty if it is not a version."""
    match = re.match(r"\d{1,6}(\.\d{1,6})*", text, re.ASCII)
    return tuple(map(int, match[0].split("."))) if match else ()
