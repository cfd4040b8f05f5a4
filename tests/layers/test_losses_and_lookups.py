"""Cross-entropy, embedding and neighbours: the layers that read labels, ids and places."""

from math import exp, log

import numpy as np
import pytest

from minibert.layers import binary_cross_entropy, cross_entropy, embedding, neighbours
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


def test_a_yes_or_no_without_a_hint_costs_log_2():
    loss, _ = binary_cross_entropy.forward(np.zeros((3, 8)), np.eye(3, 8, dtype=bool))
    assert loss == pytest.approx(log(2), rel=1e-14)


def test_several_labels_far_out_are_finite_and_a_small_loss_is_not_lost():
    x = np.array([[1e4, -1e4, 1e4, -1e4, 40.0, -40.0]])
    loss, cache = binary_cross_entropy.forward(x, np.array([[1, 0, 0, 1, 1, 0]]), 1)
    assert loss == 2e4
    np.testing.assert_array_equal(binary_cross_entropy.backward(1.0, cache)[0, :4], [0, 0, 1, -1])
    x = x[:, 4:].astype(np.float32)
    loss, cache = binary_cross_entropy.forward(x, np.array([[1, 0]]), 1)
    assert loss == pytest.approx(2 * exp(-40), rel=1e-6)  # 1 - σ(40) is zero in float32
    np.testing.assert_allclose(binary_cross_entropy.backward(1.0, cache), [[-exp(-40), exp(-40)]], rtol=1e-6)


def test_several_labels_that_are_ignored_or_counted_by_weight():
    rng = np.random.default_rng(0)
    x, labels, weights = rng.standard_normal((9, 4)), rng.integers(0, 2, (9, 4)), rng.random(4)
    labels[[1, 5], [2, 0]] = IGNORE
    assert binary_cross_entropy.count(labels) == 34
    count = binary_cross_entropy.count(labels, weights)
    assert count == pytest.approx(weights @ (labels == 1).sum(0) + (labels == 0).sum())
    whole, cache = binary_cross_entropy.forward(x, labels, weights=weights)
    dx = binary_cross_entropy.backward(1.0, cache)
    assert not dx[1, 2]
    assert not dx[5, 0]
    parts = [binary_cross_entropy.forward(x[rows], labels[rows], count, weights) for rows in (slice(0, 4), slice(4, 9))]
    assert sum(loss for loss, _ in parts) == pytest.approx(whole, rel=1e-14)
    np.testing.assert_allclose(np.concatenate([binary_cross_entropy.backward(1.0, part) for _, part in parts]), dx, rtol=1e-14)
    nothing, cache = binary_cross_entropy.forward(x, np.full((9, 4), IGNORE))
    assert nothing == 0
    assert not binary_cross_entropy.backward(1.0, cache).any()


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


def test_neighbours_stand_from_the_token_after_to_the_token_before():
    x = np.array([[[1, 10], [2, 20], [3, 30]], [[4, 40], [5, 50], [6, 60]]], np.float32)
    y, _ = neighbours.forward(x)
    np.testing.assert_array_equal(y[0], [[2, 20, 1, 10, 0, 0], [3, 30, 2, 20, 1, 10], [0, 0, 3, 30, 2, 20]])
    np.testing.assert_array_equal(y[1], [[5, 50, 4, 40, 0, 0], [6, 60, 5, 50, 4, 40], [0, 0, 6, 60, 5, 50]])


@pytest.mark.parametrize(("window", "tokens"), [(1, 4), (5, 4), (7, 2), (5, 1)])
def test_a_window_may_be_wider_than_the_text(window, tokens):
    x = np.random.default_rng(0).standard_normal((2, tokens, 3))
    y, _ = neighbours.forward(x, window)
    reach = window // 2
    padded = np.pad(x, ((0, 0), (reach, reach), (0, 0)))
    expected = [padded[:, reach + s:reach + s + tokens] for s in range(reach, -reach - 1, -1)]
    np.testing.assert_array_equal(y, np.concatenate(expected, axis=-1))
