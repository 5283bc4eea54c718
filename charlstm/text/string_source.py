"""A source from a text in memory."""

from __future__ import annotations

import tempfile
from contextlib import suppress

from charlstm.config import TextConfig
from charlstm.errors import SourceError
from charlstm.text.sources import Source


def source_from_text(text: str, config: TextConfig, name: str = "text") -> Source:
    """A source with the given text; messages call it by the name.

    Line endings become LF unless the configuration keeps them.

    Raises:
        SourceError: the text has a NUL character, or cannot be copied.
    """
    if "\0" in text:
        raise SourceError(f"{name} has a NUL character ('\\0'), which text must not contain.")
    if not config.keep_newlines:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the source
    try:
        spool.write(text.encode("utf-8", "surrogatepass"))
        spool.flush()
    except OSError as error:
        with suppress(OSError):  # closing writes the buffer once more
            spool.close()
        raise SourceError(f"cannot copy the text: {error.strerror or error}.") from error
    return Source(name, None, spool, exact=True)
