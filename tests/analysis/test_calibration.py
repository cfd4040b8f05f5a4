"""Calibration against answers in closed form."""

from dataclasses import replace

import numpy as np
import pytest

import minibert
from minibert.analysis import calibration, subject, tuning
from minibert.analysis.calibration import GRID, calibrated, nll, reliability, smoothed, smoothing_optimum, temperature
from minibert.analysis.tuning import Example, Settings
from minibert.api import Bert
from minibert.layers import kl_divergence
from tests import tiny_model, world_model

RNG = np.random.default_rng


def test_a_table_by_hand():
    found = reliability([0.95, 0.85, 0.85, 0.35], [True, True, False, False])
    assert found.count.tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 2, 1]
    np.testing.assert_allclose(found.confidence[[3, 8, 9]], [0.35, 0.85, 0.95], rtol=1e-15)
    assert found.accuracy[[3, 8, 9]].tolist() == [0, 0.5, 1]
    assert np.isnan(found.accuracy[:3]).all()
    gaps = np.array([0.35, 0.35, 0.05])
    np.testing.assert_allclose((found.ece, found.mce, found.tce), (gaps @ [1, 2, 1] / 4, 0.35, gaps.sum()), rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("bins", [3, 7, 10, 15])
def test_a_confidence_on_an_edge_is_in_the_bin_that_the_edges_say(dtype, bins):
    p = (np.arange(bins + 1) / bins).astype(dtype)
    assert reliability(p, p > 2, bins, "left").count.tolist() == [1] * (bins - 1) + [2]
    assert reliability(p, p > 2, bins, "right").count.tolist() == [2] + [1] * (bins - 1)


def test_edges_can_change_the_error():
    sure, right = [0.7, 0.65, 0.75], [True, False, True]
    assert reliability(sure, right, edges="right").ece == pytest.approx((abs(1 - 0.7 - 0.65) + 0.25) / 3, abs=1e-15)
    assert reliability(sure, right, edges="left").ece == pytest.approx((0.65 + abs(2 - 0.7 - 0.75)) / 3, abs=1e-15)


@pytest.mark.parametrize(("gap", "right"), [(3.0, 0.8), (0.2, 0.6), (40.0, 0.99), (-0.7, 0.25)])
def test_the_best_temperature_makes_two_classes_as_sure_as_they_are_right(gap, right):
    logits = np.tile([gap, 0.0], (100, 1))
    labels = (np.arange(100) >= round(100 * right)).astype(int)
    assert temperature(logits, labels) == pytest.approx(gap / np.log(right / (1 - right)), rel=1e-10)


@pytest.mark.parametrize("c", [1e-3, 0.3, 1, 4, 250])
def test_logits_that_are_scaled_are_scaled_back(c):
    logits = RNG(0).normal(size=(400, 5)) * 2
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert temperature(c * logits, probabilities) == pytest.approx(c, rel=1e-10)  # told the truth
    labels = np.array([RNG(i).choice(5, p=p) for i, p in enumerate(probabilities)])
    assert temperature(c * logits, labels) == pytest.approx(c * temperature(logits, labels), rel=1e-10)


def test_no_other_temperature_is_better_and_the_grid_is_the_nearest():
    logits, labels = RNG(1).normal(size=(200, 4)) * 3, RNG(2).integers(0, 4, 200)
    labels[:120] = logits[:120].argmax(1)
    T = temperature(logits, labels)
    assert all(nll(logits, labels, T) < nll(logits, labels, T * step) for step in (0.999, 1.001))
    assert abs(temperature(logits, labels, GRID) - T) < 0.01
    assert temperature([[1.0, 0.0]], [0], GRID) == GRID[0]  # no best one, but a coldest
    assert temperature([[0.0, 0.0]], [0], GRID) == GRID[0]  # all alike: the smallest


def test_smoothed_labels_choose_the_temperature_of_their_own_loss():
    logits, labels = RNG(3).normal(size=(50, 3)), RNG(4).integers(0, 3, 50)
    logits[np.arange(50), labels] += 3
    targets = smoothed(labels, 3, 0.2)
    T = temperature(logits, targets)
    assert T > temperature(logits, smoothed(labels, 3, 0.1))
    p = np.exp(logits / T) / np.exp(logits / T).sum(1, keepdims=True)
    np.testing.assert_allclose((p * logits).sum(), (targets * logits).sum(), rtol=1e-12)  # the slope is zero
    np.testing.assert_allclose(nll(logits, targets), -(targets * np.log(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))
                                                      ).sum(1).mean(), rtol=1e-13)


@pytest.mark.parametrize(("over", "gap"), [("others", np.log(0.9 * 4 / 0.1)), ("all", np.log(1 + 5 * 0.9 / 0.1))])
def test_where_label_smoothing_leads(over, gap):
    best = smoothing_optimum(5, 0.1, over)
    targets = smoothed([2, 0], 5, 0.1, over)
    logits = best.gap * np.eye(5)[[2, 0]]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert best.gap == pytest.approx(gap, rel=1e-14)
    np.testing.assert_allclose(p, targets, rtol=1e-14)  # so the gradient p - q is zero
    np.testing.assert_allclose((p[0, 2], nll(logits, targets)), (best.confidence, best.loss), rtol=1e-14)
    assert temperature(logits, targets) == pytest.approx(1, rel=1e-10)
    noise = RNG(0).normal(size=logits.shape) / 100
    assert nll(logits + noise, targets) > best.loss


