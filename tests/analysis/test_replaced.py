"""Replaced attention, where what comes out is known."""

from dataclasses import replace

import numpy as np
import pytest

from minibert.analysis import masked, replaced, subject, tuning
from minibert.analysis.replaced import Blind, Replaced, Task
from minibert.api import Bert
from minibert.layers.dropout import Key
from minibert.model import model, pretraining
from minibert.model.pretraining import Output
from tests import tiny_model, world_model

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


def judges(bert, change, back=None):
    """A classifier of texts with its own attention, and one with another; their parameters, and what they read."""
    own = tuning.model_of(bert.config, "class", 3)
    p = tuning.grown(own, bert)
    p.flat[...] += np.random.default_rng(1).normal(0, 0.2, len(p))
    encodings = [bert.tokenizer.encode(text) for text in TEXTS]
    batch = tuning.batch(bert, [tuning.Example((e,), i % 3) for i, e in enumerate(encodings)])
    x = model.Inputs(batch.ids, batch.token_type_ids, batch.attention_mask, batch.targets)
    return own, Blind(own.config, own.heads, own.terms, change, back), p, x


def test_the_order_in_which_all_stays_changes_nothing(bert):
    def stay(layer, weights, real, seed):
        return weights

    own, blind, p, x = judges(bert, stay, stay)
    found = []
    for judge in (own, blind):
        g = p.zeros_like()
        out, cache = judge.forward(x, p.tree, key=Key(3))  # with dropout, of attention too
        judge.backward(model.Output(loss=1.0), cache, p.tree, g.tree)
        found.append((out.loss, out.logits["task"], g.flat))
    (loss, logits, gradient), (same_loss, same_logits, same_gradient) = found
    assert loss == same_loss
    np.testing.assert_array_equal(logits, same_logits)
    np.testing.assert_allclose(same_gradient, gradient, rtol=0, atol=1e-12)


def test_what_is_dealt_out_can_be_gathered_again(attention):
    weights, real = attention
    np.testing.assert_array_equal(replaced.unpermuted(1, replaced.permuted(1, weights, real, 7), real, 7), weights)
    other = np.random.default_rng(0).normal(size=weights.shape)
    assert (replaced.permuted(1, weights, real, 7) * other).sum() == pytest.approx(
        (weights * replaced.unpermuted(1, other, real, 7)).sum(), abs=1e-12)  # the transpose


def test_every_step_draws_anew_and_a_test_always_the_same(bert):
    _, blind, p, x = judges(bert, replaced.random)

    def maps(key):
        return np.stack(blind.forward(x, p.tree, key=key)[0].bert.attentions)

    assert (maps(None) == maps(None)).all()
    assert (maps(Key(0, 1)) == maps(Key(0, 1))).all()
    assert (maps(Key(0, 1)) != maps(Key(0, 2))).mean() > 0.5
    _, blind, p, x = judges(bert, replaced.uniform)
    real = np.ones(x.ids.shape) if x.attention_mask is None else x.attention_mask
    expected = np.broadcast_to((real / real.sum(1, keepdims=True))[:, None, None], maps(None)[0].shape)
    for key in (None, Key(0, 1)):
        np.testing.assert_allclose(maps(key), np.stack([expected] * 2), rtol=0, atol=1e-15)


def test_the_share_of_the_skill_that_is_lost():
    own, other = np.array([1, 1, 1, 1, 1, 1, 1, 0]), np.array([1, 1, 1, 1, 1, 0, 0, 0])
    share, error = replaced.lost(own, other, 0.5)
    assert share == pytest.approx((7 - 5) / (7 - 4), abs=1e-15)
    x = np.array([0 - 1 / 3] * 5 + [1 - 1 / 3] * 2 + [0 + 1 / 3])  # (own - other) - 2/3 * (own - 1/2), of mean 0
    assert error == pytest.approx(np.sqrt((x**2).mean() / 8) / (3 / 8), abs=1e-15)
    assert replaced.lost(own, own, 0.5) == (0, 0)
    assert np.isnan(replaced.lost(other, own, 0.75)).all()


