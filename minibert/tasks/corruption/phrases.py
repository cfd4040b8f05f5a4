"""Phrases and names are hidden whole, so that a part of one does not give away the rest: knowledge masking (ERNIE).

A unit is a phrase that is known, the longest that begins at a word, or else a word. Each is chosen with a chance of 15 % by
itself. What becomes of its tokens is drawn for each of them, not once for the unit: for the first by the very number that
chose the unit (up to a tenth of the chance it stays, up to a fifth it becomes random), for the others anew, 80/10/10.

Where phrases come from: a list of them, one a line, or the names in a file with CoNLL's tags (``phrases_of``).

Source: Sun et al. 2019, "ERNIE", 3.2 (arXiv 1904.09223); PaddlePaddle/ERNIE ``batching.py``, ``mask``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minibert.data.randomness import MASKS, generator
from minibert.tasks.corruption import masking, units
from minibert.tasks.examples import Example, Masked

Phrases = Mapping[int, Sequence[tuple[int, ...]]]  # by their first token, the longest first


class Rule(NamedTuple):
    tokens: masking.Rule
    phrases: Phrases


def rule(tokenizer: Any, *, phrases: Iterable[str] = (), rate: float = 0.15) -> Rule:
    """The rule for a tokenizer. phrases: as they are written in the text."""
    found = defaultdict(set)
    for phrase in phrases:
        ids = tuple(tokenizer.ids(phrase))
        if len(ids) > 1:
            found[ids[0]].add(ids)
    return Rule(masking.rule(tokenizer, whole_word=True, rate=rate),
                {first: sorted(some, key=lambda ids: (-len(ids), ids)) for first, some in found.items()})


def mask_example(example: Example, rule: Rule, key: tuple[int, int, int]) -> Masked:
    """An example with phrases and words hidden. The same key always gives the same."""
    ids, tokens, (seed, epoch, index) = example.ids, rule.tokens, key
    found = [*units_of(ids, rule)]
    rng = generator(seed, MASKS, epoch, index)
    numbers = rng.random(len(found))  # of each unit: whether it is chosen, and what becomes of its first token
    fates, draws = rng.random(len(ids)), rng.integers(2**63, size=len(ids))
    for (start, _), number in zip(found, numbers):
        fates[start] = 1 - number / tokens.rate  # the lowest tenth stays, the next becomes random
    positions = units.places(unit for unit, number in zip(found, numbers) if number <= tokens.rate)
    seen = masking.hide(ids, positions, tokens, fates[positions], draws[positions])
    return masking.masked(example, seen, positions)


def units_of(ids: np.ndarray, rule: Rule) -> Iterator[tuple[int, int]]:
    """(start, stop) of each unit of ids ``(T,)``. A phrase ends where a word does."""
    ordinary, continues = rule.tokens.is_ordinary[ids], rule.tokens.is_continuation[ids]
    listed, start = ids.tolist(), 0

    def goes_on(place: int) -> bool:
        return place < len(listed) and bool(continues[place] and ordinary[place])

    while start < len(listed):
        stop = start + 1
        if not ordinary[start]:
            start = stop
            continue
        for phrase in rule.phrases.get(listed[start], ()):
            if tuple(listed[start:start + len(phrase)]) == phrase and not goes_on(start + len(phrase)):
                stop = start + len(phrase)
                break
        while goes_on(stop):
            stop += 1
        yield start, stop
        start = stop
