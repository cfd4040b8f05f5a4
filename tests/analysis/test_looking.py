"""What heads look at, where it is known."""

import numpy as np
import pytest

from minibert.analysis import looking, masked
from minibert.analysis.looking import divergences, nearness, places, shares, smoothed
from minibert.api import Bert
from tests import tiny_model

TEXTS = ["the abc raises.", "an exception", ("the x raises", "an exception."), "q r s"]


@pytest.fixture
def bert():
    config, parameters, tokenizer = tiny_model.make()
    return Bert(config, parameters.astype(np.float64), tokenizer)


def test_two_heads_that_share_nothing_are_ln_2_apart_but_for_smoothing():
    T, s = 5, 0.001
    a = np.stack([np.eye(T)[[0] * T], np.eye(T)[[1] * T]])
    found = divergences(a)
    big, small = 1 - s + s / T, s / T
    half = (big + small) / 2
    h = [-(x * np.log(x)) for x in (big, small, half)]
    expected = 2 * h[2] + 3 * h[1] - (h[0] + 4 * h[1])
    assert found[0, 1] == pytest.approx(T * expected, abs=1e-12)
    assert divergences(a, share=0)[0, 1] == pytest.approx(T * np.log(2), abs=1e-12)
    assert found[0, 0] == pytest.approx(0, abs=1e-12)


def test_a_triangle_lies_on_a_plane_as_it_is():
    d = np.array([[0, 3, 4], [3, 0, 5], [4, 5, 0.0]])
    x = places(d)
    np.testing.assert_allclose(np.linalg.norm(x[:, None] - x, axis=-1), d, rtol=0, atol=1e-12)
    np.testing.assert_allclose(x.sum(0), 0, atol=1e-12)


def test_shares_of_heads_that_do_one_thing():
    T = 6
    first, last, marks = (np.arange(T) == t for t in (0, 5, 4))
    to = np.tile(np.eye(T)[5], (T, 1))
    found = shares(np.stack([np.eye(T, k=1), np.eye(T, k=-1), np.eye(T), to, np.full((T, T), 1 / T)]), first, last, marks)
    assert found[0, 0] == found[1, 1] == found[2, 2] == found[3, 4] == 1
    np.testing.assert_allclose(found[4], 1 / T, rtol=0, atol=1e-15)
    assert shares(np.eye(T, k=1), first, last, marks, own_ends=True)[0] == 5 / 6


def test_rows_stay_shares():
    a = np.eye(4)
    np.testing.assert_allclose(smoothed(a, 1e-3).sum(-1), 1, rtol=0, atol=1e-15)


def test_heads_of_one_layer_that_are_alike_are_near():
    layers = np.repeat([0, 1, 2], 4)
    d = np.where(layers[:, None] == layers, 1.0, 3.0)
    assert nearness(d, layers) == pytest.approx(1 / 3, abs=1e-15)
    near, chance = looking._nearness(d, layers, 0)
    assert (near, chance) == (pytest.approx(1 / 3), pytest.approx(1 / 200))


def test_of_a_model(bert):
    found = looking.measure(bert, TEXTS)
    every, h, apart, tokens = [], [], 0, 0
    for text in TEXTS:
        out = bert([text], attentions=True)
        a = np.stack([layer[0] for layer in out.attentions])
        names = np.array(out.tokens[0])
        T = len(names)
        b = 0.9999 * a + 0.0001 / T
        after = np.mean([a[..., i, i + 1] for i in range(T - 1)], axis=0)
        every.append([after, *(a[..., names == name].sum(-1).mean(-1) for name in ("[SEP]", "."))])
        h.append(-(b * np.log(b)).sum(-1).mean(-1))
        c = (0.999 * a + 0.001 / T).reshape(6, T, T)
        m = (c[1] + c[4]) / 2
        apart += (c[1] * np.log(c[1] / m) + c[4] * np.log(c[4] / m)).sum() / 2
        tokens += T
    np.testing.assert_allclose(found.shares[..., [0, 4, 5]], np.mean(every, 0).transpose(1, 2, 0), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.entropy, np.mean(h, 0), rtol=0, atol=1e-12)
    assert found.distances[1, 4] == pytest.approx(apart / tokens, abs=1e-12)
    assert found.distances[4, 1] == found.distances[1, 4]
    assert looking.plot(found).axes


def test_slopes_at_the_separator(bert):
    found = looking.measure(bert, TEXTS[:1])
    [batch] = masked.batches(bert, TEXTS[:1])
    gradients = np.abs(np.stack(masked.attention_gradients(bert, batch)[1]))[:, 0]  # (L, A, T, T)
    np.testing.assert_allclose(found.slopes, gradients[..., -1].mean(-1), rtol=1e-10)
    np.testing.assert_allclose(found.other_slopes, gradients[..., :-1].mean((-2, -1)), rtol=1e-10)
    with pytest.raises(ValueError, match="no texts"):
        looking.measure(bert, [])
