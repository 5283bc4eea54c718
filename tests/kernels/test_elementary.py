"""The elementary functions of compiled code."""

from __future__ import annotations

import numpy as np
import pytest

from tests.inference.writers import NO_NUMBA


def test_its_exp() -> None:
    elementary = pytest.importorskip("charlstm.kernels.elementary", reason=NO_NUMBA)
    values = np.linspace(-86, 0, 5001, dtype=np.float32)
    found = np.array([elementary.exp(value) for value in values])
    np.testing.assert_allclose(found, np.exp(values.astype(np.float64)), rtol=1e-6)
    assert elementary.exp(np.float32(-np.inf)) < 1e-37


def test_its_tanh() -> None:
    elementary = pytest.importorskip("charlstm.kernels.elementary", reason=NO_NUMBA)
    values = np.linspace(-12, 12, 5001, dtype=np.float32)
    found = np.array([elementary.tanh(value) for value in values])
    np.testing.assert_allclose(found, np.tanh(values.astype(np.float64)), atol=5e-7)
    assert elementary.tanh(np.float32(np.inf)) == pytest.approx(1)


def test_conversions_have_no_meaning_without_compilation() -> None:
    """Which of them runs depends on the array's type, which Python's numbers do not have."""
    elementary = pytest.importorskip("charlstm.kernels.elementary", reason=NO_NUMBA)
    with pytest.raises(NotImplementedError):
        elementary.to_float32(1)
    with pytest.raises(NotImplementedError):
        elementary.from_float32(1.0, 1)
