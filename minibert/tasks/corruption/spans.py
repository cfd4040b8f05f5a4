"""Spans of words are hidden, with lengths of a geometric distribution (SpanBERT).

::

    p(n) ∝ 0.8^(n-1) · 0.2      n = 1 … 10 words, 3.8 in the mean          budget = ceil(0.15 · tokens)

A span begins with the word of a random token that is not hidden yet, and may run into what is. Where the budget is spent it ends,
in the middle of a word too. Spans that touch are one, and what becomes of its tokens is drawn once for all of them. A span stays
within its segment.

Two differences: a random token is drawn from all words alike, there as they occur in the text; and the original also teaches the
borders of a span to guess what is inside (its SBO), where here the words themselves are guessed, as ever.

Source: Joshi et al. 2019, "SpanBERT", 3.1 (arXiv 1907.10529); facebookresearch/SpanBERT ``masking.py``,
``PairWithSpanMaskingScheme``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minibert.data.randomness import MASKS, generator
from minibert.tasks.corruption import masking, units
from minibert.tasks.examples import Example, Masked


class Rule(NamedTuple):
    tokens: masking.Rule
    chances: np.ndarray  # (N,) of 1, 2, … words, added up


def rule(tokenizer: Any, *, longest: int = 10, stop: float = 0.2, **options: float) -> Rule:
    """The rule for a tokenizer. stop: the chance that a span ends behind a word; the other options are ``rate``, ``mask_share``
    and ``random_share`` of ``masking.rule``."""
    chances = (1 - stop) ** np.arange(longest) * stop
    return Rule(masking.rule(tokenizer, whole_word=True, **options), (chances / chances.sum()).cumsum())


def mask_example(example: Example, rule: Rule, key: tuple[int, int, int]) -> Masked:
    """An example with spans hidden. The same key always gives the same."""
    ids, tokens, (seed, epoch, index) = example.ids, rule.tokens, key
    candidates = tokens.is_ordinary[ids].nonzero()[0]
    n = len(candidates)
    apart = np.diff(candidates, prepend=-1) > 1  # behind a special token
    words = units.runs(~tokens.is_continuation[ids[candidates]] | apart)
    rng = generator(seed, MASKS, epoch, index)
    sizes = 1 + np.searchsorted(rule.chances[:-1], rng.random(n), side="right")
    chosen = choose(words, apart, rng.permutation(n), sizes, int(np.ceil(tokens.rate * n)))
    spans = np.cumsum(apart[chosen] | (np.diff(chosen, prepend=-2) > 1)) - 1  # of each token, which one
    fates, draws = rng.random(n)[spans], rng.integers(2**63, size=n)[:len(chosen)]
    return masking.masked(example, masking.hide(ids, candidates[chosen], tokens, fates, draws), candidates[chosen])


def choose(words: list[tuple[int, int]], apart: np.ndarray, anchors: Iterable[int], sizes: Sequence[int],
           budget: int) -> np.ndarray:
    """The tokens of the spans, in ascending order. anchors: tokens by which spans are begun; sizes: of each, in words.

    apart: ``(N,)`` bool, which of the tokens begin a segment.
    """
    word_of = [number for number, (start, stop) in enumerate(words) for _ in range(start, stop)]
    chosen: set[int] = set()
    for anchor in anchors:
        if len(chosen) >= budget:
            break
        if anchor in chosen:
            continue
        first = word_of[anchor]
        for start, stop in words[first:first + sizes[anchor]]:
            if apart[start] and start != words[first][0]:
                break
            for token in range(start, stop):
                if len(chosen) < budget:
                    chosen.add(token)
    return np.array(sorted(chosen), np.int64)
