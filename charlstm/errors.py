"""The exceptions of the library, each with the exit code of the command line."""

from __future__ import annotations

import unicodedata
from typing import Any, ClassVar, Self


class Picklable:
    """Mixin that makes exceptions with their own constructor picklable.

    By default, unpickling calls the class with `args`, which hold the message and not the
    constructor's arguments.
    """

    args: tuple[Any, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        return self._restored, (self.args, vars(self))

    @classmethod
    def _restored(cls, args: tuple[Any, ...], attributes: dict[str, Any]) -> Self:
        error = cls.__new__(cls, *args)
        vars(error).update(attributes)
        return error


class CharlstmError(Picklable, Exception):
    """Base class of errors that a user can fix.

    The message has one or two lines: what is wrong (with the file, option or character), what is
    allowed, and what to do.
    """

    exit_code: ClassVar[int] = 1


class ConfigError(CharlstmError):
    """An option's value is out of its range, or options contradict each other."""

    exit_code = 2


class UnknownOptionError(ConfigError):
    """A configuration read from a file has an unknown option."""


class ArgumentTypeError(ConfigError, TypeError):
    """An argument, an option or a field has the wrong type, or an unknown name."""


class IdError(ConfigError, IndexError):
    """An id is outside the vocabulary."""


class SourceError(CharlstmError):
    """A text cannot be found, read or decoded."""


class DownloadError(CharlstmError):
    """A file cannot be downloaded or unpacked, or is not the expected one."""


class CorpusError(CharlstmError):
    """A text cannot be trained or evaluated on: it is too short, has changed, ..."""


class ChangedTextError(CorpusError):
    """A text has changed since the run was started.

    Attributes:
        part: the part whose separate text has changed; empty: the text itself.
    """

    def __init__(self, message: str, part: str = "") -> None:
        self.part = part
        super().__init__(message)


class UnknownCharacterError(CharlstmError):
    """A text contains a character outside the vocabulary.

    Attributes:
        character: the character.
        position: its index in the text, counted from 0.
        source: the name of the text, if there are several; otherwise empty.
        form: the part of the text and its equivalent in the vocabulary (see
            `charlstm.text.equivalents`); None if there is none.
    """

    def __init__(
        self,
        character: str,
        position: int,
        source: str = "",
        form: tuple[str, str] | None = None,
    ) -> None:
        self.character = character
        self.position = position
        self.source = source
        self.form = form
        where = f"position {position} of {source}" if source else f"position {position}"
        text = (
            f"the model does not know the character {show_text(character)} at {where}, "
            "counted from 0"
        )
        if form is None:
            advice = (
                "--unknown skip omits such characters, --unknown replace replaces them "
                "(from Python: unknown='skip')."
            )
        else:
            old, new = form
            text += f"; its text has {show_text(new) if new else 'nothing'} "
            text += "in its place" if old == character else f"for {show_text(old)}"
            advice = (
                "--unknown map uses the equivalent (from Python: unknown='map'); --unknown skip "
                "omits such characters."
            )
        super().__init__(f"{text}.\n{advice}")


def show_text(text: str) -> str:
    """A short text for a message: in quotation marks, with one or two code points."""
    if len(text) > 2:
        return quoted(text)
    return f"{quoted(text)} ({' '.join(f'U+{ord(c):04X}' for c in text)})"


def quoted(text: str) -> str:
    """A text in quotation marks, as `repr` writes it, but with single backslashes.

    A combining mark at its beginning is escaped: terminals draw it over the quotation mark.
    """
    rest = text
    while rest and unicodedata.category(rest[0]) in {"Mn", "Me", "Mc"}:
        rest = rest[1:]
    marks = text[: len(text) - len(rest)].encode("unicode_escape").decode("ascii")
    shown = repr(rest).replace("\\\\", "\\")
    return f"{shown[0]}{marks}{shown[1:]}"


class CheckpointError(CharlstmError):
    """A checkpoint is damaged, not valid, too new, or cannot be written."""


class RunError(CharlstmError):
    """A run does not exist, exists already, or cannot be resumed as requested."""


class SearchError(CharlstmError):
    """A search cannot be continued as requested, or its storage cannot be used."""


class DirectionError(CharlstmError):
    """The task does not support the model's `--direction`."""


class DeviceError(CharlstmError):
    """A requested device is not available."""


class MemoryLimitError(CharlstmError):
    """A training does not fit in the available memory."""


class CompiledCodeError(CharlstmError):
    """Compiled code cannot be used on this machine."""


class ProcessorError(CompiledCodeError):
    """The processor lacks required instructions."""


class CompiledCodeWarning(RuntimeWarning):
    """Compiled code is installed but cannot be used; slower code is used instead."""


class DistributedError(CharlstmError):
    """Another process of the group has ended, or cannot be reached."""


class DivergenceError(CharlstmError):
    """The loss or the gradient is not finite; the weights are unchanged."""
