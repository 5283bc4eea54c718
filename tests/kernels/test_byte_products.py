"""Products of bytes have the sums that numpy's integers have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from charlstm.kernels.availability import unavailable

FAULT = unavailable("int8")
pytestmark = pytest.mark.skipif(FAULT is not None, reason=f"no products of bytes: {FAULT}")
DTYPES = ("int8", "uint8")


def byte_type() -> Any:
    """The dtype of a row of bytes here."""
    return pytest.importorskip("charlstm.kernels.products").BYTE_TYPE


def product(rows: NDArray[Any], matrix: NDArray[np.int8]) -> NDArray[np.int32]:
    """The kernel's product of (R, K) and (K, N)."""
    matmul = pytest.importorskip("charlstm.kernels.matmul")
    if rows.dtype not in (np.int8, byte_type()):
        pytest.skip("this processor, or the one that numba compiles for, has no avx512_vnni")
    packed = matmul.empty_panels(*matrix.shape, matrix)
    matmul.pack(matrix, packed, 0, len(packed))
    out = np.empty((len(rows), len(packed) * matmul.PANEL_WIDTH), dtype=np.float32)
    matmul.multiply(rows, packed, out)
    sums: NDArray[np.int32] = out.view(np.int32)[:, : matrix.shape[1]]
    return sums


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [1, 33, 200])
@pytest.mark.parametrize("depth", [4, 36])
@pytest.mark.parametrize("count", [1, 2, 3, 6, 8, 15])
def test_sums_are_exact(count: int, depth: int, columns: int, dtype: str) -> None:
    rng = np.random.default_rng(count)
    rows = rng.integers(-127, 128, (count, depth))
    matrix = rng.integers(-127, 128, (depth, columns)).astype(np.int8)
    rows = (rows + 128 * (dtype == "uint8")).astype(dtype)
    expected = rows.astype(np.int64) @ matrix.astype(np.int64)
    np.testing.assert_array_equal(product(rows, matrix), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_largest_sums_do_not_saturate(dtype: str) -> None:
    """512 products of the largest bytes, with each pair of signs: 512 * 127 * 127 is 8258048."""
    high, low = (255, 1) if dtype == "uint8" else (127, -127)
    rows = np.array([[high] * 512, [low] * 512, [high, low] * 256], dtype=dtype)
    matrix = np.array([[127] * 512, [-127] * 512, [127, -127] * 256], dtype=np.int8).T
    expected = rows.astype(np.int64) @ matrix.astype(np.int64)
    np.testing.assert_array_equal(product(rows, np.ascontiguousarray(matrix)), expected)
    if dtype == "int8":
        assert expected.max() == -expected.min() == 8258048


def test_a_byte_holds_a_number() -> None:
    """Rounded to the nearest 127th, by kernels as by numpy."""
    formats = pytest.importorskip("charlstm.inference.number_formats")
    values = np.linspace(-1, 1, 1001, dtype=np.float32)
    for dtype in {np.dtype(np.int8), byte_type()}:
        stored = formats.to_type(values, dtype)
        np.testing.assert_allclose(formats.to_float32(stored), values, atol=0.5001 / 127)
        assert (stored.min(), stored.max()) == ((1, 255) if dtype == np.uint8 else (-127, 127))
