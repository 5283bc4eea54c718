"""What tells that a file was unpickled: hostile files for tests, and the only pickles there are."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any


class Canary:
    """Unpickling it makes a folder."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.target),)


def pickled(value: object, protocol: int | None = None) -> bytes:
    """What a hostile file may hold; nothing in the project reads it back."""
    return pickle.dumps(value, protocol)