def test_a_text_whose_words_tell_all_is_learned_with_any_attention(bert):
    rng = np.random.default_rng(0)
    examples = [tuning.Example((bert.tokenizer.encode(" ".join([*rng.choice([*"abcd"], 3), "xy"[i % 2]])),), i % 2)
                for i in range(160)]
    config = bert.config.replace(hidden_dropout_prob=0.0)
    single = Bert(config, bert.parameters.astype(np.float32), bert.tokenizer)
    found = replaced.task(single, examples[:60], examples[60:], tuning.Settings(60, 8, 3e-3))
    assert (found.majority, found.examples) == (0.5, 100)
    assert found.own > 0.9
    assert found.trained["uniform"] > 0.9
    assert found.learned
    assert found.trained.keys() == found.lost.keys() == replaced.KINDS.keys()
    assert len(replaced._of_task("x", found)) == 11
    assert not found._replace(examples=99).learned


def test_examples_of_the_language():
    bert, language = world_model.make(), world_model.world().language
    for name, classes in (("sentiment", 2), ("nli", 3)):
        train, test = replaced.examples(bert, language, name, 60, 40)
        assert {example.target for example in train} == {*range(classes)}
        texts = [{tuple(example.texts[0].ids) for example in part} for part in (train, test)]
        assert not texts[0] & texts[1]
        assert max(max(example.texts[0].token_type_ids) for example in train) == (name == "nli")


def test_everything_once_with_tasks(monkeypatch):
    monkeypatch.setattr(replaced, "QUICK", (2, 30))
    some = subject.of(world_model.make(), quick=True)
    found = replaced.of(replace(some, sentences=some.sentences[:60]))
    assert found.tasks.keys() == {"sentiment", "nli"}
    assert found.tasks["nli"].tested.keys() == replaced.KINDS.keys()
    assert found.tasks["nli"].trained == {}  # 30 test examples
    assert replaced.verdict(found) == "cannot show at this size"
    assert [line.value for line in replaced.lines(found) if line.name.endswith("), in training and test")] == [
        "not asked: no skill to lose, or too few test examples"] * 2
    assert len(replaced.plot(found).axes) == 4


def test_without_tasks_it_is_said(bert):
    found = replaced.of(subject.Subject(bert, [subject.Sentence(["a", letter, word]) for letter in "abcdxy" for word in "abcd"]))
    assert found.tasks == {}
    assert replaced.verdict(found) == "cannot show at this size"
    assert replaced.lines(found)[-1] == ("tasks", "left out: they are of the generated language", None, None)


def test_a_verdict_has_a_criterion():
    def found(single, pairs, error=0.05, examples=600):
        one, two = (Task(own, least, {}, {}, {name: (x, error) for name, x in zip(replaced.KINDS, shares)}, examples)
                    for own, least, shares in ((0.9, 0.5, single), (0.8, 0.4, pairs)))
        return Replaced(1.0, 5.0, {}, {}, {}, 1000, {"sentiment": one, "nli": two})

    agrees, cannot = "agrees", "cannot show at this size"
    assert replaced.verdict(found([0, 0.05, 0.09], [0.9, 1.0, 0.7])) == agrees
    assert replaced.verdict(found([0, 0.05, 0.15], [0.9, 1.0, 0.7])) == cannot  # not by three standard errors
    assert replaced.verdict(found([0, 0.05, 0.5], [0.9, 1.0, 0.7])) == "contradicts"
    assert replaced.verdict(found([0, 0, 0], [0.3, 1.0, 1.0])) == "contradicts"
    assert replaced.verdict(found([0, 0, 0], [0.4, 1.0, 1.0])) == cannot
    assert replaced.verdict(found([0, 0, 0], [1, 1, 1], examples=90)) == cannot
    low = found([0, 0, 0], [1, 1, 1])
    assert replaced.verdict(low._replace(tasks={**low.tasks, "nli": low.tasks["nli"]._replace(own=0.42)})) == cannot
