"""Where compiled code is available."""

from __future__ import annotations

import pytest

from charlstm.errors import CompiledCodeError, ProcessorError
from charlstm.kernels.availability import unavailable
from tests.inference.writers import NO_NUMBA

llvm = pytest.importorskip("charlstm.kernels.llvm", reason=NO_NUMBA)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_a_processor_without_the_instructions(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llvm, "IS_X86", True)
    monkeypatch.setattr(llvm, "instructions", lambda of_host=False: frozenset({"sse2"}))
    error = unavailable(precision)
    assert isinstance(error, ProcessorError)
    assert f"no {precision} products" in str(error)


def test_numba_is_set_to_a_lesser_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    every = frozenset({"avx2", "fma", "avx512f", "avx512bf16", "avx512vnni", "avx512bw"})
    monkeypatch.setattr(llvm, "IS_X86", True)
    monkeypatch.setattr(llvm, "instructions", lambda of_host=False: every if of_host else {"sse2"})
    error = unavailable("float32")
    assert isinstance(error, CompiledCodeError)
    assert "NUMBA_CPU_NAME" in str(error)


def test_float32_on_processors_other_than_x86(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llvm, "IS_X86", False)
    monkeypatch.setattr(llvm, "instructions", lambda of_host=False: frozenset())
    assert unavailable("float32") is None
    assert isinstance(unavailable("bfloat16"), ProcessorError)
