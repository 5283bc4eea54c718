"""One rule for the types of arguments that the library's callers give.

A decorated function checks each argument against its annotation:

- `int` and `float` take Python's and numpy's numbers, but no bool; `float` takes a whole number.
- `bool` takes Python's and numpy's.
- `str`, and any other class, takes its instances.
- `str | os.PathLike[str]` takes both, and passes a text on.
- `X | None` takes None, too. `Any` takes everything: the function itself has to check it.

Nothing else is converted: not "3" to 3, nor 2.0 to 2, nor bytes to a text.
"""

from __future__ import annotations

import functools
import inspect
import os
import types
import typing
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from charlstm.config.fields import check_type, describe_value
from charlstm.errors import ArgumentTypeError

P = ParamSpec("P")
R = TypeVar("R")


def check_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """A function that checks its arguments, and receives them as the annotated types.

    Raises (when called):
        ArgumentTypeError: an argument has another type than its annotation says.
    """
    signature = inspect.signature(function)

    @functools.cache
    def hints() -> dict[str, Any]:
        return typing.get_type_hints(function)  # later than here, when all names are defined

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:  # too many, too few: Python's own message names the function
            return function(*args, **kwargs)
        for name, value in bound.arguments.items():
            if name in hints() and signature.parameters[name].kind not in _VARIADIC:
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
    if len(choices) > 1:  # the one union that there is
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
