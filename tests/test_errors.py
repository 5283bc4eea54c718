"""Errors: they pass from one process to another with all that they say."""

from __future__ import annotations

import copy
import importlib
import inspect
import multiprocessing
import pickle
import pkgutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import charlstm
from charlstm.errors import UnknownCharacterError, quoted
from tests.models import score_text

SAMPLES: dict[str, Any] = {"str": "\u00e9", "int": 3}
"""An argument of each type that a constructor takes."""


def defined() -> Iterator[type[BaseException]]:
    """Every exception class of the package, private ones included."""
    for module in pkgutil.walk_packages(charlstm.__path__, "charlstm."):
        try:
            found = importlib.import_module(module.name)
        except ImportError:
            assert "kernel" in module.name or "fast" in module.name  # numba is not installed
            continue
        for value in vars(found).values():
            if (
                isinstance(value, type)
                and issubclass(value, BaseException)
                and value.__module__ == module.name
            ):
                yield value


def raised(kind: type[BaseException]) -> BaseException:
    """An error of the class, every argument of its constructor given."""
    if "__init__" not in vars(kind):
        return kind("what is wrong.\nThe way out.")
    parameters = list(inspect.signature(kind).parameters.values())
    return kind(*(SAMPLES.get(str(p.annotation), ("a", "b")) for p in parameters))


@pytest.mark.parametrize("kind", sorted(defined(), key=str))
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_error_survives_pickling(kind: type[BaseException], protocol: int) -> None:
    error = raised(kind)
    error.add_note("while reading")
    for other in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error)):
        assert type(other) is kind
        assert (str(other), other.args) == (str(error), error.args)
        assert vars(other) == vars(error)
        assert other.__notes__ == ["while reading"]
        assert getattr(other, "exit_code", None) == getattr(error, "exit_code", None)


def test_an_error_in_a_worker_process_arrives_whole(trained: Path) -> None:
    run = str(trained / "checkpoints" / "play")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        failed, scored = (
            pool.submit(score_text, run, "caf\u00e9"),
            pool.submit(score_text, run, "The sea"),
        )
        with pytest.raises(UnknownCharacterError) as caught:
            failed.result(timeout=60)
        assert (caught.value.character, caught.value.position) == ("\u00e9", 3)
        assert "U+00E9" in str(caught.value)
        assert scored.result(timeout=60) > 0  # the pool is not broken


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\u0301", r"'\u0301'"),
        ("\u0301\u0308e", r"'\u0301\u0308e'"),
        ("e\u0301", "'e\u0301'"),
        ("'", '"\'"'),
        ("\\", r"'\'"),
        ("", "''"),
    ],
)
def test_quoted_text_does_not_begin_with_a_combining_mark(text: str, shown: str) -> None:
    assert quoted(text) == shown
