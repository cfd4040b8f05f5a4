"""Token attribution where the Jacobian is known, and tokens that can or cannot be told."""

import numpy as np
import pytest

from minibert.analysis import identifiability, inside
from minibert.analysis.identifiability import identified, least_squares
from minibert.api import Bert
from minibert.model import bert as body
from tests import tiny_model

RNG = np.random.default_rng
TEXT = "the abc raises ."


def make(**changes):
    config, parameters, tokenizer = tiny_model.make(**changes)
    return Bert(config, parameters.astype(np.float64), tokenizer)


def test_a_layer_that_is_linear_gives_the_norms_of_its_matrices():
    """Norms that only scale, uniform attention, no feed-forward layer: hᵢ = γ₂∘γ₁∘(xᵢ + Wₒ·Wᵥ·mean x)."""
    bert = make(norm="no_norm", num_hidden_layers=1, ffn_count=1)
    layer = bert.parameters["bert"]["encoder"]["layer"]["0"]
    for part in ("query", "key"):
        layer["attention"]["self"][part]["weight"][...] = layer["attention"]["self"][part]["bias"][...] = 0
    layer["output"]["dense"]["weight"][...] = 0
    found = identifiability.attribution(bert, TEXT)
    T = found.shape[-1]
    scale = layer["attention"]["output"]["LayerNorm"]["weight"] * layer["output"]["LayerNorm"]["weight"]
    W = layer["attention"]["output"]["dense"]["weight"] @ layer["attention"]["self"]["value"]["weight"]
    one, other = (np.linalg.norm(scale[:, None] * (same * np.eye(12) + W / T)) for same in (1, 0))
    expected = np.full((T, T), other) + (one - other) * np.eye(T)
    np.testing.assert_allclose(found[1], expected / expected.sum(1, keepdims=True), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[0], np.eye(T), rtol=0, atol=1e-15)


@pytest.mark.parametrize("change", [{}, {"norm_first": True}, {"embedding_size": 5}, {"layer_map": (0, 0)}])
def test_the_whole_jacobian_by_differences(change, monkeypatch):
    bert = make(**change)
    question = inside.ask(bert, TEXT)
    found = identifiability.attribution(bert, TEXT, [2])
    ids, types = question.ids[None], question.token_type_ids[None]
    x = body.forward(ids, types, None, bert.parameters["bert"], bert.config)[0].hidden_states[0]

    def last(h):
        return body.forward(ids, types, None, bert.parameters["bert"], bert.config, hidden={0: h})[0].hidden_states[-1][0, 2]

    T = len(question.ids)
    jacobian = np.zeros((12, T, 12))
    for t in range(T):
        for k in range(12):
            step = np.zeros_like(x)
            step[0, t, k] = 1e-5
            jacobian[:, t, k] = (last(x + step) - last(x - step)) / 2e-5
    norms = np.sqrt((jacobian**2).sum((0, 2)))
    np.testing.assert_allclose(found[-1, 0], norms / norms.sum(), rtol=0, atol=1e-8)
    np.testing.assert_allclose(found.sum(-1), 1, rtol=0, atol=1e-12)
    monkeypatch.setattr(identifiability, "ROWS", 5 * T)  # the numbers of a vector in three batches
    np.testing.assert_allclose(identifiability.attribution(bert, TEXT, [2]), found, rtol=0, atol=1e-12)


def test_tokens_are_told_by_their_directions():
    x = RNG(0).normal(size=(6, 9))
    assert identified(3 * x, x).all()
    assert not identified(x[[1, 0, 3, 2, 5, 4]], x).any()
    assert identified(np.zeros((4, 9)), x[:4]).sum() == 1  # no direction: the first is taken


def test_least_squares_finds_a_linear_map():
    x, W, b = RNG(0).normal(size=(40, 5)), RNG(1).normal(size=(5, 3)), RNG(2).normal(size=3)
    found, shift = least_squares(x, x @ W + b, 0)
    np.testing.assert_allclose(found, W, rtol=0, atol=1e-10)
    np.testing.assert_allclose(shift, b, rtol=0, atol=1e-10)


def corpus(count=110):
    letters = [*"abcdefghijkl", "the", "."]
    return [list(RNG(i).choice(letters, 2 + i % 6)) for i in range(count)]


def test_everything_once():
    bert = make()
    found = identifiability.measure(bert, corpus(), attributed=4, tokens=2, passes=3)
    assert found.sentences == 22
    np.testing.assert_allclose(found.own[0], 1, atol=1e-12)
    assert found.naive[0] == 1
    assert found.linear[0] > 0.99
    assert (found.linear[1:] > 2 * found.chance).all()
    assert all(x.shape == (3,) for x in found[:6])
    assert len(identifiability.lines(found)) == 10
    assert len(identifiability.plot(found).axes) == 2
    again = identifiability.measure(bert, corpus(), attributed=4, tokens=2, passes=3)
    assert all(np.array_equal(a, b) for a, b in zip(found, again))


def test_a_verdict_has_a_criterion():
    three = np.array([1, .95, .8])
    found = identifiability.Identifiability(three, three, three, three, three, three, 0.1, 20, 20)
    assert identifiability.verdict(found) == "agrees"
    assert identifiability.verdict(found._replace(own=np.array([1, .2, .3]))) == "contradicts"
    assert identifiability.verdict(found._replace(linear=np.array([1, .8, .7]))) == "cannot show at this size"


def test_too_little_is_said():
    with pytest.raises(ValueError, match=r"10 sentences of two words or more leave 2 for a test.*at least 100"):
        identifiability.measure(make(), corpus(10))
