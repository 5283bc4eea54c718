"""The entry point of the commands `charlstm` and `python -m charlstm`."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the program. Ctrl-C ends it with exit code 130, also during imports."""
    try:
        from charlstm.processors import limit_library_threads  # noqa: PLC0415

        limit_library_threads()  # before numpy and torch are imported
        from charlstm.cli import entry_point  # noqa: PLC0415

        entry_point()
    except KeyboardInterrupt:
        if sys.stderr is not None:
            sys.stderr.write("Error: stopped.\n")
            sys.stderr.flush()
        sys.exit(130)


if __name__ == "__main__":
    # `python -m` puts the current folder first on the import path, where a file such as random.py
    # would replace the standard module of that name.
    if not sys.flags.safe_path:
        sys.path.append(sys.path.pop(0))
    main()
