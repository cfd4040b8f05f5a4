"""Trees against every tree there is, and what is measured of heads against plain counting."""

from itertools import combinations, product

import numpy as np
import pytest

from minibert.analysis import trees
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS
from minibert.analysis.trees import Parsed, arborescence, distances, gold, pairs, spanning_tree, uuas
from minibert.api import Bert
from tests import tiny_model
from tests.analysis.planted import plant


def is_tree(heads):
    for node in range(len(heads)):
        steps = 0
        while node >= 0:
            node, steps = heads[node], steps + 1
            if steps > len(heads):
                return False
    return True


def arborescences(n, root):
    choices = [[-1] if v == root else [u for u in range(n) if u != v] for v in range(n)]
    return [heads for heads in product(*choices) if is_tree(heads)]


def total(scores, heads):
    return sum(scores[v, h] for v, h in enumerate(heads) if h >= 0)


def joins(edges, n):
    group = list(range(n))
    for i, j in edges:
        group = [group[i] if g == group[j] else g for g in group]
    return len(set(group)) == 1


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_no_arborescence_scores_more(n):
    rng = np.random.default_rng(n)
    for trial in range(60):
        scores, root = rng.normal(size=(n, n)), trial % n
        best = max(arborescences(n, root), key=lambda heads: total(scores, heads))
        assert tuple(arborescence(scores, root)) == best


def test_among_equals_an_arborescence_is_still_a_best_tree():
    rng = np.random.default_rng(0)
    for _ in range(100):
        scores = rng.integers(0, 3, (5, 5))
        heads = arborescence(scores, 2)
        assert heads[2] == -1
        assert is_tree(heads)
        assert total(scores, heads) == max(total(scores, other) for other in arborescences(5, 2))


def test_a_cycle_is_entered_where_it_costs_least():
    scores = np.array([[0, 0, 0], [5, 0, 10], [1, 8, 0]])  # 1 and 2 want each other; 0 -> 1 -> 2 is 5 + 8, 0 -> 2 -> 1 is 1 + 10
    assert arborescence(scores, 0).tolist() == [-1, 0, 1]
    assert arborescence(scores + np.array([[0], [0], [3]]), 0).tolist() == [-1, 0, 1]  # nothing but the row's level changes
    scores[2, 0] = 4
    assert arborescence(scores, 0).tolist() == [-1, 2, 0]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_no_spanning_tree_weighs_more(n):
    rng = np.random.default_rng(n)
    for _ in range(30):
        weights = rng.normal(size=(n, n))
        weights += weights.T
        best = max((edges for edges in combinations(combinations(range(n), 2), n - 1) if joins(edges, n)),
                   key=lambda edges: sum(weights[e] for e in edges))
        assert tuple(spanning_tree(weights)) == best


def test_a_repeated_word_at_distance_zero_is_in_the_tree():
    x = np.array([[0.0, 0], [3, 0], [0, 0], [0, 1]])
    distance = ((x[:, None] - x) ** 2).sum(-1)
    assert spanning_tree(-distance) == [(0, 1), (0, 2), (0, 3)]
    assert sorted(distance[edge] for edge in spanning_tree(-distance)) == [0, 1, 9]


#   0 the  1 cat  2 ,  3 big  4 sat     3 hangs on the comma, the comma on 1
HEADS = [1, 4, 1, 2, -1]


def test_distances_are_edges_between_words():
    assert distances(HEADS).tolist() == [[0, 1, 2, 3, 2], [1, 0, 1, 2, 1], [2, 1, 0, 1, 2], [3, 2, 1, 0, 3], [2, 1, 2, 3, 0]]
    assert spanning_tree(-distances(HEADS)) == sorted(pairs(HEADS)) == [(0, 1), (1, 2), (1, 4), (2, 3)]


def test_without_punctuation_a_word_that_hung_on_it_has_no_edge_or_one_of_its_nearest():
    keep = np.array([True, True, False, True, True])
    assert gold(HEADS) == pairs(HEADS)
    assert gold(HEADS, keep) == {(0, 1), (1, 4)}
    assert gold(HEADS, keep, bridged=True) == {(0, 1), (1, 3), (1, 4)}
    assert gold(HEADS, np.zeros(5), bridged=True) == gold(HEADS, np.zeros(5)) == set()


