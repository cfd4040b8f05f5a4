"""Distances between heads against scipy, their places on a plane against scikit-learn."""

import numpy as np
import pytest

from minibert.analysis.looking import divergences, places

distance = pytest.importorskip("scipy.spatial.distance")
manifold = pytest.importorskip("sklearn.manifold")


def test_divergences():
    rng = np.random.default_rng(0)
    a = rng.random((4, 6, 6)) ** 3
    a /= a.sum(-1, keepdims=True)
    expected = [[sum(distance.jensenshannon(p, q) ** 2 for p, q in zip(x, y)) for x in a] for y in a]
    np.testing.assert_allclose(divergences(a, share=0), expected, rtol=0, atol=1e-12)


def test_places():
    x = np.random.default_rng(1).normal(size=(7, 2))
    d = np.linalg.norm(x[:, None] - x, axis=-1)
    theirs = manifold.smacof(d, n_components=2, init=places(d), n_init=1)[1]
    assert theirs < 1e-20  # nothing is left to better
