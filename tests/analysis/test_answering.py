"""How questions are answered: components and distances by hand, and where the parts of an example are."""

import numpy as np
import pytest

from minibert.analysis import answering, subject, tuning
from minibert.analysis.answering import Answering, Asked, Places, Plane, components, matching, standing
from tests import world_model

ASKED = Asked("who has six books ?".split(), [s.split() for s in ("Adam has two books .", "Anna has six books .")], 1, (0, 0))


def test_components_are_those_of_the_covariance():
    x = np.random.default_rng(0).normal(size=(12, 5)) * [5, 3, 1, 0.5, 0.1]
    points = components(x)
    values, vectors = np.linalg.eigh(np.cov(x.T))
    expected = (x - x.mean(0)) @ vectors[:, [-1, -2]]
    np.testing.assert_allclose(np.abs(points), np.abs(expected), rtol=0, atol=1e-10)
    np.testing.assert_allclose((points**2).sum(0) / 11, values[[-1, -2]], rtol=1e-10)
    np.testing.assert_allclose(components(-x), points, rtol=0, atol=1e-10)  # each sign is fixed


def test_matching_and_standing_out_have_a_closed_form():
    at = Places(np.array([0, 1]), [np.array([2]), np.array([3]), np.array([4])], np.array([4]))
    x = np.array([[[1., 0], [1, 0], [0, 1], [0, 2], [3, 0]], [[1, 0], [1, 0], [1, 1], [1, 1], [-1, 0]]])
    np.testing.assert_allclose(matching(x, at, 2), [1, -1 - np.sqrt(0.5)], rtol=0, atol=1e-12)
    others = x[0, :4] - [0.5, 0.75]
    distance = np.hypot(2.5, 0.75) / np.linalg.norm(others, axis=1).mean()
    assert standing(x, at)[0] == pytest.approx(distance, abs=1e-12)


def test_where_the_parts_of_an_example_are():
    bert = world_model.make()
    example, at = answering._example(bert, ASKED)
    tokens = np.array(example.texts[0].tokens)
    assert " ".join(tokens[at.question]) == "who has six books ?"
    assert [" ".join(tokens[s]) for s in at.sentences] == ["Adam has two books .", "Anna has six books ."]
    assert tokens[at.answer].tolist() == ["Anna"]
    assert example.target == (at.answer[0], at.answer[0])
    plane = answering.plane(bert, ASKED)
    assert plane.points.shape == (3, 15, 2)
    groups = dict(zip(("answer", "question", "fact", "other"), range(1, 5)))
    assert plane.groups.tolist() == [groups["question"]] * 5 + [groups["other"]] * 5 + [groups["answer"]] + [groups["fact"]] * 4


def test_questions_of_the_language_have_one_fact():
    found = answering.questions(world_model.world().language, "test", 100)
    assert len(found) == 100
    for one in found:
        fact = one.sentences[one.fact]
        assert fact[1:] == [*one.question[1:4], "."]
        assert fact[one.answer[0]] == fact[0]
        assert sum(sentence[1:] == fact[1:] for sentence in one.sentences) == 1


def test_everything_once():
    language = world_model.world().language
    found = answering.measure(world_model.make(), answering.questions(language, "train", 40),
                              answering.questions(language, "test", 120), tuning.Settings(3, 8))
    assert found.probe.shape == found.matching.shape == found.standing.shape == (3, 3)
    assert found.majority > 0.7
    assert len(answering.lines(found)) == 11
    assert len(answering.plot(found).axes) == 4


def test_a_verdict_has_a_criterion():
    rising, falling = np.array([[1, 2, 3]] * 3), np.array([[3, 2, 1]] * 3)
    probe = np.array([[0.8, 0.9, 0.9], [0.8, 0.8, 0.8], [0.8, 0.8, 0.8]])
    found = Answering(probe, falling, rising, 0.8, (0.9, 0.2), Plane([], np.zeros(0), np.zeros((3, 0, 2))), 200)
    assert answering.verdict(found) == "agrees"
    assert answering.verdict(found._replace(matching=rising, standing=falling)) == "contradicts"
    assert answering.verdict(found._replace(probe=probe * 0 + 0.8)) == "contradicts"
    assert answering.verdict(found._replace(right=(0.4, 0.2))) == "cannot show at this size"


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="1 questions to train on and 1 for the test"):
        answering.measure(world_model.make(), [ASKED], [ASKED])
    other = subject.Subject(world_model.make(), [])
    with pytest.raises(ValueError, match="generated language only"):
        answering.of(other)
