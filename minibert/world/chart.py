"""Charts: which parts of a text can be what, and how likely.

An *item* is a symbol over a span of the text; a *step* makes an item of two others by a rule, or of one word. Three passes:

1. ``Chart`` counts in small integers, for every symbol over every span, how many visible words must be wrong (replaced by
   others) for it to be possible, within and around the span. What takes more wrong words than there are is left out: most of it.
2. ``inside``: of what is left, upwards, the probability of the words below an item.
3. ``outside``: downwards, the probability of everything around it.

The last two compute with arrays (items, degree + 1, states): a polynomial in ν, whose coefficient j belongs to j wrong words,
for each state of the latent variables. What lies beyond ``degree`` is dropped, which no coefficient up to it depends on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minibert.world.grammar import Binary

NEVER = 50  # wrong words; twice that still is an int8


class Steps(NamedTuple):
    """Steps that end in items of one width."""

    p: np.ndarray  # of the rules
    parent: np.ndarray  # numbers of items
    left: np.ndarray
    right: np.ndarray  # the same as left in steps from one word


class Chart:
    """The items and steps that are possible in some texts, with at most ``most`` wrong words in each."""

    def __init__(self, grammar: Binary, cost: np.ndarray, lengths: np.ndarray, longest: int, most: int, single: bool) -> None:
        """cost: (classes, B, T) int8, how many words are wrong, 0 or 1, where word t of text b is of a class; NEVER past its end.

        single: is each text one sentence, or as many as one likes?
        """
        self.grammar, self.most = grammar, most
        _, texts, words = cost.shape
        shape = (min(longest, words) + 1, len(grammar.symbols), texts, words)
        self.below = np.full(shape, NEVER, np.int8)  # wrong words within, by width, symbol, text and first word
        found = self._upwards(cost)
        around = np.full(shape, NEVER, np.int8)  # and around it
        around[:, grammar.start] = self._around_sentences(lengths, single)
        steps = self._downwards(found, around)
        possible = self.below.astype(np.int16) + around <= most
        self.number = np.cumsum(possible, dtype=np.int32).reshape(shape) - 1  # of an item, where it is possible
        self.where = np.stack(possible.nonzero())  # (4, items): width, symbol, text, first word
        self.steps = [Steps(p, *(self.number[tuple(place)] for place in places)) for p, *places in steps]

    def _upwards(self, cost: np.ndarray) -> list[tuple[np.ndarray, ...]]:
        """Fills ``below``. The steps that may be possible, a list for each width from 1: rule, split, text, first word."""
        g, below, most = self.grammar, self.below, self.most
        longest, _, _, words = below.shape
        classes = len(g.classes)
        below[1, :classes] = cost
        _lower(below[1], g.word_parent, below[1, g.word_class])
        found: list[tuple[np.ndarray, ...]] = [(), tuple(x for x in (below[1, g.word_class] <= most).nonzero())]
        deep = np.arange(len(g.p))
        left_deep, right_deep = g.left >= classes, g.right >= classes
        for width in range(2, longest):
            parts = []
            for split in range(1, width):
                rules = deep[(left_deep | (split == 1)) & (right_deep | (width - split == 1))]
                stop = words - width + 1
                both = below[split, g.left[rules], :, :stop] + below[width - split, g.right[rules], :, split:split + stop]
                _lower(below[width, :, :, :stop], g.parent[rules], both)
                rule, text, first = (both <= most).nonzero()
                parts.append((rules[rule], np.full(len(rule), split), text, first))
            found.append(tuple(np.concatenate(column) for column in zip(*parts)))
        return found

    def _around_sentences(self, lengths: np.ndarray, single: bool) -> np.ndarray:
        """(width, B, T): wrong words in the sentences before and after a sentence."""
        sentence = self.below[:, self.grammar.start]  # (width, B, T)
        longest, texts, words = sentence.shape
        before, after = (np.full((texts, words + 1), NEVER, np.int8) for _ in range(2))  # of what ends, begins between two words
        before[:, 0], after[np.arange(texts), lengths] = 0, 0
        for stop in range(1, 0 if single else words + 1):
            width = np.arange(1, min(longest - 1, stop) + 1)
            before[:, stop] = (before[:, stop - width].T + sentence[width, :, stop - width]).min(0).clip(max=NEVER)
        for start in range(-1 if single else words - 1, -1, -1):
            width = np.arange(1, min(longest - 1, words - start) + 1)
            after[:, start] = np.minimum(after[:, start], (after[:, start + width].T + sentence[width, :, start]).min(0))
        around = np.full_like(sentence, NEVER)
        for width in range(1, longest):
            stop = words - width + 1
            around[width, :, :stop] = (before[:, :stop] + after[:, width:]).clip(max=NEVER)
        return around

    def _downwards(self, found: list[tuple[np.ndarray, ...]], around: np.ndarray) -> list[tuple]:
        """Fills ``around``. The steps that are possible, a list for each width from 1: p, places of parent, left and right."""
        g, below, most = self.grammar, self.below, self.most
        steps = []
        for width in range(len(found) - 1, 1, -1):
            rule, split, text, first = found[width]
            parent = (np.full(len(rule), width), g.parent[rule], text, first)
            left, right = (split, g.left[rule], text, first), (width - split, g.right[rule], text, first + split)
            beyond, on_left, on_right = around[parent], below[left], below[right]
            keep = beyond + on_left + on_right <= most
            parent, left, right = (tuple(x[keep] for x in place) for place in (parent, left, right))
            np.minimum.at(around, left, (beyond + on_right)[keep])
            np.minimum.at(around, right, (beyond + on_left)[keep])
            steps.append((g.p[rule[keep]], parent, left, right))
        rule, text, first = found[1]
        one = np.ones(len(rule), np.int64)
        parent, word = (one, g.word_parent[rule], text, first), (one, g.word_class[rule], text, first)
        keep = around[parent] + below[word] <= most
        parent, word = (tuple(x[keep] for x in place) for place in (parent, word))
        np.minimum.at(around, word, around[parent])
        steps.append((g.word_p[rule[keep]], parent, word, word))
        return steps[::-1]


def _lower(best: np.ndarray, parent: np.ndarray, cost: np.ndarray) -> None:
    """best[parent] = the least of itself and of all its costs; ``parent`` is sorted."""
    starts = np.flatnonzero(np.diff(parent, prepend=-1))
    these = parent[starts]
    best[these] = np.minimum(best[these], np.minimum.reduceat(cost, starts, axis=0))


def inside(chart: Chart, words: np.ndarray) -> np.ndarray:
    """(items, degree + 1, states), of which ``words`` are the first: the items of single words."""
    value = np.zeros((chart.where.shape[1], *words.shape[1:]))
    value[:len(words)] = words
    for width, step in enumerate(chart.steps, start=1):
        made = value[step.left] if width == 1 else times(value[step.left], value[step.right])
        _add(value, step.parent, made * step.p[:, None, None])
    return value


def outside(chart: Chart, value: np.ndarray, beyond: np.ndarray) -> np.ndarray:
    """The same for what is around each item. ``beyond``: this, where the items are sentences; else 0."""
    around = beyond.copy()
    for width, step in reversed(list(enumerate(chart.steps, start=1))):
        above = around[step.parent] * step.p[:, None, None]
        if width == 1:
            _add(around, step.left, above)
        else:
            _add(around, step.left, times(above, value[step.right]))
            _add(around, step.right, times(above, value[step.left]))
    return around


def times(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The product of polynomials in ν, whose coefficients stand along the axis before the last; no higher powers than a has."""
    product = a[..., :1, :] * b
    for power in range(1, a.shape[-2]):
        product[..., power:, :] += a[..., power:power + 1, :] * b[..., :-power, :]
    return product


def _add(sums: np.ndarray, at: np.ndarray, values: np.ndarray) -> None:
    """sums[at] += values, where ``at`` may repeat."""
    if len(at):
        order = np.argsort(at, kind="stable")
        starts = np.flatnonzero(np.diff(at[order], prepend=-1))
        sums[at[order[starts]]] += np.add.reduceat(values[order], starts, axis=0)
