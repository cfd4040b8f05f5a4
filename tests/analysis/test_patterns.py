"""Planted maps of each kind, and heads that are off."""

import numpy as np
import pytest

from minibert.analysis import inside, masked, patterns
from minibert.api import Bert
from tests import tiny_model

TEXTS = ["the abc raises.", "an exception", ("the x raises", "an exception."), "q r s"]
ADDED = np.array([1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1], bool)
SEGMENTS = np.array([0] * 7 + [1] * 6)


@pytest.fixture
def bert():
    config, parameters, tokenizer = tiny_model.make()
    return Bert(config, parameters.astype(np.float64), tokenizer)


def planted():
    T = len(ADDED)
    vertical = np.tile(ADDED / ADDED.sum(), (T, 1))
    diagonal = np.eye(T, k=-1) + np.eye(T) * (np.arange(T) == 0)
    block = (SEGMENTS[:, None] == SEGMENTS) & ~ADDED
    block = block / block.sum(1, keepdims=True)
    even = np.full((T, T), 1 / T)
    return {"vertical": vertical, "diagonal": diagonal, "both": 0.45 * vertical + 0.45 * diagonal + 0.1 * even, "block": block,
            "heterogeneous": even}


def test_five_planted_maps_have_five_kinds():
    maps = planted()
    found = patterns.kind(np.stack([maps[name] for name in patterns.KINDS])[None], ADDED, SEGMENTS)
    assert [patterns.KINDS[i] for i in found[0]] == list(patterns.KINDS)


def test_a_text_alone_has_no_blocks():
    assert patterns.KINDS[int(patterns.kind(planted()["heterogeneous"], ADDED, SEGMENTS * 0))] == "heterogeneous"


def test_a_head_that_is_off_gives_the_mean_of_real_values(bert):
    [batch] = masked.batches(bert, TEXTS)
    _, on = masked.forward(bert, batch, wrap=lambda layers: layers)
    _, cache = masked.forward(bert, batch, change=patterns.off([(0, 2)]), wrap=lambda layers: layers)
    block, before = cache.bert.encoder.blocks[0].attention, on.bert.encoder.blocks[0].attention
    real = batch.real[:, None, :, None]
    mean = ((block.v * real).sum(2) / real.sum(2))[:, 2, None]  # (B, 1, D)
    found = (block.weights @ block.v)[:, 2]
    np.testing.assert_allclose(found, np.broadcast_to(mean, found.shape), rtol=0, atol=1e-14)
    np.testing.assert_array_equal(block.weights[:, :2], before.weights[:, :2])


def test_off_is_not_nothing(bert):
    corpus = masked.batches(bert, TEXTS)
    off = masked.losses(bert, corpus, change=patterns.off([(0, 2)])).mean()
    assert abs(off - masked.losses(bert, corpus, inside.open_gates(bert, [(0, 2)])).mean()) > 1e-6


def test_a_head_is_chosen_on_one_half_and_measured_on_the_other(bert):
    found = patterns.measure(bert, TEXTS, seed=3)
    first, second = masked.batches(bert, TEXTS[::2], seed=3), masked.batches(bert, TEXTS[1::2], seed=3)
    effects = np.array([[masked.losses(bert, first, change=patterns.off([(i, j)])).mean() for j in range(3)] for i in range(2)])
    np.testing.assert_allclose(found.heads, effects - masked.losses(bert, first).mean(), rtol=0, atol=1e-12)
    assert effects[found.chosen] == effects.min()
    gain = masked.losses(bert, second) - masked.losses(bert, second, change=patterns.off([found.chosen]))
    assert (found.gain, found.error) == pytest.approx((gain.mean(), gain.std() / np.sqrt(len(gain))), abs=1e-12)
    every = masked.losses(bert, first, change=patterns.off([(1, 0), (1, 1), (1, 2)])).mean() - masked.losses(bert, first).mean()
    assert found.layers[1] == pytest.approx(every, abs=1e-12)
    np.testing.assert_allclose(found.kinds.sum(-1), 1, rtol=0, atol=1e-12)
    assert patterns.plot(found).axes
    with pytest.raises(ValueError, match="at least 2, got 1"):
        patterns.measure(bert, TEXTS[:1])


def test_how_alike_two_models_maps_are():
    rng = np.random.default_rng(0)
    a = rng.random((2, 3, 5, 5))
    np.testing.assert_allclose(patterns.cosines(a, 2 * a), 1, rtol=0, atol=1e-12)
    x, y = np.zeros((1, 1, 2, 2)), np.zeros((1, 1, 2, 2))
    x[..., 0, 0], y[..., 0, 0], y[..., 1, 1] = 1, 3, 4
    assert patterns.cosines(x, y)[0, 0] == pytest.approx(0.6, abs=1e-12)
