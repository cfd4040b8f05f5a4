"""Nothing of a logit is lost on its way down."""

import numpy as np
import pytest

from minibert.analysis import masked, relevance
from minibert.api import Bert
from minibert.layers import gelu, layernorm, linear
from minibert.parameters import NOTHING
from tests import device, tiny_model
from tests.kernels import emulator

TEXTS = ["the abc raises.", "an exception", ("the x raises", "an exception."), "q r s"]


def make(**changes):
    config, parameters, tokenizer = tiny_model.make(**changes)
    return Bert(config, parameters.astype(np.float64), tokenizer)


def received(bert, batch, g):
    """What words, positions and biases receive of the logits of all texts of a batch."""
    found = relevance.relevance(bert, batch, g.tree)
    total = found.words.sum()
    gradients = dict(g.items())
    for name, values in bert.parameters.items():
        if name in g.layout.slots and name.endswith(("bias", "position_embeddings.weight", "token_type_embeddings.weight")):
            total += (values * gradients[name]).sum()
    return found, total


@pytest.mark.parametrize("changes", [
    {}, {"norm_first": True}, {"hidden_act": "gelu_new"}, {"hidden_act": "relu"}, {"embedding_size": 8}, {"position_offset": 2}])
def test_the_logit_is_handed_down_whole(changes):
    bert = make(**changes)
    [batch] = masked.batches(bert, TEXTS, share=0.3)
    found, total = received(bert, batch, bert.parameters.zeros_like())
    assert total == pytest.approx(found.logits.sum(), abs=1e-10)


def test_without_biases_the_words_and_places_have_it_all():
    bert = make()
    for name, values in bert.parameters.items():
        if name.endswith("bias"):
            values[...] = 0
    [batch] = masked.batches(bert, TEXTS[:1], share=0.3)
    found = relevance.relevance(bert, batch)
    tables = bert.parameters["bert"]["embeddings"]
    T = batch.real.shape[1]
    g = bert.parameters.zeros_like()
    relevance.relevance(bert, batch, g.tree)
    places = sum((tables[name]["weight"] * g["bert"]["embeddings"][name]["weight"]).sum()
                 for name in ("position_embeddings", "token_type_embeddings"))
    assert found.words.shape == (1, T)
    assert found.words.sum() + places == pytest.approx(found.logits[0], abs=1e-10)


def test_of_a_linear_layer_it_is_gradient_times_input():
    rng = np.random.default_rng(0)
    x, p = rng.normal(size=(3, 4)), {"weight": rng.normal(size=(5, 4)), "bias": rng.normal(size=5)}
    y, cache = linear.forward(x, p)
    r = rng.normal(size=y.shape)
    handed = x * linear.backward(r / y, relevance.constant(cache), p, NOTHING)
    for n in range(3):
        for u in range(4):
            by_hand = sum(p["weight"][v, u] * x[n, u] / y[n, v] * r[n, v] for v in range(5))
            assert handed[n, u] == pytest.approx(by_hand, abs=1e-10)


def test_gelu_hands_on_what_it_has():
    x = np.linspace(-2, 2, 7)
    for form in ("gelu", "gelu_new"):
        y, cache = gelu.forward(x, form)
        np.testing.assert_allclose(x * gelu.backward(np.ones(7), relevance.constant(cache)), y, rtol=0, atol=1e-14)


def test_a_norm_is_linear_but_for_its_deviation():
    rng = np.random.default_rng(1)
    x, p = rng.normal(size=(3, 6)), {"weight": rng.normal(size=6), "bias": rng.normal(size=6)}
    y, cache = layernorm.forward(x, p)
    r = rng.normal(size=y.shape)
    handed = x * layernorm.backward(r / y, relevance.constant(cache), p, NOTHING)
    assert handed.sum() + (p["bias"] * r / y).sum() == pytest.approx(r.sum(), abs=1e-12)


def test_a_head_has_what_its_context_has():
    """Of the last layer by hand: from the guess down to the context, of one hidden token."""
    bert = make(num_hidden_layers=1)
    [batch] = masked.batches(bert, TEXTS[:1], share=0.1)
    found = relevance.relevance(bert, batch)
    T, H = batch.real.shape[1], 12
    [at] = batch.inputs.positions

    def logit(scale):
        """The same guess, with the constants as they were and one head's numbers larger."""
        out, cache = masked.forward(bert, batch, wrap=lambda layers: layers)
        block, p = cache.bert.encoder.blocks[0], bert.parameters["bert"]["encoder"]["layer"]["0"]
        context = (block.attention.weights @ block.attention.v)[0]
        context[1] *= scale
        context = context.transpose(1, 0, 2).reshape(1, T, H)

        def norm(x, kept, q):
            return (x - x.mean(-1, keepdims=True)) * kept.rstd * q["weight"] + q["bias"]

        o = linear.forward(context, p["attention"]["output"]["dense"])[0]
        x0 = cache.bert.encoder.states[0]
        h = norm(x0 + o, block.norm1.norm, p["attention"]["output"]["LayerNorm"])
        u = linear.forward(h, p["intermediate"]["dense"])[0] * block.activation.kept.gelu.cdf
        y = norm(h + linear.forward(u, p["output"]["dense"])[0], block.norm2.norm, p["output"]["LayerNorm"])[0, at]
        q = bert.parameters["cls"]["predictions"]
        t = linear.forward(y, q["transform"]["dense"])[0] * cache.mlm.activation.kept.gelu.cdf
        t = norm(t, cache.mlm.norm, q["transform"]["LayerNorm"])
        return (linear.forward(t, q["decoder"])[0]).reshape(-1)[out.logits.argmax()]

    assert logit(1) == pytest.approx(found.logits[0], abs=1e-10)
    assert logit(2) - logit(1) == pytest.approx(found.heads[0, 0, 1], abs=1e-10)


def test_on_a_device_with_kernels_it_is_the_same(monkeypatch):
    """A kernel keeps other activations, from which no slope could be taken out."""
    config, parameters, tokenizer = tiny_model.make()
    here = relevance.relevance(Bert(config, parameters, tokenizer), *masked.batches(Bert(config, parameters, tokenizer), TEXTS))
    emulator.switch_on(monkeypatch)
    bert = Bert(config, parameters.to(device.xp), tokenizer)
    there = relevance.relevance(bert, *masked.batches(bert, TEXTS))
    for ours, theirs in zip(here, there):
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-4 * np.abs(ours).max())


def test_shares_add_up_to_one():
    bert = make()
    [batch] = masked.batches(bert, TEXTS)
    found = relevance.relevance(bert, batch)
    np.testing.assert_allclose(relevance.shares(found).sum(-1), 1, rtol=0, atol=1e-12)
    alone = [relevance.relevance(bert, *masked.batches(bert, [text])).logits[0] for text in TEXTS[:1]]
    assert found.logits[list(batch.texts).index(0)] == pytest.approx(alone[0], abs=1e-10)