def test_uuas_counts_edges_and_not_sentences():
    own = [pairs(HEADS), {(0, 1)}]
    assert uuas([set(spanning_tree(-distances(HEADS))), {(0, 1)}], own) == 1
    assert uuas([{(0, 1), (3, 4)}, set()], own) == 1 / 5
    with pytest.raises(ValueError, match="no gold edge"):
        uuas([set()], [set()])


@pytest.mark.parametrize(("call", "message"), [
    (lambda: arborescence(np.zeros((2, 3)), 0), r"\(n, n\).*got shape \(2, 3\)"),
    (lambda: arborescence(np.zeros((0, 0)), 0), r"got shape \(0, 0\)"),
    (lambda: arborescence(np.zeros((2, 2)), 2), "root must be from 0 to 1, the last of 2 nodes, got 2"),
    (lambda: arborescence(np.full((2, 2), -np.inf), 0), "finite"),
    (lambda: spanning_tree(np.array([[0, 1], [2, 0]])), r"\[0, 1\] is 1.0 and \[1, 0\] is 2.0.*w \+ w.T"),
])
def test_what_is_no_table_of_scores_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.fixture
def bert():
    config, parameters, tokenizer = tiny_model.make()
    return Bert(config, parameters.astype(np.float64), tokenizer)


def sentences(rng, count):
    for _ in range(count):
        n = int(rng.integers(1, 6))
        trees_of = arborescences(n, int(rng.integers(n)))
        yield Parsed([str(w) for w in rng.choice(["the", "ab", "c", "raises", "xyz"], n)], trees_of[rng.integers(len(trees_of))],
                     [str(r) for r in rng.choice(["det", "obj"], n)])


def test_heads_are_measured_as_plain_counting_has_it(bert):
    corpus = list(sentences(np.random.default_rng(0), 25))
    result = trees.measure(bert, corpus, least=10)
    L, A = bert.config.num_hidden_layers, bert.config.num_attention_heads
    mst, uas, best, recall, edges = np.zeros((L, A)), np.zeros((L, A)), np.zeros((L, A)), np.zeros((L, A, 2)), np.zeros(2)
    before = behind = 0
    for words, heads, relations in corpus:
        out, n = bert([words], attentions=True), len(words)
        of = np.array(out.words[0][1:-1])
        own = {(min(i, h), max(i, h)): result.relations.index(r) for i, (h, r) in enumerate(zip(heads, relations)) if h >= 0}
        for r in own.values():
            edges[r] += 1
        before += sum(h == i - 1 for i, h in enumerate(heads) if i)
        behind += sum(h == i + 1 for i, h in enumerate(heads))
        for l, a in product(range(L), range(A)):
            pieces = out.attentions[l][0, a][1:-1, 1:-1]
            between = np.array([[pieces[of == i][:, of == j].sum(1).mean() for j in range(n)] for i in range(n)])
            tree = max(arborescences(n, list(heads).index(-1)), key=lambda heads: total(between, heads))
            mst[l, a] += len(pairs(tree) & own.keys())
            uas[l, a] += sum(h == own for h, own in zip(tree, heads) if own >= 0)
            np.fill_diagonal(between, -1)
            joined = {tuple(sorted((i, int(j)))) for i, j in enumerate(between.argmax(1))}
            best[l, a] += len(joined & own.keys())
            for edge in joined & own.keys():
                recall[l, a, own[edge]] += 1
    np.testing.assert_allclose(result.mst, mst / edges.sum(), rtol=1e-12)
    np.testing.assert_allclose(result.uas, uas / edges.sum(), rtol=1e-12)
    np.testing.assert_allclose(result.max, best / edges.sum(), rtol=1e-12)
    assert result.branching == max(before, behind) / edges.sum()
    assert result.edges == edges.sum()
    np.testing.assert_allclose(result.recall, recall / edges, rtol=1e-12)
    assert result.counts == edges.tolist() == sorted(edges, reverse=True)


