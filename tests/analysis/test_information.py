"""Information about words, where it is known how much there is."""

import numpy as np
import pytest

from minibert.analysis import information, probing
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS
from minibert.analysis.clusters import entropy
from minibert.analysis.information import measure, shared
from minibert.api import Bert
from tests import tiny_model

RNG = np.random.default_rng


def test_a_vector_that_is_the_word_knows_all_of_it_and_noise_nothing():
    words = RNG(0).integers(0, 12, 600)
    most = entropy(np.bincount(words))
    x = RNG(1).normal(size=(12, 8))[words]
    found, mixed = shared(x, words, 12)
    assert found == pytest.approx(most, abs=1e-10)
    assert mixed < most / 10
    noise, mixed = shared(RNG(2).normal(size=(600, 8)), words, 12)
    assert noise == pytest.approx(mixed, abs=0.05)
    assert shared(x[:, :1] * 0, words, 12) == (0, 0)


def test_clusters_can_hold_no_more_than_their_entropy():
    words = RNG(0).integers(0, 12, 600)
    assert shared(RNG(1).normal(size=(12, 8))[words], words, 3)[0] <= np.log(3)


def corpus(count=240):
    for i in range(count):
        yield list(RNG(i).choice(["the", "an", "exception", "raises", "."], 3 + i % 4))


@pytest.fixture
def bert():
    config, parameters, tokenizer = tiny_model.make()
    return Bert(config, parameters.astype(np.float64), tokenizer)


def test_a_model_that_reads_nothing_around_a_word_keeps_it_and_knows_nothing_of_a_hidden_one(bert):
    p = bert.parameters["bert"]
    p["embeddings"]["position_embeddings"]["weight"][...] = 0
    for layer in p["encoder"]["layer"].values():
        layer["attention"]["output"]["dense"]["weight"][...] = 0
    result = measure(bert, list(corpus()), k=30)
    np.testing.assert_allclose(result.input, result.entropy, atol=1e-10)
    np.testing.assert_allclose(result.output, 0, atol=1e-10)
    assert result.places == 240
    assert result.change.shape == (2,)


def test_places_are_those_of_the_seed_and_hidden_words_are_masked(bert, monkeypatch):
    sentences, asked, states = list(corpus()), [], probing.states

    def spied(bert, texts):
        asked.append(texts)
        return states(bert, texts)

    monkeypatch.setattr(probing, "states", spied)
    one, again = (measure(bert, sentences, k=5, seeds=(3,)) for _ in range(2))
    assert one.output.tolist() == again.output.tolist()
    assert asked[0] == sentences
    assert all([w for w, (a, b) in enumerate(zip(x, y)) if a != b] == [y.index("[MASK]")] for x, y in zip(sentences, asked[1]))
    assert len(information.lines(one._replace(random=again))) == 9
    assert [len(axes.lines) for axes in information.plot(one._replace(random=again)).axes] == [4, 2]
    with pytest.raises(ValueError, match="9 sentences are too few"):
        measure(bert, sentences[:9])


def test_verdicts_follow_the_criterion():
    def of(seen, hidden):
        return information.verdict(information.Information(np.array(seen), np.array(hidden), np.zeros((2, 4)), None, 3, 999))

    assert of([3, 2, 2.5, 2.8], [0, 1, 1.5, 2]) == AGREES
    assert of([3, 2.9, 2.5, 2.2], [0, 1, 1.5, 2]) == CANNOT
    assert of([3, 3, 3, 3], [0, 1, 1.5, 2]) == CONTRADICTS
    assert of([3, 2, 2.5, 2.8], [0, 2, 1.5, 1]) == CONTRADICTS
