"""Options of reading and splitting the text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

from charlstm.config.fields import COUNT, FRACTION, Section, option, section
from charlstm.config.inputs import UNKNOWN_POLICIES
from charlstm.errors import ConfigError

DOCUMENT_KINDS = ("line", "blank-line", "file")
"""Values of `--documents` with a meaning; any other value is a separator."""
HTML = ("text", "markup")
SPLITS = ("auto", "tail", "blocks")


@section
class TextConfig(Section):
    """Options of reading and splitting the text."""

    glob: tuple[str, ...] = option(
        ("**/*.txt",),
        "Pattern of files to read in a folder, ignoring case (repeatable: files that match any of "
        "them). Hidden files match only where a part of the pattern begins with a dot.",
        group="Text",
    )
    exclude: tuple[str, ...] = option(
        (),
        "Pattern of files and folders to skip in a folder: of a name, or of a path in it "
        "(repeatable).",
        group="Text",
    )
    encoding: str = option(
        "utf-8",
        "Encoding of the text. A UTF-16 or UTF-32 byte order mark is recognised.",
        group="Text",
    )
    encoding_errors: str = option(
        "strict",
        "Handling of invalid bytes.",
        group="Text",
        choices=("strict", "replace", "ignore"),
    )
    html: str = option(
        "text",
        "How HTML pages are read: their text (needs the extra documents), or their markup.",
        group="Text",
        choices=HTML,
    )
    keep_newlines: bool = option(
        False, "Keep CRLF and CR line endings (default: converted to LF).", group="Text"
    )
    lowercase: bool = option(False, "Convert the text to lower case.", group="Text")
    min_count: int = option(
        1,
        "Replace characters that occur less often by one replacement character.",
        group="Text",
        within=COUNT,
    )
    unknown: str = option(
        "error",
        "Handling of characters of --val and --test that TEXTS lack: error; skip; replace (by "
        "U+FFFD or a space); or map (to an equivalent, such as a straight quotation mark for a "
        "curly one).",
        group="Text",
        choices=UNKNOWN_POLICIES,
    )
    split: str = option(
        "auto",
        "Part held out for validation and testing: the tail of the text, or blocks spread evenly "
        "over it; auto: the tail, unless it differs from the rest of the text.",
        group="Text",
        choices=SPLITS,
    )
    documents: str = option(
        "auto",
        "Train on many short documents: each line, each paragraph between blank lines "
        "(blank-line), each file, or the text between separators, given as any other text (\\n is "
        "a newline, \\t a tab, \\\\ a backslash). Each document is read from a zero state. "
        "Documents are shuffled in each epoch, and held out as a whole. none: one long text; auto: "
        "as none, with a notice if the text looks like documents.",
        group="Text",
        metavar="KIND",
    )
    val_fraction: float = option(
        0.1,
        "Fraction of the text held out for validation.",
        group="Text",
        within=FRACTION,
    )
    test_fraction: float = option(
        0.0,
        "Fraction of the text held out for testing, not used in training.",
        group="Text",
        within=FRACTION,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.glob:
            raise ConfigError("--glob has no pattern; allowed: at least one.")
        if not separator_of(self.documents):
            raise ConfigError(
                "--documents '' is empty; give line, blank-line, file, or the separator."
            )
        if self.val_fraction + self.test_fraction >= 1:
            raise ConfigError(
                f"--val-fraction {self.val_fraction:g} and --test-fraction "
                f"{self.test_fraction:g} leave no training text; allowed: a sum below 1."
            )

    def to_json(self) -> dict[str, Any]:
        """The fields as a JSON object. A single pattern is a string, as in older checkpoints."""
        data = super().to_json()
        if len(self.glob) == 1:
            data["glob"] = self.glob[0]
        return data

    @classmethod
    def from_json(cls, data: object) -> Self:
        """A section from the object of `to_json`; without `html`, pages keep their markup.

        Raises:
            UnknownOptionError: a field does not exist.
            ConfigError: a value has the wrong type, or is out of range.
        """
        if isinstance(data, Mapping) and "html" not in data:
            data = {**data, "html": "markup"}  # how versions without the option read them
        return super().from_json(data)

    def reading_as(self, other: TextConfig) -> TextConfig:
        """These options, but line ends, documents and pages are read as by the other ones."""
        return replace(
            self, keep_newlines=other.keep_newlines, documents=other.documents, html=other.html
        )

    @property
    def has_documents(self) -> bool:
        """Whether the text is many documents."""
        return self.documents not in ("auto", "none")


_ESCAPE = re.compile(r"\\([ntr\\])")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}


def separator_of(documents: str) -> str:
    """The separator given by a value of `--documents`, with escapes interpreted."""
    return _ESCAPE.sub(lambda found: _ESCAPED[found[1]], documents)
