"""Reading prompts and other texts by the rules of a model's training text."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from charlstm.config import TextConfig
from charlstm.config.inputs import check_unknown_policy
from charlstm.errors import (
    ConfigError,
    CorpusError,
    UnknownCharacterError,
    quoted,
    show_text,
)
from charlstm.text.equivalents import Mapped
from charlstm.text.normalization import normalize
from charlstm.text.tokenizer import BOUNDARY_ID, CharTokenizer, Ids

if TYPE_CHECKING:
    from charlstm.text.document_part import DocumentPart

ESCAPE = re.compile(r"\\[0nrt]")
"""An apparent escape: a backslash and a letter that may mean a newline or a tab."""
ESCAPES_HINT = (
    "For a newline give --escapes, which reads \\n as a newline and \\t as a tab, or type $'\\n' "
    "in bash or zsh."
)


class TextReader:
    """Reads prompts, texts to evaluate on, texts with blanks, and stop texts.

    Args:
        config: how the training text was read; line endings and case are used.
        tokenizer: the vocabulary.
    """

    def __init__(self, config: TextConfig, tokenizer: CharTokenizer) -> None:
        self.config = config
        self.tokenizer = tokenizer
        self._writable = frozenset(tokenizer.writable)

    def read(self, text: str, unknown: str = "error", *, before: str = "") -> Mapped:
        """A text with line endings and case converted as in the training text.

        Args:
            text: any text.
            unknown: as for `CharTokenizer.encode`; only `map` changes unknown characters here.
            before: the character before the text, if any.

        Returns:
            The text, and the replacements under `map`. Reading it again does not change it.

        Raises:
            ConfigError: `unknown` is none of the policies.
            UnknownCharacterError: under `map`, a character has no equivalent in the vocabulary.
        """
        check_unknown_policy(unknown)
        text = normalize(text, self.config)
        if unknown != "map":
            return Mapped(text, Counter())
        mapped = self.tokenizer.map_unknown(text, before=before)
        return Mapped(normalize(mapped.text, self.config), mapped.counts)

    def encode(self, text: str, unknown: str = "error", *, before: str = "") -> Ids:
        """Ids of a text after `read`, shape (T,); arguments and errors as for `read`.

        Raises:
            UnknownCharacterError: see `CharTokenizer.encode`.
        """
        return self.tokenizer.encode(self.read(text, unknown, before=before).text, unknown)

    def encode_documents(self, text: str, unknown: str = "error") -> DocumentPart:
        """A text as documents, for a model of documents; arguments and errors as for `encode`.

        Raises:
            CorpusError: the text has no document.
        """
        from charlstm.text.boundaries import stream_of  # noqa: PLC0415 - when used

        stream = stream_of(normalize(text, self.config), self.config)
        stream = self.read(stream, unknown).text
        ids = self.tokenizer.encode(stream, unknown, boundaries=True)
        return part_of_stream(ids)

    def beginning(self, prompt: str, unknown: str = "error") -> Ids:
        """Ids to read before writing, shape (T,); arguments and errors as for `encode`.

        For a model of documents, the prompt is a document's beginning, and a boundary comes before
        it. For other models T is 0 without a prompt.
        """
        ids = self.encode(prompt, unknown)
        if not self.tokenizer.boundary:
            return ids
        return np.concatenate([np.array([BOUNDARY_ID], dtype=ids.dtype), ids])

    def read_stop(self, stop: str, unknown: str = "error") -> Mapped:
        """A stop text as the model can write it.

        Args:
            stop: the stop text.
            unknown: under `map`, unknown characters are mapped; otherwise each is an error.

        Raises:
            ConfigError: the model cannot write one of its characters, so it could never occur; or
                no character is left after mapping.
        """
        policy = "map" if unknown == "map" else "error"
        try:
            mapped = self.read(stop, policy)
            self.tokenizer.encode(mapped.text)
            # Rare characters are read as U+FFFD and cannot be written.
            rare = next((n for n, c in enumerate(mapped.text) if c not in self._writable), None)
            if rare is not None:
                raise UnknownCharacterError(mapped.text[rare], rare)
        except UnknownCharacterError as error:
            raise _unwritable(stop, error) from error
        if not mapped.text:
            raise ConfigError(
                f"--stop {quoted(stop)} has no character that the model knows; omit it."
            )
        return mapped


def part_of_stream(ids: Ids) -> DocumentPart:
    """The documents of a stream of ids, shape (T,).

    It need not begin and end with a boundary. Documents without a character are left out.

    Raises:
        CorpusError: there is no document.
    """
    from charlstm.text.document_part import DocumentPart  # noqa: PLC0415 - when used

    edge = np.array([BOUNDARY_ID], dtype=ids.dtype)
    # Where the stream has boundaries already, these enclose documents without a character.
    whole = DocumentPart.of_stream(np.concatenate([edge, ids, edge]))
    part = DocumentPart(whole.ids, whole.spans[whole.lengths > 2])
    if not len(part.spans):
        raise CorpusError("the text has no document: it is empty, or whitespace alone.")
    return part


def _unwritable(stop: str, error: UnknownCharacterError) -> ConfigError:
    what = f"--stop {quoted(stop)} holds {show_text(error.character)}, which the model cannot write"
    if error.character == "\\" and ESCAPE.search(stop):
        return ConfigError(f"{what}.\n{ESCAPES_HINT}")
    if error.form is not None and error.form[1]:
        old, new = error.form
        return ConfigError(
            f"{what}; its text has {show_text(new)} for {show_text(old)}.\n"
            "--unknown map uses the equivalent (from Python: unknown='map')."
        )
    return ConfigError(f"{what}.\nNo text would end there: omit it.")
