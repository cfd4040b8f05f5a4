"""Attention against trees, where the numbers are known."""

import numpy as np
import pytest

from minibert.analysis import dependencies
from minibert.analysis.trees import Parsed
from minibert.api import Bert
from tests import tiny_model
from tests.analysis.planted import plant

CORPUS = [Parsed("abcde", [1, 4, 1, 4, -1], ["x"] * 5), Parsed("abcdefghijkl", [-1, *range(11)], ["x"] * 12),
          Parsed("abcdefghi", [8] * 8 + [-1], ["x"] * 9)]


@pytest.fixture
def bert():
    return Bert(*tiny_model.make())


def framed(a):
    n = len(a)
    out = np.zeros((n + 2, n + 2))
    out[1:-1, 1:-1] = a
    out[0, 0] = out[-1, -1] = 1
    return out


def test_even_attention_and_the_previous_word(bert, monkeypatch):
    def heads(sentence):
        n = len(sentence.words)
        previous = np.eye(n, k=-1) + np.eye(n, k=1) * (np.arange(n) == 0)[:, None]
        return framed(np.full((n, n), 1 / n)), framed(previous), np.full((n + 2, n + 2), 1 / (n + 2))

    plant(monkeypatch, CORPUS, heads)
    found = dependencies.measure(bert, CORPUS, least=1)
    sizes = np.array([5, 12, 9])
    even = (2 * (sizes - 1) / sizes).sum() / sizes.sum()
    assert found.alignment[0, 0] == pytest.approx(even, abs=1e-14)
    assert found.even == pytest.approx(even, abs=1e-14)
    assert found.distance[0, 0] == pytest.approx(((sizes ** 2 - 1) / 3).sum() / sizes.sum(), abs=1e-12)
    assert found.distance[0, 1] == pytest.approx(1, abs=1e-14)
    assert found.entropy[0, 1] == 0
    assert found.entropy[0, 2] == pytest.approx(((sizes + 2) * np.log(sizes + 2)).sum() / (sizes + 2).sum(), abs=1e-12)
    assert found.variability[0, 1] == pytest.approx(0, abs=1e-7)  # maps are kept in single precision
    near = [3, 11, 1]  # the edges between neighbours
    assert found.chain == pytest.approx(sum(near) / (sizes - 1).sum(), abs=1e-14)
    rows_without_previous = [1, 1, 0]  # the first word looks at the second, which is joined to it in two of three
    assert found.counted[0, 1] == pytest.approx((sum(near) + sum(rows_without_previous)) / sizes.sum(), abs=1e-14)
    assert np.isnan(found.counted[0, 0])
    assert dependencies.plot(found).axes


def test_one_sentence_has_the_closed_form(bert, monkeypatch):
    plant(monkeypatch, CORPUS[:1], lambda sentence: [framed(np.full((5, 5), 1 / 5))])
    assert dependencies.measure(bert, CORPUS[:1]).alignment[0, 0] == pytest.approx(2 * 4 / 25, abs=1e-15)


def test_attention_along_the_tree_is_aligned_whole(bert, monkeypatch):
    def along(sentence):
        tree = dependencies.joined(sentence.heads)
        return [framed(tree / tree.sum(1, keepdims=True))]

    plant(monkeypatch, CORPUS, along)
    assert dependencies.measure(bert, CORPUS).alignment[0, 0] == pytest.approx(1, abs=1e-14)


def test_variability_of_maps_that_share_nothing():
    maps = np.stack([np.eye(4)[[0, 0, 0, 0]], np.eye(4)[[1, 1, 1, 1]]])
    assert dependencies.variability(maps) == pytest.approx(0.5, abs=1e-15)  # half of each must move to the mean of two
    assert dependencies.variability(maps[:1]) == 0


def test_of_a_model(bert):
    corpus = [Parsed(["the", "abc", "raises", "an", "xyz"], [1, 2, -1, 4, 2], ["det", "nsubj", "root", "det", "obj"])] * 2
    found, out = dependencies.measure(bert, corpus), bert([corpus[0].words], attentions=True)
    of = np.array(out.words[0][1:-1])
    for layer in range(2):
        for head in range(3):
            pieces = out.attentions[layer][0, head][1:-1, 1:-1].astype(np.float64)
            between = np.array([[pieces[of == i][:, of == j].sum(1).mean() for j in range(5)] for i in range(5)])
            along = sum(between[w, h] + between[h, w] for w, h in enumerate(corpus[0].heads) if h >= 0)
            assert found.alignment[layer, head] == pytest.approx(along / between.sum(), rel=1e-5)
    with pytest.raises(ValueError, match="no gold edge"):
        dependencies.measure(bert, [Parsed(["a"], [-1], ["root"])])
