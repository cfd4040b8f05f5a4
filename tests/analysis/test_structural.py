"""Structural probes against vectors that are a tree already: squared distances of an embedding are known to the last digit."""

from collections import Counter

import numpy as np
import pytest

from minibert.analysis import probing, structural, trees
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS
from minibert.analysis.probing import Settings
from minibert.analysis.structural import corpus_of, correlation, depths, embedding, fit, forward, predictions, root_accuracy, uuas
from minibert.analysis.trees import Parsed
from minibert.api import Bert
from minibert.layers import absolute_error
from minibert.parameters import Layout, Parameters
from tests import tiny_model

RNG = np.random.default_rng


def random_tree(rng, n):
    """Every word hangs on one that came before it in a random order."""
    order = rng.permutation(n)
    heads = np.full(n, -1)
    for i in range(1, n):
        heads[order[i]] = order[rng.integers(i)]
    return heads.tolist()


def sentences(count, rng, longest=9):
    for _ in range(count):
        n = int(rng.integers(2, longest + 1))
        heads = random_tree(rng, n)
        words = [str(w) for w in rng.choice(["the", "ab", "c", "raises", "xyz"], n)]
        yield Parsed(words, heads, ["root" if h < 0 else "dep" for h in heads])


@pytest.mark.parametrize("n", [1, 2, 5, 20, 40])
def test_squared_distances_of_the_embedding_are_those_in_the_tree(n):
    rng = RNG(n)
    for _ in range(5):
        heads = random_tree(rng, n)
        rotation = np.linalg.qr(rng.normal(size=(n + 3, n + 3)))[0]
        f = np.pad(embedding(heads), ((0, 0), (0, 3))) @ rotation
        p = {"weight": np.eye(n + 3)}
        d, depth = forward(f[None], p)[0][0], forward(f[None], p, "depth")[0][0]
        np.testing.assert_allclose(d, trees.distances(heads), atol=1e-10)
        np.testing.assert_allclose(depth, depths(heads), atol=1e-10)
        assert absolute_error.forward(d, trees.distances(heads), np.full((n, n), 1 / n**2))[0] < 1e-10
        d, keep = (d + d.T) / 2, np.ones(n, bool)
        if n > 1:
            assert uuas([d], [heads], [keep]) == 1
            assert correlation([d], [trees.distances(heads)], (2, 50)) == pytest.approx(1, abs=1e-12)
            assert correlation([depth], [depths(heads)], (2, 50)) == pytest.approx(1, abs=1e-12)
        assert root_accuracy([depth], [heads], [keep]) == 1


def test_edges_may_have_lengths():
    heads, lengths = [2, 0, -1, 2], [0.5, 2.0, 9.0, 1.5]
    f = embedding(heads, lengths)
    d = ((f[:, None] - f) ** 2).sum(-1)
    np.testing.assert_allclose(d[1], [2.0, 0, 2.5, 4.0], atol=1e-12)
    np.testing.assert_allclose(d[2], [0.5, 2.5, 0, 1.5], atol=1e-12)


def planted(corpus, rng, noise, width=24):
    """The embedding of each sentence in some dimensions, turned, and noise in others."""
    f = [np.pad(embedding(s.heads), ((0, 0), (0, width - len(s.words)))) for s in corpus]
    x = np.concatenate([np.concatenate(f), noise * rng.normal(size=(sum(map(len, f)), width))], 1)
    return x @ np.linalg.qr(rng.normal(size=(2 * width, 2 * width)))[0]


@pytest.mark.parametrize("form", structural.FORMS)
def test_a_probe_finds_the_tree_behind_noise(form):
    rng = RNG(0)
    corpus = list(sentences(250, rng))
    x, known, (train, dev, test) = planted(corpus, rng, 0.5), corpus_of(corpus), probing.split(np.arange(250))
    p = fit(x, known, train, dev, form, settings=Settings(0.01, batch=20, passes=100, patience=20))
    heads, kept = [known.heads[i] for i in test], [known.kept[i] for i in test]
    found = predictions(x, p, known, test, form)
    untrained = Parameters.zeros(Layout({"weight": (48, 48)}), dtype=np.float64)
    untrained.flat[...] = RNG(1).uniform(-0.05, 0.05, len(untrained))
    before = predictions(x, untrained, known, test, form)
    score = uuas if form == "distance" else root_accuracy
    assert score(found, heads, kept) > 0.9
    assert score(before, heads, kept) < 0.6
    truth = [trees.distances(h) if form == "distance" else depths(h) for h in heads]
    assert correlation(found, truth) > 0.85 > correlation(before, truth)


