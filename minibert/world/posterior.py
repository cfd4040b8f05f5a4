"""The exact posterior: p(word at t | all that the model sees), for any hidden words, with the latent variables summed out.

What the model sees. Of the D + K words of a text, M were chosen; K of them became [MASK], each other one was replaced by any of
the V words, or kept, with equal probability. M is no secret: masking chooses a fixed share of a text. So r = M - K visible
words were chosen, and which they are is unknown. With δ = 1 where the visible word u is the true one, a visible word that was
not chosen gives δ, one that was chosen 1/V + δ (both shares are equal, and leave a constant). Over all sets of r visible words

    p(x, y) ∝ Σ_{sets} Π_{in it} (1/V + δ) Π_{not in it} δ  =  Σ_j C(D - j, r - j) [ν^j] Π (δ + ν/V)

because a set of r holds the j words that are wrong, and any r - j of the D - j others. The product over all words is what
inside and outside compute, as polynomials in ν up to r. For a *visible* target, which is known to be chosen, D and r are one
less and its own factor is 1/V + δ. With r = 0 every visible word is certain.

What is summed out: topic and protagonist. All names that nobody sees are alike: for each gender they share one state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import comb
from typing import NamedTuple

import numpy as np

from minibert.world.chart import NEVER, Chart, inside, outside, times
from minibert.world.grammar import Binary
from minibert.world.language import Language
from minibert.world.seen import MASK, SEP, Part, Seen, others, parts_of

_CELLS = 1 << 22  # of charts that are looked at together
_USUAL = 4.0  # what the probability of a word, apart from which word of its class it is, is divided by: keeps long texts in range


class Emissions:
    """Which words each class of the chart has, and how likely they are."""

    def __init__(self, language: Language) -> None:
        lexicon, grammar = language.lexicon, language.grammar.binary
        self.size = len(lexicon.words)
        self.states = len(lexicon.topics), 2
        self.classes = grammar.classes
        self.own = grammar.classes.index("name") if "name" in grammar.classes else -1  # drawn once a document
        self.names = np.array([lexicon.index[name] for name, _ in lexicon.names])
        self.gender = np.array([gender for _, gender in lexicon.names])
        found = [(c * self.size + lexicon.word_of[i], lexicon.weight[i]) for c, name in enumerate(grammar.classes)
                 for i in lexicon.members[name]]
        self.key, at = np.unique([key for key, _ in found], return_inverse=True)
        self.weight = np.zeros((len(self.key), *self.states))  # of a word in a class, whatever its sense
        np.add.at(self.weight, at, [weight for _, weight in found])
        self.start = np.searchsorted(self.key, np.arange(len(grammar.classes) + 1) * self.size)  # where each class begins
        self.wrong = np.ones((len(grammar.classes), self.size), np.int8)  # 0 where the class has the word
        self.wrong[self.key // self.size, self.key % self.size] = 0
        self.short = float(_lengths(grammar, language.longest).sum())
        self.sentence = language.stay / self.short  # what each sentence of a document adds to its probability, beside its own

    def of(self, category: np.ndarray, word: np.ndarray) -> np.ndarray:
        """(n, K, 2): of each word in each class, which has it."""
        return self.weight[np.searchsorted(self.key, category * self.size + word)]


@lru_cache(8)
def emissions(language: Language) -> Emissions:
    """Of a language; made once."""
    return Emissions(language)


def _lengths(grammar: Binary, longest: int) -> np.ndarray:
    """(longest + 1,): the probability of each length of a sentence."""
    p = np.zeros((longest + 1, len(grammar.symbols)))
    p[1, :len(grammar.classes)] = 1
    np.add.at(p[1], grammar.word_parent, grammar.word_p)
    for length in range(2, longest + 1):
        both = sum(p[split, grammar.left] * p[length - split, grammar.right] for split in range(1, length))
        np.add.at(p[length], grammar.parent, both * grammar.p)
    return p[:, grammar.start]


def posteriors(language: Language, texts: Sequence[Seen]) -> list[np.ndarray]:
    """For each text (targets, V): the distribution of each target over ``language.lexicon.words``.

    Raises ValueError for what no model could see: unknown words, fewer chosen words than [MASK]s, a text that the language does
    not have.
    """
    table = emissions(language)
    parts = [parts_of(language.lexicon, number, text) for number, text in enumerate(texts)]
    wrong = [others(number, text) for number, text in enumerate(texts)]
    order = sorted(range(len(texts)), key=lambda i: (texts[i].single, wrong[i], max(len(part.words) for part in parts[i])))
    found: list[np.ndarray] = [np.empty((0, table.size))] * len(texts)
    for these in _batches(language, order, texts, wrong, parts):
        read = _together(language, table, [texts[i] for i in these], [parts[i] for i in these], wrong[these[0]])
        for number, p in zip(these, read):
            found[number] = p
    return found


def _batches(language: Language, order: list[int], texts: Sequence[Seen], wrong: list[int], parts: list[list[Part]]
             ) -> Iterator[list[int]]:
    """Texts that are read alike, of similar lengths, as many as fit."""
    symbols, batch, cells, kind = len(language.grammar.binary.symbols), [], 0, None
    for number in order:
        longest = max(len(part.words) for part in parts[number])
        own = symbols * longest * (1 + min(longest, language.longest)) * len(parts[number])
        if batch and (kind != (texts[number].single, wrong[number]) or cells + own > _CELLS):
            yield batch
            batch, cells = [], 0
        batch.append(number)
        cells += own
        kind = texts[number].single, wrong[number]
    if batch:
        yield batch


class _States(NamedTuple):
    """The states of the latent variables, for each part: every topic with every person, in this order.

    A person is a name that is seen in the part, or any of the unseen names of one gender together.
    """

    prior: np.ndarray  # (B, K, persons)
    gender: np.ndarray  # (B, persons)
    name: np.ndarray  # (B, persons): the word; -1: unseen
    word: np.ndarray  # (B, persons, names): which name the person has, given that it is this person


def _states(table: Emissions, ids: np.ndarray, told: Sequence[tuple[int, int] | None]) -> _States:
    seen = (ids[:, :, None] == table.names).any(1)  # (B, names)
    for mine, known in zip(seen, told):
        if known:
            mine[known[1]] = True
    persons = 2 + int(seen.sum(1).max())
    prior, gender = np.zeros((len(ids), table.states[0], persons)), np.zeros((len(ids), persons), np.int64)
    name, word = np.full((len(ids), persons), -1), np.zeros((len(ids), persons, len(table.names)))
    for part, (mine, known) in enumerate(zip(seen, told)):
        unseen = [~mine & (table.gender == sex) for sex in range(2)]
        for person, who in enumerate([*unseen, *np.eye(len(mine), dtype=bool)[mine]]):
            if who.any():
                prior[part, :, person] = who.mean() * (not known or who[known[1]])
                gender[part, person] = table.gender[who][0]
                word[part, person] = who / who.sum()
                if person >= 2:
                    name[part, person] = table.names[who][0]
        if known:
            prior[part, np.arange(table.states[0]) != known[0]] = 0.0
    return _States(prior / table.states[0], gender, name, word)


def _together(language: Language, table: Emissions, texts: Sequence[Seen], parts: Sequence[Sequence[Part]], r: int
              ) -> list[np.ndarray]:
    """``posteriors`` of texts that are all single sentences, or none, and have r visible chosen words each."""
    flat = [part for these in parts for part in these]
    owner = np.repeat(np.arange(len(texts)), [len(these) for these in parts])
    lengths = np.array([len(part.words) for part in flat])
    ids = np.full((len(flat), lengths.max()), -2)
    for row, part in zip(ids, flat):
        row[:len(part.words)] = part.words
    cost = np.where(ids >= 0, table.wrong[:, ids], np.where(ids == -1, 0, NEVER)).astype(np.int8)
    chart = Chart(language.grammar.binary, cost, lengths, language.longest, r, texts[0].single)
    states = _states(table, ids, [texts[number].told for number in owner])
    value = inside(chart, _words(table, chart, states, ids, r))
    beyond, total = _sentences(table, chart, states, value, lengths, texts[0].single)
    for number, text in enumerate(texts):
        if not all(p.any() for p in total[owner == number]):
            raise ValueError(f"no text of this language could be seen as {' '.join(text.words)!r}"
                             + f" with {r} of its visible words chosen" * bool(r) + ": see a few with minibert world")
    around = outside(chart, value, beyond)
    return _answers(table, chart, states, ids, around, _rest(total, owner), texts, parts, r)


def _words(table: Emissions, chart: Chart, states: _States, ids: np.ndarray, r: int) -> np.ndarray:
    """(items, r + 1, states): δ + ν/V of every class that a word may be of, 1 for a [MASK]; scaled, alike for all items of a
    word."""
    width, category, part, place = chart.where
    n = int(((width == 1) & (category < len(table.classes))).sum())  # they come first
    category, part, place = category[:n], part[:n], place[:n]
    word = ids[part, place]
    leaf = np.zeros((n, r + 1, *states.prior.shape[1:]))
    leaf[word < 0, 0] = 1.0
    if r:
        leaf[word >= 0, 1] = 1 / table.size
    own = (word >= 0) & (category == table.own)
    leaf[own, 0] = (states.name[part[own]] == word[own, None])[:, None, :]
    has = (word >= 0) & (category != table.own) & (table.wrong[category, word] == 0)
    by_gender = table.of(category[has], word[has])  # (n, K, 2)
    leaf[has, 0] = np.take_along_axis(by_gender, states.gender[part[has]][:, None, :], 2)
    largest = np.full(ids.shape, 1e-300)
    np.maximum.at(largest, (part, place), leaf.max((1, 2, 3)))
    leaf *= (_USUAL / largest[part, place])[:, None, None, None]
    return leaf.reshape(n, r + 1, states.prior[0].size)


def _sentences(table: Emissions, chart: Chart, states: _States, value: np.ndarray, lengths: np.ndarray, single: bool
               ) -> tuple[np.ndarray, np.ndarray]:
    """What is around each item that is a sentence, in the sentences before and after it; and the total of each part (B, r + 1).

    Forward and backward over the words between which a sentence may end.
    """
    width, symbol, part, first = chart.where
    items = np.flatnonzero(symbol == chart.grammar.start)
    items = items[(width[items] > 0)]
    stop = first + width
    parts, words = len(lengths), int(lengths.max())
    ahead, after = (np.zeros((words + 1, parts, *value.shape[1:])) for _ in range(2))
    ahead[0, :, 0] = states.prior.reshape(parts, -1)
    after[lengths, np.arange(parts), 0] = 1.0
    own = value[items] * table.sentence
    if not single:
        for place in range(1, words + 1):
            these = np.flatnonzero(stop[items] == place)
            np.add.at(ahead[place], part[items[these]], times(own[these], ahead[first[items[these]], part[items[these]]]))
        for place in range(words - 1, -1, -1):
            these = np.flatnonzero(first[items] == place)
            np.add.at(after[place], part[items[these]], times(own[these], after[stop[items[these]], part[items[these]]]))
    beyond = np.zeros_like(value)
    beyond[items] = table.sentence * times(ahead[first[items], part[items]], after[stop[items], part[items]])
    whole = np.zeros((parts, *value.shape[1:]))  # from the sentences that a part begins with: each part begins with one
    begins = items[first[items] == 0]
    np.add.at(whole, part[begins], times(value[begins], beyond[begins]))
    return beyond, whole.sum(-1)


def _rest(total: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """(B, r + 1): the product of the totals of all other parts of the same text."""
    rest = np.zeros_like(total)
    rest[:, 0] = 1.0
    scaled = (total / total.max(1, keepdims=True))[..., None]
    for a, of in enumerate(owner):
        for b in np.flatnonzero(owner == of):
            if a != b:
                rest[a] = times(rest[a, :, None], scaled[b])[:, 0]
    return rest


def _answers(table: Emissions, chart: Chart, states: _States, ids: np.ndarray, around: np.ndarray, rest: np.ndarray,
             texts: Sequence[Seen], parts: Sequence[Sequence[Part]], r: int) -> list[np.ndarray]:
    """The distributions of the targets."""
    number = np.full(ids.shape, -1)  # of the target that a word is
    factors = []  # of each target, for each coefficient of what is around it: how many sets of chosen words it stands for
    flat = 0
    for text, these in zip(texts, parts):
        where = {part.first + i: (flat + p, i) for p, part in enumerate(these) for i in range(len(part.words))}
        visible = sum(word not in (MASK, SEP) for word in text.words)
        for target in text.targets:
            row, place = where[target]
            number[row, place] = len(factors)
            hidden = text.words[target] == MASK
            factors.append(_sets(rest[row], visible - (not hidden), r - (not hidden)))
        flat += len(these)
    p = np.zeros((len(factors), table.size))
    _, category, part, place = chart.where
    leaves = np.flatnonzero((chart.where[0] == 1) & (category < len(table.classes)) & (number[part, place] >= 0))
    target = number[part[leaves], place[leaves]]
    weight = np.einsum("nrs,nr->ns", around[leaves], np.array(factors).reshape(-1, r + 1)[target])
    weight = weight.reshape(-1, *states.prior.shape[1:])  # (n, K, persons)
    gender = np.eye(2)[states.gender]  # (B, persons, 2)
    for c in np.unique(category[leaves]):
        these = np.flatnonzero(category[leaves] == c)
        persons = part[leaves[these]]
        if c == table.own:
            words, q = table.names, np.einsum("nkp,npw->nw", weight[these], states.word[persons])
        else:
            rows = slice(table.start[c], table.start[c + 1])
            folded = np.einsum("nkp,npg->nkg", weight[these], gender[persons]).reshape(len(these), -1)
            words, q = table.key[rows] % table.size, folded @ table.weight[rows].reshape(rows.stop - rows.start, -1).T
        p[target[these][:, None], words] += q  # a target has one item of a class, a class has a word once
    seen = np.full(len(factors), -1)
    seen[number[number >= 0]] = ids[number >= 0]
    visible = np.flatnonzero(seen >= 0)
    p[visible, seen[visible]] *= 1 + table.size  # its own factor, 1/V + δ, times V
    return np.split(p / p.sum(1, keepdims=True), np.cumsum([len(text.targets) for text in texts])[:-1])


def _sets(rest: np.ndarray, visible: int, chosen: int) -> np.ndarray:
    """(r + 1,): Σ_b rest_b · C(D - a - b, r - a - b) for a = 0 … r."""
    counts = [[comb(visible - a - b, chosen - a - b) if chosen - a - b >= 0 else 0 for b in range(len(rest))]
              for a in range(len(rest))]
    return np.array(counts, np.float64) @ rest
