"""Similarities of vectors against SciPy's correlations, distances and angles between subspaces."""

import numpy as np
import pytest

scipy = pytest.importorskip("scipy")
from scipy import linalg, stats  # noqa: E402
from scipy.spatial.distance import cdist, pdist  # noqa: E402

from minibert.analysis import similarity  # noqa: E402


@pytest.fixture
def pair():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(25, 6)), rng.normal(size=(25, 4))
    x[5] = x[4]  # ties
    y[9] = y[8]
    return x, y + x[:, :4]


@pytest.mark.parametrize("distance", similarity.DISTANCES)
@pytest.mark.parametrize(("compare", "theirs"), [("spearman", stats.spearmanr), ("pearson", stats.pearsonr)])
def test_rsa(pair, distance, compare, theirs):
    x, y = pair
    expected = theirs(pdist(x, distance), pdist(y, distance)).statistic
    assert similarity.rsa(x, y, distance, compare) == pytest.approx(expected, abs=1e-12)


def test_rsa_as_abnar_computes_it(pair):
    x, y = (cdist(z, z, "cosine") + 1e-11 for z in pair)
    expected = np.mean([stats.pearsonr(a, b).statistic for a, b in zip(x / x.max(), y / y.max())])
    assert similarity.rsa(*pair, compare="rows") == pytest.approx(expected, abs=1e-12)


def test_canonical_correlations_are_cosines_of_angles_between_subspaces(pair):
    x, y = (z - z.mean(0) for z in pair)
    np.testing.assert_allclose(similarity.cca(*pair), np.sort(np.cos(linalg.subspace_angles(x, y)))[::-1], rtol=0, atol=1e-12)
