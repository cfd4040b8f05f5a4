"""Numbers: by vectors that are the value all is known, by random ones nothing, and the mean's error has a closed form."""

import numpy as np
import pytest

from minibert.analysis import numeracy
from minibert.analysis.numeracy import errors, largest, lists, of_the_mean, regress, rmse, split, straight
from minibert.api import Bert
from tests import tiny_model, world_model

RNG = np.random.default_rng


def test_guessing_the_mean_has_the_error_of_a_uniform_number():
    assert rmse(np.full(1000, 499.5), np.arange(1000)) == pytest.approx(np.sqrt((1000**2 - 1) / 12), rel=1e-12)
    assert of_the_mean(np.arange(1000)).decode == pytest.approx(1000 / np.sqrt(12), rel=0.05)
    assert of_the_mean(np.arange(1000)).add == pytest.approx(np.sqrt(2) * 1000 / np.sqrt(12), rel=0.05)
    few = of_the_mean(np.array([1., 2, 6]))  # each by the mean of the others
    assert few.decode == pytest.approx(np.sqrt((3**2 + 1.5**2 + 4.5**2) / 3), rel=1e-12)


def test_the_value_itself_is_decoded():
    x = np.arange(100.0)
    vectors = RNG(1).normal(size=(1, 8)) * x[:, None] / 99 + RNG(2).normal(size=8)
    assert rmse(straight(vectors[::2], x[::2], vectors[1::2]), x[1::2]) < 1e-10
    assert rmse(regress(vectors[::2], x[::2], vectors[1::2], passes=100), x[1::2]) < 0.5
    one_hot = np.eye(100)  # it knows each number, and none of another
    np.testing.assert_allclose(straight(one_hot[::2], x[::2], one_hot[1::2]), x[::2].mean(), rtol=0, atol=1e-10)


def test_value_vectors_are_easy_and_random_ones_tell_nothing(monkeypatch):
    monkeypatch.setattr(numeracy, "LISTS", 500)
    values = np.arange(100.0)
    easy = errors(values[:, None] / 99, values, passes=50)
    hard = errors(RNG(0).normal(size=(100, 16)), values, passes=10)
    mean = of_the_mean(values)
    assert easy.linear < 1e-10
    assert easy.decode < 0.1 * mean.decode
    assert easy.add < 0.1 * mean.add
    assert easy.maximum > 0.95
    assert hard.decode > 0.7 * mean.decode
    assert hard.maximum < 0.5
    assert easy.extrapolate < hard.extrapolate


def test_integers_are_split_and_lists_are_of_different_numbers():
    train, test = split(100, 3)
    assert sorted([*train, *test]) == list(range(100))
    assert len(test) == 20
    assert {0, 99} <= set(train)
    found = lists(train, 400, RNG(0))
    assert all(len(set(row)) == 5 for row in found)
    spread = found.max(1) - np.sort(found, 1)[:, 0]
    assert spread[1::2].mean() < 0.6 * spread[::2].mean()


def test_a_list_has_one_largest_number():
    x = np.arange(30.0)[:, None]
    some = lists(np.arange(30), 200, RNG(0))
    assert largest(x, some, x, some, passes=30) > 0.97
    assert largest(np.zeros((30, 1)), some, np.zeros((30, 1)), some, passes=1) == pytest.approx((some.argmax(1) == 0).mean())


def test_a_model_with_digits_and_one_with_number_words(monkeypatch):
    monkeypatch.setattr(numeracy, "LISTS", 100)
    config, parameters, tokenizer = tiny_model.make()
    letters = Bert(config, parameters, tokenizer)
    found = numeracy.measure(letters, [*"abcdefghijklmnopqrstuvwxyz"], range(26), passes=5)
    assert found.numbers == 26
    assert all(np.isfinite(found.model))
    assert len(numeracy.lines(found)) == 16
    world = numeracy.measure(world_model.make(), numeracy.WORDS, range(2, 10), passes=3)
    assert np.isfinite(world.model[:2]).all()
    assert np.isnan(world.model[2:]).all()
    assert numeracy.verdict(world) == "cannot show at this size"
    assert len(numeracy.lines(world)) == 7
    assert [len(numeracy.plot(one).axes) for one in (found, world)] == [2, 1]


def test_a_verdict_has_a_criterion():
    good, bad = numeracy.Errors(6, 5, 9, 0.8, 20), numeracy.Errors(30, 30, 40, 0.2, 60)
    found = numeracy.Numeracy(good, bad, good, bad, 100)
    assert numeracy.verdict(found) == "agrees"
    assert numeracy.verdict(found._replace(model=bad)) == "contradicts"
    assert numeracy.verdict(found._replace(model=good._replace(maximum=0.3))) == "cannot show at this size"


@pytest.mark.parametrize("values", [range(3), [1, 2, 3, 3, 4, 5, 6], range(5, -1, -1)])
def test_bad_input_is_named(values):
    with pytest.raises(ValueError, match="at least 6, from the least to the largest"):
        numeracy.measure(world_model.make(), numeracy.WORDS[:len(values)], values)
