"""Gates that learn which heads matter."""

import numpy as np
import pytest

from minibert.analysis import gates, inside, masked
from minibert.api import Bert
from tests import tiny_model

TEXTS = ["the abc raises.", "an exception", "the x raises an exception.", "q r s", "an abc", "the exception raises the xyz."]


@pytest.fixture
def bert():
    config, parameters, tokenizer = tiny_model.make()
    return Bert(config, parameters.astype(np.float64), tokenizer)


def test_a_price_that_nothing_is_worth_closes_all_and_none_closes_what_is_of_no_use(bert):
    corpus = masked.batches(bert, TEXTS)
    assert (gates.learn(bert, corpus, 100.0, steps=40) < -1).all()
    weight = bert.parameters["bert"]["encoder"]["layer"]["0"]["attention"]["output"]["dense"]["weight"]
    weight[:, 4:8] = 0  # nobody hears the second head of the first layer
    found = gates.learn(bert, corpus, 1e-3, steps=40)
    assert found[0, 1] < 0
    assert (gates.learn(bert, corpus, 0.0, steps=5)[0, 1]) == gates.START


def test_one_step_goes_down_the_slope(bert):
    [batch] = masked.batches(bert, TEXTS)
    a = gates.learn(bert, [batch], 0.0, steps=1, rate=1e-3)
    rng = np.random.default_rng([0, 0xA6])
    rng.integers(1)
    u, h, down = rng.uniform(1e-6, 1 - 1e-6, (2, 3)), 1e-5, []
    for head in range(6):
        losses = []
        for step in (h, -h):
            b = np.full(6, gates.START)
            b[head] += step
            (drawn, _), _ = gates.hard_concrete.forward(b.reshape(2, 3), u)
            losses.append(masked.losses(bert, [batch], drawn).mean())
        down.append(-np.sign(round((losses[0] - losses[1]) / (2 * h), 7)))
    np.testing.assert_allclose((a - gates.START).reshape(-1), 1e-3 * np.array(down), rtol=0, atol=1e-6)  # Adam's first step


def test_what_is_measured(bert):
    found = gates.measure(bert, TEXTS, prices=(0.0, 100.0), steps=40)
    test = masked.batches(bert, TEXTS[1::2])
    assert (found.open[1] == 0).all()
    assert found.loss[1] == found.ordered[1] == found.random[1] == pytest.approx(found.none, abs=1e-12)
    assert found.full == pytest.approx(masked.losses(bert, test).mean(), abs=1e-12)
    closed = [tuple(map(int, x)) for x in np.argwhere(found.open[0] == 0)]
    assert found.loss[0] == pytest.approx(masked.losses(bert, test, inside.open_gates(bert, closed)).mean(), abs=1e-12)
    assert gates.plot(found).axes
    with pytest.raises(ValueError, match="at least 2, got 1"):
        gates.measure(bert, TEXTS[:1])
