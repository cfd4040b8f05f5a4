"""Whole words as in the reference implementation.

::

    budget = min(20, max(1, round(0.15 · T)))          T counts [CLS] and [SEP]

Words come in random order, and one that would exceed the budget is passed over, so that a single long word leaves nothing to be
asked. Each piece of a chosen word is then masked, replaced or kept by itself.

A piece with ``##`` joins the candidate before it, and [CLS] and [SEP] are no candidates: where the front of b was cut off, a
``##`` that it begins with goes with the last word of a, across the [SEP]. ``masking`` with ``whole_word`` ends a word there.

One difference: [UNK] is neither a candidate nor drawn as a random token, as no special token is.

Source: google-research/bert ``create_pretraining_data.py``, ``create_masked_lm_predictions``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minibert.data.randomness import MASKS, philox
from minibert.tasks.corruption import masking, units
from minibert.tasks.examples import Example, Masked


class Rule(NamedTuple):
    tokens: masking.Rule
    most: int


def rule(tokenizer: Any, *, most: int = units.MOST, **options: float) -> Rule:
    """The rule for a tokenizer; the other options are ``rate``, ``mask_share`` and ``random_share`` of ``masking.rule``."""
    return Rule(masking.rule(tokenizer, whole_word=True, **options), most)


def mask_example(example: Example, rule: Rule, key: tuple[int, int, int]) -> Masked:
    """An example with whole words hidden. The same key always gives the same."""
    ids, (seed, epoch, index) = example.ids, key
    candidates = rule.tokens.is_ordinary[ids].nonzero()[0]
    n = len(candidates)
    bits = philox(seed, MASKS, epoch, index).random_raw(3 * n).reshape(3, n)
    words = units.runs(~rule.tokens.is_continuation[ids[candidates]])
    chosen = choose(words, np.argsort(bits[0, [start for start, _ in words]]) if words else (),
                    units.budget_of(len(ids), rule.tokens.rate, rule.most))
    seen = masking.hide(ids, candidates[chosen], rule.tokens, bits[1, chosen] * 2.0**-64, bits[2, chosen])
    return masking.masked(example, seen, candidates[chosen])


def choose(words: list[tuple[int, int]], order: Any, budget: int) -> np.ndarray:
    """The tokens of the words that fit, in ascending order."""
    fit = units.fitting([stop - start for start, stop in words], order, budget)
    return units.places(words[word] for word in sorted(fit))
