"""Multiple choice: a planted answer is found without the passage, a clean one as often as by chance."""

import numpy as np
import pytest

from minibert.analysis import choices, tuning
from minibert.analysis.choices import Choices, Item
from minibert.world.maker import Flaws
from tests import world_model

ITEM = Item("Adam has two books . Anna has six books .", "who has six books ?", ["Adam", "Anna"], 1)


def test_what_is_taken_away():
    rng = np.random.default_rng(0)
    without = {name: choices.without(ITEM, name, rng) for name in choices.CONDITIONS}
    assert without["whole"] == ITEM
    assert without["no passage"] == ITEM._replace(passage="")
    assert without["no question"] == ITEM._replace(question="")
    assert without["option only"] == ITEM._replace(passage="", question="")
    assert without["shuffled"].passage != ITEM.passage
    assert sorted(without["shuffled"].passage.split()) == sorted(ITEM.passage.split())
    assert without["shuffled"][1:] == ITEM[1:]
    assert choices.plant(ITEM, rng).options == ["Adam again", "Anna"]
    assert choices.plant(ITEM, rng, Flaws(artefacts=0.0)) == ITEM
    marked = [choices.plant(ITEM, rng, Flaws(artefacts=0.3)).options[0] == "Adam again" for _ in range(1000)]
    assert np.mean(marked) == pytest.approx(0.3, abs=4 * np.sqrt(0.3 * 0.7 / 1000))
    attacked = choices.attack(ITEM, rng)
    assert attacked.passage.startswith(ITEM.passage)
    assert sorted(attacked.passage.split()) == sorted([*ITEM.passage.split(), *ITEM.question.split(), "Adam"])


def test_what_is_empty_is_not_there():
    bert = world_model.make()
    rng = np.random.default_rng(0)
    texts = {name: " ".join(choices._example(bert, choices.without(ITEM, name, rng)).texts[1].tokens)
             for name in choices.CONDITIONS[:4]}
    assert texts == {"whole": f"[CLS] {ITEM.passage} [SEP] {ITEM.question} Anna [SEP]",
                     "no passage": f"[CLS] {ITEM.question} Anna [SEP]", "no question": f"[CLS] {ITEM.passage} [SEP] Anna [SEP]",
                     "option only": "[CLS] Anna [SEP]"}


def test_items_need_passage_and_question():
    language = world_model.world().language
    items = choices.items(language, "train", 300)
    assert len(items) > 290
    for item in items:
        number, thing = item.question.split()[2:4]
        assert f"{item.options[item.right]} has {number} {thing}" in item.passage
        assert sum(f"{name} has {number} {thing}" in item.passage for name in item.options) == 1
    assert np.bincount([item.right for item in items]) / len(items) == pytest.approx(np.full(4, 0.25), abs=0.08)


def test_a_planted_answer_is_found_in_options_alone_and_a_clean_one_is_not():
    language = world_model.world().language
    train, test = choices.items(language, "train", 200), choices.items(language, "test", 100)
    settings, bert = tuning.Settings(80, 8, 5e-3), world_model.make()
    marked_train, marked_test = ([choices.plant(item, np.random.default_rng(0)) for item in items] for items in (train, test))
    assert choices._judge(bert, marked_train, "option only", settings)(marked_test) == 1
    clean = choices._judge(bert, train, "option only", settings)(test)
    assert clean == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / len(test)))


def test_everything_once():
    language = world_model.world().language
    found = choices.measure(world_model.make(), choices.items(language, "train", 30), choices.items(language, "test", 60),
                            tuning.Settings(2, 4))
    assert found.clean.shape == found.planted.shape == (5,)
    assert (found.chance, found.examples) == (0.25, 60)
    assert len(choices.lines(found)) == 12
    assert len(choices.plot(found).axes) == 2


def test_a_verdict_has_a_criterion():
    found = Choices(np.array([0.9, 0.25, 0.25, 0.25, 0.4]), np.array([1, 1, 1, 1, 1]), 0.5, 0.3, 0.25, 100)
    assert choices.verdict(found) == "agrees"
    assert choices.verdict(found._replace(attacked=0.9)) == "contradicts"
    assert choices.verdict(found._replace(clean=np.full(5, 0.3))) == "cannot show at this size"
    assert choices.verdict(found._replace(planted=np.full(5, 0.3))) == "cannot show at this size"


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="0 items to train on and 3 for the test, with 2 options"):
        choices.measure(world_model.make(), [], [ITEM] * 3)
    with pytest.raises(ValueError, match="with 2 or 3 options"):
        choices.measure(world_model.make(), [ITEM], [ITEM._replace(options=["Adam", "Anna", "Carl"])] * 60)