def test_the_loss_is_that_of_plain_loops():
    corpus = list(sentences(30, RNG(1)))
    known, x = corpus_of(corpus), RNG(2).normal(size=(sum(len(s.words) for s in corpus), 5))
    seen = {}

    def descend(p, gradient, dev, examples, settings, seed):
        p.flat[...] = RNG(3).normal(size=len(p))
        seen["dev"] = dev(p.tree)
        g = p.zeros_like()
        gradient(np.arange(examples), p.tree, g.tree)
        seen["slope"] = g.flat @ p.flat

    numbers = np.arange(30)
    for form in structural.FORMS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(probing, "descend", descend)
            p = fit(x, known, numbers, numbers, form, rank=3)
        B, losses, slopes = p["weight"], [], []
        for i, sentence in enumerate(corpus):
            h, n = x[known.starts[i]:known.starts[i + 1]] @ B.T, len(sentence.words)
            d = ((h[:, None] - h) ** 2).sum(-1) if form == "distance" else (h * h).sum(-1)
            t = trees.distances(sentence.heads) if form == "distance" else depths(sentence.heads)
            losses.append(np.abs(d - t).sum() / n ** d.ndim)
            slopes.append((2 * d * np.sign(d - t)).sum() / n ** d.ndim)  # the slope along B itself: d grows with B²
        assert seen["dev"] == pytest.approx(np.mean(losses), rel=1e-12)
        assert seen["slope"] == pytest.approx(np.mean(slopes), rel=1e-12)


def test_correlations_are_means_of_lengths_and_zeros_on_the_diagonal_count():
    a, b = np.array([[0, 2, 1], [2, 0, 3], [1, 3, 0]]), np.array([[0, 1, 2], [1, 0, 1], [2, 1, 0]])
    rows = [0.5, np.sqrt(0.75), 0.5]  # 1 3 2 and 1 2 3; 2 1 3 and 2.5 1 2.5; 2 3 1 and 3 2 1
    assert correlation([a], [b], (2, 50)) == pytest.approx(np.mean(rows), abs=1e-12)
    pair = np.array([[0, 1], [1, 0]])
    assert correlation([a, pair, pair], [b, pair, pair], (2, 50)) == pytest.approx((np.mean(rows) + 1) / 2, abs=1e-12)
    assert correlation([np.zeros(3)], [np.arange(3)], (2, 50)) == 0
    with pytest.raises(ValueError, match="no test sentence has from 5 to 50 words"):
        correlation([a], [b])


def test_punctuation_is_left_out_of_trees_and_roots():
    heads, keep = [1, 4, 1, 2, -1], np.array([True, True, False, True, True])  # 3 hangs on the comma, the comma on 1
    d = trees.distances(heads)
    assert uuas([d], [heads], [keep]) == 1
    assert uuas([d], [heads], [keep], bridged=False) == 1
    assert uuas([_line(5)], [heads], [keep]) == 2 / 3
    assert uuas([_line(5)], [heads], [keep], bridged=False) == 1 / 2
    assert root_accuracy([np.array([3, 2, 0, 3, 1])], [heads], [keep]) == 1


def _line(n):
    return np.abs(np.arange(n)[:, None] - np.arange(n))


def test_verdicts_follow_the_criterion():
    def of(layers, chain, random):
        one = structural.Structural(*[np.array([layers])] * 4, chain, 0.1, 500, 100)
        return structural.verdict(one._replace(random=one._replace(uuas=np.array([random]))))

    assert of([0.5, 0.8, 0.7], 0.4, [0.6, 0.6, 0.6]) == AGREES
    assert of([0.5, 0.7, 0.8], 0.4, [0.6, 0.6, 0.6]) == CANNOT  # the last is the best
    assert of([0.5, 0.8, 0.7], 0.4, [0.6, 0.78, 0.6]) == CANNOT
    assert of([0.5, 0.8, 0.7], 0.8, [0.6, 0.6, 0.6]) == CONTRADICTS


def test_a_model_is_measured_with_its_controls():
    config, parameters, tokenizer = tiny_model.make()
    bert = Bert(config, parameters, tokenizer)
    corpus = list(sentences(120, RNG(0), 6))
    result = structural.measure(bert, corpus, rank=4, seeds=(0, 1), settings=Settings(batch=20, passes=2))
    assert result.uuas.shape == result.dspr.shape == result.root.shape == result.nspr.shape == (2, 3)
    assert all((0 <= scores).all() and (scores <= 1).all() for scores in (result.uuas, result.root))
    tests = [[corpus[i].heads for i in probing.split(np.arange(120), seed).test] for seed in (0, 1)]
    chain = [np.mean([abs(w - h) == 1 for heads in test for w, h in enumerate(heads) if h >= 0]) for test in tests]
    assert result.chain == pytest.approx(np.mean(chain), abs=1e-12)
    trains = [Counter(corpus[i].heads.index(-1) for i in probing.split(np.arange(120), seed).train) for seed in (0, 1)]
    places = [np.mean([heads.index(-1) == often.most_common(1)[0][0] for heads in test]) for test, often in zip(tests, trains)]
    assert result.place == pytest.approx(np.mean(places), abs=1e-12)
    assert (result.sentences, result.tested) == (120, 24)
    again = structural.measure(bert, corpus, rank=4, seeds=(1,), settings=Settings(batch=20, passes=2))
    np.testing.assert_array_equal(again.uuas[0], result.uuas[1])
    assert len(structural.lines(result._replace(random=again))) == 8
    assert [len(axes.lines) for axes in structural.plot(result._replace(random=again)).axes] == [3, 3]
    with pytest.raises(ValueError, match=r"sentences\[1\] has 2 roots"):
        structural.measure(bert, [corpus[0], Parsed(["a", "b"], [-1, -1], ["root", "root"])])
    with pytest.raises(ValueError, match="6 test sentences are too few"):
        structural.measure(bert, corpus[:30])
