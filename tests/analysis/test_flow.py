"""Rollout and flow, where they are known."""

from functools import reduce
from itertools import product

import numpy as np
import pytest

from minibert.analysis import flow, inside
from minibert.api import Bert
from tests import tiny_model


@pytest.fixture
def attentions():
    a = np.random.default_rng(5).random((3, 2, 4, 4)) ** 4
    return a / a.sum(-1, keepdims=True)


@pytest.mark.parametrize("heads", flow.HEADS)
def test_rollout_is_the_product_of_the_layers(attentions, heads):
    one = {"mean": attentions.mean(1), "max": attentions.max(1)}[heads] + np.eye(4)
    one /= one.sum(-1, keepdims=True)
    found = flow.rollout(attentions, heads)
    for i in range(3):
        np.testing.assert_allclose(found[i], reduce(np.matmul, one[:i + 1][::-1]), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.sum(-1), 1, rtol=0, atol=1e-12)


@pytest.mark.parametrize("way", [flow.rollout, flow.flow])
def test_who_looks_at_itself_alone_stays_what_it_is(way):
    np.testing.assert_allclose(way(np.tile(np.eye(3), (2, 2, 1, 1))), np.tile(np.eye(3), (2, 1, 1)), rtol=0, atol=1e-12)


def test_after_one_layer_all_are_the_same(attentions):
    np.testing.assert_allclose(flow.flow(attentions)[0], flow.rollout(attentions)[0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(flow.flow(attentions)[0], attentions[0].mean(0) / 2 + np.eye(4) / 2, rtol=0, atol=1e-12)


def test_flow_through_two_layers_by_hand(attentions):
    """Paths share no edge: each carries what its narrower edge does. From [.5, .5]: .5 + .2 to one input, .1 + .5 to another."""
    a = np.array([[[.9, .1], [.2, .8]], [[.5, .5], [1, 0]]])
    np.testing.assert_allclose(flow.flow(a, residual=False)[1], [[.7 / 1.3, .6 / 1.3], [.9, .1]], rtol=0, atol=1e-12)
    a = attentions.mean(1)
    expected = np.minimum(a[1][:, :, None], a[0][None]).sum(1)
    expected /= expected.sum(-1, keepdims=True)
    np.testing.assert_allclose(flow.flow(a[:2], residual=False)[1], expected, rtol=0, atol=1e-12)


def test_the_most_that_flows_is_the_least_that_must_be_cut():
    """Over every way to cut a network in two, and with edges in circles, where a path must take back what another took."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        capacity = rng.integers(0, 5, (6, 6)) / 4 * (rng.random((6, 6)) < 0.6)
        cuts = [np.array([True, *inside, False]) for inside in product([True, False], repeat=4)]
        least = min(capacity[np.ix_(cut, ~cut)].sum() for cut in cuts)
        assert flow.maximum_flow(capacity, 0, 5) == pytest.approx(least, abs=1e-12)


def test_a_path_takes_back_what_another_took():
    """The shortest path, 0 1 2 3, bars both of the longer ones, 0 4 5 2 3 and 0 1 6 7 3."""
    capacity = np.zeros((8, 8))
    for edge in ((0, 1), (1, 2), (2, 3), (0, 4), (4, 5), (5, 2), (1, 6), (6, 7), (7, 3)):
        capacity[edge] = 1
    room = capacity.copy()
    assert flow.maximum_flow(capacity, 0, 3) == 2
    assert (capacity == room).all()
    assert flow.maximum_flow(capacity, 3, 0) == 0


def test_the_paths_of_a_model():
    bert = Bert(*tiny_model.make())
    found = flow.paths(bert, "the abc raises.")
    attentions = inside.attention(bert, inside.ask(bert, "the abc raises."))
    assert len(found.tokens) == found.raw.shape[-1] == 8
    np.testing.assert_allclose(found.raw, attentions.mean(1), rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.rollout, flow.rollout(attentions), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.flow, flow.flow(attentions), rtol=0, atol=1e-12)


def test_flow_of_some_rows(attentions):
    np.testing.assert_allclose(flow.flow(attentions, rows=[2, 0]), flow.flow(attentions)[:, [2, 0]], rtol=0, atol=1e-12)


@pytest.fixture
def small():
    config, parameters, tokenizer = tiny_model.make()
    return Bert(config, parameters.astype(np.float64), tokenizer)


def test_the_effect_of_hiding_a_token(small):
    question = inside.ask(small, "the abc raises.", hide=[2])
    both = inside.guesses(small, inside.ask(small, "the abc raises.", hide=[2, 5]), top=1)
    one = inside.guesses(small, question)[0].probability
    assert both[0].position == 2
    assert flow.effects(small, question, [5]) == pytest.approx([abs(one - both[0].probability)], abs=1e-12)
    assert flow.effects(small, question, [1, 3, 5])[2] == pytest.approx(abs(one - both[0].probability), abs=1e-12)


def test_agreement_with_hiding(small, monkeypatch):
    questions = [inside.ask(small, "the abc raises.", hide=[2]), inside.ask(small, "an exception the x.", hide=[3])]
    found = flow.measure(small, questions)
    assert found.questions == 2
    expected = []
    for question, row, others in zip(questions, (2, 3), ([1, 3, 4, 5, 6], [1, 2, 4, 5])):
        a, effect = inside.attention(small, question), flow.effects(small, question, others)
        expected.append([[np.corrcoef(*(np.argsort(np.argsort(z)) for z in (layer[row, others], effect)))[0, 1] for layer in maps]
                         for maps in (a.mean(1), flow.rollout(a), flow.flow(a))])
    np.testing.assert_allclose([found.raw, found.rollout, found.flow], np.mean(expected, 0), rtol=0, atol=1e-12)
    assert -1 <= found.distance <= 1
    monkeypatch.setattr(flow, "effects", lambda bert, question, others: flow.flow(inside.attention(bert, question))[
        1, question.masked[0], others])  # a truth that is the flow after the last layer
    assert flow.measure(small, questions).flow[1] == pytest.approx(1, abs=1e-12)
    assert [len(axes.lines) for axes in flow.plot(found).axes] == [4]


@pytest.mark.parametrize(("text", "hide", "message"), [
    ("the abc raises.", [1, 2], r"questions\[0\]: expected one hidden word that is known, got 2"),
    ("the [MASK] raises.", [], "expected one hidden word that is known, got 1"),
    ("the raises.", [1], "at least 3 other tokens, got 2"),
])
def test_questions_that_cannot_be_measured_are_named(small, text, hide, message):
    with pytest.raises(ValueError, match=message):
        flow.measure(small, [inside.ask(small, text, hide=hide)])
    with pytest.raises(ValueError, match="no questions"):
        flow.measure(small, [])


@pytest.mark.parametrize(("a", "more", "message"), [
    (np.ones((2, 3, 3)), {"heads": "min"}, "heads must be one of mean, max, got 'min'"),
    (np.ones((3, 3)), {}, r"\(L, A, T, T\) or \(L, T, T\), got \(3, 3\)"),
    (np.ones((2, 3, 4)), {}, r"got \(2, 3, 4\)"),
    (-np.ones((2, 3, 3)), {}, "not negative"),
    (np.full((2, 3, 3), np.nan), {}, "finite"),
    (np.zeros((2, 3, 3)), {"residual": False}, "looks nowhere"),
])
def test_bad_input_is_named(a, more, message):
    with pytest.raises(ValueError, match=message):
        flow.rollout(a, **more)


def test_a_map_that_says_the_same_of_all_tokens_ranks_none():
    assert flow._ranked(np.full(4, 0.25), np.arange(4.0)) == 0
    assert flow._ranked(np.arange(4.0), np.arange(4.0)) == pytest.approx(1)
