"""Polarity items: pairs, correlations and cloze where the answer is known, and a small run of everything."""

import numpy as np
import pytest

from minibert.analysis import polarity, tuning
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS
from minibert.api import Bert
from minibert.world import polarity as made
from minibert.world.polarity import Item
from tests import world_model


@pytest.fixture
def world():
    return world_model.world()


@pytest.fixture
def bert():
    return world_model.make()


@pytest.mark.parametrize("seed", range(3))
def test_matthews_correlation_from_the_four_counts(seed):
    rng = np.random.default_rng(seed)
    truth, guess = rng.random((2, 50)) < 0.3
    tp, tn = (truth & guess).sum(), (~truth & ~guess).sum()
    fp, fn = (~truth & guess).sum(), (truth & ~guess).sum()
    expected = (tp * tn - fp * fn) / np.sqrt(float((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))
    assert polarity.mcc(truth, guess) == pytest.approx(expected, abs=1e-12)
    assert polarity.mcc(truth, truth) == pytest.approx(1)
    assert polarity.mcc(truth, np.ones(50)) == 0


def test_a_paradigm_has_five_minimal_pairs(world):
    items = made.paradigms(world.language, 2)
    pairs = list(polarity.minimal(items))
    assert len(pairs) == 5 * 2 * len(made.ENVIRONMENTS)
    for good, bad in pairs:
        assert (good.acceptable, bad.acceptable) == (True, False)
        assert good.paradigm == bad.paradigm
        assert sum(getattr(good, name) != getattr(bad, name) for name in polarity.FACTORS) == 1
    whole = [Item(str(i), "e", 0, bool(i & 1), bool(i & 2), bool(i & 4)) for i in range(8)]
    assert {(good.text, bad.text) for good, bad in polarity.minimal(whole)} == {("0", "4"), ("1", "5"), ("2", "6"), ("7", "5"),
                                                                              ("7", "6")}


def test_cloze_pairs_differ_in_one_token(bert):
    _, at, good, bad = polarity.one_place(bert, "no cat sees any cats .", "this cat sees any cats .")
    assert (at, bert.tokenizer.vocab.tokens[good], bert.tokenizer.vocab.tokens[bad]) == (1, "no", "this")
    assert polarity.one_place(bert, "no cat sees any cats .", "this cat sees these cats .") is None
    assert polarity.one_place(bert, "no cat sees any cats .", "no cat sees any cats today .") is None


def test_cloze_asks_for_the_word_that_differs(bert):
    """A model whose head has only a bias always says the same."""
    p = bert.parameters.astype(np.float64)
    p.flat.fill(0)
    sure = Bert(bert.config, p, bert.tokenizer)
    vocab = bert.tokenizer.vocab.index
    p["cls"]["predictions"]["bias"][vocab["any"]] = 1
    pairs = [polarity.one_place(sure, f"no cat sees {a} cats .", f"no cat sees {b} cats .")
             for a, b in (("any", "these"), ("these", "any"), ("these", "all"))]
    assert polarity.cloze(sure, pairs).tolist() == [True, False, False]  # equal is not larger


def test_everything_once(world, bert):
    items = made.paradigms(world.language, 12)
    found = polarity.measure(bert, items, tuning.Settings(steps=8))
    assert found.environments == sorted(made.ENVIRONMENTS)
    assert found.pairs == 5 * 12 * len(made.ENVIRONMENTS)
    assert 0 < found.cloze_pairs < found.pairs
    assert found.probing.shape == (3, 3)
    np.testing.assert_array_equal(found.probing[:, 0], found.probing_majority)  # [CLS] has read nothing yet
    np.testing.assert_array_equal(found.probing_majority, 0.5)
    assert all(-1 <= x <= 1 for x in found.boolean)
    assert len(polarity.lines(found)) == 8
    assert len(polarity.plot(found).axes) == 2


def test_a_verdict_has_a_criterion():
    arrays = {name: np.zeros(4) for name in ("boolean", "boolean_words", "boolean_random")}
    start = polarity.Polarity([*"abcd"], **arrays, absolute=np.full(4, 0.6), gradient=np.full(4, 0.95), cloze=0.97,
                              cloze_random=0.5, pairs=9, cloze_pairs=9, probing=np.zeros((3, 3)), probing_majority=np.zeros(3))
    assert polarity.verdict(start) == AGREES
    assert polarity.verdict(start._replace(cloze=0.52)) == CONTRADICTS
    assert polarity.verdict(start._replace(cloze=0.8)) == CANNOT


def test_too_little_is_said(world, bert):
    with pytest.raises(ValueError, match="6 environments, with 3 paradigms or more"):
        polarity.measure(bert, made.paradigms(world.language, 3))
    with pytest.raises(ValueError, match="0 environments"):
        polarity.measure(bert, [])
