"""Texts beside the training text: for validation and testing (`--val`, `--test`), and an old text.

Their ids follow those of the training text, which alone gives the vocabulary. The old text
(`--replay-text`) comes last and is no part of the training text (see `charlstm.training.replay`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.config import TextConfig
from charlstm.errors import ConfigError, CorpusError, show_text
from charlstm.text.sources import Source
from charlstm.text.tokenizer import CharTokenizer

NAMES = {"val": "validation", "test": "test", "replay": "old"}
"""The texts beside the training text, in the order of their ids, and words for them."""
_HELD_OUT = ("val", "test")
_MOST_SHOWN = 10  # characters in a message

Sizes = tuple[int, int]
"""Numbers of ids of the separate validation and test text; 0: the part is cut from the text."""


def flag_of_text(part: str) -> str:
    """The option that gives a text."""
    return "--replay-text" if part == "replay" else f"--{part}"


@dataclass(frozen=True)
class GivenText:
    """A text as it is given: files and folders, or the text itself.

    Attributes:
        paths: files, folders, or `-` for standard input.
        text: the text, instead of `paths`; None: use `paths`.
        name: what messages call `text`: the name of the argument.
    """

    paths: tuple[str, ...] = ()
    text: str | None = None
    name: str = "text"


def no_fractions(separate: Iterable[str]) -> dict[str, float]:
    """The fractions of the text that are held out for separate parts, as options: none."""
    return {f"{part}_fraction": 0.0 for part in separate if part in _HELD_OUT}


def check_separate(
    texts: Sequence[str],
    separate: Mapping[str, GivenText],
    given: Mapping[str, Any],
    *,
    resumes: bool,
) -> None:
    """Check the options of separate texts.

    Args:
        texts: files and folders of the training text.
        separate: the separate texts.
        given: the fields given.
        resumes: whether a run is resumed.

    Raises:
        ConfigError: two options contradict each other.
    """
    held_out = [part for part in _HELD_OUT if part in separate]
    for part in held_out:
        if given.get(f"{part}_fraction"):
            raise ConfigError(
                f"--{part} and --{part}-fraction contradict each other: the {NAMES[part]} part is "
                "either a text of its own or cut from TEXTS.\nOmit one."
            )
    cut = [
        part
        for part in _HELD_OUT
        if part not in separate
        and given.get(f"{part}_fraction", getattr(TextConfig, f"{part}_fraction"))
    ]
    if held_out and not cut and given.get("split", "auto") != "auto" and not resumes:
        flags = " and ".join(f"--{part}" for part in held_out)
        raise ConfigError(
            f"--split and {flags} contradict each other: no part is cut from TEXTS.\nOmit one."
        )
    if "unknown" in given and not separate and not resumes:
        raise ConfigError(
            "--unknown applies to the texts of --val, --test and --replay-text: add one, or omit "
            "--unknown."
        )
    places = [*texts, *(path for text in separate.values() for path in text.paths)]
    if separate and places.count("-") > 1:
        raise ConfigError(
            "standard input (-) can be read only once.\nWrite the other text to a file, and give "
            "that."
        )


@dataclass(frozen=True)
class SeparateText:
    """Facts of an encoded text for validation or testing.

    Attributes:
        num_chars: number of its ids, those of the ends of documents included.
        sha256: digest of the text, as for the training text.
        unknown: its characters that the vocabulary lacks, with their counts.
    """

    num_chars: int
    sha256: str
    unknown: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """The facts as a JSON object."""
        return {**vars(self), "unknown": dict(self.unknown)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SeparateText:
        """The facts from the object of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: the object is not valid.
        """
        unknown = {str(c): int(n) for c, n in dict(data["unknown"]).items()}
        return cls(int(data["num_chars"]), str(data["sha256"]), unknown)


def sizes_of(separate: Mapping[str, SeparateText]) -> Sizes:
    """Numbers of ids of the separate texts."""
    val, test = (separate[part].num_chars if part in separate else 0 for part in _HELD_OUT)
    return val, test


def check_apart(sources: Sequence[Source], separate: Mapping[str, Sequence[Source]]) -> None:
    """Check that no file belongs to two of the texts.

    Args:
        sources: those of the training text.
        separate: those of each separate text.

    Raises:
        CorpusError: a file does.
        SourceError: a file cannot be read.
    """
    seen: dict[tuple[int, int], tuple[str, Source]] = {}
    for part, found in {"": sources, **separate}.items():
        for source in found:
            if (identity := source.identity()) is None:
                continue
            other, first = seen.setdefault(identity, (part, source))
            if other == part:
                continue
            use = f"{flag_of_text(other)}, too" if other else "training, too"
            advice = "Give another file."
            if first.within:
                advice = f"--exclude {os.path.basename(first.within)} skips it in the folder."
            flag = flag_of_text(part)
            raise CorpusError(f"{flag} {source.name}: this file is read for {use}.\n{advice}")


def check_different(sha256: str, digests: Mapping[str, str]) -> None:
    """Check that no two of the texts are the same.

    Args:
        sha256: digest of the training text.
        digests: that of each separate text.

    Raises:
        CorpusError: two are.
    """
    seen = {sha256: "training"}
    for part, digest in digests.items():
        if digest in seen:
            raise CorpusError(
                f"{flag_of_text(part)}: the {NAMES[part]} text is the same as the {seen[digest]} "
                "text.\n"
                "Give another file."
            )
        seen[digest] = NAMES[part]


def unknown_in(counts: NDArray[np.int64], tokenizer: CharTokenizer) -> dict[str, int]:
    """The characters of a text that a vocabulary lacks, with their counts, the most frequent first.

    Args:
        counts: those of the text's code points, shape (0x110000,).
        tokenizer: the vocabulary.
    """
    points = np.flatnonzero(counts)
    characters = points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
    lacking = tokenizer.unknown_characters(characters)
    found = {character: int(counts[ord(character)]) for character in lacking}
    return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))


def describe_unknown(part: str, unknown: Mapping[str, int]) -> str:
    """A clause that says how many characters of a separate text the training text lacks."""
    total, kinds = sum(unknown.values()), len(unknown)
    shown = ", ".join(show_text(character) for character in list(unknown)[:_MOST_SHOWN])
    return (
        f"the {NAMES[part]} text has {total:,} character{'s' * (total != 1)} "
        f"({kinds:,} distinct) that the training text lacks: {shown}"
        + (", ..." if kinds > _MOST_SHOWN else "")
    )


def check_unknown(part: str, unknown: Mapping[str, int], config: TextConfig) -> None:
    """Check that a separate text can be encoded as configured.

    Raises:
        CorpusError: it has unknown characters, and the policy is `error`.
    """
    if unknown and config.unknown == "error":
        keep = "--keep-alphabet keeps the characters of the base. " if part == "replay" else ""
        raise CorpusError(
            f"{describe_unknown(part, unknown)}.\n{keep}"
            "--unknown replace reads them as U+FFFD or a space, --unknown skip omits them, "
            "--unknown map reads equivalents."
        )
