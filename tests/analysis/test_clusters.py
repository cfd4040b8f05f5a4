"""Clusters, and information from counts, against closed forms."""

import numpy as np
import pytest

from minibert.analysis.clusters import assign, bias, contingency, entropy, information, kmeans, nmi

RNG = np.random.default_rng
TABLE = np.array([[10, 2, 0], [1, 8, 3]])


def test_information_is_entropy_less_what_is_left_of_it():
    p = TABLE / TABLE.sum()
    plain = sum(p[i, j] * np.log(p[i, j] / (p[i].sum() * p[:, j].sum())) for i in range(2) for j in range(3) if p[i, j])
    assert information(TABLE) == pytest.approx(plain, abs=1e-12)
    assert information(np.diag([3, 5, 2])) == pytest.approx(entropy(np.array([3, 5, 2])), abs=1e-12)
    assert information(np.outer([1, 2, 3], [4, 1])) == pytest.approx(0, abs=1e-12)
    assert entropy(np.array([7, 7, 0, 7])) == pytest.approx(np.log(3), abs=1e-12)
    assert nmi(np.diag([3, 5, 2]), "min") == pytest.approx(1, abs=1e-12)
    assert nmi(np.array([[5]])) == 1
    assert nmi(np.array([[5, 3]])) == 0


def test_the_four_means_of_nmi_are_four_numbers():
    a, b, shared = entropy(TABLE.sum(1)), entropy(TABLE.sum(0)), information(TABLE)
    found = [nmi(TABLE, average) for average in ("arithmetic", "geometric", "min", "max")]
    np.testing.assert_allclose(found, [2 * shared / (a + b), shared / np.sqrt(a * b), shared / min(a, b), shared / max(a, b)],
                               atol=1e-12)
    assert found[3] < found[0] < found[1] < found[2]


def test_a_cluster_for_each_token_knows_all_of_it():
    tokens = RNG(0).integers(0, 9, 500)
    x = RNG(1).normal(size=(9, 6))[tokens]
    own = assign(x, kmeans(x, 9))
    assert information(contingency(own, tokens)) == pytest.approx(entropy(np.bincount(tokens)), abs=1e-10)


def test_information_of_what_shares_nothing_is_its_bias():
    found = []
    for seed in range(200):
        rng = RNG(seed)
        table = contingency(rng.integers(0, 10, 2000), rng.integers(0, 20, 2000))
        found.append(information(table))
    assert np.mean(found) == pytest.approx(9 * 19 / 4000, rel=0.05)
    assert bias(table) == 9 * 19 / 4000


@pytest.mark.parametrize("batch", [None, 60])
def test_clusters_that_lie_apart_are_found(batch):
    centres = np.array([[0, 0], [9, 0], [0, 9], [9, 9.0]])
    truth = RNG(0).integers(0, 4, 400)
    x = centres[truth] + RNG(1).normal(size=(400, 2))
    found = kmeans(x, 4, batch=batch)
    own = assign(x, found)
    assert nmi(contingency(own, truth)) > 0.99
    nearest = assign(centres, found)
    np.testing.assert_allclose(found[nearest], centres, atol=0.35)
    if batch is None:  # nothing moves any more
        np.testing.assert_allclose(found, [x[own == k].mean(0) for k in range(4)], atol=1e-12)
        np.testing.assert_array_equal(found, kmeans(x, 4))


def test_vectors_that_are_all_the_same_are_one_cluster():
    assert set(assign(np.ones((7, 2)), kmeans(np.ones((7, 2)), 3))) == {0}


def test_what_cannot_be_clustered_is_said():
    with pytest.raises(ValueError, match="from 1 to 3 clusters of 3 vectors, got 4"):
        kmeans(np.ones((3, 2)), 4)
    with pytest.raises(ValueError, match="got 2 and 3"):
        contingency(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="average must be one of"):
        nmi(TABLE, "harmonic")
