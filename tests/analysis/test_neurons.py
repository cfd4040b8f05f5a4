"""Neurons add up to logits."""

import numpy as np
import pytest

from minibert.analysis import inside, neurons
from minibert.api import Bert
from minibert.layers import softmax
from tests import tiny_model


@pytest.fixture
def bert():
    config, parameters, tokenizer = tiny_model.make()
    return Bert(config, parameters.astype(np.float64), tokenizer)


def test_terms_add_up_to_the_logit_and_their_softmax_is_the_attention(bert):
    question = inside.ask(bert, "the abc raises.")
    for layer, head in np.ndindex(2, 3):
        parts, found = neurons.terms(bert, question, layer, head), inside.scores(bert, question, layer, head)
        np.testing.assert_allclose(parts.sum(-1), found.score, rtol=0, atol=1e-12)
        np.testing.assert_allclose(softmax.forward(parts.sum(-1))[0], found.weights, rtol=0, atol=1e-12)


def test_a_term_is_the_product_of_a_query_and_a_key(bert):
    """From the first hidden state and the weights, number by number."""
    question = inside.ask(bert, "the abc raises.")
    out = bert(["the abc raises."], hidden_states=True)
    own = bert.parameters["bert"]["encoder"]["layer"]["0"]["attention"]["self"]
    q, k = (out.hidden_states[0][0] @ own[name]["weight"].T + own[name]["bias"] for name in ("query", "key"))
    parts = neurons.terms(bert, question, 0, 1)
    assert parts[3, 5, 2] == pytest.approx(q[3, 4 + 2] * k[5, 4 + 2] / 2, abs=1e-12)


def test_measured(bert):
    found = neurons.measure(bert, ["the abc raises.", "an exception"])
    assert found.sums < 1e-12
    assert found.softmax < 1e-12
    assert found.unscaled > 1e-3
    assert found.example.terms.sum() == pytest.approx((found.example.query * found.example.key).sum(), abs=1e-12)
    a = inside.attention(bert, inside.ask(bert, "the abc raises."))[..., 1:-1, 1:-1]
    assert found.example.weight == pytest.approx(np.where(np.eye(a.shape[-1], dtype=bool), 0, a).max(), abs=1e-12)
    assert neurons.plot(found).axes
    verdicts = [neurons.verdict(found._replace(softmax=x, unscaled=y)) for x, y in [(1e-7, 0.1), (1e-3, 0.1), (1e-7, 1e-7)]]
    assert verdicts == ["agrees", "contradicts", "cannot show at this size"]
    with pytest.raises(ValueError, match="no texts"):
        neurons.measure(bert, [])


def test_how_few_hold_a_logit():
    assert neurons.concentrated(np.eye(20)) == 1
    assert neurons.concentrated(np.ones((3, 20))) == pytest.approx(0.1, abs=1e-15)


def test_shades_have_signs_and_lines_have_none():
    assert neurons.shade(np.array([-4.0, 0, 4])).tolist() == [-np.tanh(1), 0, np.tanh(1)]
    assert neurons.opacity(np.array([0, 1.0])).tolist() == [0, np.tanh(1.8)]
