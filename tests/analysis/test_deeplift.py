"""DeepLIFT: contributions add up, each rule by itself too, and where the reference is near they are gradients."""

import numpy as np
import pytest

from minibert.analysis import deeplift, inside
from minibert.api import Bert
from minibert.layers import attention, attention_probs, cross_entropy, layernorm, softmax
from minibert.model.heads import classifier, span
from minibert.model.model import Head, Inputs, Model, Term
from minibert.parameters import NOTHING, initialise
from tests import device, tiny_model
from tests.kernels import emulator

TEXT = "the exception raises an exception . the abc ."
BODIES = {"post-LN": {}, "pre-LN": {"norm_first": True}, "tanh form": {"hidden_act": "gelu_new"}, "shared": {"layer_map": (0, 0)},
          "narrow": {"bottleneck_size": 6, "attention_reads": "shared"}, "projected": {"embedding_size": 5},
          "window": {"embedding_size": 5, "word_window": 3}}


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def make(**changes):
    config, parameters, tokenizer = tiny_model.make(**changes)
    return Bert(config, parameters.astype(np.float64), tokenizer)


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("hide", [[2], [2, 5]])
def test_contributions_add_up_to_the_change_of_the_output(body, hide):
    bert = make(**BODIES[body])
    found = deeplift.contributions(bert, inside.ask(bert, TEXT, hide=hide))
    integrated = inside.attribution(bert, inside.ask(bert, TEXT, hide=hide))
    assert (found.word, found.position) == (integrated.word, integrated.position)
    assert found.value == pytest.approx(integrated.value, abs=1e-12)
    assert found.baseline == pytest.approx(integrated.baseline, abs=1e-12)
    assert found.tokens.sum() == pytest.approx(found.value - found.baseline, abs=1e-12)
    assert abs(found.value - found.baseline) > 1e-3
    added = [0, len(found.tokens) - 1, *hide]  # they are the same in the reference
    assert np.abs(found.tokens[added]).max() == 0


@pytest.mark.parametrize("kind", ["tanh", "first"])
@pytest.mark.parametrize(("module", "loss"), [(classifier, cross_entropy), (span, cross_entropy)])
def test_any_head_of_any_model(rng, module, loss, kind):
    """The start of an answer, and a class by the pooled vector: any logit is added up by the word vectors."""
    config = make(pooler=kind).config
    model = Model(config, {"task": Head(module)}, (Term("label", "task", loss),))
    p = initialise(model.layout(), 0.5, dtype=np.float64)
    x = rng.normal(size=(2, 7, 12))
    inputs = Inputs(x, np.zeros((2, 7), np.int64))

    def top(logits):
        m = np.zeros((1, *logits.shape[1:]))
        m.reshape(-1)[1] = 1
        return logits.reshape(2, -1)[:, 1], m

    values, m = deeplift.multipliers(model, inputs, p, "task", top)
    assert (m * (x[0] - x[1])).sum() == pytest.approx(values[0] - values[1], abs=1e-12)
    assert abs(values[0] - values[1]) > 1e-2


def test_a_model_without_curves_gives_weight_times_difference(rng):
    """Linear in its words: without layers, norms and pooler that bend, contributions are w·(x − x⁰)."""
    w, x = rng.normal(size=5), rng.normal(size=(2, 3, 5))
    y = x @ w
    np.testing.assert_allclose(deeplift.slope(x @ w, y, np.ones((1, 3))), 1, rtol=0, atol=1e-12)
    relu = np.maximum(x, 0)
    np.testing.assert_allclose(deeplift.slope(x, relu, np.zeros((1, 3, 5))) * (x[:1] - x[1:]), relu[:1] - relu[1:], atol=1e-15)


def test_the_rule_of_the_softmax(rng):
    z = rng.normal(size=(2, 3, 4, 6)) * 3
    _, cache = attention_probs.forward(z)
    m = rng.normal(size=(1, 3, 4, 6))
    found = attention_probs.backward(m, deeplift.between(cache))
    y = softmax.forward(z)[0]
    np.testing.assert_allclose((found * (z[:1] - z[1:])).sum(-1), (m * (y[:1] - y[1:])).sum(-1), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.sum(-1), 0, rtol=0, atol=1e-12)  # what is added to all of a row is not heard
    moved = attention_probs.forward(z + np.array([0., 7]).reshape(2, 1, 1, 1))[1]
    np.testing.assert_allclose(attention_probs.backward(m, deeplift.between(moved)), found, rtol=0, atol=1e-12)


def test_the_rule_of_the_norm(rng):
    p = {"weight": rng.normal(size=6), "bias": rng.normal(size=6)}
    x = rng.normal(size=(2, 5, 6)) * np.array([1., 4]).reshape(2, 1, 1) + 2
    y, cache = layernorm.forward(x, p)
    m = rng.normal(size=(1, 5, 6))
    found = layernorm.backward(m, deeplift.between(cache), p, NOTHING)
    np.testing.assert_allclose((found * (x[:1] - x[1:])).sum(-1), (m * (y[:1] - y[1:])).sum(-1), rtol=0, atol=1e-12)
    c, r = x - x.mean(-1, keepdims=True), cache.rstd  # the same from the definition, term by term
    middle = r.mean(0)
    by_hand = p["weight"] * m[0] * middle - c.mean(0) * (r.prod(0)**2 / middle) * (p["weight"] * m[0] * c.mean(0)).mean(-1,
                                                                                                                keepdims=True)
    np.testing.assert_allclose(found[0], by_hand - by_hand.mean(-1, keepdims=True), rtol=0, atol=1e-12)


