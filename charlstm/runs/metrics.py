"""The metrics log of a run: `metrics.jsonl`, one JSON object per line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from charlstm.errors import RunError
from charlstm.format.files import is_no_file, replace_file

_LONGEST_LINE = 1 << 16


class MetricsLog:
    """An append-only log, which is truncated when a run resumes from a checkpoint.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, line: Mapping[str, Any]) -> None:
        """Append a line.

        Raises:
            RunError: it cannot be written.
        """
        self._check()
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise self._unwritable(error) from error

    def read(self) -> Iterator[dict[str, Any]]:
        """The valid lines, in order; other lines are ignored.

        Raises:
            RunError: it is not a regular file, or cannot be read.
        """
        self._check()
        try:
            with self.path.open("rb") as file:
                while line := file.readline(_LONGEST_LINE):
                    if (data := _parse(line)) is not None:
                        yield data
        except FileNotFoundError:
            return
        except OSError as error:
            raise RunError(f"cannot read {self.path}: {error.strerror or error}.") from error

    def rewind(self, step: int) -> None:
        """Remove lines after `step`, and an incomplete last line.

        Raises:
            RunError: the log cannot be rewritten.
        """

        def write(file: IO[bytes]) -> None:
            for line in self.read():
                if line["step"] <= step:
                    file.write(json.dumps(line).encode() + b"\n")

        try:
            replace_file(self.path, write)
        except OSError as error:
            raise self._unwritable(error) from error

    def _check(self) -> None:
        """Check that the file is regular: reading a pipe or a device could block forever.

        Raises:
            RunError: it is not.
        """
        if is_no_file(self.path):
            raise RunError(
                f"{self.path} is not a regular file, and will not be used as the run's log.\n"
                "Move it away; a new log is started."
            )

    def _unwritable(self, error: OSError) -> RunError:
        return RunError(f"cannot write {self.path}: {error.strerror or error}.")


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None  # incomplete: the process was killed while writing
    return data if isinstance(data, dict) and isinstance(data.get("step"), int) else None
