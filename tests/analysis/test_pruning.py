"""Importance against slopes, and orders of heads on a model of which one head matters."""

import numpy as np
import pytest

from minibert.analysis import inside, masked, pruning
from minibert.api import Bert
from minibert.compression import cutting
from minibert.model import pretraining
from minibert.model.importance import FORMS
from tests import tiny_model

TEXTS = ["the abc raises.", "an exception", "the x raises an exception.", "q r s", "an abc", "the exception raises the xyz."]


@pytest.fixture
def bert():
    config, parameters, tokenizer = tiny_model.make()
    return Bert(config, parameters.astype(np.float64), tokenizer)


def slope(bert, batch, layer, head, h=1e-5):
    def loss(step):
        gates = inside.open_gates(bert).astype(np.float64)
        gates[layer, head] += step
        return masked.losses(bert, [batch], gates).sum()

    return (loss(h) - loss(-h)) / (2 * h)


def test_importance_is_the_slope_of_the_loss_of_each_text(bert):
    alone = [masked.batches(bert, [text], share=0.3) for text in TEXTS]
    expected = [[np.mean([abs(slope(bert, batch, layer, head)) for [batch] in alone]) for head in range(3)] for layer in range(2)]
    found = pruning.importance(bert, [batch for [batch] in alone], "example")
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(pruning.importance(bert, [batch for [batch] in alone], "batch"), found, rtol=1e-12)


def test_what_a_batch_or_a_token_cancels(bert):
    corpus = masked.batches(bert, TEXTS, share=0.3)
    batch, example, token = (pruning.importance(bert, corpus, form) for form in FORMS)
    assert (batch <= example + 1e-12).all()
    assert (example <= token + 1e-12).all()
    assert (batch < 0.99 * example).any()
    assert (example < 0.99 * token).any()
    [one] = corpus
    np.testing.assert_allclose(batch * len(TEXTS), [[abs(slope(bert, one, i, j)) for j in range(3)] for i in range(2)], rtol=1e-6)


def test_the_form_of_the_code_adds_up_tokens(bert):
    """From the context of each token and its gradient, which a step of the value of a closed-off token shows."""
    [batch] = masked.batches(bert, ["the abc raises."], share=0.3)
    layer, head, h = 1, 0, 1e-5
    slopes = []
    for t in range(batch.real.shape[1]):
        def loss(step, t=t):
            def louder(i, weights, real):
                weights = weights.copy()
                weights[:, head, t] *= 1 + step * (i == layer)
                return weights

            return masked.losses(bert, [batch], change=louder).sum()

        slopes.append(abs(loss(h) - loss(-h)) / (2 * h))
    assert pruning.importance(bert, [batch], "token")[layer, head] == pytest.approx(sum(slopes), rel=1e-6)


def test_each_layer_by_its_length(bert):
    corpus = masked.batches(bert, TEXTS)
    plain, scaled = (pruning.importance(bert, corpus, per_layer=layered) for layered in (False, True))
    np.testing.assert_allclose(np.linalg.norm(scaled, axis=1), 1, rtol=0, atol=1e-12)
    np.testing.assert_allclose(scaled * np.linalg.norm(plain, axis=1, keepdims=True), plain, rtol=0, atol=1e-12)


