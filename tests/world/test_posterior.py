"""The exact posterior, against everything that a tiny language can say; and against what a large one does say."""

from collections import Counter
from itertools import combinations, islice, product
from math import prod

import numpy as np
import pytest

from minibert.world import World
from minibert.world.floor import corrupt
from minibert.world.posterior import posteriors
from minibert.world.seen import MASK, SEP, Seen
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


def test_names_that_nobody_sees_share_a_state_and_lose_nothing():
    lang = tiny.language()
    seen = [Seen([MASK, "see", MASK], [0, 2], single=True), Seen([MASK, "run", "Bo", "."], [0], single=True),
            Seen("Al run . [MASK] see [MASK]".split(), [3, 5]), Seen("[MASK] see so [MASK] run so".split(), [0, 3])]
    for text, found in zip(seen, posteriors(lang, seen)):
        np.testing.assert_allclose(found, by_enumeration(lang, text), rtol=0, atol=1e-13, err_msg=str(text))


def test_told_the_latent_variables_it_knows_them():
    lang = tiny.language()
    told, = posteriors(lang, [Seen([MASK, "see", "."], [0], single=True, told=(1, 2))])
    name = lang.lexicon.words.index
    assert told[0, name("Cy")] > 0
    assert told[0, name("Al")] == told[0, name("Bo")] == told[0, name("cat")] == 0


@pytest.fixture(scope="module", params=["small", "full"])
def world(request):
    return World.of(request.param)


@pytest.mark.parametrize(("texts", "room"), [(1500, None), (60, 62)])
def test_it_is_calibrated(world, texts, room):
    """The loss is the entropy of the posterior, on average; and the true word is the likeliest as often as it says."""
    rng = np.random.default_rng(3)
    pairs = [corrupt(words, world.words, rng, single=room is None) for words in islice(world.texts(room, 3), texts)]
    p = np.concatenate(world.posteriors([seen for seen, _ in pairs]))
    truth = np.array([world.words.index(word) for _, words in pairs for word in words])
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-12)
    loss = -np.log(p[np.arange(len(p)), truth])
    more = loss + (p * np.log(np.where(p > 0, p, 1))).sum(1)
    assert abs(more.mean()) < 3 * more.std() / len(more) ** 0.5
    right = (p.argmax(1) == truth) - p.max(1)
    assert abs(right.mean()) < 3 * right.std() / len(right) ** 0.5


def test_together_texts_have_the_posteriors_that_they_have_alone(world):
    rng = np.random.default_rng(4)
    seen = [corrupt(words, world.words, rng, rate=0.4)[0] for words in islice(world.texts(30, 4), 12)]
    for together, text in zip(world.posteriors(seen), seen):
        np.testing.assert_allclose(together, world.posteriors([text])[0], rtol=1e-9, atol=1e-15)


def test_a_long_text_does_not_underflow():
    world = World.of("small", stay=0.999)
    long = next(text for text in world.texts(320, 5) if len(text) > 300)
    hidden = range(3, len(long), 7)
    p, = world.posteriors([Seen([MASK if i in hidden else word for i, word in enumerate(long)], hidden, len(hidden) + 1)])
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-12)
    assert np.mean([p[row, world.words.index(long[i])] for row, i in enumerate(hidden)]) > 0.3


def both_sides(train, orders=((), (-1,), (1,), (-1, 1), (-2, -1, 1, 2)), prior=4.0):
    """p(word | words around it), interpolated from fewer to more of them."""
    counts = [Counter() for _ in orders]
    totals = [Counter() for _ in orders]
    for words in train:
        padded = ["", "", *words, "", ""]
        for i, word in enumerate(words, start=2):
            for order, count, total in zip(orders, counts, totals):
                context = tuple(padded[i + j] for j in order)
                count[(*context, word)] += 1
                total[context] += 1

    def p(words, place, vocabulary):
        padded = ["", "", *words, "", ""]
        found = np.full(len(vocabulary), 1 / len(vocabulary))
        for order, count, total in zip(orders, counts, totals):
            context = tuple(padded[place + 2 + j] for j in order)
            found = (np.array([count[(*context, word)] for word in vocabulary]) + prior * found) / (total[context] + prior)
        return found

    return p


def test_neighbours_alone_are_far_from_the_bound():
    world, rng = World.of("full"), np.random.default_rng(6)
    p = both_sides(islice(world.texts(None, 6), 15_000))
    texts = [(words, int(rng.integers(len(words)))) for words in islice(world.texts(None, 7), 400)]
    best = world.posteriors([Seen([*words[:i], MASK, *words[i + 1:]], [i], single=True) for words, i in texts])
    truth = [world.words.index(words[i]) for words, i in texts]
    gap = np.mean([np.log(q[0, w]) - np.log(p(words, i, world.words)[w]) for q, w, (words, i) in zip(best, truth, texts)])
    assert gap > 0.7


@pytest.mark.parametrize(("words", "targets", "chosen", "says"), [
    ("the kimg .", [], None, "'kimg' is no word of this language, as king"),
    ("", [], None, "text 0 is empty"), ("the dog . [SEP]", [], None, "nothing before its .SEP.: word 4"),
    ("the dog .", [0], None, "target 0 is visible .'the'., and no visible word was chosen"),
    ("[MASK] .", [7], None, "the target 7 is no word; it has words 0 to 1"),
    ("[MASK] [MASK]", [0], 1, "1 words were chosen, and 2 of its 2 words"), ("[MASK] .", [0], 3, "3 words were chosen"),
    ("[MASK] the the .", [0], None, "no text of this language could be seen as"),
    ("[MASK] the the the the .", [0], 2, "with 1 of its visible words chosen"),
])
def test_what_no_model_can_see_is_said(world, words, targets, chosen, says):
    with pytest.raises(ValueError, match=says):
        world.posterior(words.split(), targets, chosen)


def test_nothing_is_asked_nothing_is_answered(world):
    assert world.posteriors([]) == []
    assert world.posterior("the dog [MASK] .".split(), []).shape == (0, len(world.words))
