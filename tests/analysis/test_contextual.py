"""How contextual vectors are, against answers in closed form and plain loops."""

import numpy as np
import pytest

from minibert.analysis import contextual
from minibert.analysis.contextual import explained, intra_sentence, self_similarity, similarity_of_pairs
from minibert.api import Bert
from tests import tiny_model

RNG = np.random.default_rng


def cosine(a, b):
    return a @ b / np.sqrt((a @ a) * (b @ b))


def test_similarities_are_means_of_cosines():
    x = RNG(0).normal(size=(7, 5)) * 10.0 ** np.arange(-3, 4)[:, None]
    pairs = [cosine(x[i], x[j]) for i in range(7) for j in range(7) if i != j]
    assert self_similarity(x) == pytest.approx(np.mean(pairs), abs=1e-12)
    assert intra_sentence(x) == pytest.approx(np.mean([cosine(v, x.mean(0)) for v in x]), abs=1e-12)
    assert self_similarity(np.eye(4)) == pytest.approx(0, abs=1e-15)
    assert intra_sentence(np.eye(4)) == pytest.approx(0.5, abs=1e-15)
    assert self_similarity([[1, 0], [-2, 0], [0, 3], [0, -1]]) == pytest.approx(-1 / 3, abs=1e-15)


def test_random_pairs_meet_themselves_as_often_as_chance_has_it():
    x = np.eye(4)
    assert similarity_of_pairs(x, 200_000) == pytest.approx(1 / 4, abs=0.01)  # all pairs of two: 0
    assert similarity_of_pairs(x[:1], 10) == 1


@pytest.mark.parametrize(("m", "s"), [(3.0, [1.0] * 6), (2.0, [0.5, 1.5, 1, 1, 0.2, 0.3]), (5.0, [2, 1, 1, 0.5, 0.1, 4])])
def test_the_three_estimators_in_closed_form(m, s):
    s, d = np.array(s), 6
    around = np.sqrt(d) * np.concatenate([np.diag(s), -np.diag(s)])  # covariance diag(s²), to the last digit
    rotation = np.linalg.qr(RNG(0).normal(size=(d, d)))[0]
    found = explained((around + m * np.eye(d)[0]) @ rotation)
    variance = (s * s).sum()
    np.testing.assert_allclose(found, ((m * m + s[0] ** 2) / (m * m + variance), (s * s).max() / variance, s[0] ** 2 / variance),
                               rtol=1e-12)


@pytest.mark.parametrize("n", [2, 3, 12, 40])
def test_what_always_holds_of_the_three(n):
    for seed in range(20):
        x = RNG(seed).normal(size=(n, 8)) + seed / 4
        found = explained(x / np.linalg.norm(x, axis=1, keepdims=True))
        assert found.uncentred >= self_similarity(x) - 1e-12
        assert found.centred >= 1 / (n - 1) - 1e-12
        assert found.projected <= found.centred + 1e-12


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_occurrences_that_are_all_the_same_have_no_variance_to_explain(dtype):
    found = explained(np.tile(RNG(0).normal(size=9).astype(dtype), (7, 1)))
    assert found.uncentred == pytest.approx(1, abs=1e-12)
    assert np.isnan(found[1:]).all()


def test_the_estimators_are_far_apart_for_one_and_the_same_word():
    x = RNG(0).normal(size=(100, 64)) + 2
    found = explained(x)
    assert found.uncentred > 0.75
    assert found.projected < found.centred < 0.06


@pytest.fixture
def bert():
    config, parameters, tokenizer = tiny_model.make()
    return Bert(config, parameters.astype(np.float64), tokenizer)


def corpus(count=40):
    letters = [*"abcdefghijkl", "xyz", "the", ".", "日"]
    return [list(RNG(i).choice(letters, 1 + i % 7)) for i in range(count)] + [[]]


