"""Layers of sentence vectors: pooling, unit vectors, cosines, and the loss that compares all with all."""

from math import exp, log

import numpy as np
import pytest

from minibert.layers import contrastive, cosine, pooling, unit

TURNED = np.array([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])  # three directions at right angles and half turns


def different(x):
    """Numbers of texts of which no two are the same."""
    return np.arange(x.shape[0] * x.shape[1]).reshape(x.shape[:2])


def test_pooling_by_hand():
    x, mask = np.array([[[1.0, 4.0], [3.0, 0.0], [-7.0, 5.0]]]), np.array([[1, 1, 0]])
    for kind, expected in {"mean": [[2, 2]], "cls": [[1, 4]], "max": [[3, 4]]}.items():
        np.testing.assert_array_equal(pooling.forward(x, mask, kind)[0], expected)
        np.testing.assert_array_equal(pooling.forward(x[:, :2], None, kind)[0], expected)


def test_the_largest_may_be_negative_and_of_equals_the_first_takes_the_gradient():
    x = np.array([[[-2.0], [-1.0], [-1.0], [9.0]]])
    v, cache = pooling.forward(x, np.array([[1, 1, 1, 0]]), "max")
    assert v.tolist() == [[-1]]
    assert pooling.backward(np.array([[5.0]]), cache).ravel().tolist() == [0, 5, 0, 0]


def test_padding_gets_no_gradient():
    x, mask = np.random.default_rng(0).standard_normal((2, 3, 4)), np.array([[1, 0, 0], [1, 1, 0]])
    for kind in pooling.KINDS:
        _, cache = pooling.forward(x, mask, kind)
        dx = pooling.backward(np.ones((2, 4)), cache)
        assert not dx[mask == 0].any()
        np.testing.assert_allclose(dx.sum(1), 1)  # what comes in goes out


def test_a_vector_of_zeros_stays_one():
    with np.errstate(all="raise"):
        y, cache = unit.forward(np.array([[0.0, 0.0], [3.0, 4.0]]))
        dx = unit.backward(np.ones((2, 2)), cache)
    np.testing.assert_allclose(y, [[0, 0], [0.6, 0.8]])
    assert dx[0].tolist() == [1e12, 1e12]


def test_a_unit_vector_can_only_turn():
    x = np.random.default_rng(0).standard_normal((5, 3))
    y, cache = unit.forward(x)
    np.testing.assert_allclose((y * y).sum(-1), 1)
    dx = unit.backward(np.random.default_rng(1).standard_normal((5, 3)), cache)
    np.testing.assert_allclose((dx * x).sum(-1), 0, atol=1e-15)


def test_cosines_do_not_look_at_lengths():
    y, _ = cosine.forward(TURNED, 7 * TURNED[[0, 0, 0]])
    np.testing.assert_allclose(y, [1, 0, -1], atol=1e-15)


def test_the_loss_by_hand():
    """Two anchors at right angles, each with its positive, and a hard negative of the first that points the other way."""
    a, b, c = TURNED
    x = np.stack([[a, a, c], [b, b, b]])  # the second anchor's negative is its own positive again
    loss, _ = contrastive.forward(x, different(x), temperature=0.5)
    first = log(exp(2) + exp(0) + exp(-2) + exp(0)) - 2  # among p1, p2, n1, n2
    second = log(exp(0) + exp(2) + exp(0) + exp(2)) - 2
    assert loss == pytest.approx((first + second) / 2, rel=1e-14)
    loss, _ = contrastive.forward(x, different(x), temperature=0.5, symmetric=True)
    back = log(exp(2) + exp(0)) - 2  # of each positive, between the two anchors
    assert loss == pytest.approx(((first + second) / 2 + back) / 2, rel=1e-14)


def test_a_guess_costs_the_log_of_how_many_there_are():
    loss, _ = contrastive.forward(np.ones((4, 3, 5)), np.arange(12).reshape(4, 3))
    assert loss == pytest.approx(log(8), rel=1e-12)


def test_groups_are_batches_of_their_own():
    x = np.random.default_rng(0).standard_normal((7, 3, 4))
    loss, cache = contrastive.forward(x, different(x), rows=3, symmetric=True)
    parts = [contrastive.forward(x[i:i + 3], different(x[i:i + 3]), count=7, symmetric=True) for i in (0, 3, 6)]
    assert loss == pytest.approx(sum(part for part, _ in parts), rel=1e-14)
    dx = contrastive.backward(1.0, cache)
    np.testing.assert_allclose(dx, np.concatenate([contrastive.backward(1.0, part) for _, part in parts]), rtol=1e-13)
    assert abs(loss - contrastive.forward(x, different(x), symmetric=True)[0]) > 0.1


def test_what_is_right_elsewhere_is_no_wrong_answer():
    """Rows: (q, a, x), (q, b, q), (r, a, s). For q, b is right in row 0 as well, and a in row 1; q itself is no wrong answer."""
    x = np.random.default_rng(0).standard_normal((3, 3, 4))
    texts = np.array([[0, 1, 2], [0, 3, 0], [4, 1, 5]])
    u = x / np.linalg.norm(x, axis=-1, keepdims=True)
    scores = u[:, 0] @ np.concatenate([u[:, 1], u[:, 2]]).T / 0.5  # of the anchors q, q, r with the candidates a, b, a, x, q, s
    kept = np.array([[1, 0, 0, 1, 0, 1], [0, 1, 0, 1, 0, 1], [1, 1, 1, 1, 1, 1]], bool)
    kept[2, 0] = False  # a is r's own positive already
    there = [np.log(np.exp(row[keep]).sum()) - row[i] for i, (row, keep) in enumerate(zip(scores, kept))]
    loss, _ = contrastive.forward(x, texts, temperature=0.5)
    assert loss == pytest.approx(np.mean(there), rel=1e-13)
    back = [np.log(np.exp(row[keep]).sum()) - row[i] for i, (row, keep) in enumerate(zip(scores[:, :3].T, kept[:, :3].T))]
    assert contrastive.forward(x, texts, temperature=0.5, symmetric=True)[0] == pytest.approx(np.mean(there + back), rel=1e-13)
    moved = x.copy()
    moved[1, 2] *= -1  # the second q is nobody's wrong answer but r's
    first = contrastive.forward(moved[:2], texts[:2], temperature=0.5)[0]
    assert first == pytest.approx(contrastive.forward(x[:2], texts[:2], temperature=0.5)[0], rel=1e-13)
    assert contrastive.backward(1.0, contrastive.forward(x[:2], texts[:2])[1])[1, 2].tolist() == [0] * 4


def test_far_apart_and_cold_is_finite():
    x = np.array([[[1.0, 0.0], [-1.0, 0.0]], [[0.0, 1.0], [0.0, -1.0]]], np.float32)
    loss, cache = contrastive.forward(x, different(x), temperature=1e-4)
    assert loss == pytest.approx(1e4, rel=1e-6)
    assert np.isfinite(contrastive.backward(1.0, cache)).all()
