"""Information, its normalised forms and k-means against scikit-learn."""

import warnings

import numpy as np
import pytest

from minibert.analysis.clusters import AVERAGES, assign, contingency, information, kmeans, nmi

sklearn_cluster = pytest.importorskip("sklearn.cluster")
metrics = pytest.importorskip("sklearn.metrics")


@pytest.mark.parametrize("seed", range(5))
def test_information(seed):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 7, 300)
    b = np.where(rng.random(300) < 0.4, a % 3, rng.integers(0, 5, 300))
    table = contingency(a, b)
    assert information(table) == pytest.approx(metrics.mutual_info_score(a, b), abs=1e-12)
    for average in AVERAGES:
        assert nmi(table, average) == pytest.approx(metrics.normalized_mutual_info_score(a, b, average_method=average), abs=1e-12)


def test_kmeans_from_the_same_start_ends_alike():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 5)) + 3 * rng.normal(size=(6, 5))[rng.integers(0, 6, 400)]
    start = kmeans(x, 6, rounds=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = sklearn_cluster.KMeans(6, init=start, n_init=1, max_iter=50, tol=0, algorithm="lloyd").fit(x)
    ours = kmeans(x, 6)
    np.testing.assert_allclose(ours, theirs.cluster_centers_, atol=1e-10)
    np.testing.assert_array_equal(assign(x, ours), theirs.labels_)
