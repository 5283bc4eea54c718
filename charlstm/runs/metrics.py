"""The log of a run: `metrics.jsonl`, a JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from charlstm.errors import RunError
from charlstm.format.files import is_no_file, replace_file

_LONGEST_LINE = 1 << 16


class MetricsLog:
    """Lines that are appended, read back, and dropped when a run goes back to a checkpoint.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a line.

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
        """The readable lines, in order; whatever else the file holds is passed over.

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
        """Drop lines after `step`, and a last line that was cut off.

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
        """A pipe would be waited for without end, a device might be read without end."""
        if is_no_file(self.path):
            raise RunError(
                f"{self.path} is not a regular file, and will not be used as the run's log.\n"
                "Move it away; a new one is begun."
            )

    def _unwritable(self, error: OSError) -> RunError:
        return RunError(f"cannot write {self.path}: {error.strerror or error}.")


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None  # the process was killed while it wrote this line
    return data if isinstance(data, dict) and isinstance(data.get("step"), int) else None
