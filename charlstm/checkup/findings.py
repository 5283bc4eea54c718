"""What is unusual in the characters and lines of a text, each with what mends it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from charlstm.checkup import repairs
from charlstm.checkup.characters import RARE, Characters, Found
from charlstm.checkup.lines import LONG_LINE
from charlstm.checkup.misread import find_misread
from charlstm.checkup.scan import Place, Scan
from charlstm.errors import quoted
from charlstm.text.tokenizer import REPLACEMENT

_MANY_RARE = 20  # rare characters to report
_TRAILING = 0.01  # fraction of lines
_SHOWN = 3


@dataclass(frozen=True)
class Finding:
    """Something unusual.

    Attributes:
        kind: a word for programs.
        what: what was found.
        mend: the option or the command that mends it.
        place: where it begins; None: nowhere in particular.
    """

    kind: str
    what: str
    mend: str
    place: Place | None = None

    def to_json(self) -> dict[str, Any]:
        """The finding as a JSON object."""
        place = self.place
        return {
            "kind": self.kind,
            "what": self.what,
            "mend": self.mend,
            "file": None if place is None else place.file,
            "line": None if place is None else place.line,
        }


class Mender:
    """Makes commands that mend a source.

    Args:
        scan: the pass over the text.
        encoding: the value of `--encoding`.
    """

    def __init__(self, scan: Scan, encoding: str) -> None:
        self._scan, self._encoding = scan, encoding

    def __call__(self, program: str, place: Place) -> str:
        """A command line that passes the source of a place through a program."""
        source = next(s.source for s in self._scan.sources if s.source.name == place.file)
        return repairs.pipe(source, self._encoding, program)


def character_findings(
    scan: Scan, characters: Characters, mend: Mender, min_count: int
) -> Iterator[Finding]:
    """Findings about the characters.

    Args:
        scan: the pass over the text.
        characters: its characters.
        mend: makes commands.
        min_count: the value of `--min-count`.
    """
    if found := find_misread(scan.pieces):
        place = scan.place(found.line)
        repair = mend(repairs.encoded_again(found.codec, has_controls=found.has_controls), place)
        advice = "" if found.all_encodable else " (on the part that is misread: it stops elsewhere)"
        yield Finding(
            "misread",
            f"UTF-8 was read as {found.codec} and saved: {quoted(found.example)} is probably "
            f"{quoted(found.meant)}, {_times(found.count)} in the sample, first at {place}.",
            f"Save the original as UTF-8 again, or undo it{advice}: {repair}",
            place,
        )
    if lost := characters.only(REPLACEMENT):
        by_option = scan.config.encoding_errors == "replace"
        yield Finding(
            "replacement",
            f"U+FFFD stands for bytes that could not be decoded, {_times(lost.count)}, first at "
            f"{lost.first}.",
            "Give the text's --encoding instead of --encoding-errors replace."
            if by_option
            else "Convert the original again with its own encoding, or remove them: "
            + mend(repairs.without_characters(REPLACEMENT), lost.first),
            lost.first,
        )
    if controls := characters.controls():
        yield Finding(
            "controls",
            f"control characters: {_listed(controls)}.",
            f"Remove them: {mend(repairs.WITHOUT_CONTROLS, controls[0].first)}",
            controls[0].first,
        )
    for kind, what, hidden in (
        ("invisible", "invisible characters", characters.invisible()),
        ("direction", "characters that change the direction of text", characters.direction()),
    ):
        if hidden:
            program = repairs.without_characters(one.character for one in hidden)
            yield Finding(
                kind,
                f"{what}: {_listed(hidden)}.",
                f"Remove them: {mend(program, hidden[0].first)}",
                hidden[0].first,
            )
    rare = [one for one in characters.rare() if one.count >= min_count]
    if len(rare) >= _MANY_RARE:
        yield Finding(
            "rare",
            f"{len(rare):,} of {len(characters.counts):,} distinct characters occur fewer than "
            f"{RARE} times: {_listed(rare)}. A model hardly learns them.",
            f"--min-count {RARE} replaces them by one character, U+FFFD.",
            rare[0].first,
        )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _listed(found: Sequence[Found]) -> str:
    """Some characters, with their number and first places."""
    shown = [
        f"U+{ord(one.character):04X} {_times(one.count)} from {one.first}" for one in found[:_SHOWN]
    ]
    return ", ".join(shown) + (f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else "")


def normal_form_findings(scan: Scan, mend: Mender) -> Iterator[Finding]:
    """A finding about letters that are not composed (NFC)."""
    lines, first = 0, None
    for piece in scan.pieces:
        position = 0
        for line in piece.text.splitlines(keepends=True):
            if not unicodedata.is_normalized("NFC", line):
                lines += 1
                first = piece.line_at(position) if first is None else first
            position += len(line)
    if first is not None:
        place = scan.place(first)
        yield Finding(
            "normal-form",
            f"lines of the sample that are not in Unicode's normal form NFC: {lines:,}, first at "
            f"{place}. Letters and their accents are separate characters, or in another order.",
            f"Compose them: {mend(repairs.COMPOSED, place)}",
            place,
        )


def line_findings(scan: Scan, mend: Mender, keeps_newlines: bool) -> Iterator[Finding]:
    """Findings about the lines.

    Args:
        scan: the pass over the text.
        mend: makes commands.
        keeps_newlines: whether line ends are kept in training.
    """
    lines = scan.lines
    if len(lines.ends) > 1:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(lines.ends.items()))
        second = min(set(lines.ends), key=lambda kind: (lines.ends[kind], kind))
        place = scan.place(lines.first_end[second])
        yield Finding(
            "line-ends",
            f"mixed line ends: {kinds}, the first {second} at {place}.",
            ("Omit --keep-newlines" if keeps_newlines else "They are read as LF")
            + f", or convert them: {mend(repairs.ONE_LINE_END, place)}",
            place,
        )
    if lines.trailing > _TRAILING * lines.count:
        place = scan.place(lines.first_trailing)
        yield Finding(
            "trailing-space",
            f"lines that end in spaces or tabs: {lines.trailing:,} "
            f"({lines.trailing / lines.count:.0%}), first at {place}.",
            f"Remove them: {mend(repairs.WITHOUT_TRAILING_SPACE, place)}",
            place,
        )
    if lines.long:
        place = scan.place(lines.first_long)
        yield Finding(
            "long-lines",
            f"lines longer than {LONG_LINE:,} characters: {lines.long:,}, first at {place}; the "
            f"longest has {lines.longest:,}.",
            f"Divide them, at spaces if possible: {mend(repairs.WITHOUT_LONG_LINES, place)}",
            place,
        )
