"""CharTokenizer: characters <-> ids.

The vocabulary is the sorted distinct code points of a text; a character's id is its index. One
table over all code points encodes text by a single gather, including case folding and the
replacement of rare characters.

More than 300 lines: one class, a third of it docstrings.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.config.arguments import check_arguments
from charlstm.config.fields import describe_value
from charlstm.config.inputs import check_unknown_policy
from charlstm.errors import (
    ArgumentTypeError,
    CheckpointError,
    ConfigError,
    IdError,
    UnknownCharacterError,
)
from charlstm.text.code_points import (
    CODE_POINTS,
    cased_code_points,
    code_points,
    count_code_points,
    fold_case,
    smallest_id_dtype,
)
from charlstm.text.equivalents import Mapped, map_text, replacements

REPLACEMENT = "\ufffd"
BOUNDARY = "\0"
"""The character that stands for the border between two documents; texts do not contain it."""
BOUNDARY_ID = 0
"""Its id, in a vocabulary that has it: no code point is smaller."""

Ids = NDArray[np.unsignedinteger[Any]]


class CharTokenizer:
    """A vocabulary of characters.

    Args:
        characters: the distinct characters, sorted by code point.
        lowercase: whether to convert text to lower case before encoding.
        rare: characters without an id that are read as U+FFFD, which must be in the vocabulary.
        boundary: whether the first character is `BOUNDARY`, which is never read in a text, nor
            written.
    """

    @check_arguments
    def __init__(
        self, characters: str, *, lowercase: bool = False, rare: str = "", boundary: bool = False
    ) -> None:
        for text in (characters, rare):
            if list(text) != sorted(set(text)):
                raise ConfigError("a vocabulary must be sorted, distinct characters.")
        if not characters or set(characters) & set(rare):
            raise ConfigError("a vocabulary must not be empty, or contain rare characters.")
        if rare and REPLACEMENT not in characters:
            raise ConfigError("a vocabulary with rare characters must contain U+FFFD.")
        if boundary and (characters[0] != BOUNDARY or len(characters) == 1):
            raise ConfigError("a vocabulary with a boundary must begin with U+0000.")
        self.characters = characters
        self.boundary = boundary
        self.lowercase = lowercase
        self.rare = rare
        self._points = np.array([ord(c) for c in characters], dtype="<u4")
        self._table: NDArray[np.unsignedinteger[Any]] | None = None

    @classmethod
    def from_counts(
        cls,
        counts: NDArray[np.int64],
        *,
        lowercase: bool = False,
        min_count: int = 1,
        boundary: bool = False,
        also: str = "",
    ) -> tuple[CharTokenizer, dict[str, int]]:
        """A tokenizer from the counts of a text's code points.

        Args:
            counts: shape (0x110000,).
            lowercase: fold case before counting.
            min_count: characters that occur less often are read as U+FFFD.
            boundary: whether U+0000 is the boundary of documents.
            also: further characters of the vocabulary, whether or not they occur; those that
                `lowercase` folds are left out.

        Returns:
            The tokenizer, and the rare characters with their counts.
        """
        if boundary:
            counts = counts.copy()
            counts[ord(BOUNDARY)] = 0
        points = np.flatnonzero(counts)
        seen = counts[points]
        if lowercase:
            folded, index = np.unique(fold_case(points), return_inverse=True)
            points, seen = folded, np.bincount(index, weights=seen).astype(np.int64)
        further = np.array([ord(c) for c in also], dtype=np.int64)
        if lowercase:
            further = further[fold_case(further) == further]
        kept = (seen >= min_count) | np.isin(points, further)
        if not kept.any():
            raise ConfigError(f"--min-count {min_count} leaves no character; give a smaller value.")
        rare = {
            chr(p): int(n)
            for p, n in zip(points[~kept], seen[~kept], strict=True)
            if chr(p) != REPLACEMENT
        }
        # U+FFFD may itself be rare, and then represents itself.
        vocabulary = {chr(p) for p in (*points[kept], *further)} | (
            set() if kept.all() else {REPLACEMENT}
        )
        characters = "".join(sorted(vocabulary | {BOUNDARY} if boundary else vocabulary))
        rare_characters = "".join(sorted(rare))
        tokenizer = cls(characters, lowercase=lowercase, rare=rare_characters, boundary=boundary)
        return tokenizer, rare

    @classmethod
    @check_arguments
    def from_text(cls, text: str, *, lowercase: bool = False, min_count: int = 1) -> CharTokenizer:
        """A tokenizer from a text in memory; arguments as for `from_counts`."""
        counts = np.zeros(CODE_POINTS, dtype=np.int64)
        count_code_points(text, counts)
        return cls.from_counts(counts, lowercase=lowercase, min_count=min_count)[0]

    def __len__(self) -> int:
        return len(self.characters)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CharTokenizer) and self.to_json() == other.to_json()

    def __reduce__(self) -> tuple[Any, ...]:
        # The table, a megabyte or more, is built again after unpickling.
        make = functools.partial(
            type(self), lowercase=self.lowercase, rare=self.rare, boundary=self.boundary
        )
        return make, (self.characters,)

    def __hash__(self) -> int:
        return hash((self.characters, self.lowercase, self.rare, self.boundary))

    @property
    def id_dtype(self) -> np.dtype[np.unsignedinteger[Any]]:
        """The smallest unsigned dtype for all ids."""
        return smallest_id_dtype(len(self) - 1)

    @functools.cached_property
    def utf8_lengths(self) -> NDArray[np.uint8]:
        """The number of bytes of each character in UTF-8, shape (V,); 1 for the boundary."""
        sizes = [len(c.encode("utf-8", "surrogatepass")) for c in self.characters]
        return np.array(sizes, dtype=np.uint8)

    @check_arguments
    def encode(self, text: str, unknown: str = "error", *, boundaries: bool = False) -> Ids:
        """Ids of a text.

        Args:
            text: any text.
            unknown: handling of characters outside the vocabulary: `error`, `skip` (leave out),
                `replace` (by the first of U+FFFD and space that is in the vocabulary, else by
                id 0) or `map` (to an equivalent, see `charlstm.text.equivalents`).
            boundaries: whether the text is a stream of documents, in which U+0000 is the boundary.

        Returns:
            Shape (T,), dtype `id_dtype`; T is `len(text)` unless characters are skipped or mapped.

        Raises:
            ArgumentTypeError: an argument has the wrong type.
            UnknownCharacterError: under `error`; under `map` without an equivalent.
        """
        check_unknown_policy(unknown)
        if unknown == "map":
            text = self.map_unknown(text).text
        ids: Ids = self._ids(text)
        if boundaries and self.boundary:
            ids[code_points(text) == ord(BOUNDARY)] = BOUNDARY_ID
        # The table has V for unknown characters.
        if not self._knows_all_ascii(text) and (ids == len(self)).any():
            bad = np.flatnonzero(ids == len(self))
            if unknown == "error":
                raise self._unknown_error(text, bad.tolist())
            if unknown == "skip":
                ids = np.delete(ids, bad)
            else:
                ids[bad] = self.replacement_id
        return ids.astype(self.id_dtype, copy=False)

    @check_arguments
    def map_unknown(self, text: str, *, before: str = "") -> Mapped:
        """A text with unknown characters mapped to equivalents in the vocabulary.

        Args:
            text: any text.
            before: the character before the text, if any.

        Raises:
            ArgumentTypeError: an argument has the wrong type.
            UnknownCharacterError: a character has no equivalent in the vocabulary.
        """
        unknown = np.flatnonzero(self._is_unknown(text)).tolist()
        return map_text(text, unknown, self._knows, before=before)

    @check_arguments
    def knows(self, text: str) -> bool:
        """Whether all characters of a text can be encoded."""
        return not self.unknown_characters(text)

    @check_arguments
    def unknown_characters(self, text: str) -> dict[str, int]:
        """Counts of a text's characters outside the vocabulary; boundaries do not count."""
        points = code_points(text)
        missing = points[self._is_unknown(text)]
        found, counts = np.unique(missing, return_counts=True)
        return {chr(p): int(n) for p, n in zip(found, counts, strict=True)}

    @check_arguments
    def decode(self, ids: Any, *, boundaries: bool = False) -> str:
        """The text of ids, an integer array or sequence of shape (T,).

        Args:
            ids: the ids.
            boundaries: whether to keep boundaries, as U+0000.

        Raises:
            ArgumentTypeError: `ids` is something else.
            IdError: an id is outside the vocabulary.
        """
        ids = self.check_ids(ids)
        points: NDArray[np.uint32] = self._points[
            ids[ids != BOUNDARY_ID] if self.boundary and not boundaries else ids
        ]
        return points.tobytes().decode("utf-32-le", "surrogatepass")

    def check_ids(self, ids: Any) -> NDArray[np.integer[Any]]:
        """Ids as an array of shape (T,), checked.

        Raises:
            ArgumentTypeError: `ids` is not an integer array or sequence of shape (T,).
            IdError: an id is outside the vocabulary.
        """
        try:
            array = np.asarray(ids)
        except ValueError:  # sequences of unequal lengths
            array = np.empty((0, 0))
        if array.shape == (0,) and not isinstance(ids, np.ndarray):
            array = array.astype(np.int64)  # numpy makes an empty sequence float64
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise ArgumentTypeError(
                "ids must be an integer array or sequence of shape (T,), not "
                f"{describe_value(ids)}."
            )
        if array.size and (array.min() < 0 or array.max() >= len(self)):
            raise IdError(
                f"ids {array.min()} to {array.max()} are not all in the vocabulary; allowed: "
                f"0 to {len(self) - 1}."
            )
        return array

    def one_hot(self, ids: Any) -> NDArray[np.float32]:
        """One-hot vectors (T, V), float32, of ids (T,).

        Raises:
            ArgumentTypeError, IdError: as for `decode`.
        """
        array = self.check_ids(ids)
        rows = np.zeros((len(array), len(self)), dtype=np.float32)
        rows[np.arange(len(array)), array] = 1.0
        return rows

    @property
    def replacement_id(self) -> int:
        """The id of an unknown character under `replace`; never the boundary's."""
        for candidate in (REPLACEMENT, " "):
            if candidate in self.characters:
                return self.characters.index(candidate)
        return BOUNDARY_ID + 1 if self.boundary else 0

    @property
    def replacement(self) -> str:
        """The character as which an unknown one is read under `replace`."""
        return self.characters[self.replacement_id]

    @property
    def writable(self) -> str:
        """The characters without the boundary."""
        return self.characters[1:] if self.boundary else self.characters

    def to_json(self) -> dict[str, Any]:
        """The tokenizer as a JSON object."""
        data = {"characters": self.characters, "lowercase": self.lowercase, "rare": self.rare}
        return {**data, "boundary": True} if self.boundary else data

    @classmethod
    def from_json(cls, data: object) -> CharTokenizer:
        """A tokenizer from the object of `to_json`.

        Raises:
            CheckpointError: the object is not valid.
        """
        kinds = {"characters": str, "lowercase": bool, "rare": str}
        if isinstance(data, Mapping) and "boundary" in data:  # of documents only
            kinds["boundary"] = bool
        if (
            not isinstance(data, Mapping)
            or set(data) != set(kinds)
            or not all(isinstance(data[key], kind) for key, kind in kinds.items())
        ):
            raise CheckpointError("the tokenizer is not readable.")
        try:
            return cls(**data)
        except ConfigError as error:
            raise CheckpointError(f"the tokenizer is not readable: {error}") from error

    def _ids(self, text: str) -> NDArray[np.unsignedinteger[Any]]:
        """Ids of a text, V for each unknown character; shape (len(text),)."""
        if self._table is None:
            self._table = self._make_table()
        ids: NDArray[np.unsignedinteger[Any]] = self._table[code_points(text)]
        return ids

    def _is_unknown(self, text: str) -> NDArray[np.bool_]:
        """Whether each character is outside the vocabulary; a boundary, if there is one, is not."""
        unknown: NDArray[np.bool_] = self._ids(text) == len(self)
        return unknown & (code_points(text) != ord(BOUNDARY)) if self.boundary else unknown

    def _knows(self, character: str) -> bool:
        return bool(self._ids(character)[0] != len(self))

    def _unknown_error(self, text: str, unknown: list[int]) -> UnknownCharacterError:
        """The error for a text's first unknown character."""
        first = unknown[0]
        # A part that is replaced at once is shorter than 100 characters.
        near = [p for p in unknown if p < first + 100]
        found = next(replacements(text[: first + 100], near, self._knows))
        form = None if found.new is None else (found.old, found.new)
        return UnknownCharacterError(text[first], first, form=form)

    def _knows_all_ascii(self, text: str) -> bool:
        """Whether an ASCII text cannot have unknown characters, so that checking is unnecessary."""
        assert self._table is not None
        return text.isascii() and bool((self._table[:128] < len(self)).all())

    def _make_table(self) -> NDArray[np.unsignedinteger[Any]]:
        """Code point -> id; V for unknown characters. Shape (0x110000,)."""
        size = len(self)
        table = np.full(CODE_POINTS, size, dtype=smallest_id_dtype(size))
        table[self._points] = np.arange(size)
        if self.boundary:
            table[ord(BOUNDARY)] = size
        # As in training. Characters that did not occur there stay unknown.
        table[[ord(c) for c in self.rare]] = self.replacement_id
        if self.lowercase:
            cased, folded = cased_code_points()
            table[cased] = table[folded]
        return table
