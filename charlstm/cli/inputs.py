"""Texts given to `sample` and `fill`: prompts, stop texts, and texts with blanks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from charlstm.cli import output
from charlstm.cli.options import CommandFunction, config_options, given
from charlstm.config import InputConfig, TextConfig
from charlstm.errors import ConfigError, UnknownCharacterError, quoted

if TYPE_CHECKING:
    from charlstm.inference.language_model import LanguageModel
    from charlstm.inference.texts import TextReader

_ESCAPE = re.compile(
    r"\\(?:x(?P<x>[0-9a-fA-F]{2})|u(?P<u>[0-9a-fA-F]{4})|U(?P<U>[0-9a-fA-F]{8})|(?P<one>.?))",
    re.DOTALL,
)
_ONE = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "\\": "\\"}
_ENCODING = ("encoding", "encoding_errors")


def load_model(run: str | None, runs_dir: str | None) -> LanguageModel:
    """A run's model for generation, with a notice if it is hardly trained.

    Args:
        run: a run's folder or name, or a checkpoint file; None: the newest run.
        runs_dir: the folder of runs; None: the default.

    Raises:
        RunError: the run does not exist.
        CheckpointError: no checkpoint is intact.
    """
    from charlstm.inference.language_model import LanguageModel
    from charlstm.runs.find import load_model_checkpoint, runs_dir_from
    from charlstm.runs.maturity import how_to_train_on

    path, checkpoint = load_model_checkpoint(run, runs_dir_from(runs_dir), output.say)
    model = LanguageModel.from_checkpoint(path, checkpoint)
    if warning := how_to_train_on(path, checkpoint.meta):
        output.say(warning)
    return model


def input_options(group: str) -> Callable[[CommandFunction], CommandFunction]:
    """A decorator that adds `--encoding`, `--encoding-errors` and `--escapes` to a command."""

    def decorate(function: CommandFunction) -> CommandFunction:
        function = config_options(InputConfig, names=("escapes",), group=group)(function)
        return config_options(TextConfig, names=_ENCODING, group=group)(function)

    return decorate


def read_file(place: str, config: TextConfig, options: Mapping[str, Any]) -> str:
    """The text of a file, or of standard input (`-`).

    The final newline of a single line is removed.

    Args:
        place: the file.
        config: how the model's text was read.
        options: a command's options, of which `--encoding` and `--encoding-errors` are used.

    Raises:
        SourceError: it cannot be read or decoded.
        ConfigError: the encoding is unknown.
    """
    from charlstm.text.reading import read_whole

    plain = replace(config, encoding="utf-8", encoding_errors="strict")
    text = read_whole(place, replace(plain, **given(options, [TextConfig])))
    line = re.sub(r"(\r\n|\r|\n)\Z", "", text)
    if line == text:
        return text
    if not re.search(r"[\r\n]", line):
        return line  # the newline of an editor or of echo
    name = "standard input" if place == "-" else place
    output.say(
        f"{name} has several lines; its final newline is kept. Remove it to continue the last line."
    )
    return text


def check_no_file_options(options: Mapping[str, Any], need: str) -> None:
    """Check that no decoding option is given if no file is read.

    Raises:
        ConfigError: one is given.
    """
    for name in _ENCODING:
        if options.get(name) is not None:
            flag = "--" + name.replace("_", "-")
            raise ConfigError(f"{flag} requires {need}: add it, or omit {flag}.")


def read_escapes(text: str, name: str, escapes: bool | None, *, hint: bool = True) -> str:
    """A text given on the command line, with backslash escapes interpreted under `--escapes`.

    Args:
        text: the text.
        name: its option, for messages.
        escapes: whether to interpret escapes; None: neither option was given.
        hint: whether to print a notice about an apparent escape, if `escapes` is None.

    Raises:
        SourceError: the text is not valid in the terminal's encoding.
        ConfigError: an escape is unknown.
    """
    from charlstm.inference.texts import ESCAPE

    output.argument(text, name)
    if escapes:
        return _ESCAPE.sub(lambda match: _character(match, name), text)
    if escapes is None and hint and (found := ESCAPE.search(text)):
        output.say(
            f"{found[0]} in {name} is read as two characters. --escapes reads it as one; "
            "--no-escapes hides this notice."
        )
    return text


def _character(match: re.Match[str], name: str) -> str:
    digits = match["x"] or match["u"] or match["U"]
    if digits is not None:
        if (point := int(digits, 16)) < 0x110000:
            return chr(point)
    elif match["one"] in _ONE:
        return _ONE[match["one"]]
    raise ConfigError(
        f"{name} has the unknown escape {quoted(match[0])}; allowed: "
        r"\n \t \r \0 \\ \xHH \uHHHH \UHHHHHHHH (hexadecimal)."
    )


def check_backslashes(texts: TextReader, text: str, name: str, unknown: str) -> None:
    """Check that a text given without `--escapes` has no apparent escape.

    Raises:
        ConfigError: it has one, and the vocabulary has no backslash.
    """
    from charlstm.inference.texts import ESCAPE, ESCAPES_HINT

    found = ESCAPE.search(text)
    if found and unknown in ("error", "map") and not texts.tokenizer.knows("\\"):
        raise ConfigError(
            f"{name} has {quoted(found[0])}, and the model does not know the backslash.\n"
            f"{ESCAPES_HINT}"
        )


def read_given(
    texts: TextReader, parts: Iterable[str], unknown: str, before: str = ""
) -> list[str]:
    """Texts as the model reads them; reports unknown characters on stderr.

    Args:
        texts: reads as the model's text was read.
        parts: the texts.
        unknown: handling of unknown characters.
        before: the text before each part but the first.

    Raises:
        UnknownCharacterError: under `map`, a character has no equivalent. Its position counts from
            the beginning of the first part and includes `before`.
    """
    read: list[str] = []
    left_out, mapped = Counter[str](), Counter[tuple[str, str]]()
    position = 0
    for part in parts:
        try:
            result = texts.read(part, unknown, before=before if read else "")
        except UnknownCharacterError as error:
            raise UnknownCharacterError(
                error.character, position + error.position, form=error.form
            ) from error
        position += len(part) + len(before)
        read.append(result.text)
        mapped.update(result.counts)
        if unknown != "error":
            left_out.update(texts.tokenizer.unknown_characters(result.text))
    say_unknown(left_out, unknown)
    say_mapped(mapped)
    return read


def say_unknown(counts: Mapping[str, int], unknown: str) -> None:
    """Report the characters that were omitted or replaced, with their number."""
    doing = {"skip": "omitted", "replace": "replaced"}.get(unknown)
    if not counts or doing is None:
        return
    _say(sum(counts.values()), doing, [quoted(character) for character in counts])


def say_mapped(counts: Counter[tuple[str, str]]) -> None:
    """Report the characters that were mapped to equivalents, the most frequent first."""
    if counts:
        shown = [f"{quoted(old)} as {quoted(new)}" for (old, new), _ in counts.most_common()]
        _say(counts.total(), "mapped to equivalents", shown)


def _say(count: int, doing: str, shown: list[str]) -> None:
    examples = ", ".join(shown[:10]) + (", ..." if len(shown) > 10 else "")
    output.say(f"{output.counted(count, 'unknown character')} {doing}: {examples}")