def test_a_head_that_gives_nothing_is_closed_first(bert):
    """Of a head whose part of the output matrix is zero the importance is zero, and closing it costs nothing."""
    weight = bert.parameters["bert"]["encoder"]["layer"]["0"]["attention"]["output"]["dense"]["weight"]
    weight[:, 4:8] = 0  # the second head of the first layer
    found = pruning.measure(bert, TEXTS, points=7)
    assert found.importance[0, 1] == 0
    assert found.closed.tolist() == list(range(7))
    assert found.ordered[1] == pytest.approx(found.ordered[0], abs=1e-12)
    assert found.form == "batch"
    assert pruning.measure(bert, TEXTS, "batch", points=7).form == "example"
    for curve in (found.ordered, found.other, *found.random, found.reverse):
        assert curve[0] == pytest.approx(found.ordered[0], abs=1e-12)
        assert curve[-1] == pytest.approx(found.ordered[-1], abs=1e-12)
    corpus = masked.batches(bert, TEXTS[1::2])
    assert found.ordered[-1] == pytest.approx(masked.losses(bert, corpus, np.zeros((2, 3))).mean(), abs=1e-12)
    for layer in range(2):
        others = [(layer, head) for head in range(3) if head != found.importance[layer].argmax()]
        for expected, closed in ((found.one, others), (found.none, [(layer, head) for head in range(3)])):
            loss = masked.losses(bert, corpus, inside.open_gates(bert, closed)).mean()
            assert expected[layer] == pytest.approx(loss, abs=1e-12)
    assert pruning.plot(found).axes


def test_one_text_whose_heads_are_closed(bert):
    question = inside.ask(bert, "the abc raises.", hide=[2, 4])
    told = []
    found = pruning.closing(bert, question, 4, lambda *passes: told.append(passes))
    slopes = np.abs(inside.importance(bert, question).gradient)
    np.testing.assert_array_equal(slopes[tuple(found.order.T)], np.sort(slopes, axis=None))
    assert found.closed.tolist() == [0, 2, 4, 6]
    assert found.ordered[[0, -1]] == pytest.approx(found.reverse[[0, -1]], abs=1e-12)
    for closed, ordered, reverse in zip(*found[1:]):
        assert ordered == inside.loss(bert, question, inside.open_gates(bert, found.order[:closed].tolist()))
        assert reverse == inside.loss(bert, question, inside.open_gates(bert, found.order[6 - closed:].tolist()))
    assert told == [(i, 8) for i in range(1, 9)]
    with pytest.raises(ValueError, match="at least 2 points, got 1"):
        pruning.closing(bert, question, 1)
    with pytest.raises(ValueError, match="hide one of the text's own"):
        pruning.closing(bert, inside.ask(bert, "the [MASK]."))


def test_bad_input_is_named(bert):
    with pytest.raises(ValueError, match="form must be one of batch, example, token, got 'sum'"):
        pruning.importance(bert, [], "sum")
    with pytest.raises(ValueError, match="at least 2, got 1"):
        pruning.measure(bert, ["a"])
    with pytest.raises(ValueError, match="at least 3 points"):
        pruning.measure(bert, TEXTS, points=2)


def test_a_model_that_has_lost_heads_is_looked_into_by_their_numbers():
    config, parameters, tokenizer = tiny_model.make()
    kept = cutting.whole(config)._replace(heads=((0, 2), (1,)))
    left = cutting.config_of(config, kept)
    whole = Bert(config, parameters.astype(np.float64), tokenizer)
    less = Bert(left, cutting.cut(pretraining.of(left), whole.parameters, config, kept), tokenizer)
    gates, question = np.array([[1.0, 0, 1], [0, 1, 0]]), inside.ask(whole, TEXTS[0], hide=[2])
    np.testing.assert_allclose(inside.attention(less, question), inside.attention(whole, question, gates), atol=1e-12)
    np.testing.assert_allclose(inside.importance(less, question).gradient,
                               gates * inside.importance(whole, question, gates).gradient, atol=1e-12)
    np.testing.assert_allclose(inside.scores(less, question, 0, 2).key, inside.scores(whole, question, 0, 2).key, atol=1e-12)
    with pytest.raises(IndexError, match=r"head 1\.0 is gone from this model: its layer 1 has heads 1"):
        inside.scores(less, question, 1, 0)
    with pytest.raises(ValueError, match="all of each layer are needed"):
        inside.needs_all_heads(less)
    corpus = masked.batches(less, TEXTS)
    assert (pruning.importance(less, corpus, "token") == 0).tolist() == [[False, True, False], [True, False, True]]
    attentions, gradients = masked.attention_gradients(less, corpus[0])
    assert [a.shape for a in attentions] == [d.shape for d in gradients]
