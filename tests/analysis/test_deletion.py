"""What deleting a word moves, in closed form where the model is a mean, and trees where it is known what hangs on what."""

from dataclasses import replace

import numpy as np
import pytest

from minibert.analysis import deletion, trees
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS
from minibert.analysis.deletion import measure, moved, states, tree
from minibert.analysis.trees import Parsed
from minibert.api import Bert
from tests import tiny_model

RNG = np.random.default_rng


@pytest.fixture
def bert():
    config, parameters, tokenizer = tiny_model.make()
    return Bert(config, parameters.astype(np.float64), tokenizer)


def test_distances_moved():
    a, b = np.array([[3.0, 0], [1, 1]]), np.array([[0.0, 4], [2, 2]])
    np.testing.assert_allclose(moved(a, b), [1, 0], atol=1e-15)
    np.testing.assert_allclose(moved(a, b, "euclidean"), [5, np.sqrt(2)], atol=1e-15)
    assert moved(a[0], 0 * b[0]) == 1  # nothing is left of it
    with pytest.raises(ValueError, match="distance must be one of cosine, euclidean"):
        moved(a, b, "x")


@pytest.mark.parametrize("shift", [True, False])
def test_vectors_of_what_is_left(bert, shift):
    encoding = bert.tokenizer.encode(["the", "abc", "an"])  # [CLS] the a ##b ##c an [SEP]
    there = np.array([[1] * 7, [1, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1]], bool)
    x = states(bert, encoding, there, shift)
    np.testing.assert_allclose(x[0], bert([["the", "abc", "an"]]).last_hidden_state[0], atol=1e-12)
    np.testing.assert_array_equal(x[0], x[2])  # nothing is deleted, nothing moves
    np.testing.assert_array_equal(x[1, 1], 0)
    without = bert([["abc", "an"]]).last_hidden_state[0]
    assert np.allclose(x[1, 2:], without[1:], atol=1e-12) == shift


def test_without_positions_it_does_not_matter_whether_the_rest_moves_up(bert):
    bert.parameters["bert"]["embeddings"]["position_embeddings"]["weight"][...] = 0
    encoding = bert.tokenizer.encode(["the", "abc", "an"])
    there = np.array([[1, 0, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 1, 1]], bool)
    np.testing.assert_allclose(states(bert, encoding, there), states(bert, encoding, there, shift=False), atol=1e-12)
    padded = [*encoding.ids, bert.tokenizer.vocab.pad_id]  # deleting a [PAD] that nobody sees
    more = replace(encoding, ids=padded)
    seen = np.array([[1] * 7 + [0]], bool)
    np.testing.assert_allclose(states(bert, more, seen, shift=False)[0, :7], states(bert, encoding, seen[:, :7])[0], atol=1e-12)


def test_in_a_mean_every_other_word_moves_by_the_closed_form(bert, monkeypatch):
    encoding = bert.tokenizer.encode(["a", "b", "c", "d"])
    e, asked = RNG(0).normal(size=(6, 3)), []

    def mean(bert, encoding, there, shift):
        x = np.stack([np.tile(e[row].mean(0), (6, 1)) for row in there])
        asked.append((there, x))
        return x

    monkeypatch.setattr(deletion, "states", mean)
    edges = tree(bert, encoding, range(4), "euclidean")
    m = e.mean(0)
    shifts = [np.linalg.norm(e[w + 1] - m) / 5 for w in range(4)]  # m' - m = (m - e)/(n - 1)
    np.testing.assert_allclose([np.linalg.norm(asked[0][1][1 + w, 0] - m) for w in range(4)], shifts, atol=1e-12)
    assert edges[0][0] == int(np.argmin(shifts))
    assert len(edges) == 3
    assert len({word for word, _ in edges}) == 3


#        big dogs see the cat .
PARSED = Parsed(["big", "dogs", "see", "the", "cat", "."], [1, 2, -1, 4, 2, 2], ["amod", "nsubj", "root", "det", "obj", "punct"])


def test_a_model_in_which_heads_feel_their_dependents_gives_the_tree(bert, monkeypatch):
    heads, root, W = np.array(PARSED.heads), PARSED.heads.index(-1), 6
    depth = trees.distances(PARSED.heads)[2]
    begins = []

    def felt(bert, encoding, there, shift):
        of = np.array([-1 if word is None else word for word in encoding.words])
        begins[:] = [int(np.flatnonzero(of == w)[0]) for w in range(W)]
        x = np.zeros((*there.shape, W))
        for row, left in zip(x, there):
            row[:, root] = left[begins[root]]  # which everybody feels
            for w in range(W):
                row[of == w, w] = 10
                for dependent in np.flatnonzero(heads == w):
                    row[of == w, dependent] = left[begins[dependent]] * 4.0**-depth[dependent]
        return x

    monkeypatch.setattr(deletion, "states", felt)
    result = measure(bert, [PARSED])
    assert (result.uuas, result.chain, result.each.tolist()) == (1, 3 / 4, [[4], [3], [4]])
    ranks = measure(bert, [PARSED] * 20).reducible
    assert max(ranks, key=ranks.get) == "root"
    assert "punct" not in ranks


def test_a_model_is_measured_and_drawn(bert):
    result = measure(bert, [Parsed(["the", "ab", "c"], [1, 2, -1], ["det", "nsubj", "root"])] * 20, shift=False)
    assert (result.each[2].tolist(), result.sentences, result.chain) == ([2] * 20, 20, 1)
    assert len(deletion.lines(result._replace(random=result))) == 5
    assert [len(axes.patches) for axes in deletion.plot(result._replace(random=result)).axes] == [3, 3]
    with pytest.raises(ValueError, match=r"sentences\[0\]: nothing is left of '\\u200b', word 1"):
        measure(bert, [Parsed(["a", "\u200b"], [-1, 0], ["root", "x"])])


@pytest.mark.parametrize(("sentences", "verdicts"), [
    (25, [CANNOT] * 5), (60, [CANNOT] * 5), (1000, [AGREES, CONTRADICTS, CANNOT, CANNOT, CONTRADICTS])])
def test_the_same_shares_of_more_sentences_say_more(sentences, verdicts):
    """Of ten edges the chain finds five in each sentence, random weights three."""
    def found(more):  # than the chain, in the mean; by 3 in some sentences, by -3 in others
        up = np.arange(sentences) % 20 < 10 + more * 10 / 3
        return 5 + np.where(up, 3, -3)

    def verdict(found, random):
        each = np.stack([found, np.full(sentences, 5), np.full(sentences, 10)])
        share = float(found.sum() / each[2].sum())
        result = deletion.Deletion(share, 0.5, {}, each, sentences)
        return deletion.verdict(result._replace(random=result._replace(each=np.stack([random, each[1], each[2]]))))

    low = np.full(sentences, 3)
    assert [verdict(found(0.6), low), verdict(found(-0.6), low), verdict(found(0), low), verdict(found(0.6), found(0.6)),
            verdict(found(0.6), np.full(sentences, 6))] == verdicts