def test_the_loss_of_smoothed_labels_is_a_divergence_with_the_slope_of_the_cross_entropy():
    logits, labels = RNG(5).normal(size=(30, 4)) * 2, RNG(6).integers(0, 4, 30)
    targets = smoothed(labels, 4, 0.1)
    loss, cache = kl_divergence.forward(logits, targets, logits="x")
    assert loss == pytest.approx(nll(logits, targets) - smoothing_optimum(4, 0.1).loss, abs=1e-13)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(kl_divergence.backward(1.0, cache), (p - targets) / 30, rtol=0, atol=1e-15)


def of_letters(bert, count, wrong=0):
    """A class that the first letter tells, in all but the first ``wrong`` texts."""
    rng, found = RNG(count), []
    for i in range(count):
        letters, target = rng.choice([*"abcd"], 3), i % 2
        found.append(Example((bert.tokenizer.encode(" ".join(["xy"[target], *letters])),), target ^ (i < wrong)))
    return found


@pytest.fixture
def bert():
    config, parameters, tokenizer = tiny_model.make(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return Bert(config, parameters.astype(np.float64), tokenizer)


def test_who_learned_smoothed_labels_is_as_sure_as_they_are(bert):
    """Sure of 1 − s = 0.9, and of nearly 1 with hard labels: better where 0.9 of the labels are as the text says, worse where
    0.98 are."""
    tests = {right: of_letters(bert, 300, round(300 * (1 - float(right)))) for right in ("0.9", "0.98")}
    found = calibration.smoothing(bert, of_letters(bert, 64), of_letters(bert, 200, 20), tests, Settings(100, 16, 1e-2))
    assert list(found) == [f"{labels}, {right}" for labels in calibration.SMOOTHING for right in tests]
    assert [one.accuracy for one in found.values()] == pytest.approx([0.9, 0.98] * 2)
    assert [one.before.ece for one in found.values()] == pytest.approx([0.1, 0.02, 0, 0.08], abs=0.01)
    assert max(found[f"{labels}, 0.9"].after.ece for labels in calibration.SMOOTHING) < 0.01
    assert found["smoothed labels, 0.98"].temperature == pytest.approx(1, rel=0.05)  # ln 9 / ln(0.9/0.1)
    assert found["hard labels, 0.98"].temperature > 2


def test_labels_that_are_not_smoothed_are_those_of_the_cross_entropy(bert, monkeypatch):
    monkeypatch.setattr(calibration, "SMOOTHING", {"hard": 0.0})
    train, test, settings = of_letters(bert, 32), of_letters(bert, 100, 10), Settings(20, 8, 3e-3)
    model = tuning.model_of(bert.config, "class")
    p = tuning.tune(bert, model, tuning.grown(model, bert), train, settings)
    asked = np.stack(tuning.predict(bert, model, p, test)[1]), np.array([example.target for example in test])
    expected, [found] = calibrated(asked, asked), calibration.smoothing(bert, train, test, {"": test}, settings).values()
    np.testing.assert_allclose([found.temperature, *found.loss, found.before.ece, found.after.ece],
                               [expected.temperature, *expected.loss, expected.before.ece, expected.after.ece], rtol=1e-10)


def test_both_edges_and_both_kinds_of_labels_are_among_the_lines():
    logits = RNG(7).normal(size=(400, 3))
    table = calibrated(*[(logits, np.where(RNG(8).random(400) < 0.5, 0, logits.argmax(1)))] * 2)
    alone = [line.name for line in calibration.lines(table)]
    assert alone[:4] == [f"ECE{at}, bins {bins}" for bins in ("(a, b]", "[a, b)") for at in ("", " at the temperature")]
    assert "label" not in " ".join(alone)
    both = calibration.lines(table._replace(smoothing={"hard labels, in domain": table, "smoothed labels, in domain": table}))
    assert [line.name for line in both[len(alone):]] == [
        f"{labels} labels, in domain: {name}" for labels in ("hard", "smoothed") for name in ("right", *alone[:4], "temperature")]
    assert [line.value for line in both[len(alone) + 1:][:4]] == [*table.ece["right"], *table.ece["left"]]


def test_the_task_is_of_the_world_and_what_has_none_says_so(monkeypatch):
    found = subject.of(world_model.make(), quick=True)
    found = replace(found, sentences=found.sentences[:150])

    def chance(bert, train, dev, tests, settings):
        assert tests.keys() == calibration.DOMAINS.keys()
        assert all({example.target for example in part} == {0, 1} for part in (train, dev, *tests.values()))
        raise ValueError("no better than chance")

    monkeypatch.setattr(calibration, "smoothing", chance)
    for world, why in ((found.world, "no better than chance"), (None, "needs the generated language")):
        line = calibration.lines(calibration.of(replace(found, world=world)))[-1]
        assert line[:2] == (f"label smoothing: {why}", "not measured")


def test_what_chose_the_temperature_is_not_what_is_measured_and_the_order_stays():
    rng = RNG(0)
    logits = rng.normal(size=(4000, 3)) * 2
    labels = np.array([rng.choice(3, p=p) for p in np.exp(logits) / np.exp(logits).sum(1, keepdims=True)])
    parts = (3 * logits[:2000], labels[:2000]), (3 * logits[2000:], labels[2000:])
    found = calibrated(*parts)
    assert found.temperature == temperature(*parts[0])
    assert (found.examples, found.accuracy) == (2000, np.mean(logits[2000:].argmax(1) == labels[2000:]))
    for table, z in ((found.before, parts[1][0]), (found.after, parts[1][0] / found.temperature)):
        by_hand = reliability((np.exp(z) / np.exp(z).sum(1, keepdims=True)).max(1), z.argmax(1) == labels[2000:])
        np.testing.assert_allclose(np.hstack([*table]), np.hstack([*by_hand]), rtol=1e-12)
    assert found.loss == (nll(*parts[1]), nll(*parts[1], found.temperature))
    assert found.after.ece < 0.04 < 0.1 < found.before.ece
    left = calibrated(*parts, edges="left")
    assert found.ece == left.ece == {"right": (found.before.ece, found.after.ece), "left": (left.before.ece, left.after.ece)}
    assert 0.5 * found.floor < found.after.ece < 2.5 * found.floor  # what is left is what so few examples leave
    assert all(hasattr(found, control) for control in calibration.CONTROLS)
    assert [len(axes.lines) for axes in calibration.plot(found).axes] == [3, 0]


def test_the_guesses_of_a_model_are_those_that_it_makes():
    config, parameters, tokenizer = tiny_model.make()
    bert = Bert(config, parameters.astype(np.float64), tokenizer)
    texts = ["the exception", ["ab", "raises"], "an exception ."]
    encodings = [tokenizer.encode(text) for text in texts]
    hidden = [(encodings[0], 2), (encodings[2], 1), (encodings[1], 1), (encodings[0], 1)]
    logits = calibration._logits(bert, hidden)
    for row, (encoding, t) in zip(logits, hidden):
        ids = list(encoding.ids)
        ids[t] = tokenizer.vocab.mask_id
        p = np.exp(row) / np.exp(row).sum()
        for word, probability in bert.fill_mask(ids, top=5):
            assert p[tokenizer.vocab.index[word]] == pytest.approx(probability, rel=1e-10)


def test_the_bundled_model_is_measured():
    bert = minibert.load()
    texts = ["an exception is raised.", "return a list of names.", "the value is not a number.", "this is a file object."] * 12
    found = calibration.measure(bert, texts, count=160, bins=5)
    assert found.examples == 80
    again = calibration.measure(bert, texts, count=160, bins=5)
    np.testing.assert_array_equal(np.hstack([*found.before, *found.after]), np.hstack([*again.before, *again.after]))
    assert found[2:] == again[2:]
    assert 0 < found.accuracy < 1
    with pytest.raises(ValueError, match=r"tuning: \d+ examples are too few for 10 bins.*from 100 on"):
        calibration.measure(bert, texts[:4])
    with pytest.raises(ValueError, match="texts is empty"):
        calibration.measure(bert, [])


@pytest.mark.parametrize(("call", "message"), [
    (lambda: reliability([], []), "a confidence for each guess"),
    (lambda: reliability([0.5], [True, False]), r"got shapes \(1,\) and \(2,\)"),
    (lambda: reliability([1.5], [True]), "from 0 to 1"),
    (lambda: reliability([np.nan], [True]), "from 0 to 1"),
    (lambda: reliability([0.5], [True], edges="both"), '"left" or "right".*\'both\''),
    (lambda: reliability([0.5], [True], bins=0), "bins at least 1.*0"),
    (lambda: temperature([[1.0, 0.0]] * 3, [0] * 3), "all guesses are right"),
    (lambda: temperature([[1.0, 0.0]] * 2, [0, 1]), "no better than chance"),
    (lambda: temperature([[1.0, np.inf]], [0]), "finite"),
    (lambda: nll([[1.0, 0.0]], [2]), "labels must be from 0 to 1, got 2 to 2"),
    (lambda: nll([[1.0, 0.0]], [0, 1]), r"got shapes \(1, 2\) and \(2,\)"),
    (lambda: nll([[1.0, 0.0]], [0], 0), "more than 0, got 0"),
    (lambda: smoothed([0], 3, 1.5), "s from 0 to 1"),
    (lambda: smoothing_optimum(3, 0), "an optimum only where"),
    (lambda: smoothing_optimum(2, 0.5), "an optimum only where"),
])
def test_what_cannot_be_measured_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call()
