"""Figures by hand; ``tests/oracle`` compares with the usual libraries."""

import numpy as np
import pytest

from minibert.tasks.labelled import metrics


def test_classes():
    matrix = metrics.confusion(list("aaabbc"), list("aabbba"), "abc")
    assert matrix.tolist() == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    a, b, c = metrics.per_class(matrix, "abc")
    assert (a.precision, a.recall, a.support) == (2 / 3, 2 / 3, 3)
    assert (b.precision, b.recall) == (2 / 3, 1)
    assert (c.precision, c.recall, c.f1) == (0, 0, 0)
    assert metrics.f1_macro(matrix) == pytest.approx((2 / 3 + 0.8 + 0) / 3)
    assert metrics.matthews(np.array([[5, 0], [0, 5]])) == 1
    assert metrics.matthews(np.array([[5, 0], [5, 0]])) == 0


@pytest.mark.parametrize("matrix", [
    [[0, 1], [0, 9]], [[9, 0], [1, 0]], [[5, 5], [0, 0]], [[0, 0], [0, 10]], [[0, 0], [10, 0]], [[0, 0, 3], [0, 0, 3], [0, 0, 4]],
    [[0, 0], [0, 0]]])
def test_matthews_is_0_for_a_guess_or_a_truth_that_never_changes(matrix):
    assert metrics.matthews(np.array(matrix)) == 0


def test_shares_of_nothing_are_0():
    never, always = metrics.per_class(np.array([[0, 3], [0, 7]]), ["a", "b"])
    assert (never.precision, never.recall, never.f1) == (0, 0, 0)
    assert (always.precision, always.recall) == (0.7, 1)
    assert metrics.f1_macro(np.array([[2, 0, 0], [0, 2, 0], [0, 0, 0]])) == 1  # a class that never came up
    whole, types = metrics.entity_scores([["O", "O"]], [["O", "O"]])
    assert (whole.precision, whole.recall, whole.f1, whole.support, types) == (0, 0, 0, 0, [])
    assert metrics.entity_scores([["O", "B-a"]], [["O", "O"]])[0].precision == 0
    with pytest.raises(ZeroDivisionError):
        metrics.accuracy([], [])


def test_correlations():
    assert metrics.pearson([1, 2, 3], [2, 4, 6]) == pytest.approx(1)
    assert metrics.spearman([1, 2, 3], [1, 10, 100]) == pytest.approx(1)
    assert metrics.spearman([1, 1, 2], [5, 5, 9]) == pytest.approx(1)
    for x, y in (([1, 1], [2, 3]), ([2, 3], [1, 1]), ([1], [2])):
        assert metrics.pearson(x, y) == metrics.spearman(x, y) == 0


def test_entities():
    assert metrics.entities("O B-a I-a O B-a B-a I-b".split()) == [("a", 1, 2), ("a", 4, 4), ("a", 5, 5), ("b", 6, 6)]
    assert metrics.entities("I-a I-a".split()) == [("a", 0, 1)]
    whole, types = metrics.entity_scores([["B-a", "I-a", "O"]], [["B-a", "O", "B-b"]])
    assert (whole.precision, whole.recall, whole.f1, whole.support) == (0, 0, 0, 1)
    assert [score.label for score in types] == ["a", "b"]


@pytest.mark.parametrize(("tags", "found"), [
    ("B-a I-a L-a O U-b", [("a", 0, 2), ("b", 4, 4)]), ("B-a M-a E-a O S-b", [("a", 0, 2), ("b", 4, 4)]),
    ("B-a M-a E-a O W-b", [("a", 0, 2), ("b", 4, 4)]), ("B_a I_a O B_b O", [("a", 0, 1), ("b", 3, 3)]),
    ("B M E S S B E", [("_", 0, 2), ("_", 3, 3), ("_", 4, 4), ("_", 5, 6)]), ("B I O B O", [("_", 0, 1), ("_", 3, 3)]),
    ("U-a U-a B-a L-a O", [("a", 0, 0), ("a", 1, 1), ("a", 2, 3)]),
    ("B-x-y I-x-y E-x-y S-x-y O", [("x-y", 0, 2), ("x-y", 3, 3)]),
])
def test_schemes_of_entities(tags, found):
    scheme = metrics.scheme(tags.split())
    assert metrics.entities(tags.split(), scheme) == found
    assert metrics.entity_scores([tags.split()], [tags.split()], scheme)[0].support == len(found)


@pytest.mark.parametrize("tags", ["B-a O", "B-a I-a O", "I-a L-a", "L-a", "I-a", "B-a L-b", "B-a I-b L-a", "B-a U-a L-a", "B-a"])
def test_a_part_of_an_entity_is_none_where_ends_are_marked(tags):
    scheme = metrics.scheme("B-a I-a L-a U-a B-b I-b L-b O".split())
    assert [span for span in metrics.entities(tags.split(), scheme) if span[1] < span[2]] == []


@pytest.mark.parametrize(("gold", "guess", "exact", "f1"), [
    ("the Eiffel Tower!", "Eiffel tower", 1, 1), ("a b", "b", 1, 1), ("red blue", "blue green", 0, 0.5),
    ("", "", 1, 1), ("", "x", 0, 0)])
def test_english_answers(gold, guess, exact, f1):
    assert metrics.answer_exact(gold, guess) == exact
    assert metrics.answer_f1(gold, guess) == pytest.approx(f1)


@pytest.mark.parametrize(("gold", "guess", "exact", "f1"), [
    ("光荣和ω-force", "光荣和Ω-Force。", 1, 1), ("北京大学", "北京的大学", 0, 4 / 9), ("1990年", "1990", 0, 2 / 3),
    ("甲", "乙", 0, 0)])
def test_chinese_answers(gold, guess, exact, f1):
    assert metrics.chinese_exact(gold, guess) == exact
    assert metrics.chinese_f1(gold, guess) == pytest.approx(f1)


def test_which_texts_are_chinese():
    assert metrics.is_chinese(["《战国无双3》是由光荣和ω-force开发的"])
    assert not metrics.is_chinese(["the word 好 means good"])
    assert not metrics.is_chinese([])
