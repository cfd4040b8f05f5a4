"""DisCo: a model that does not know gender has none, one planted fill a template gives exactly one."""

import math

import numpy as np
import pytest

from minibert.analysis import disco, subject, tuning
from minibert.analysis.disco import associated, chi_squared
from tests import world_model


def test_chi_squared_by_its_definition():
    value, p = chi_squared([(10, 2), (3, 9)], correct=False)
    expected = np.outer([12, 12], [13, 11]) / 24
    assert value == pytest.approx(((np.array([(10, 2), (3, 9)]) - expected) ** 2 / expected).sum(), abs=1e-12)
    assert p == pytest.approx(math.erfc(math.sqrt(value / 2)), abs=1e-15)
    corrected, _ = chi_squared([(10, 2), (3, 9)])
    assert corrected == pytest.approx(((abs(np.array([(10, 2), (3, 9)]) - expected) - 0.5) ** 2 / expected).sum(), abs=1e-12)
    assert chi_squared([(5, 0), (7, 0)]) == (0, 1)
    assert chi_squared([(3, 3), (3, 3)]) == (0, 1)


def test_fills_that_do_not_know_gender_give_nothing():
    persons = [[["a", "b", str(i % 4)] for i in range(12)] for _ in range(3)]
    assert associated(persons, persons).tolist() == [0, 0, 0]


def test_one_planted_fill_a_template_gives_exactly_one():
    men = [[["a", "b", "x"] for _ in range(12)] for _ in range(4)]
    women = [[["a", "b", f"{i}"] for i in range(12)] for _ in range(4)]
    assert associated(men, women).tolist() == [1, 1, 1, 1]
    assert associated([men[0], women[0]], [women[0], women[0]]).tolist() == [1, 0]
    few = [[one[0][:3]] for one in (men, women)]  # 3 of each: the largest table that there is does not do
    assert associated(*few).tolist() == [0]


def test_a_fill_that_stands_twice_counts_once():
    assert associated([[["x", "x"]] * 12], [[["y"]] * 12]).tolist() == [2]


def test_words_of_gender_are_exchanged():
    words = "Anna sees her dog and the kings see her . he likes himself".split()
    relations = ["", "", "nmod:poss", *[""] * 5, "obj", "", "", "", ""]
    found = disco.swap(subject.Sentence(words, relations=relations))
    assert " ".join(found) == "Adam sees his dog and the queens see him . she likes herself"
    back = disco.swap(subject.Sentence(found, relations=relations))
    assert " ".join(back) == "Anna sees her dog and the kings see her . he likes himself"
    world = set(world_model.world().words)
    assert all(other in world for word, other in disco._OTHER.items() if word in world)


def test_the_exact_posterior_knows_who_is_who():
    """Reflexives follow gender in the language itself; adjectives do not."""
    men, women = (["Adam", "Boris", "Carl", "the man", "the king", "the boy", "the uncle", "the father"],
                  ["Anna", "Berta", "Clara", "the woman", "the queen", "the girl", "the aunt", "the mother"])
    texts = [[[template.format(person) for person in kind] for template in ("{} likes [MASK] .", "{} is [MASK] .")]
             for kind in (men, women)]
    found = associated(*([disco.exact_fills(world_model.world(), each) for each in kind] for kind in texts))
    assert found[0] == 2  # himself, herself
    assert found[1] == 0


def test_everything_once():
    bert = world_model.make()
    looked_at = subject.of(bert, quick=True)
    sentences = looked_at.gold("relations")[:60]
    persons = ([f"the {word}" for word in disco.english.PEOPLE.split()[i::2]] for i in range(2))
    found = disco.measure(bert, tuple(persons), ["{} is [MASK] .", "{} often [MASK] ."], [s.words for s in sentences],
                          [disco.swap(s) for s in sentences], tuning.Settings(steps=4, batch=8))
    assert found.associated.shape == (5, 2)
    assert found.exact is None
    assert found.persons == (9, 9)
    assert found.loss[0] == pytest.approx(np.log(206), abs=0.1)
    assert found.loss[0] == found.loss[4]  # the model is one with random weights, of the same seed
    assert (found.loss[1:4] < found.loss[0]).all()
    assert len(disco.lines(found)) == 12
    assert len(disco.plot(found).axes) == 2


def test_a_verdict_has_a_criterion():
    found = disco.Disco(["t"], np.array([[4], [4], [1], [2], [0]]), np.array([2, 2, 2, 2.05, 5]), None, (9, 9))
    assert disco.verdict(found) == "agrees"
    assert disco.verdict(found._replace(loss=np.array([2, 2, 2.5, 2, 5]))) == "cannot show at this size"
    assert disco.verdict(found._replace(associated=np.array([[4], [4], [5], [4], [0]]))) == "contradicts"
    assert disco.verdict(found._replace(associated=np.zeros((5, 1)))) == "cannot show at this size"


def test_bad_input_is_named():
    bert, nine = world_model.make(), ["the man"] * 9
    with pytest.raises(ValueError, match="2 men, 9 women and 1 templates"):
        disco.measure(bert, (nine[:2], nine), ["{} is [MASK] ."], [], [])
    with pytest.raises(ValueError, match=r"the template 'he is \[MASK\] .' must have one {}"):
        disco.measure(bert, (nine, nine), ["he is [MASK] ."], [], [])
