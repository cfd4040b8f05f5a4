import numpy as np
import pytest

from minibert.layers import attention
from minibert.layers.dropout import Key
from minibert.layers.softmax import additive_mask

B, T, A, D = 2, 6, 3, 2
H = A * D
MASK = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])


@pytest.fixture
def p():
    rng = np.random.default_rng(0)
    return {name: {"weight": rng.standard_normal((H, H)), "bias": rng.standard_normal(H)} for name in ("query", "key", "value")}


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal((B, T, H))


def test_padding_is_never_looked_at(x, p):
    (context, weights), _ = attention.forward(x, p, A, additive_mask(MASK, x.dtype), rate=0.2, key=Key(3))
    assert (weights[1, :, :, 4:] == 0).all()
    other = x.copy()
    other[1, 4:] = 1e3
    (changed, _), _ = attention.forward(other, p, A, additive_mask(MASK, x.dtype), rate=0.2, key=Key(3))
    np.testing.assert_array_equal(changed[1, :4], context[1, :4])


def test_dropout_takes_whole_weights(x, p):
    (_, full), _ = attention.forward(x, p, A)
    (_, dropped), _ = attention.forward(x, p, A, rate=0.25, key=Key(3))
    kept = dropped != 0
    np.testing.assert_allclose(dropped[kept], full[kept] / 0.75, rtol=1e-14)
    assert 0.6 < kept.mean() < 0.9


def test_a_head_that_is_switched_off_says_nothing(x, p):
    gate = np.array([1.0, 0.0, 1.0])
    (context, weights), _ = attention.forward(x, p, A, head_mask=gate)
    (full, _), _ = attention.forward(x, p, A)
    assert not context[..., D:2 * D].any()
    assert not weights[:, 1].any()
    np.testing.assert_array_equal(context[..., :D], full[..., :D])


def test_weights_from_outside_take_the_place_of_ours(x, p):
    (expected, weights), _ = attention.forward(x, p, A, additive_mask(MASK, x.dtype))
    without = {"value": p["value"]}  # queries and keys are not even looked at
    (context, given_back), cache = attention.forward(x, without, A, rate=0.5, key=Key(3), override=weights)
    np.testing.assert_array_equal(context, expected)
    np.testing.assert_array_equal(given_back, weights)
    d = attention.backward(np.ones_like(context), cache, without, {"value": {k: np.zeros_like(v) for k, v in p["value"].items()}})
    assert d.override.shape == weights.shape
    assert d.head_mask is None
