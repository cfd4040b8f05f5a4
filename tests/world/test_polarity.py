"""Paradigms of polarity items against the language itself: what it cannot say is what is called not acceptable."""

from collections import Counter

import pytest

from minibert.world import World, polarity


@pytest.mark.parametrize("size", ["small", "full"])
def test_the_language_says_what_is_acceptable_and_nothing_else(size):
    world = World.of(size)
    items = polarity.paradigms(world.language, 3)
    assert len(items) == 3 * 8 * len(polarity.ENVIRONMENTS)
    for item in items:
        seen = f"{item.text[:-1]}[MASK]"
        if item.acceptable:
            world.guess(seen)
        else:
            with pytest.raises(ValueError, match="no text of this language"):
                world.guess(seen)


def test_a_paradigm_has_eight_sentences_of_which_five_are_acceptable():
    items = polarity.paradigms(World.of("small").language, 20, seed=1)
    assert items == polarity.paradigms(World.of("small").language, 20, seed=1)
    for paradigm in range(20 * len(polarity.ENVIRONMENTS)):
        these = [item for item in items if item.paradigm == paradigm]
        assert Counter(item.acceptable for item in these) == {True: 5, False: 3}
        assert len({(item.licensor, item.scope, item.polarity) for item in these}) == 8
    assert {"any", "ever", "yet", "only", "does", "who"} <= {word for item in items for word in item.text.split()}
