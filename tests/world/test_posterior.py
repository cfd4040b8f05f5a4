"""The exact posterior, against everything that a tiny language can say; and against what a large one does say."""

from itertools import combinations, product
from math import prod

import numpy as np
import pytest

from minibert.world import english
from minibert.world.posterior import MASK, SEP, Seen, posteriors
from tests.world import tiny


def by_enumeration(lang, seen):
    """p(word at each target | seen), by adding up all texts and all sets of chosen words."""
    parts = " ".join(seen.words).split(f" {SEP} ")
    truths = [tiny.texts(lang, len(part.split()), seen.single) for part in parts]
    words = lang.lexicon.words
    places = [i for i, word in enumerate(seen.words) if word != SEP]
    hidden = {i for i in places if seen.words[i] == MASK}
    others = (seen.chosen or len(hidden)) - len(hidden)
    sets = [{*chosen} for chosen in combinations([i for i in places if i not in hidden], others)]
    p = np.zeros((len(seen.targets), len(words)))
    for combination in product(*(truth.items() for truth in truths)):
        y = dict(zip(places, [word for part, _ in combination for word in part]))
        wrong = {i for i in places if i not in hidden and y[i] != seen.words[i]}
        if len(wrong) > others:
            continue
        prior = prod(q for _, q in combination)
        for chosen in sets:
            if wrong <= chosen:
                likelihood = prod(0.1 / len(words) + 0.1 * (i not in wrong) for i in chosen) * 0.8 ** len(hidden)
                for row, target in zip(p, seen.targets):
                    if target in hidden or target in chosen:
                        row[words.index(y[target])] += prior * likelihood
    return p / p.sum(1, keepdims=True)


def corrupted(lang, rng, length, single, chosen):
    """A text that the language has, so many of its words chosen, masked, replaced or kept; the chosen are the targets."""
    table = tiny.texts(lang, length, single)
    truth = list(table)[rng.choice(len(table), p=np.array(list(table.values())) / sum(table.values()))]
    targets = np.sort(rng.permutation(length)[:chosen])
    words = list(truth)
    for i in targets:
        words[i] = rng.choice([MASK, MASK, lang.lexicon.words[rng.integers(len(lang.lexicon.words))], words[i]])
    return Seen(words, targets.tolist(), chosen, single)


@pytest.mark.parametrize(("single", "length"), [(True, 3), (True, 4), (True, 6), (False, 5), (False, 6), (False, 7)])
def test_the_posterior_is_that_of_adding_everything_up(single, length):
    lang, rng = tiny.language(), np.random.default_rng(length)
    seen = [corrupted(lang, rng, length, single, chosen) for chosen in (1, 2, 3, length) for _ in range(6)]
    hidden = [sum(word == MASK for word in text.words) for text in seen]
    assert max(text.chosen - k for text, k in zip(seen, hidden)) >= 2, "several visible words were chosen"
    for text, found in zip(seen, posteriors(lang, seen)):
        np.testing.assert_allclose(found, by_enumeration(lang, text), rtol=0, atol=1e-13, err_msg=str(text))


def test_parts_of_different_documents_share_nothing_but_the_number_of_chosen_words():
    lang, rng = tiny.language(), np.random.default_rng(0)
    for _ in range(8):
        one, two = corrupted(lang, rng, 5, False, 2), corrupted(lang, rng, 3, False, 2)
        text = Seen([*one.words, SEP, *two.words], [*one.targets, *(6 + i for i in two.targets)], 4)
        np.testing.assert_allclose(posteriors(lang, [text])[0], by_enumeration(lang, text), rtol=0, atol=1e-13, err_msg=str(text))