@pytest.mark.filterwarnings("ignore::minibert.text.reading.UnknownText")
@pytest.mark.parametrize("pieces", ["mean", "last"])
def test_a_model_is_measured_as_plain_loops_have_it(bert, pieces):
    sentences = corpus()
    result = contextual.measure(bert, sentences, least=4, pieces=pieces)
    states = []
    for words in sentences[:-1]:
        out = bert([words], hidden_states=True)
        of, x = np.array(out.words[0][1:-1]), np.stack([h[0, 1:-1] for h in out.hidden_states])
        states.append([x[:, of == w].mean(1) if pieces == "mean" else x[:, of == w][:, -1] for w in range(len(words))])
    places = {word: [v for words, vectors in zip(sentences, states) for w, v in zip(words, vectors) if w == word]
              for word in {w for words in sentences for w in words} - {".", "日"}}
    often = [np.stack(found, 1) for found in places.values() if len(found) >= 4]
    assert (result.words, result.occurrences, result.sentences) == (len(often), sum(x.shape[1] for x in often), 40)
    for l in range(3):
        assert result.self_similarity[l] == pytest.approx(np.mean([self_similarity(x[l]) for x in often]), abs=1e-10)
        assert result.intra_sentence[l] == pytest.approx(np.mean([intra_sentence([v[l] for v in s]) for s in states]), abs=1e-10)
        np.testing.assert_allclose(result.explained[l], np.mean([explained(x[l]) for x in often], 0), atol=1e-10)
    np.testing.assert_array_equal(result.adjusted[2], result.explained - result.anywhere)
    assert all(hasattr(result, control) for control in contextual.CONTROLS)
    assert [len(axes.lines) for axes in contextual.plot(result).axes] == [3, 3]


def test_a_model_in_which_nothing_is_contextual(bert):
    """Without layers that do something, and without positions, every occurrence is the same."""
    p = bert.parameters["bert"]
    p["embeddings"]["position_embeddings"]["weight"][...] = 0
    for layer in p["encoder"]["layer"].values():
        for dense in (layer["attention"]["output"]["dense"], layer["output"]["dense"]):
            dense["weight"][...] = dense["bias"][...] = 0
    result = contextual.measure(bert, corpus(), least=4)
    np.testing.assert_allclose(result.self_similarity, 1, atol=1e-12)
    np.testing.assert_allclose(result.explained[:, 0], 1, atol=1e-12)
    assert np.isnan(result.explained[:, 1:]).all()
    assert (result.anisotropy < 0.99).all()


def test_samples_are_those_of_the_seed_and_memory_has_a_bound(bert, monkeypatch):
    few = contextual.measure(bert, corpus(), least=4, most=5, seed=1)
    again = contextual.measure(bert, corpus(), least=4, most=5, seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(few, again))
    assert few.sentences == 5
    assert few.occurrences <= 5 * few.words
    pairs = contextual.measure(bert, corpus(), least=4, most=5, seed=1, pairs=20_000)
    np.testing.assert_allclose(pairs.anisotropy, (1 + 4 * few.anisotropy) / 5, atol=0.02)  # of 5, each meets itself once in 5
    monkeypatch.setattr(contextual, "MEMORY", few.occurrences * 3 * 12 * 8 - 1)
    assert contextual.measure(bert, corpus(), least=4, most=5, seed=1).words == few.words - 1


@pytest.mark.parametrize(("call", "message"), [
    (lambda: self_similarity(np.ones((1, 3))), r"at least 2 occurrences, got shape \(1, 3\)"),
    (lambda: explained(np.ones((1, 3))), "at least 2 occurrences"),
    (lambda: intra_sentence(np.ones((0, 3))), r"at least 1 occurrence, got shape \(0, 3\)"),
    (lambda: self_similarity([[1, 0], [0, 0]]), "a zero vector has no direction"),
    (lambda: explained([[1, 0], [np.nan, 0]]), "finite"),
])
def test_what_cannot_be_measured_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_too_little_text_is_said(bert):
    with pytest.raises(ValueError, match=r"5 sentences have 0 words that occur 5 times or more.*at least 10 of both"):
        contextual.measure(bert, corpus(5))
    with pytest.raises(TypeError, match=r"sentences\[0\] must be a list of words, got the string 'the exception'"):
        contextual.measure(bert, ["the exception"])
