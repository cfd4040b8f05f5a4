"""Products of rows by weights, and their gradient: all forms say the same."""

from __future__ import annotations

import numpy as np
import pytest

from minibert.numerics import products


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
@pytest.mark.parametrize("rows", [0, 1, 2, products.FEWER, products.FEWER + 1, products.FEW, products.FEW + 1])
@pytest.mark.parametrize("width", [1, products.WIDE - 1, products.WIDE, products.SMALL // 2, products.SMALL // 2 + 1])
@pytest.mark.parametrize("outputs", [3, 2 * products.BLOCK])
def test_rows_times_weights_is_the_sum_of_products_however_many_rows_there_are(outputs, rows, width, dtype):
    rng = np.random.default_rng(0)
    x, w = ((rng.standard_normal((n, width)) / width ** 0.25).astype(dtype) for n in (rows, outputs))
    y = products.times_transposed(x, w)
    assert (y.shape, y.dtype, y.flags.c_contiguous) == ((rows, outputs), dtype, True)
    np.testing.assert_allclose(y, np.einsum("nk,mk->nm", x, w), atol=1e-4 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("m", [7, products.LARGE // 768 + 2])  # whole, and in pieces of which the last is smaller
def test_a_gradient_is_added_whole_or_in_pieces(m):
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((3, n), dtype=np.float32) for n in (m, 768))
    total = np.ones((m, 768), np.float32)
    products.add_transposed(total, a, b)
    np.testing.assert_allclose(total, 1 + np.einsum("nm,nk->mk", a, b), atol=1e-5)