def test_the_rule_of_products(rng):
    """q·k and w·v: the change is shared by halves, so the two texts may change places."""
    p = {name: {"weight": rng.normal(size=(6, 6)), "bias": rng.normal(size=6)} for name in ("query", "key", "value")}
    x, m = rng.normal(size=(2, 4, 6)), rng.normal(size=(1, 4, 6))
    found = []
    for order in (x, x[::-1]):
        (y, _), cache = attention.forward(order, p, 2)
        found.append(attention.backward(m, deeplift.between(cache), p, dict.fromkeys(p, NOTHING)).dx)
        assert (found[-1] * (order[:1] - order[1:])).sum() == pytest.approx((m * (y[:1] - y[1:])).sum(), abs=1e-10)
    np.testing.assert_allclose(*found, rtol=0, atol=1e-12)


def test_a_near_reference_gives_the_gradient(rng):
    """With Δx → 0 multipliers are derivatives: those of complex steps or, here, of central differences."""
    bert = make()
    question = inside.ask(bert, TEXT, hide=[2])
    model, p = deeplift.pretraining.of(bert.config), bert.parameters.tree
    x = deeplift.pair(bert, question)
    d = rng.normal(size=x.shape[1:])

    def value(vectors):
        return model.forward(deeplift._inputs(bert, question, vectors, 2), p, read=("mlm",))[0].logits["mlm"][:, 7]

    def top(logits):
        m = np.zeros_like(logits[:1])
        m[0, 7] = 1
        return logits[:, 7], m

    near = np.stack([x[0] + 1e-4 * d, x[0] - 1e-4 * d])
    _, m = deeplift.multipliers(model, deeplift._inputs(bert, question, near, 2), p, "mlm", top)
    for t, h in [(1, 3), (4, 0), (2, 11)]:
        step = np.zeros_like(x[0])
        step[t, h] = 1e-5
        slope = np.subtract(*value(np.stack([x[0] + step, x[0] - step]))) / 2e-5
        assert m[t, h] == pytest.approx(slope, abs=1e-6)


def test_logarithmic_means():
    a, b = np.array([0.2, 0.3, 0.0, 0.5, 0]), np.array([0.2, 0.3 + 1e-9, 0.4, 0.1, 0])
    found = deeplift.logarithmic_mean(a, b)
    np.testing.assert_allclose(found[[0, 1, 3, 4]], [0.2, 0.3 + 5e-10, 0.4 / np.log(5), 0], rtol=1e-12, atol=1e-300)
    assert 0 < found[2] < 1e-3  # 0 in the end: numbers have a least one
    np.testing.assert_array_equal(found, deeplift.logarithmic_mean(b, a))


def test_rank_correlation():
    assert deeplift.spearman(np.array([1., 2, 3]), np.array([10., 20, 90])) == pytest.approx(1)
    assert deeplift.spearman(np.array([1., 2, 2, 4]), np.array([1., 2, 3, 4])) == pytest.approx(0.9486832980505138)
    assert np.isnan(deeplift.spearman(np.ones(3), np.arange(3.)))


def test_a_measurement():
    bert = make()
    texts = [" ".join(np.random.default_rng(i).choice([*"abcdefgh", "the", "raises", "."], 5 + i % 4)) for i in range(12)]
    found = deeplift.measure(bert, [*texts, "a"], seed=1)
    assert len(found.deeplift) == 12
    assert np.abs(found.missing).max() < 1e-12
    assert np.abs(found.missing_gradient).max() > 1e-3
    assert (np.abs(found.deeplift) <= 1 + 1e-12).all()
    again = deeplift.measure(bert, [*texts, "a"], seed=1)
    np.testing.assert_array_equal(found.deeplift, again.deeplift)
    assert len(deeplift.plot(found).axes) == 2


def test_what_has_no_rule_is_said():
    bert = make(hidden_act="relu")
    with pytest.raises(ValueError, match="rules for gelu and tanh; this model has another activation"):
        deeplift.contributions(bert, inside.ask(bert, TEXT, hide=[2]))
    with pytest.raises(ValueError, match="1 of 2 texts have four tokens or more"):
        deeplift.measure(make(), ["the", TEXT])


@pytest.mark.parametrize("act", ["gelu", "gelu_new"])
def test_on_a_device_with_kernels_it_is_the_same(monkeypatch, act):
    """A kernel keeps other activations, for which there are no rules."""
    config, parameters, tokenizer = tiny_model.make(hidden_act=act)
    here = Bert(config, parameters, tokenizer)
    ours = deeplift.contributions(here, inside.ask(here, TEXT, hide=[2]))
    emulator.switch_on(monkeypatch)
    there = Bert(config, parameters.to(device.xp), tokenizer)
    theirs = deeplift.contributions(there, inside.ask(there, TEXT, hide=[2]))
    assert theirs.word == ours.word
    np.testing.assert_allclose(theirs.tokens, ours.tokens, rtol=0, atol=1e-4 * np.abs(ours.tokens).max())
