"""Similarities of vectors, where the answer is known in closed form."""

from functools import partial
from itertools import combinations, permutations

import numpy as np
import pytest

from minibert.analysis import analyses, similarity
from minibert.analysis.collecting import Units
from minibert.analysis.similarity import cca, cka, pwcca, resta, rsa, svcca
from minibert.analysis.subject import Sentence, Subject
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


def documents(of_each=6):
    """78 sentences of two letters, no two alike: of 6 in a document, 4 have 2 before them."""
    pairs = np.random.default_rng(0).permutation(list(combinations("abcdefghijklm", 2))).tolist()
    return [[Sentence(pairs[i + order], i, order) for order in range(of_each)] for i in range(0, len(pairs), of_each)]


def double(seed=0):
    config, parameters, tokenizer = tiny_model.make(seed)
    return Bert(config, parameters.astype(np.float64), tokenizer)


def test_stability_of_points_on_a_line():
    """The distances of the first two readings as above, 0.5; the third is the first, doubled and turned round."""
    x, y = np.array([[0.], [1], [3]]), np.array([[0.], [2], [3]])
    np.testing.assert_allclose(resta(np.stack([x, y, -2 * x]), "euclidean"), [[1, .5, 1], [.5, 1, .5], [1, .5, 1]], atol=1e-12)


@pytest.mark.parametrize("compare", similarity.COMPARED)
def test_stability_is_rsa_of_each_two_readings(compare, rng):
    x = rng.normal(size=(3, 9, 4))
    expected = [[rsa(a, b, compare=compare) for b in x] for a in x]
    np.testing.assert_allclose(resta(x, compare=compare), expected, rtol=0, atol=1e-12)


def test_a_model_that_hears_no_context_is_stable():
    """Without positions, and with attention that gives nothing."""
    bert = double()
    hearing = similarity.stability(bert, documents())
    p = bert.parameters["bert"]
    p["embeddings"]["position_embeddings"]["weight"][...] = 0
    for layer in p["encoder"]["layer"].values():
        layer["attention"]["output"]["dense"]["weight"][...] = 0
    found = similarity.stability(bert, documents())
    assert (found.sentences, found.own.shape) == (52, (3, 3, 3))
    np.testing.assert_allclose(found.own, 1, rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.foreign, 1, rtol=0, atol=1e-10)
    for side in (hearing.own, hearing.foreign):
        np.testing.assert_allclose(side, side.swapaxes(1, 2), rtol=0, atol=1e-12)
        assert (side[:, 0, 2] < 0.999).all()


def test_stability_of_planted_states(monkeypatch, rng):
    """States that are the word's own below, and those of the text's first word above."""
    vectors, read = dict(zip("abcdefghijklm", rng.normal(size=(13, 12)))), []

    def collect(bert, texts):
        read.append(texts)
        for i in reversed(range(len(texts))):
            own = np.stack([vectors[word] for word in texts[i]])
            first = np.broadcast_to(own[0], own.shape)
            added = np.full((3, 1, 12), np.nan)
            states = np.concatenate([added, np.stack([own, first, own]), added], 1)
            yield Units(i, [None, *range(len(own)), None], states, None)

    monkeypatch.setattr(similarity.collecting, "collect", collect)
    known = documents()
    found = similarity.stability(double(), known, most=3)
    np.testing.assert_allclose(found.own[[0, 2]], 1, rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.foreign[[0, 2]], 1, rtol=0, atol=1e-10)
    first = {k: np.stack([vectors[d[i - k].words[0]] for d in known for i in range(2, 6)]) for k in range(3)}
    for k in range(3):
        assert found.own[1, 0, k] == pytest.approx(rsa(first[0], first[k]), abs=1e-10)
    own, foreign = ([texts[52 * k:52 * (k + 1)] for k in range(3)] for texts in read)
    of = {tuple(sentence.words): sentence for document in known for sentence in document}
    assert foreign[0] == own[0]
    for last, text, one in zip(own[0], foreign[2], foreign[1]):
        before, after = of[tuple(text[:2])], of[tuple(text[2:4])]
        assert (text[4:], one) == (last, text[2:])
        assert before.document == after.document != of[tuple(last)].document
        assert after.order == before.order + 1


def test_sentences_that_follow_no_other_have_no_stability():
    bert, one, gap = double(), documents(1), [[s._replace(order=2 * s.order) for s in d] for d in documents()]
    for some in (one, gap, [], [[Sentence(["a"] * 23, 0, order) for order in range(90)]]):
        with pytest.raises(ValueError, match="0 different sentences can be read with the one before them in their document, and"):
            similarity.stability(bert, some)
    with pytest.raises(ValueError, match="most must be at least 1 and limit at least 50, got 0 and 100"):
        similarity.stability(bert, documents(), most=0)


def test_the_second_model_is_missed_where_there_is_none():
    bert = double()
    alone = Subject(bert, [sentence for document in documents() for sentence in document], quick=True)
    found = analyses.run("similarity", alone)
    lines = {line.name: line for line in found.lines}
    assert found.verdict == analyses.CANNOT
    assert [line.value for name, line in lines.items() if "matched" in name] == ["there is no second model"]
    cka = found.result.alike["CKA"]
    assert lines["CKA of the embeddings and the last layer"].value == cka[0, -1] < 1
    own, foreign, _ = found.result.stability
    assert lines["ReStA of layer 1: 0 and 2 sentences before"][1:3] == (own[1, 0, 2], foreign[1, 0, 2])
    assert lines["ReStA of the last layer: 1 and 2 sentences before"][1:3] == (own[2, 1, 2], foreign[2, 1, 2])
    shown = {axes.get_title(): axes.get_xlabel() for axes in found.figure().axes}
    assert (shown["ReStA, last layer"], shown["ReStA, other documents"], shown["CKA"]) == (*["sentences before"] * 2, "layer")


def test_two_models_and_sentences_that_follow_no_other():
    sentences = [document[0] for document in documents(1)]
    found = analyses.run("similarity", Subject(double(), sentences, quick=True, other=double(1)))
    lines = {line.name: line for line in found.lines}
    share = found.result.matched()["CKA"]
    assert lines["CKA: layers matched with their counterpart"][1:3] == (share, 1 / 3)
    assert lines["CKA of the last layers"].value == found.result.alike["CKA"][-1, -1]
    assert lines["ReStA"].value.startswith("not measured: 0 different sentences can be read with the one before")
    assert "ReStA, last layer" not in {axes.get_title() for axes in found.figure().axes}
