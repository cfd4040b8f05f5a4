"""Replaced attention, where what comes out is known."""

import numpy as np
import pytest

from minibert.analysis import masked, replaced
from minibert.api import Bert
from minibert.model import pretraining
from minibert.model.pretraining import Output
from tests import tiny_model

TEXTS = ["the abc raises.", "an exception", "the x raises an exception.", "q r s"]


@pytest.fixture
def bert():
    config, parameters, tokenizer = tiny_model.make()
    return Bert(config, parameters.astype(np.float64), tokenizer)


@pytest.fixture
def attention():
    rng = np.random.default_rng(3)
    real = np.array([[True] * 5, [True, True, True, False, False]])
    a = rng.random((2, 3, 5, 5)) * real[:, None, None]
    return a / a.sum(-1, keepdims=True), real


@pytest.mark.parametrize("kind", replaced.KINDS.values())
def test_rows_still_add_up_to_one_and_padding_has_nothing(attention, kind):
    weights, real = attention
    before = weights.copy()
    found = kind(1, weights, real, seed=7)
    np.testing.assert_allclose(found.sum(-1), 1, rtol=0, atol=1e-12)
    assert (found[1][..., 3:] == 0).all()
    assert (found == kind(1, weights, real, seed=7)).all()
    assert (weights == before).all()


def test_permuted_rows_hold_the_same_weights(attention):
    weights, real = attention
    found = replaced.permuted(0, weights, real)
    np.testing.assert_array_equal(np.sort(found, -1), np.sort(weights, -1))
    assert (found != weights).mean() > 0.3
    assert (found != replaced.permuted(1, weights, real)).any()


def test_uniform_attention_gives_the_mean_of_the_values(bert):
    [batch] = masked.batches(bert, TEXTS)
    _, cache = masked.forward(bert, batch, change=replaced.uniform, wrap=lambda layers: layers)
    for block in cache.bert.encoder.blocks:
        real = batch.real[:, None, :, None]
        mean = (block.attention.v * real).sum(2) / real.sum(2)  # (B, A, D)
        found = block.attention.weights @ block.attention.v
        np.testing.assert_allclose(found, np.broadcast_to(mean[:, :, None], found.shape), rtol=0, atol=1e-14)


def test_a_model_that_attends_evenly_loses_nothing_by_it(bert):
    for i in range(2):
        own = bert.parameters["bert"]["encoder"]["layer"][str(i)]["attention"]["self"]
        own["query"]["weight"][...] = 0
        own["query"]["bias"][...] = 0
    found = replaced.measure(bert, TEXTS)
    assert found.all["uniform"] == pytest.approx(found.own, abs=1e-12)
    assert found.all["permuted"] == pytest.approx(found.own, abs=1e-12)
    assert found.error["uniform"] == pytest.approx(0, abs=1e-12)
    assert abs(found.all["random"] - found.own) > 1e-6
    assert replaced.plot(found).axes


def test_one_layer_alone(bert):
    found, corpus = replaced.measure(bert, TEXTS, seed=2), masked.batches(bert, TEXTS, seed=2)
    layers = []

    def change(layer, weights, real):
        layers.append(layer)
        return replaced.uniform(layer, weights, real) if layer else weights

    assert found.single["uniform"][1] == pytest.approx(masked.losses(bert, corpus, change=change).mean(), abs=1e-12)
    assert found.nothing == pytest.approx(masked.losses(bert, corpus, np.zeros((2, 3))).mean(), abs=1e-12)
    assert found.tokens == sum(len(batch.inputs.labels) for batch in corpus)


def test_the_gradient_is_that_of_a_model_with_given_attention(bert):
    """What learns with replaced attention: the wrapped block's backward, against a step of a value weight."""
    [batch] = masked.batches(bert, TEXTS)
    g = bert.parameters.zeros_like()
    _, cache = masked.forward(bert, batch, change=replaced.uniform, wrap=lambda layers: layers)
    pretraining.backward(Output(loss=1.0), cache, bert.parameters, g)
    own = bert.parameters["bert"]["encoder"]["layer"]["0"]["attention"]["self"]
    h, slopes = 1e-5, []
    for step in (h, -h):
        own["value"]["weight"][2, 3] += step
        slopes.append(masked.losses(bert, [batch], change=replaced.uniform).sum())
        own["value"]["weight"][2, 3] -= step
    inside = g["bert"]["encoder"]["layer"]["0"]["attention"]["self"]
    assert (slopes[0] - slopes[1]) / (2 * h) == pytest.approx(inside["value"]["weight"][2, 3], rel=1e-6)
    assert (inside["query"]["weight"] == 0).all()
