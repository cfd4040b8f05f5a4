"""Heads that know a relation, planted; and those of a model by plain counting."""

import numpy as np
import pytest

from minibert.analysis import relations
from minibert.analysis.relations import hits, offset_hits
from minibert.analysis.trees import Parsed
from minibert.api import Bert
from tests import tiny_model
from tests.analysis.planted import plant

HEADS = [1, 4, 1, 4, -1]
CORPUS = [Parsed("abcde", HEADS, ["det", "nsubj", "punct", "amod", "root"])] * 5 + [Parsed("a", [-1], ["root"])]


@pytest.fixture
def bert():
    return Bert(*tiny_model.make())


def test_both_ways_by_hand():
    a = np.array([[9, 1, 2], [3, 9, 1], [5, 4, 9]])  # 0 looks at 2, 1 at 0, 2 at 0; most looked at by: 0 by 2, 1 by 2, 2 by 0
    assert hits(a, [2, 0, 0]).tolist() == [[True] * 3, [True, False, True]]
    assert hits(a, [2, 2, -1])[1].tolist() == [True, True, False]


def test_offsets_end_at_the_first_and_the_last_word():
    found = dict(zip(relations.OFFSETS, offset_hits(HEADS).tolist()))
    assert found[1] == [True, False, False, True, False]
    assert found[-1] == [False, False, True, False, False]
    assert found[3] == [False, True, False, True, False]  # from the fourth word on, three on is the last


def test_a_head_that_knows_and_one_that_counts(bert, monkeypatch):
    def heads(sentence):
        n = len(sentence.words)
        knows, counts = np.full((2, n + 2, n + 2), 0.01)
        knows[:, [0, -1]] = counts[:, [0, -1]] = 1  # [CLS] and [SEP], which nobody should see
        for i, h in enumerate(sentence.heads):
            knows[h + 1 if h >= 0 else 0, i + 1] = 0.5  # its head looks at each word: the way up
            counts[i + 1, min(i + 1, n - 1) + 1] = 0.5
        return knows, counts

    plant(monkeypatch, CORPUS, heads)
    found = relations.measure(bert, CORPUS, least=2)
    assert found.relations == ["det", "nsubj", "punct", "amod"]
    assert found.counts == [5] * 4
    assert found.accuracy.tolist() == [1, 1, 1, 1]
    assert found.best[1] == ("up", 0, 0)
    assert found.recall[1, 0, 0].tolist() == [1, 1, 1, 1]
    assert found.recall[0, 0, 1].tolist() == [1, 0, 0, 1]
    assert found.all[1, 0, 0] == 1
    assert found.all[0, 0, 1] == 0.5
    assert found.all_offset == 0.5
    assert (found.offsets == 1).all()
    assert found.chosen == [1, 3, -1, 1]
    assert relations.plot(found).axes


def test_the_best_head_is_measured_where_it_was_not_chosen(bert):
    rng = np.random.default_rng(1)
    corpus = []
    for _ in range(40):
        n = int(rng.integers(2, 7))
        corpus.append(Parsed([str(w) for w in rng.choice(["the", "ab", "c", "raises", "xyz"], n)],
                             [-1, *(int(rng.integers(i)) for i in range(1, n))], ["root", *rng.choice(["det", "obj"], n - 1)]))
    found = relations.measure(bert, corpus, least=5)
    halves = []
    for half in (corpus[::2], corpus[1::2]):
        right, total = np.zeros((2, 2, 3, 2)), np.zeros(2)
        for words, heads, names in half:
            out, n = bert([list(words)], attentions=True), len(words)
            of = np.array(out.words[0][1:-1])
            for layer in range(2):
                for head in range(3):
                    a = out.attentions[layer][0, head][1:-1, 1:-1].astype(np.float64)
                    a = np.array([[a[of == i][:, of == j].sum(1).mean() for j in range(n)] for i in range(n)])
                    np.fill_diagonal(a, -1)
                    for w in range(1, n):
                        r = found.relations.index(names[w])
                        right[0, layer, head, r] += a[w].argmax() == heads[w]
                        right[1, layer, head, r] += a[:, w].argmax() == heads[w]
            for w in range(1, n):
                total[found.relations.index(names[w])] += 1
        halves.append(right / total)
    for r, (way, layer, head) in enumerate(found.best):
        at = (relations.WAYS.index(way), layer, head, r)
        assert halves[0][at] == halves[0][..., r].max()
        assert found.accuracy[r] == pytest.approx(halves[1][at], abs=1e-12)
    with pytest.raises(ValueError, match="no relation with 90 dependents in each half"):
        relations.measure(bert, corpus, least=90)
