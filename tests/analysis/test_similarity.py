"""Similarities of vectors, where the answer is known in closed form."""

from functools import partial
from itertools import permutations

import numpy as np
import pytest

from minibert.analysis import similarity
from minibert.analysis.similarity import cca, cka, pwcca, rsa, svcca
from minibert.api import Bert
from tests import tiny_model

CENTRED = [cka, partial(cka, debiased=True), svcca, pwcca]
TURNED = [*[partial(rsa, distance=d, compare=c) for d in ("cosine", "euclidean") for c in similarity.COMPARED], *CENTRED]
TEXTS = [["the", "abc", "raises", "an", "exception", "."], ["an", "exception", "de", "."], ["x", "y"], ["the", "xyzzy"],
         ["raises", "the", "b"], ["c", "the", "exception"], ["an", "an", "exception", "raises", "d"], ["e", "f", "g", "h"]]


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def columns(rng):
    """(20, 4) orthonormal and centred: what vectors of known correlations are made of."""
    return np.linalg.qr(np.column_stack([np.ones(20), rng.normal(size=(20, 4))]))[0][:, 1:]


def rotation(rng, size):
    return np.linalg.qr(rng.normal(size=(size, size)))[0]


@pytest.mark.parametrize("alike", TURNED)
def test_turned_and_scaled_vectors_are_the_same(alike, rng):
    x, y = rng.normal(size=(30, 5)), rng.normal(size=(30, 4))
    assert alike(x, 3 * x @ rotation(rng, 5)) == pytest.approx(1, abs=1e-10)
    assert alike(x, 0.1 * y @ rotation(rng, 4)) == pytest.approx(alike(x, y), abs=1e-10)
    assert alike(x, y) < 0.9


@pytest.mark.parametrize("alike", CENTRED)
def test_where_zero_is_makes_no_difference_once_centred(alike, rng):
    x, y = rng.normal(size=(30, 5)), rng.normal(size=(30, 4))
    assert alike(x + 10, y - rng.normal(size=4)) == pytest.approx(alike(x, y), abs=1e-10)


def test_canonical_correlations_do_not_hear_an_invertible_map(rng):
    x, y, a = rng.normal(size=(30, 5)), rng.normal(size=(30, 4)), rng.normal(size=(5, 5))
    np.testing.assert_allclose(cca(x @ a, y), cca(x, y), rtol=0, atol=1e-10)
    assert svcca(x, x @ a, keep=1) == pytest.approx(1, abs=1e-10)
    assert pwcca(x, x @ a) == pytest.approx(1, abs=1e-10)
    assert cka(x, x @ a) < 0.95


def test_cka_of_a_pair_by_hand(columns):
    """K = Σ a²eeᵀ, L = Σ c²eeᵀ over the same orthonormal e: the products are those of the squares."""
    a, c = np.array([1., 2, 3, .5]), np.array([2., .1, 1, 4])
    expected = (a**2 @ c**2) / np.sqrt((a**4).sum() * (c**4).sum())
    assert cka(a * columns, c * columns) == pytest.approx(expected, abs=1e-12)
    assert cka(columns[:, :2], columns[:, :1]) == pytest.approx(1 / np.sqrt(2), abs=1e-12)
    assert cka(columns[:, :2], columns[:, 2:]) == pytest.approx(0, abs=1e-12)


def test_canonical_correlations_of_a_pair_by_hand(columns):
    """Two columns of X, lengths a and b, at the angles s and t to those of Y: PWCCA is (a·cos s + b·cos t)/(a + b)."""
    e, (a, b), (s, t) = columns.T, (3., 1.), (0.3, 1.2)
    x = np.column_stack([a * e[0], b * e[1]])
    y = np.column_stack([np.cos(s) * e[0] + np.sin(s) * e[2], np.cos(t) * e[1] + np.sin(t) * e[3]])
    np.testing.assert_allclose(cca(x, y), [np.cos(s), np.cos(t)], rtol=0, atol=1e-12)
    assert svcca(x, y, keep=1) == pytest.approx((np.cos(s) + np.cos(t)) / 2, abs=1e-12)
    assert svcca(x, y, keep=0.9) == pytest.approx(np.cos(s), abs=1e-12)  # 9 of 10 parts of X are its first column
    assert pwcca(x, y) == pytest.approx((a * np.cos(s) + b * np.cos(t)) / (a + b), abs=1e-12)
    assert pwcca(y, x) == pytest.approx((np.cos(s) + np.cos(t)) / 2, abs=1e-12)


def test_rsa_of_points_on_a_line():
    """Distances 1, 3, 2 and 2, 3, 1: 1 − 6·(1 + 0 + 1)/(3·8)."""
    x, y = np.array([[0.], [1], [3]]), np.array([[0.], [2], [3]])
    for compare in ("spearman", "pearson"):
        assert rsa(x, y, "euclidean", compare) == pytest.approx(0.5, abs=1e-12)
    rows = [np.corrcoef(a, b)[0, 1] for a, b in zip(abs(x - x.T), abs(y - y.T))]
    assert rsa(x, y, "euclidean", "rows") == pytest.approx(np.mean(rows), abs=1e-12)
    assert rsa(x, x**3, "euclidean") == pytest.approx(1, abs=1e-12)  # 1, 27, 26: the same order


