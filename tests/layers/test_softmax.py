import numpy as np
import pytest

from minibert.layers import attention, attention_probs, softmax
from minibert.layers.softmax import additive_mask

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@DTYPES
def test_rows_are_distributions_and_padding_gets_exactly_nothing(dtype):
    x = 10 * np.random.default_rng(0).standard_normal((2, 3, 4, 4)).astype(dtype)
    y, _ = softmax.forward(x, additive_mask(np.array([[1, 1, 0, 0], [1, 1, 1, 1]]), dtype))
    np.testing.assert_allclose(y.sum(-1), 1, rtol=1e-6)
    assert (y[0, ..., 2:] == 0).all()
    assert (y[1] > 0).all()


@DTYPES
def test_a_row_that_is_all_padding_is_no_nan(dtype):
    x = np.random.default_rng(0).standard_normal((2, 1, 3, 3)).astype(dtype)
    mask = np.array([[0, 0, 0], [1, 0, 1]])
    y, cache = softmax.forward(x, additive_mask(mask, dtype))
    np.testing.assert_allclose(y.sum(-1), 1, rtol=1e-6)
    assert np.isfinite(softmax.backward(np.ones_like(x), cache)).all()
    p = {name: {"weight": np.eye(4, dtype=dtype), "bias": np.zeros(4, dtype)} for name in ("query", "key", "value")}
    (context, weights), _ = attention.forward(np.ones((2, 3, 4), dtype), p, 2, additive_mask(mask, dtype))
    assert np.isfinite(context).all()
    assert np.isfinite(weights).all()


@DTYPES
def test_large_scores_do_not_overflow(dtype):
    x = np.array([[1e4, 0.0, -1e4], [3e4, 3e4, 3e4]], dtype)
    y, _ = softmax.forward(x)
    np.testing.assert_allclose(y, [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-6)


def test_the_mask_says_who_sees_whom():
    keys = additive_mask(np.array([[1, 1, 0]]), np.float64)
    assert keys.shape == (1, 1, 1, 3)
    np.testing.assert_array_equal(keys == 0, [[[[True, True, False]]]])
    pairs = additive_mask(np.tri(3)[None], np.float32)
    assert pairs.shape == (1, 1, 3, 3)
    assert pairs.dtype == np.float32
    probs, _ = attention_probs.forward(np.ones((1, 2, 3, 3), np.float32), pairs)
    np.testing.assert_allclose(probs[0, 0], [[1, 0, 0], [1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-6)


@pytest.mark.parametrize("kind", [bool, np.int64, np.float32])
def test_a_mask_may_have_any_dtype(kind):
    mask = np.array([[1, 0]], dtype=kind)
    np.testing.assert_array_equal(additive_mask(mask, np.float32), np.array([0, softmax.MASKED], np.float32)[None, None, None])


def test_a_mask_of_another_shape_is_an_error():
    with pytest.raises(ValueError, match=r"attention mask: expected shape \(B, T\) or \(B, T, T\), got \(2,\)"):
        additive_mask(np.ones(2), np.float32)
