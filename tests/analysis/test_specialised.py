"""Heads with jobs, planted."""

import numpy as np
import pytest

from minibert.analysis import relations, specialised
from minibert.analysis.trees import Parsed
from minibert.api import Bert
from tests import tiny_model
from tests.analysis.planted import plant

RNG = np.random.default_rng(0)
CORPUS = []
for _ in range(60):
    n = int(RNG.integers(3, 7))
    words = [*RNG.choice(["the", "a", "c"], n - 1), str(RNG.choice(list("klmnopqrstuv")))]
    order = RNG.permutation(n)
    CORPUS.append(Parsed([str(words[i]) for i in order], [-1, *(int(RNG.integers(i)) for i in range(1, n))],
                         ["root", *RNG.choice(["det", "obj"], n - 1)]))


@pytest.fixture
def bert():
    return Bert(*tiny_model.make())


def test_planted_jobs_are_found(bert, monkeypatch):
    def heads(sentence):
        place, tree, rare, idle = np.full((4, len(sentence.words) + 2, len(sentence.words) + 2), 0.01)
        for a in (place, tree, rare, idle):
            a[:, -1] = 1.0  # the last [SEP], which nobody counts
        at = next(i for i, word in enumerate(sentence.words) if word not in ("the", "a", "c"))
        for i, head in enumerate(sentence.heads):
            place[i + 1, max(i - 1, 0) + 1] = 0.7
            tree[i + 1, (head if head >= 0 else i) + 1] = 0.6
            rare[i + 1, at + 1] = 0.5
        return place, tree, rare, idle

    plant(monkeypatch, CORPUS, heads)
    monkeypatch.setattr(specialised, "_relevance", lambda bert, sentences, seed: np.array([[0.4, 0.3, 0.2, 0.1]]))
    found = specialised.measure(bert, CORPUS)
    np.testing.assert_allclose(found.confidence, [[0.7, 0.6, 0.5, 0.01]], rtol=0, atol=1e-12)
    sizes = np.array([len(s.words) for s in CORPUS])
    assert found.place[0, 0] == -1
    assert found.positional[0, 0] == pytest.approx(((sizes - 1) / sizes * sizes).sum() / sizes.sum(), abs=1e-12)
    assert found.rare[0, 2] > 0.9
    assert found.chance < 0.5
    assert found.relation[0][1] in ("det", "obj")
    assert found.syntactic[0, 1] == pytest.approx(1 - relations.measure(bert, CORPUS).best_offset.min(), abs=1e-12)
    assert found.jobs[1, 0].tolist() == [False, True, False, False]
    assert found.jobs[2, 0, 2]
    assert not found.jobs[:, 0, 3].any()
    assert specialised.plot(found).axes


def test_places_are_counted_from_each_word():
    a = np.eye(4)[[1, 2, 3, 3]]  # three look at the next word, one at itself
    assert specialised.places(a).tolist() == [0, 0, 0, 1, 3, 0, 0]


def test_of_a_model(bert):
    found = specialised.measure(bert, CORPUS)
    sure, words, at = np.zeros((2, 3)), 0, np.zeros((2, 3, 40))
    for sentence in CORPUS:
        out, n = bert([list(sentence.words)], attentions=True), len(sentence.words)
        a = np.stack([layer[0] for layer in out.attentions])  # one piece for each of these words
        sure += a[..., 1:-1, :-1].max(-1).sum(-1)
        words += n
        for i, j in enumerate(a[..., 1:-1, 1:-1].argmax(-1).transpose(2, 0, 1)):
            for layer, head in np.ndindex(2, 3):
                at[layer, head, j[layer, head] - i + 20] += 1
    np.testing.assert_allclose(found.confidence, sure / words, rtol=1e-5)
    np.testing.assert_allclose(found.positional, at.max(-1) / words, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(found.place, at.argmax(-1) - 20)
    own = relations.measure(bert, CORPUS)
    np.testing.assert_allclose(found.syntactic, (own.recall.max(0) - own.best_offset).max(-1), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.relevance.sum(-1), 1, rtol=0, atol=1e-5)
