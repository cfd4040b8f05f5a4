"""Roles in trees that are known, and vectors that are made of tensor products."""

import numpy as np
import pytest

from minibert.analysis import tensor_products
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS
from minibert.analysis.tensor_products import (
    SCHEMES,
    Products,
    Words,
    embeddings,
    fit,
    forward,
    measure,
    numbered,
    paths,
    random_tree,
    roles_of,
    shapes,
)
from minibert.analysis.trees import Parsed, root_of
from minibert.api import Bert
from minibert.parameters import Layout, initialise
from tests import tiny_model

HEADS = [1, 2, -1, 4, 2, 2]  # big dogs see the cat .


@pytest.fixture
def bert():
    config, parameters, tokenizer = tiny_model.make()
    return Bert(config, parameters.astype(np.float64), tokenizer)


def test_roles():
    rng = np.random.default_rng(0)
    assert paths(HEADS) == ["L1L1", "L1", "", "R1L1", "R1", "R2"]
    assert paths([3, 3, 3, -1]) == ["L3", "L2", "L1", ""]
    assert roles_of("left to right", HEADS[:3], rng) == ["0", "1", "2"]
    assert roles_of("right to left", HEADS[:3], rng) == ["2", "1", "0"]
    assert roles_of("both", HEADS[:3], rng) == ["0 2", "1 1", "2 0"]
    assert roles_of("bag of words", HEADS[:3], rng) == [""] * 3
    assert len(set(roles_of("random tree", HEADS, rng))) == 6
    with pytest.raises(ValueError, match="scheme must be one of left to right, "):
        roles_of("none", HEADS, rng)


def test_random_trees_are_trees():
    rng = np.random.default_rng(0)
    for words in (1, 2, 9):
        root_of(0, ["a"] * words, random_tree(words, rng), ["x"] * words)
    assert {tuple(random_tree(2, rng)) for _ in range(50)} == {(-1, 0), (1, -1)}


def test_rare_roles_share_a_number():
    rows = [["a", "b"]] * 5 + [["a", "c", "d"]]
    roles, count = numbered(rows, np.arange(5))
    assert count == 3
    np.testing.assert_array_equal(roles[[0, 5]], [[1, 2, 0], [1, 0, 0]])


def test_the_sum_of_products_in_plain_loops():
    rng = np.random.default_rng(0)
    p = initialise(Layout(shapes(3, 4, 5, 2)), scale=1.0, dtype=np.float64)
    p.flat[...] = rng.normal(size=len(p))
    fillers, roles, real = rng.normal(size=(2, 3, 3)), rng.integers(0, 4, (2, 3)), np.array([[1, 1, 1], [1, 0, 0]], bool)
    y = forward(fillers, roles, real, p.tree)[0]
    for b in range(2):
        total = np.zeros((2, tensor_products.ROLE))
        for t in range(3):
            if real[b, t]:
                total += np.outer(p["filler"]["weight"] @ fillers[b, t] + p["filler"]["bias"], p["role"]["weight"][roles[b, t]])
        np.testing.assert_allclose(y[b], p["output"]["weight"] @ total.ravel() + p["output"]["bias"], atol=1e-12)


def test_vectors_made_by_products_are_found_with_their_roles_only():
    rng = np.random.default_rng(0)
    fillers, real = rng.normal(size=(600, 3, 4)), np.ones((600, 3), bool)
    p = initialise(Layout(shapes(4, 4, 5, 2)), dtype=np.float64)
    p.flat[...] = rng.normal(size=len(p))
    roles = np.tile([1, 2, 3], (600, 1))
    y = forward(fillers, roles, real, p.tree)[0]
    y = (y - y.mean(0)) / y.std()
    left = []
    for own, count in ((roles, 4), (np.ones_like(roles), 2)):
        found = fit(Words(fillers, own, real), y, count, np.arange(400), np.arange(400, 500), 4,
                    tensor_products.SETTINGS._replace(learning_rate=0.01, passes=60, patience=10))
        left.append(((forward(fillers[500:], own[500:], real[500:], found.tree)[0] - y[500:]) ** 2).mean())
    assert left[0] < 0.01
    assert left[1] > 0.2


def parsed(n=220):
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefgh"), 3)) for _ in range(n)]
    return [Parsed(["the", word, "raises", "an", "a"][:4 + i % 2], [1, 2, -1, 2, 3][:4 + i % 2], ["x"] * (4 + i % 2))
            for i, word in enumerate(words)]


def test_embeddings_of_words(bert):
    some = [Parsed(["the", "ab"], [1, -1], ["x"] * 2), Parsed(["an"], [-1], ["x"])]
    fillers, real = embeddings(bert, some)
    np.testing.assert_array_equal(real, [[True, True], [True, False]])
    table, ids = bert.parameters["bert"]["embeddings"]["word_embeddings"]["weight"], bert.tokenizer.encode("the ab an").ids[1:-1]
    rows = np.stack([table[ids[0]], (table[ids[1]] + table[ids[2]]) / 2, table[ids[3]]])
    np.testing.assert_allclose(fillers[real], (rows - rows.mean(0)) / rows.std(), atol=1e-12)
    np.testing.assert_array_equal(fillers[~real], 0)
    with pytest.raises(ValueError, match=r"sentences\[0\]: of 2 words 1 are left"):
        embeddings(bert, [Parsed(["a", "\u200b"], [1, -1], ["x"] * 2)])


def test_a_model_is_measured_and_drawn(bert):
    result = measure(bert, parsed(), width=2, settings=tensor_products.SETTINGS._replace(passes=2))
    assert result.unexplained.shape == (1, 6, 2)
    assert (result.unexplained > 0).all()
    result = result._replace(random=result.unexplained)
    assert len(tensor_products.lines(result)) == 12
    assert [len(axes.lines) for axes in tensor_products.plot(result).axes] == [4, 0]
    with pytest.raises(ValueError, match="9 sentences are too few to learn tensor products from; give at least 200"):
        measure(bert, parsed(9))


def test_verdicts():
    found = [tensor_products.verdict(Products(list(SCHEMES), np.array([[[0.5]] * 4 + [[tree], [0.6]]]), [1] * 6, 300))
             for tree in (0.4, 0.49, 0.53)]
    assert found == [AGREES, CANNOT, CONTRADICTS]
