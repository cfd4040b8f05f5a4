"""The model against the truth, where what comes out is known."""

import numpy as np
import pytest

from minibert.analysis import inside, posterior
from minibert.analysis.posterior import Mean, distances, mean
from minibert.api import Bert
from minibert.world import World
from tests import tiny_model, world_model


@pytest.fixture(scope="module")
def world():
    return world_model.world()


@pytest.fixture(scope="module")
def bert():
    return world_model.make(3, max_position_embeddings=32)


@pytest.fixture(scope="module")
def found(bert, world):
    return posterior.measure(bert, world, 500)


def test_a_distance_by_hand():
    p = np.array([[0.5, 0.5, 0], [1, 0, 0], [0.2, 0.3, 0.5]])
    q = np.array([[0.25, 0.25, 0.5], [1, 0, 0], [0.2, 0.3, 0.5]])
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(distances(p, np.log(q)), [np.log(2), 0, 0], rtol=0, atol=1e-12)
    rng = np.random.default_rng(0)
    p, q = (x / x.sum(1, keepdims=True) for x in rng.random((2, 50, 9)))
    gaps = np.log(p) - np.log(q)
    np.testing.assert_allclose(distances(p, np.log(q)), (p * gaps).sum(1), rtol=0, atol=1e-12)


def test_errors_treat_the_targets_of_a_text_as_one_draw():
    values = np.array([1.0, 3.0, 2.0, 6.0])
    assert mean(values, np.arange(4)) == pytest.approx((3, values.std() / 2, 4, 1))
    assert mean(values, np.array([7, 7, 9, 9])) == pytest.approx((3, np.sqrt(2 * 2**2) / 4, 4, 1))
    assert mean(values, np.arange(4), total=24.0).share == 0.5
    assert str(Mean(0.25, 0.0123, 5)) == "0.250 ± 0.012"


def test_what_guesses_by_frequency_is_as_far_as_frequency(bert, world, found, monkeypatch):
    """A model that says the posterior is at distance 0, with no gap, and one that knows frequencies is as far as the control."""
    seen, _, counts = posterior._corrupted(world, 30, 500, 0)
    p = np.concatenate(world.posteriors(seen))
    monkeypatch.setattr(posterior, "guesses", lambda bert, seen, words: np.log(np.maximum(p, 1e-300)))
    truth = posterior.measure(bert, world, 500)
    assert abs(truth.distance.value) < 1e-12
    assert abs(truth.gap.value) < 1e-12
    assert (truth.best, truth.z, truth.frequency) == (found.best, found.z, found.frequency)
    share = np.array([counts[word] + 1.0 for word in world.words])
    monkeypatch.setattr(posterior, "guesses", lambda bert, seen, words: np.tile(np.log(share / share.sum()), (len(p), 1)))
    assert posterior.measure(bert, world, 500).distance.value == pytest.approx(found.frequency.value, abs=1e-12)


def test_an_untrained_model_is_far_and_the_truth_is_calibrated(found, world):
    assert 500 <= found.distance.targets < 510
    assert found.distance.value == pytest.approx(found.loss.value - found.best.value, abs=5 * found.gap.error)
    assert found.gap.value == pytest.approx(found.loss.value - found.best.value, abs=1e-12)
    assert found.loss.value == pytest.approx(np.log(len(world.words) + 5), abs=0.1)
    assert abs(found.z) < 4
    assert found.best.value < found.frequency.value + found.best.value < found.loss.value + 0.1
    for group in found.groups.values():
        assert sum(one.targets for one in group.values()) == found.distance.targets
        assert sum(one.share for one in group.values()) == pytest.approx(1)
        assert sum(one.value * one.targets for one in group.values()) / found.distance.targets == pytest.approx(
            found.distance.value)
    assert set(found.groups["seen as"]) == {"[MASK]", "itself", "another word"}
    assert posterior.verdict(found) == posterior.CONTRADICTS
    assert posterior.verdict(found._replace(distance=Mean(0.2, 0.01, 500))) == posterior.AGREES
    assert posterior.verdict(found._replace(distance=Mean(0.2, 0.01, 500), z=5.0)) == posterior.CANNOT
    assert len(posterior.plot(found).axes) == 2
    lines = posterior.lines(found)
    assert lines[0][1:3] == (found.distance.value, found.frequency.value)
    assert len({line.name for line in lines}) == len(lines)


def test_the_guesses_are_those_of_fill_mask(bert, world):
    from minibert.world import Seen

    [log_q] = posterior.guesses(bert, [Seen(["the", "[MASK]", "sleeps", "."], [1], 1)], world.words)
    expected = dict(bert.fill_mask("the [MASK] sleeps .", top=len(bert.tokenizer.vocab)))
    np.testing.assert_allclose(np.exp(log_q), [expected[word] for word in world.words], rtol=1e-5)


def test_one_text_beside_the_truth(bert, world):
    text = next(sentence for document in world.documents(10**4, 3) for sentence in world.sentences(document)
                if len(sentence.split()) > 4)
    question = inside.ask(bert, text, hide=[2])
    [found] = posterior.asked(bert, world, question)
    words = text.split()
    [p] = world.posterior([*words[:1], "[MASK]", *words[2:]], [1])
    np.testing.assert_array_equal(found.truth, p)
    expected = dict(inside.guesses(bert, question, len(bert.tokenizer.vocab))[0].words)
    np.testing.assert_allclose(found.model, [expected[word] for word in world.words], rtol=1e-5)
    assert found.distance == pytest.approx(distances(p[None], np.log(found.model)[None])[0])
    assert found.place == 2
    assert posterior.asked(bert, world, inside.ask(bert, text)) == []
    two = posterior.asked(bert, world, inside.ask(bert, text, text, hide=[2, len(words) + 3]))
    np.testing.assert_allclose(two[1].truth, two[0].truth, rtol=1e-9, atol=1e-12)
    with pytest.raises(ValueError, match="no text of this language could be seen"):
        posterior.asked(bert, world, inside.ask(bert, "the the the", hide=[1]))


def test_bad_input_is_named(bert, world):
    with pytest.raises(ValueError, match="from 500 targets on, got 10"):
        posterior.measure(bert, world, 10)
    with pytest.raises(ValueError, match=r"does not know \d+ words of the world, such as ','"):
        posterior.measure(Bert(*tiny_model.make()), world)
    with pytest.raises(ValueError, match="facts stay true"):
        posterior.measure(bert, World.of("small", facts=1.0))
