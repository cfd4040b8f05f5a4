"""Cross-entropy and embedding: the layers that read labels and ids."""

from math import log

import numpy as np
import pytest

from minibert.layers import cross_entropy, embedding
from minibert.layers.cross_entropy import IGNORE


def test_a_guess_costs_log_v():
    loss, _ = cross_entropy.forward(np.zeros((3, 8)), np.array([0, 5, 7]))
    assert loss == pytest.approx(log(8), rel=1e-14)


def test_a_count_of_zero_contributes_zero():
    x = np.random.default_rng(0).standard_normal((3, 4))
    for labels, count in ((np.full(3, IGNORE), None), (np.full(3, IGNORE), 0)):
        loss, cache = cross_entropy.forward(x, labels, count)
        assert loss == 0
        assert not cross_entropy.backward(1.0, cache).any()


def test_no_rows_at_all():
    loss, cache = cross_entropy.forward(np.zeros((0, 4), np.float32), np.zeros(0, int), 5)
    assert loss == 0
    assert cross_entropy.backward(1.0, cache).shape == (0, 4)


def test_parts_divided_by_the_count_of_the_whole_sum_to_the_whole():
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((9, 5)), rng.integers(0, 5, 9)
    labels[[1, 6]] = IGNORE
    whole, cache = cross_entropy.forward(x, labels)
    parts = [cross_entropy.forward(x[rows], labels[rows], 7) for rows in (slice(0, 2), slice(2, 7), slice(7, 9))]
    assert sum(loss for loss, _ in parts) == pytest.approx(whole, rel=1e-14)
    dx = np.concatenate([cross_entropy.backward(1.0, part) for _, part in parts])
    np.testing.assert_allclose(dx, cross_entropy.backward(1.0, cache), rtol=1e-14)


def test_ignored_rows_get_no_gradient_and_others_sum_to_zero():
    x = np.random.default_rng(0).standard_normal((3, 4))
    _, cache = cross_entropy.forward(x, np.array([2, IGNORE, 0]))
    dx = cross_entropy.backward(1.0, cache)
    assert not dx[1].any()
    np.testing.assert_allclose(dx.sum(1), 0, atol=1e-16)


def test_an_unlikely_word_costs_a_lot_but_is_finite():
    loss, cache = cross_entropy.forward(np.array([[1e3, -1e3]], np.float32), np.array([1]))
    assert loss == 2000
    np.testing.assert_array_equal(cross_entropy.backward(1.0, cache), [[1, -1]])


def test_repeated_ids_are_summed():
    g = {"weight": np.zeros((4, 2))}
    _, cache = embedding.forward(np.array([[2, 2], [0, 2]]), {"weight": np.ones((4, 2))})
    embedding.backward(np.arange(8.0).reshape(2, 2, 2), cache, {}, g)
    np.testing.assert_array_equal(g["weight"], [[4, 5], [0, 0], [0 + 2 + 6, 1 + 3 + 7], [0, 0]])


def test_many_rows_of_few_ids():
    rng = np.random.default_rng(0)
    ids, rows = rng.integers(0, 3, 20_000), rng.standard_normal((20_000, 2)).astype(np.float32)
    tables = np.zeros((2, 3, 2), np.float32)
    for table in tables:
        embedding.add_rows(table, ids, rows)
    np.testing.assert_array_equal(tables[0], tables[1])
    expected = [rows[ids == i].astype(np.float64).sum(0) for i in range(3)]
    np.testing.assert_allclose(tables[0], expected, rtol=1e-4, atol=1e-3)


def test_no_ids_no_change():
    table = np.ones((3, 2))
    embedding.add_rows(table, np.zeros(0, int), np.zeros((0, 2)))
    np.testing.assert_array_equal(table, 1)
