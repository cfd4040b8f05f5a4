"""Senses by the nearest centroid, where it is known where they lie."""

import numpy as np
import pytest

from minibert.analysis import probing, senses
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS
from minibert.analysis.senses import measure, nearest

RNG = np.random.default_rng


def test_the_nearest_is_by_length_or_by_angle():
    centroids = np.array([[1.0, 0], [0, 10]])
    x = np.array([[0.4, 0.6], [2, 0], [1, 9]])
    assert nearest(x, centroids).tolist() == [0, 0, 1]
    assert nearest(x, centroids, "cosine").tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match="distance must be one of euclidean, cosine, got 'x'"):
        nearest(x, centroids, "x")


def corpus(count=300):
    rng, words, meant = RNG(0), [], []
    for i in range(count):
        first = rng.random() < 0.7
        words.append(["the", "Bank" if i % 9 == 0 else "bank", "seal"])
        meant.append(["", "bank.1" if first else "bank.2", "seal.1"])
    return words, meant


def test_senses_that_lie_apart_are_told_and_a_word_of_one_sense_does_not_count(monkeypatch):
    words, meant = corpus()
    label = np.array([sense == "bank.1" for row in meant for sense in row])
    x = np.stack([RNG(1).normal(size=(900, 3)), 5 * label[:, None] + RNG(2).normal(size=(900, 3))])
    monkeypatch.setattr(probing, "states", lambda bert, sentences: x)
    result = measure(None, words, meant, seeds=(0, 1))
    assert (result.forms, result.tested) == (1, 60)
    np.testing.assert_array_equal(result.accuracy[:, 1], 1)
    assert result.accuracy[:, 0].max() < 0.75
    tests = [probing.split(np.repeat(np.arange(300), 2), seed).test for seed in (0, 1)]
    shares = [np.mean([meant[i // 2][1] == "bank.1" for i in test[::2]]) for test in tests]
    np.testing.assert_allclose(result.frequent, shares, atol=1e-12)
    assert senses.verdict(result) == AGREES
    assert senses.verdict(result._replace(random=result.accuracy)) == CONTRADICTS
    assert senses.verdict(result._replace(accuracy=result.frequent[:, None] + 0.02)) == CANNOT
    assert [line.name for line in senses.lines(result)] == ["accuracy, embeddings", "accuracy, layer 1"]
    assert len(senses.plot(result._replace(random=result.accuracy)).axes[0].lines) == 3


def test_too_few_are_said(monkeypatch):
    words, meant = corpus(60)
    with pytest.raises(ValueError, match="19 sentences have a word with a sense"):
        measure(None, words[:19], meant[:19])
    monkeypatch.setattr(probing, "states", lambda bert, sentences: RNG(0).normal(size=(1, 180, 2)))
    with pytest.raises(ValueError, match="12 test words are of a form with several senses"):
        measure(None, words, meant)
