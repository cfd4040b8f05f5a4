"""Tables of rules: what their marks mean, what is wrong with some, and that both readings are one language."""

import numpy as np
import pytest

from minibert.world import World
from minibert.world.grammar import Grammar
from minibert.world.posterior import _lengths
from tests.world import tiny

FEATURES = {"a": {"same": 0.25, "many": 0.75}, "n": {"sg": 0.5, "pl": 0.5}}


def test_variables_stand_for_all_their_values_and_new_ones_follow_their_prior():
    grammar = Grammar("text 1 who.a/nsubj do.n* \n who.a 1 noun.a*", FEATURES, 0, {})
    found = {rule.children: rule.p for rule in grammar.rules if rule.parent == "text"}
    assert found == {("who.same", "do.sg"): 0.25, ("who.many", "do.pl"): 0.75}
    assert grammar.classes == ["do.pl", "do.sg", "noun.many", "noun.same"]


def test_depth_is_counted_down_and_ends():
    grammar = Grammar("text 1 x.D*\n x.d 3 word*\n x.d 1 so/mark x.d-*", {}, 2, {})
    assert sorted(grammar.of) == ["text", "x.0", "x.1", "x.2"]
    assert [grammar.rules[i].children for i in grammar.of["x.0"]] == [("word",)]


def test_dials_weight_rules_and_switch_them_off_and_what_nothing_reaches_is_named():
    table = "text 2 a*\n text 1@more b*\n b 1 c*\n other 1 a*"
    half, none = Grammar(table, {}, 0, {"more": 2.0}), Grammar(table, {}, 0, {"more": 0.0})
    assert [rule.p for rule in half.rules] == [0.5, 0.5, 1.0]
    assert none.classes == ["a"]
    assert none.unreachable == ["b", "other"]


def test_licensors_scopes_and_heads():
    grammar = Grammar("text 1 not/advmod! say.lic*\n say.lic 1 verb* any.lic/det", {}, 0, {})
    skeleton = grammar.skeleton((0, 1))
    assert skeleton.classes == ("not", "verb", "any.lic")
    assert skeleton.heads == (1, -1, 1)
    assert skeleton.relations == ("advmod", "root", "det")
    assert skeleton.licensors[2] == 0
    assert skeleton.scopes == ((0, 1, 3),)
    assert skeleton.tree == "(text not (say.lic verb any.lic))"


@pytest.mark.parametrize(("table", "says"), [("text 1 a* b*", "2 heads"), ("text 1 a/x b/y", "0 heads"),
                                             ("text 1 a* b", "'b' is neither the head .*. nor has a /relation")])
def test_rows_that_cannot_be_are_named(table, says):
    with pytest.raises(ValueError, match=says):
        Grammar(table, {}, 0, {})


def test_two_children_a_rule_make_the_same_sentences():
    lang = tiny.language()
    by_length = np.zeros(lang.longest + 1)
    for p, classes in tiny.derivations(lang.grammar, lang.longest):
        by_length[len(classes)] += p
    np.testing.assert_allclose(_lengths(lang.grammar.binary, lang.longest), by_length, atol=1e-15)


def test_every_class_has_words_and_the_sizes_are_what_they_say():
    for size, least in (("small", 160), ("full", 360)):
        world = World.of(size)
        assert least <= len(world.words) <= 1.2 * world.settings.words
        binary = world.language.grammar.binary
        for symbol in range(len(binary.classes), len(binary.symbols)):
            total = binary.p[binary.parent == symbol].sum() + binary.word_p[binary.word_parent == symbol].sum()
            assert total == pytest.approx(1), binary.symbols[symbol]
    assert len(World.of("full", words=3000).words) >= 3000
    assert World.of("full", depth=0, homographs=0.0, comparatives=0.0).words


@pytest.mark.parametrize(("dials", "says"), [
    ({"depth": 9}, "depth must be from 0 to 5"), ({"words": 10**6}, "words must be at most 5,000"),
    ({"focus": 0.0}, "focus must be a share"), ({"stay": 1.0}, "stay must be"),
    ({"topics": 99}, "topics must be from 1 to 8"), ({"zipf": -1.0}, "zipf must be from 0")])
def test_dials_have_their_range(dials, says):
    with pytest.raises(ValueError, match=says):
        World.of("full", **dials)


def test_there_are_two_sizes():
    with pytest.raises(ValueError, match="small or full, got 'huge'"):
        World.of("huge")
