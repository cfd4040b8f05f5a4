"""The stochastic answer network: what is dropped, what is looked at, and numbers that stay finite."""

import numpy as np
import pytest

from minibert.config import BertConfig
from minibert.layers import mixture
from minibert.layers.dropout import Key
from minibert.model.heads import san
from minibert.parameters import Layout, Parameters

H, C = 6, 3
CONFIG = BertConfig(hidden_size=H, num_attention_heads=2, hidden_dropout_prob=0.2)
TYPES = np.array([[0, 0, 0, 1, 1]])


@pytest.fixture
def head():
    """Random parameters, and the vectors of a pair of texts."""
    layout, rng = Layout(san.shapes(CONFIG, C)), np.random.default_rng(0)
    return Parameters(layout, rng.standard_normal(layout.size)).tree, rng.standard_normal((1, 5, H))


def test_the_same_key_drops_the_same_and_another_does_not(head):
    p, x = head
    once, again, other, none = (san.forward(x, None, TYPES, p, CONFIG, key)[0] for key in (Key(1), Key(1), Key(2), None))
    np.testing.assert_array_equal(once, again)
    assert not np.allclose(once, other)
    assert not np.allclose(once, none)


def test_padding_changes_nothing(head):
    p, x = head
    longer = np.concatenate([x, np.full((1, 2, H), 9.0)], 1)
    mask, types = np.arange(7)[None] < 5, np.array([[0, 0, 0, 1, 1, 0, 0]])
    np.testing.assert_allclose(san.forward(longer, mask, types, p)[0], san.forward(x, None, TYPES, p)[0], rtol=1e-12)


def test_the_first_text_begins_and_the_second_is_looked_at(head):
    """Of one turn: the state is of the first text alone, what is seen of the second."""
    p, x = head
    _, cache = san.forward(x, None, TYPES, p, turns=2)
    assert (cache.first.a[0, 3:] == 0).all()
    assert all((turn.attention.a[0, :3] == 0).all() for turn in cache.turns)
    assert [turn.gru is None for turn in cache.turns] == [False, True]  # nobody reads the last state


def test_one_turn_of_every_example_stays():
    kept = np.stack([san._kept(Key(0, step), 5, 400, 0.9, np, np.float64) for step in range(20)])  # (20, 5, 400)
    assert set(np.unique(kept > 0)) == {False, True}
    assert len(np.unique(kept)) == 2
    assert (kept > 0).any(1).all()
    assert np.mean(kept > 0) == pytest.approx(0.2 + 0.8 * 0.1, abs=0.01)
    assert np.ptp((kept > 0).mean((0, 2))) < 0.03  # no turn is the one that stays more often


def test_turns_that_are_dropped_have_no_part(head):
    rng = np.random.default_rng(1)
    x, m = rng.standard_normal((3, 2, C)), np.array([[0.0, 2], [0, 0], [2, 0]])
    y, cache = mixture.forward(x, m)
    alone = np.stack([x[2, 0], x[0, 1]])
    np.testing.assert_allclose(np.exp(y), 2 / 3 * np.exp(alone) / np.exp(alone).sum(-1, keepdims=True), rtol=1e-12)
    dx = mixture.backward(np.ones((2, C)), cache)
    assert not dx[:2, 0].any()
    assert not dx[1:, 1].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_probability_of_zero_has_a_finite_logarithm(dtype):
    x = np.zeros((2, 1, 2), dtype)
    x[..., 0] = 2000  # exp(-2000) is 0 in both
    for m in (None, np.array([[2], [0]], dtype)):
        y, cache = mixture.forward(x, m)
        np.testing.assert_allclose(y, [[0, -2000]], atol=1e-3)
        assert np.isfinite(mixture.backward(np.ones((1, 2), dtype), cache)).all()


def test_the_mean_is_of_probabilities():
    x = np.random.default_rng(2).standard_normal((4, 3, 5))
    e = np.exp(x)
    np.testing.assert_allclose(np.exp(mixture.forward(x)[0]), (e / e.sum(-1, keepdims=True)).mean(0), rtol=1e-12)
