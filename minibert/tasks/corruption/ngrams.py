"""N-grams of words are hidden, so that a neighbour does not give a word away (ALBERT).

::

    n from {1, 2, 3}, p(n) ∝ 1/n:  6/11, 3/11, 2/11          budget = min(20, max(1, round(0.15 · T)))

Words come in random order; each begins an n-gram, whose n is drawn. While that exceeds the budget it is made shorter, one word
at a time, and passed over where no n fits; so is one that overlaps what was chosen before. Each piece is then masked, replaced or
kept by itself. [CLS] and [SEP] are no candidates, and so an n-gram may cross the [SEP].

A piece begins a word where the tokenizer says so, and also where it holds anything but letters from a to z: a digit or a sign.
One difference: [UNK] is neither a candidate nor drawn as a random token, as no special token is.

Source: Lan et al. 2019, "ALBERT", 4.1 (arXiv 1909.11942); Joshi et al. 2019, "SpanBERT"; google-research/albert
``create_pretraining_data.py``, ``create_masked_lm_predictions``.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minibert.data.randomness import MASKS, generator
from minibert.tasks.corruption import masking, units
from minibert.tasks.examples import Example, Masked

LETTERS = frozenset(string.ascii_letters)
MARKS_OF_PIECES = "#▁Ġ"  # what a vocabulary puts before a piece


class Rule(NamedTuple):
    tokens: masking.Rule
    begins: np.ndarray  # (V,) bool
    chances: np.ndarray  # (N,) of n = 1, 2, …
    most: int


def rule(tokenizer: Any, *, longest: int = 3, most: int = units.MOST, **options: float) -> Rule:
    """The rule for a tokenizer; the other options are ``rate``, ``mask_share`` and ``random_share`` of ``masking.rule``."""
    tokens = masking.rule(tokenizer, whole_word=True, **options)
    odd = np.array([not LETTERS.issuperset(token.lstrip(MARKS_OF_PIECES)) for token in tokenizer.vocab.tokens])
    chances = 1 / np.arange(1, longest + 1)
    return Rule(tokens, ~tokens.is_continuation | odd, chances / chances.sum(), most)


def mask_example(example: Example, rule: Rule, key: tuple[int, int, int]) -> Masked:
    """An example with n-grams of words hidden. The same key always gives the same."""
    ids, (seed, epoch, index) = example.ids, key
    candidates = rule.tokens.is_ordinary[ids].nonzero()[0]
    words = units.runs(rule.begins[ids[candidates]])
    rng = generator(seed, MASKS, epoch, index)
    sizes = 1 + np.searchsorted(rule.chances.cumsum()[:-1], rng.random(len(words)), side="right")
    chosen = choose(words, rng.permutation(len(words)), sizes, units.budget_of(len(ids), rule.tokens.rate, rule.most))
    fates, draws = rng.random(len(candidates))[chosen], rng.integers(2**63, size=len(candidates))[chosen]
    return masking.masked(example, masking.hide(ids, candidates[chosen], rule.tokens, fates, draws), candidates[chosen])


def choose(words: list[tuple[int, int]], order: Sequence[int], sizes: Sequence[int], budget: int) -> np.ndarray:
    """The tokens of the n-grams that are chosen, in ascending order. sizes: of each word, n of the n-gram that it begins."""
    covered: set[int] = set()
    for word in order:
        for n in range(sizes[word], 0, -1):
            tokens = range(words[word][0], words[min(word + n, len(words)) - 1][1])
            if len(covered) + len(tokens) <= budget:
                if covered.isdisjoint(tokens):
                    covered.update(tokens)
                break
        if len(covered) >= budget:
            break
    return np.array(sorted(covered), np.int64)
