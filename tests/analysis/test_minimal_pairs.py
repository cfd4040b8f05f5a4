"""Minimal pairs where every score is known."""

import itertools

import numpy as np
import pytest

from minibert.analysis import minimal_pairs
from minibert.api import Bert
from tests import tiny_model


@pytest.fixture
def bert():
    config, parameters, tokenizer = tiny_model.make()
    return Bert(config, parameters.astype(np.float64), tokenizer)


def test_a_score_is_that_of_enumeration(bert):
    """Two tokens, each hidden in turn, every word of the vocabulary tried in its place."""
    text = "the exception"
    encoding, total = bert.tokenizer.encode(text), 0.0
    for t in (1, 2):
        ids = list(encoding.ids)
        ids[t] = bert.tokenizer.vocab.mask_id
        guesses = dict(bert.fill_mask(ids, top=len(bert.tokenizer.vocab)))
        assert sum(guesses.values()) == pytest.approx(1, abs=1e-10)
        total += np.log(guesses[encoding.tokens[t]])
    assert minimal_pairs.scores(bert, [text])[0] == pytest.approx(total, abs=1e-10)


def test_equal_scores_are_not_right():
    assert minimal_pairs.right([1, 2, 3], [1, 1, 4]).tolist() == [False, True, False]


def pairs(count):
    letters = list(itertools.islice(itertools.permutations("abcdefgh", 3), count))
    return [f"the {x} {y}" for x, y, _ in letters], [f"the {x} {z}" for x, _, z in letters]


def test_the_mean_is_over_paradigms_and_not_over_pairs(bert):
    good, bad = pairs(70)
    kinds = ["one"] * 20 + ["two"] * 50
    corpus = [["the", *"abc"]] * 5 + [["b"]]
    found = minimal_pairs.measure(bert, good, bad, kinds, corpus)
    mine = minimal_pairs.scores(bert, good) > minimal_pairs.scores(bert, bad)
    assert found.paradigms == ["one", "two"]
    np.testing.assert_allclose(found.right, [mine[:20].mean(), mine[20:].mean()], atol=1e-15)
    often = {"the": 5, "a": 5, "b": 6, "c": 5}
    known = [often.get(a.split()[2], 0) > often.get(b.split()[2], 0) for a, b in zip(good, bad)]
    np.testing.assert_allclose(found.unigram, [np.mean(known[:20]), np.mean(known[20:])], atol=1e-15)
    assert minimal_pairs.lines(found)[0].value == pytest.approx(found.right.mean())
    assert len(minimal_pairs.plot(found).axes) == 1


def test_a_verdict_is_against_the_frequency_of_words():
    found = minimal_pairs.MinimalPairs(["a", "b"], np.array([.9, .7]), np.array([.6, .8]), np.array([.5, .5]), np.array([30, 30]))
    assert minimal_pairs.verdict(found) == "agrees"
    assert minimal_pairs.verdict(found._replace(right=np.array([.7, .7]))) == "contradicts"


def test_bad_input_is_named(bert):
    good, bad = pairs(30)
    with pytest.raises(ValueError, match=r"a paradigm has 10 pairs.*from 20 on"):
        minimal_pairs.measure(bert, good, bad, ["a"] * 10 + ["b"] * 20, [["the"]])
    with pytest.raises(ValueError, match="30 good texts, 30 bad ones and 2 paradigms"):
        minimal_pairs.measure(bert, good, bad, ["a", "b"], [["the"]])
