"""A source from a text that is in memory already."""

from __future__ import annotations

import tempfile

from charlstm.config import TextConfig
from charlstm.errors import SourceError
from charlstm.text.sources import Source


def source_from_text(text: str, config: TextConfig) -> Source:
    """A source whose text is `text`, with line ends as the configuration has them.

    Raises:
        SourceError: it has a NUL character, as binary data has, or cannot be copied.
    """
    if "\0" in text:
        raise SourceError("text has a NUL character ('\\0'), as binary data has.")
    if not config.keep_newlines:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text and not text.endswith(("\n", "\r")):
        text += "\n"  # as each file ends with one
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the source
    try:
        spool.write(text.encode("utf-8", "surrogatepass"))
        spool.flush()
    except OSError as error:
        raise SourceError(f"cannot copy the text: {error.strerror or error}.") from error
    return Source("text", None, spool, exact=True)
