"""Sums over many rows, in float32, against float64: what the gradients of biases, norms and tables are made of."""

import numpy as np
import pytest

from minibert.layers import bias_gelu, embedding, layernorm, linear
from minibert.model import embeddings
from minibert.numerics import rows
from tests.model.examples import random_parameters, small_config

U = np.finfo(np.float32).eps / 2  # an addition in float32 is off by at most U times its result
COUNTS = pytest.mark.parametrize("count", [512, 4096, 2**16])


def assert_sum(got, terms):
    """``got`` is Σ terms (N, …) over N, as near as float32 allows where each goes through so many additions.

    Those are at most BLOCK within its block, and one for each block.
    """
    additions = rows.BLOCK + -(-len(terms) // rows.BLOCK)
    limit = additions * U / (1 - additions * U) * np.abs(terms).sum(0, dtype=np.float64)
    assert got.dtype == np.float32
    assert got.shape == terms.shape[1:]
    assert (np.abs(got - terms.sum(0, dtype=np.float64)) <= limit).all()


@pytest.mark.parametrize("count", [0, 1, 511, 512, 513, 1024, 5000, 2**17])
@pytest.mark.parametrize("shape", [(5,), (2, 3)])
def test_down_the_rows(count, shape):
    for x in (np.full((count, *shape), 0.1, np.float32), np.random.default_rng(0).standard_normal((count, *shape), np.float32)):
        assert_sum(rows.down(x), x)
        assert_sum(rows.down(np.asfortranarray(x)[::-1]), x)


def test_down_keeps_what_is_wider_and_widens_what_is_narrower():
    x = np.full((5000, 3), 0.1)
    np.testing.assert_allclose(rows.down(x), 500, rtol=1e-14)
    np.testing.assert_allclose(rows.down(x * 1j), 500j, rtol=1e-14)
    half = np.ones((5000, 3), np.float16)  # one after the other, in float16, they stop at 2048
    np.testing.assert_array_equal(rows.down(half), 5000)


def tenths(*shape):
    return np.full(shape, 0.1, np.float32)  # of one sign: what is lost is not won back


def leaf(*shape):
    return np.zeros(shape, np.float32)


@COUNTS
def test_the_bias_of_a_linear_layer(count):
    dy, g = tenths(count // 64, 64, 4), {"weight": leaf(4, 3), "bias": leaf(4)}
    linear.backward(dy, linear.Cache(tenths(count // 64, 64, 3)), {"weight": tenths(4, 3)}, g)
    assert_sum(g["bias"], dy.reshape(count, 4))


@COUNTS
def test_the_bias_before_a_gelu(count):
    dy, g = tenths(count // 64, 64, 4), {"bias": leaf(4)}
    _, cache = bias_gelu.forward(dy, {"bias": leaf(4)})
    dx = bias_gelu.backward(dy, cache, {}, g)
    assert_sum(g["bias"], dx.reshape(count, 4))


@COUNTS
def test_weight_and_bias_of_a_layer_norm(count):
    dy, g = tenths(count // 64, 64, 4), {"weight": leaf(4), "bias": leaf(4)}
    x = tenths(count // 64, 64, 4) * np.array([1, 2, 4, 8], np.float32)
    _, cache = layernorm.forward(x, {"weight": leaf(4), "bias": leaf(4)})
    layernorm.backward(dy, cache, {"weight": leaf(4)}, g)
    assert_sum(g["bias"], dy.reshape(count, 4))
    assert_sum(g["weight"], (dy * cache.xhat).reshape(count, 4))


@COUNTS
def test_the_row_of_a_table(count):
    dy, table = tenths(count, 3), leaf(5, 3)
    ids = np.where(np.arange(count) % 7 == 0, 4, 1)
    embedding.add_rows(table, ids, dy)
    for i in (1, 4):
        assert_sum(table[i], dy[ids == i])
    assert not table[[0, 2, 3]].any()


@COUNTS
def test_the_rows_of_positions_and_types(count):
    config = small_config(hidden_size=4, max_position_embeddings=2, hidden_dropout_prob=0.0)
    p = random_parameters(config, dtype=np.float32)
    g = p.zeros_like()
    p, g = p["bert"]["embeddings"], g["bert"]["embeddings"]
    ids = np.full((count, 1), 7)
    _, cache = embeddings.forward(ids, np.zeros_like(ids), p, config)
    de = embeddings.backward(np.tile(np.array([1, 2, 4, 9], np.float32) / 10, (count, 1, 1)), cache, p, g)
    for name, row in (("position", 0), ("token_type", 0), ("word", 7)):
        assert_sum(g[f"{name}_embeddings"]["weight"][row], de[:, 0])
