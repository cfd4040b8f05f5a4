"""Muon's step against the published program, written down in a few lines of float64, and what becomes of singular values."""

import numpy as np
import pytest

from minibert.numerics import muon
from minibert.numerics.muon import Muon

every_shape = pytest.mark.parametrize("shape", [(6, 6), (4, 9), (9, 4), (1, 5), (5, 1)], ids=str)
every_scale = pytest.mark.parametrize("scale", ["adam", "original"])


def reference(w, gradients, lr, scale, wd=0.0, mu=0.95):
    """Some steps of one matrix. Every singular value goes its own way: x -> 3.4445·x - 4.7750·x³ + 2.0315·x⁵, five times."""
    n, m = w.shape
    mean = np.zeros(w.shape)
    for g in gradients:
        mean = mu * mean + (1 - mu) * g
        left, x, right = np.linalg.svd((1 - mu) * g + mu * mean, full_matrices=False)
        x = x / np.sqrt((x**2).sum())
        for _ in range(5):
            x = 3.4445 * x - 4.7750 * x**3 + 2.0315 * x**5
        s = 0.2 * np.sqrt(max(n, m)) if scale == "adam" else np.sqrt(max(1, n / m))
        w = w - lr * (s * (left * x) @ right + wd * w)
    return w


def steps(w, gradients, lr, constants):
    w, mean = w.copy(), np.zeros(w.size)
    for g in gradients:
        u = g.flatten()
        muon.direction(u, mean, constants)
        w *= 1 - lr * constants.weight_decay
        w -= lr * muon.scale(w.shape, constants) * muon.orthogonal(u.reshape(w.shape))
    return w


@every_shape
@every_scale
def test_twenty_steps_are_those_of_the_published_program(shape, scale):
    rng = np.random.default_rng(0)
    w, gradients = rng.standard_normal(shape), rng.standard_normal((20, *shape)) * 10.0 ** rng.integers(-3, 3, (20, 1, 1))
    got = steps(w, gradients, 0.02, Muon(scale=scale, weight_decay=0.1))
    np.testing.assert_allclose(got, reference(w, gradients, 0.02, scale, wd=0.1), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_singular_values_end_near_one_and_their_directions_stay(dtype):
    rng = np.random.default_rng(1)
    left, right = (np.linalg.qr(rng.standard_normal((n, 5)))[0] for n in (12, 7))
    x = muon.orthogonal(((left * [1000, 300, 50, 10, 4]) @ right.T).astype(dtype))
    assert x.dtype == dtype
    diagonal = left.T @ x @ right
    assert (np.abs(np.diag(diagonal) - 0.95) < 0.28).all()
    np.testing.assert_allclose(diagonal, np.diag(np.diag(diagonal)), atol=1e-4 if dtype == np.float32 else 1e-12)


@every_shape
def test_neither_the_length_of_a_gradient_counts_nor_which_side_is_longer(shape):
    u = np.random.default_rng(2).standard_normal(shape)
    np.testing.assert_allclose(muon.orthogonal(1e4 * u), muon.orthogonal(u), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(muon.orthogonal(u.T), muon.orthogonal(u).T, rtol=1e-10, atol=1e-12)


def test_without_a_gradient_nothing_moves():
    np.testing.assert_array_equal(muon.orthogonal(np.zeros((3, 4))), np.zeros((3, 4)))


def test_its_numbers_are_as_large_as_adams():
    """Moonlight's scale: a mean square of about 0.2² whatever the shape, where Adam's steps are 0.2 to 0.4."""
    for shape in ((64, 64), (128, 32), (32, 128)):
        x = muon.scale(shape, Muon()) * muon.orthogonal(np.random.default_rng(3).standard_normal(shape))
        assert np.sqrt((x**2).mean()) == pytest.approx(0.2, rel=0.25)