def test_a_head_that_knows_the_tree_finds_it_and_the_controls_know_what_they_know(bert, monkeypatch):
    corpus = [Parsed("abcde", HEADS, ["det", "nsubj", "punct", "amod", "root"])] * 3 + [Parsed("a", [-1], ["root"])]

    def heads(sentence):
        n = len(sentence.words)
        knows, counts = np.full((2, n + 2, n + 2), 0.01)
        knows[:, [0, -1]] = counts[:, [0, -1]] = 1  # [CLS] and [SEP], which nobody should see
        for i, h in enumerate(sentence.heads):
            knows[i + 1, (h if h >= 0 else max(i - 3, 0)) + 1] = 0.5
            counts[i + 1, min(i + 1, n - 1) + 1] = 0.5
        return knows, counts

    plant(monkeypatch, corpus, heads)
    result = trees.measure(bert, corpus, least=3)
    assert result.mst.tolist() == [[1, 0.75]]
    assert result.uas[0, 0] == 1
    assert result.max.tolist() == [[1, 0.75]]
    assert result.relations == ["det", "nsubj", "punct", "amod"]
    assert result.recall[0].tolist() == [[1, 1, 1, 1], [1, 0, 1, 1]]
    assert (result.chain, result.sentences, result.rare) == (0.75, 4, {})
    assert dict(zip(result.relations, zip(result.offsets, result.distances))) == {
        "det": (1, 1), "nsubj": (1, 3), "punct": (1, 1), "amod": (1, 1)}
    assert all(hasattr(result, control) for control in trees.CONTROLS)
    assert [axes.get_title() for axes in trees.plot(result).axes] == ["One relation, best head of all",
                                                                      "The whole tree, best head of a layer"]


def test_cls_as_the_root_of_the_gold_root_alone_gives_the_same_tree():
    """As Jawahar et al. have it: node 0 is [CLS], and only the gold root may hang on it."""
    rng = np.random.default_rng(0)
    for trial in range(60):
        n = 2 + trial % 5
        a, root = rng.random((n, n)), int(rng.integers(n))
        with_cls = np.full((n + 1, n + 1), -1.0)
        with_cls[1:, 1:] = a
        with_cls[root + 1, 0] = 1
        assert arborescence(with_cls, 0)[1:].tolist() == (arborescence(a, root) + 1).tolist()


def test_the_same_shares_of_more_edges_say_more():
    def verdict(best, offset, mst, chain, n):
        head = np.array([[mst]])
        return trees.verdict(trees.Trees(head, head, head, np.array([[[best, 0.5]]]), ["det", "obj"], [n, n], {}, chain, 0.3,
                                         np.array([offset, 0.5]), [1, 1], 2 * n, n))

    assert [verdict(0.9, 0.6, 0.5, 0.5, n) for n in (20, 2000)] == [CANNOT, AGREES]
    assert [verdict(0.65, 0.6, 0.5, 0.5, n) for n in (20, 200, 20_000)] == [CANNOT, CANNOT, CONTRADICTS]
    assert [verdict(0.9, 0.6, 0.7, 0.5, n) for n in (20, 2000)] == [CANNOT, CONTRADICTS]
    assert [verdict(1.0, 1.0, 0.5, 0.5, n) for n in (20, 2000)] == [CANNOT, CONTRADICTS]


@pytest.mark.parametrize(("words", "heads", "relations", "message"), [
    (["a"], [-1], [], r"sentences\[1\] has 1 words, 1 heads and 0 relations"),
    (["a", "b"], [-1, 2], ["x"] * 2, r"sentences\[1\]: the head of word 1 stands at 2; places go from 0 to 1"),
    (["a", "b"], [-1, -1], ["x"] * 2, r"sentences\[1\] has 2 roots"),
    (["a", "b", "c"], [-1, 2, 1], ["x"] * 3, r"sentences\[1\]: the heads of its words 1, 2 run in a circle"),
    (["a", "\u200b"], [-1, 0], ["x"] * 2, r"sentences\[1\]: nothing is left of '\\u200b', word 1"),
    (["the"] * 23, [-1, *range(22)], ["x"] * 23, r"sentences\[1\] has 25 tokens .* the model reads 24: leave it out"),
    (["a", "b"], [-1, 0], ["x"] * 2, "2 sentences have no relation with 20 edges.*the most frequent has 2"),
])
def test_what_is_no_tree_or_too_few_is_said(bert, words, heads, relations, message):
    with pytest.raises(ValueError, match=message):
        trees.measure(bert, [Parsed(["a", "b"], [1, -1], ["x", "root"]), Parsed(words, heads, relations)])
