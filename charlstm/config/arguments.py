"""Type checks for the arguments of public functions.

A decorated function checks each argument against its annotation:

- `int` and `float` accept Python and numpy numbers, but no bool. `float` also accepts an int.
- `bool` accepts Python and numpy bools.
- `str`, and any other class, accepts its instances.
- `str | os.PathLike[str]` accepts both; the function receives a str.
- `X | None` also accepts None. `Any` accepts everything: the function itself must check it.

Nothing else is converted: not "3" to 3, nor 2.0 to 2, nor bytes to a str.
"""

from __future__ import annotations

import functools
import inspect
import os
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

from charlstm.config.fields import check_type, describe_value
from charlstm.errors import ArgumentTypeError, ConfigError

P = ParamSpec("P")
R = TypeVar("R")


def check_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function to check its arguments and convert them to the annotated types.

    Raises (when called):
        ArgumentTypeError: an argument's type does not match its annotation.
    """

    @functools.cache  # at the first call: most functions of a module are not called
    def signature() -> inspect.Signature:
        return inspect.signature(function)

    @functools.cache
    def hints() -> dict[str, Any]:
        return typing.get_type_hints(function)  # deferred: some names are defined later

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            bound = signature().bind(*args, **kwargs)
        except TypeError:  # wrong number: Python's own message names the function
            return function(*args, **kwargs)
        for name, value in bound.arguments.items():
            if name in hints() and signature().parameters[name].kind not in _VARIADIC:
                bound.arguments[name] = _checked(name, value, hints()[name])
        return function(*bound.args, **bound.kwargs)

    return checked


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _checked(name: str, value: Any, hint: Any) -> Any:
    choices = list(typing.get_args(hint)) if isinstance(hint, types.UnionType) else [hint]
    optional = types.NoneType in choices
    if optional:
        choices.remove(types.NoneType)
        if value is None:
            return None
    if len(choices) > 1:  # str | os.PathLike[str], the only union in use
        return check_path(name, value, optional=optional)
    if choices[0] is Any:
        return value
    kind: Any = typing.get_origin(choices[0]) or choices[0]
    return check_type(name, value, kind, optional=optional)


def check_path(name: str, value: Any, *, optional: bool = False) -> str:
    """The path as a text, if `value` is one.

    Raises:
        ArgumentTypeError: it is not.
    """
    if isinstance(value, (str, os.PathLike)):
        path = os.fspath(value)
        if isinstance(path, str):
            return path
    end = " or None" if optional else ""
    raise ArgumentTypeError(
        f"{name} must be a path (str or PathLike){end}, not {describe_value(value)}."
    )


def check_paths(texts: Any, name: str = "texts") -> list[str]:
    """The paths of texts, given as one path or several.

    Args:
        texts: the argument.
        name: the argument's name.

    Raises:
        ArgumentTypeError: they are something else.
        ConfigError: one has a line break, and is probably a text.
    """
    if isinstance(texts, str | os.PathLike):
        texts = [texts]
    if not isinstance(texts, Iterable) or isinstance(texts, bytes | bytearray):
        raise ArgumentTypeError(
            f"{name} must be a path or several (str or PathLike), not {describe_value(texts)}."
        )
    paths = [check_path("a text", path) for path in texts]
    for path in paths:
        if "\n" in path:
            raise ConfigError("the name of a text has a line break: give a text itself as text=...")
    return paths