def test_rsa_of_directions(rng):
    """Cosine distances know no lengths; those of correlation no height either."""
    x, y = rng.normal(size=(12, 5)), rng.normal(size=(12, 5))
    length, height = rng.uniform(1, 9, (12, 1)), rng.normal(size=(12, 1))
    assert rsa(x * length, y, compare="pearson") == pytest.approx(rsa(x, y, compare="pearson"), abs=1e-12)
    assert rsa(x * length + height, y, "correlation") == pytest.approx(rsa(x, y, "correlation"), abs=1e-12)
    assert rsa(x + height, y) != pytest.approx(rsa(x, y), abs=1e-3)


def test_equal_numbers_share_the_mean_of_their_ranks():
    assert similarity._ranks(np.array([7., 1, 7 + 1e-15, 2, 7])).tolist() == [4, 1, 4, 2, 4]


def test_a_correlation_of_ranks():
    assert similarity.spearman(np.array([1., 3, 2]), np.array([20., 30, 10])) == pytest.approx(0.5, abs=1e-12)
    with pytest.raises(ValueError, match="numbers that are all equal is not defined"):
        similarity.spearman(np.zeros(3), np.arange(3.))


def test_debiased_cka_is_zero_over_all_orders_of_the_examples(rng):
    x, y = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
    found = np.array([[cka(x, y[list(order)], debiased) for debiased in (False, True)] for order in permutations(range(6))])
    assert found[:, 1].mean() == pytest.approx(0, abs=1e-12)
    assert found[:, 0].mean() > 0.2


def test_debiased_cka_is_the_estimator_of_song(rng):
    x, y, n = rng.normal(size=(9, 3)), rng.normal(size=(9, 2)), 9

    def hsic(k, m):
        k, m, one = k - np.diag(np.diag(k)), m - np.diag(np.diag(m)), np.ones(n)
        return np.trace(k @ m) + k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * one @ k @ m @ one

    k, m = x @ x.T, y @ y.T
    assert cka(x, y, debiased=True) == pytest.approx(hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m)), abs=1e-12)


def test_what_chance_gives(rng):
    x, y = rng.normal(size=(800, 50)), rng.normal(size=(800, 30))
    assert cka(x, y) == pytest.approx(np.sqrt(50 * 30) / 800, rel=0.1)
    assert cka(rng.normal(size=(10, 500)), rng.normal(size=(10, 500))) > 0.9
    assert abs(cka(x, y, debiased=True)) < 0.01


@pytest.mark.parametrize(("call", "message"), [
    (lambda x: cka(x, x[:-1]), "of the same examples, got 8 and 7 rows"),
    (lambda x: cca(x, x[:-1]), "of the same examples, got 8 and 7 rows"),
    (lambda x: rsa(x[:2], x[:2]), "at least 3 examples"),
    (lambda x: cka(x[:3], x[:3], debiased=True), "at least 4 examples"),
    (lambda x: cka(x[0], x[0]), "an array of shape"),
    (lambda x: cka(x * np.nan, x), "not finite"),
    (lambda x: cka(x, x * 0 + 0.1), "examples that are all the same is not defined"),
    (lambda x: cka(np.eye(5), np.eye(5), debiased=True), "equally far apart is not defined"),
    (lambda x: rsa(x, x * 0), "cosine distance from a vector of zeros is not defined"),
    (lambda x: rsa(np.eye(5), np.eye(5)), "distances that are all equal is not defined"),
    (lambda x: rsa(x, x, "manhattan"), "distance must be one of cosine, euclidean, correlation"),
    (lambda x: pwcca(x[:7, :3], x[:7, 3:]), "vary in 3 and 4 directions need more than 7 examples, got 7"),
    (lambda x: svcca(x, x, keep=0), "keep must be a share"),
])
def test_bad_input_is_named(call, message, rng):
    with pytest.raises(ValueError, match=message):
        call(rng.normal(size=(8, 7)))


def test_layers_of_a_model_and_of_another():
    bert, other = (Bert(*tiny_model.make(seed)) for seed in (0, 1))
    itself = similarity.measure(bert, TEXTS)
    assert itself.examples == 29
    assert set(itself.alike) == set(itself.shuffled) == set(similarity.MEASURES)
    for name, x in itself.alike.items():
        np.testing.assert_allclose(np.diag(x), 1, rtol=0, atol=1e-10, err_msg=name)
        assert itself.matched()[name] == 1
        assert (itself.shuffled[name] < 0.95).all()
        if name != "PWCCA":
            np.testing.assert_allclose(x, x.T, rtol=0, atol=1e-10, err_msg=name)
    between = similarity.measure(bert, TEXTS, other, ["CKA"])
    assert list(between.alike) == ["CKA"]
    assert between.alike["CKA"].max() < 1
    shown = {axes.get_title() for axes in similarity.plot(itself).axes if axes.get_visible()}
    assert shown >= {"CKA", "CKA, shuffled"}
    some = similarity.measure(bert, TEXTS, other, ["RSA"], limit=9)
    assert some.examples == 9


def test_a_measure_with_too_few_words_is_named():
    bert = Bert(*tiny_model.make())
    with pytest.raises(ValueError, match=r"PWCCA: vectors that vary in .* need more than .* examples, got 9"):
        similarity.measure(bert, TEXTS, limit=9, measures=["CKA", "PWCCA"])
    with pytest.raises(ValueError, match=r"measures must be of RSA, .*, got 'Procrustes'"):
        similarity.measure(bert, TEXTS, measures=["Procrustes"])


def test_models_that_find_other_words_are_not_compared():
    bert = Bert(*tiny_model.make())
    other = Bert(*tiny_model.make())
    other.tokenizer.encode = lambda *a, **k: bert.tokenizer.encode("the the")
    with pytest.raises(ValueError, match="one model finds 29 words in the texts and the other 16"):
        similarity.measure(bert, TEXTS, other)
