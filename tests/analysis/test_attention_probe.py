"""The probe of attention on planted trees."""

import numpy as np
import pytest

from minibert.analysis import attention_probe
from minibert.analysis.attention_probe import away, examples, fit, forward, uas
from minibert.analysis.trees import Parsed
from minibert.api import Bert
from tests import tiny_model
from tests.analysis.planted import plant


def sentences(count, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        n = int(rng.integers(2, 8))
        order = rng.permutation(n)
        heads = np.full(n, -1)
        for i in range(1, n):
            heads[order[i]] = order[rng.integers(i)]
        yield Parsed([str(w) for w in rng.choice(["the", "ab", "c", "raises", "xyz"], n)], heads.tolist(),
                     [str(r) for r in rng.choice(["det", "obj", "punct"], n, p=[0.5, 0.4, 0.1])])


@pytest.fixture
def bert():
    config, parameters, tokenizer = tiny_model.make(num_hidden_layers=1, num_attention_heads=2)
    return Bert(config, parameters.astype(np.float64), tokenizer)


def test_planted_attention_is_found_whole(bert, monkeypatch):
    """One head looks from the head at its dependents, and from the root at [SEP]; the other is noise."""
    corpus, rng = list(sentences(40)), np.random.default_rng(1)

    def heads(sentence):
        n = len(sentence.words)
        a = np.full((n + 2, n + 2), 0.01)
        for i, h in enumerate(sentence.heads):
            a[h + 1 if h >= 0 else n + 1, i + 1] = 0.8
        return rng.random(a.shape), a

    plant(monkeypatch, corpus, heads)
    found = attention_probe.measure(bert, corpus, passes=30)
    assert found.attention == 1
    assert found.words > 0.95
    assert found.weights.argmax() == 3  # up, the second head
    assert found.tested == sum(r != "punct" for s in corpus[1::2] for r in s.relations)
    assert max(found.offset, found.distances) < 0.7


def test_scores_by_hand(bert):
    corpus = list(sentences(3))
    [x, *_] = examples(bert, corpus)
    p = fit([x._replace(vectors=None)], passes=0)
    p["weight"][...] = [1, 2, 3, 4]
    p["ends"][...] = [0.5, -2]
    out = bert([corpus[0].words], attentions=True)
    n = len(corpus[0].words)
    of = np.array([-1, *out.words[0][1:-1], n])
    a = np.stack([[[h[of == i][:, of == j].sum(1).mean() for j in range(-1, n + 1)] for i in range(-1, n + 1)]
                  for h in out.attentions[0][0]])
    s = a[0] + 2 * a[1] + 3 * a[0].T + 4 * a[1].T
    found, _ = forward(x.features, None, x.at, p.tree)
    for j in range(n):
        for i in range(n):
            assert found[j, i] == pytest.approx(s[j + 1, i + 1] if i != j else attention_probe.NEVER, abs=1e-12)
        assert found[j, n] == pytest.approx(0.5 * s[j + 1, 0] - 2 * s[j + 1, -1], abs=1e-12)


def test_words_alone_know_what_words_say(bert, monkeypatch):
    """Every word hangs on the only "the", wherever it stands: distances cannot say it, words with even attention can."""
    rng, corpus = np.random.default_rng(0), []
    for _ in range(30):
        n = int(rng.integers(3, 8))
        at = int(rng.integers(n))
        corpus.append(Parsed(["the" if i == at else "a" for i in range(n)], [-1 if i == at else at for i in range(n)], ["x"] * n))
    found = [x._replace(features=np.ones_like(x.features)) for x in examples(bert, corpus)]
    assert uas(found, fit(found, passes=20).tree) == 1
    blind = [x._replace(vectors=None) for x in found]
    assert uas(blind, fit(blind, passes=20).tree) < 0.6


def test_the_control_sees_places_only(bert):
    [x] = examples(bert, list(sentences(1, seed=2)))
    steps = away(x).features
    assert steps.shape == (len(x.at), len(x.at) + 2, 8)
    assert (steps.sum(-1) == (np.arange(len(x.at) + 2) != x.at[:, None])).all()
    assert steps[0, 2].argmax() == 4
    assert steps[0, 0].argmax() == 3


def test_too_little_is_said(bert):
    with pytest.raises(ValueError, match="at least 40, got 39"):
        attention_probe.measure(bert, list(sentences(39)))
    with pytest.raises(ValueError, match="punctuation"):
        attention_probe.measure(bert, [Parsed(["a", "c"], [1, -1], ["punct"] * 2)] * 40)
