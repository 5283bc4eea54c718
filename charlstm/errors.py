"""Every error that a user can meet, each with the exit code of the command it ends."""

from __future__ import annotations

from typing import Any, ClassVar, Self


class Picklable:
    """An exception with a constructor of its own that can still pass between processes.

    By default, unpickling calls the class with `args`, which are the finished message and not what
    the constructor takes.
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
    """Something a user can understand and mend; its text is one or two lines.

    The text says what is wrong (with the file, option or character), what is allowed, and the
    way out.
    """

    exit_code: ClassVar[int] = 1


class ConfigError(CharlstmError):
    """An option's value is out of its range, or options contradict each other."""

    exit_code = 2


class UnknownOptionError(ConfigError):
    """A configuration that was read from a file has an option that this version does not know."""


class ArgumentTypeError(ConfigError, TypeError):
    """An argument, an option or a field has the wrong type, or a name that there is not."""


class IdError(ConfigError, IndexError):
    """An id lies outside the vocabulary."""


class SourceError(CharlstmError):
    """A text cannot be found, read or decoded."""


class CorpusError(CharlstmError):
    """The text was read, but cannot be trained on or scored (too short, changed, ...)."""


class ChangedTextError(CorpusError):
    """The text is not the one it was."""


class UnknownCharacterError(CharlstmError):
    """A text holds a character that the model has never seen.

    Attributes:
        character: the character.
        position: its index in the text, counted from 0.
        source: which of several texts; empty if there is one.
        form: what the model's text has in place of it (see `charlstm.text.equivalents`), with
            what it stands for; None if there is nothing like it.
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
            way_out = (
                "Use --unknown skip (from Python: unknown='skip') to leave such characters out, or "
                "replace."
            )
        else:
            old, new = form
            text += f"; its text has {show_text(new) if new else 'nothing'} "
            text += "in its place" if old == character else f"for {show_text(old)}"
            way_out = (
                "Use --unknown map (from Python: unknown='map') to write it so, or "
                "--unknown skip or replace."
            )
        super().__init__(f"{text}.\n{way_out}")


def show_text(text: str) -> str:
    """A short text for a message: in quotation marks, with its code points if they are few."""
    if len(text) > 2:
        return quoted(text)
    return f"{quoted(text)} ({' '.join(f'U+{ord(c):04X}' for c in text)})"


def quoted(text: str) -> str:
    """A text in quotation marks, as `repr` writes it, but with backslashes as they are."""
    return repr(text).replace("\\\\", "\\")


class CheckpointError(CharlstmError):
    """A checkpoint is damaged, foreign, too new, or cannot be written."""


class RunError(CharlstmError):
    """A run does not exist, exists already, or cannot be continued as asked."""


class DirectionError(CharlstmError):
    """A model reads in another direction than the task needs."""


class DeviceError(CharlstmError):
    """A device was asked for that this machine does not have."""


class CompiledCodeError(CharlstmError):
    """Compiled code cannot be used on this machine, as numba is set up; numpy or torch is used."""


class ProcessorError(CompiledCodeError):
    """This processor lacks the instructions."""


class CompiledCodeWarning(RuntimeWarning):
    """Compiled code is installed but cannot be used, so that the work takes longer."""


class DistributedError(CharlstmError):
    """Another of the processes that train one model has ended, or cannot be reached."""


class DivergenceError(CharlstmError):
    """The loss or its gradient is not finite; the weights were not changed."""
