"""Spans of words are hidden, with lengths of a geometric distribution (SpanBERT).

::

    p(n) ∝ 0.8^(n-1) · 0.2      n = 1 … 10 words, 3.8 in the mean          budget = ceil(0.15 · tokens)

A span begins at a random word; one that overlaps another is passed over. Where the budget is spent a span ends, in the middle of
a word too. What becomes of its tokens is drawn once for the whole span. A span stays within its segment.

The original also teaches a span's borders to guess what is inside (its SBO); here the words themselves are guessed, as ever.

Source: Joshi et al. 2019, "SpanBERT", 3.1 (arXiv 1907.10529); facebookresearch/SpanBERT ``pair_with_span_masking``.
"""

from __future__ import annotations

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
    apart = np.append(True, np.diff(candidates) > 1)  # behind a special token
    words = units.runs(~tokens.is_continuation[ids[candidates]] | apart[: len(candidates)])
    rng, left, taken = generator(seed, MASKS, epoch, index), int(np.ceil(tokens.rate * len(candidates))), []
    free = np.ones(len(candidates), bool)
    sizes = 1 + np.searchsorted(rule.chances[:-1], rng.random(len(words)), side="right")
    for word in rng.permutation(len(words)):
        last = word
        while last + 1 < min(word + sizes[word], len(words)) and not apart[words[last + 1][0]]:
            last += 1
        span = np.arange(words[word][0], words[last][1])[:left]
        if free[span].all():
            free[span] = False
            taken.append(span)
            left -= len(span)
        if not left:
            break
    order = sorted(range(len(taken)), key=lambda i: taken[i][0])
    chosen = np.concatenate([taken[i] for i in order]) if taken else np.empty(0, np.int64)
    fates = np.repeat(rng.random(len(taken)), [len(taken[i]) for i in order])
    seen = masking.hide(ids, candidates[chosen], tokens, fates, rng.integers(2**63, size=len(chosen)))
    return masking.masked(example, seen, candidates[chosen])
