"""RoBERTa's counts: a share of the tokens without a rest, ``int(0.15 · L + u)`` with u from [0, 1).

L is the number of candidates, so that the mean is exactly 15 %, and a short text may ask for nothing. With ``whole_word`` L
counts words, which begin where the vocabulary says so, and one fate is drawn for all pieces of a word.

With ``special`` the first and the last token and all between that are special are candidates too, and a random token may be any
but the first four of the vocabulary, [MASK] among them, as in fairseq. There the model is asked now and then for its own
``</s>``, which it always sees where a text ends.

Source: Liu et al. 2019, "RoBERTa", 4.1 (arXiv 1907.11692); fairseq ``MaskTokensDataset``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minibert.data.randomness import MASKS, generator
from minibert.tasks.corruption import masking, units
from minibert.tasks.examples import Example, Masked

RESERVED = 4  # <s> <pad> </s> <unk>


class Rule(NamedTuple):
    tokens: masking.Rule
    whole_word: bool


def rule(tokenizer: Any, *, whole_word: bool = False, special: bool = False, **options: float) -> Rule:
    """The rule for a tokenizer; the other options are ``rate``, ``mask_share`` and ``random_share`` of ``masking.rule``."""
    tokens = masking.rule(tokenizer, whole_word=whole_word, **options)
    if special:
        size = len(tokens.is_ordinary)
        tokens = tokens._replace(is_ordinary=np.ones(size, bool), ordinary=np.arange(RESERVED, size, dtype=np.int32))
    return Rule(tokens, whole_word)


def mask_example(example: Example, rule: Rule, key: tuple[int, int, int]) -> Masked:
    """An example with some tokens, or words, hidden. The same key always gives the same."""
    ids, tokens, (seed, epoch, index) = example.ids, rule.tokens, key
    candidates = tokens.is_ordinary[ids].nonzero()[0]
    begins = ~tokens.is_continuation[ids[candidates]] if rule.whole_word else np.ones(len(candidates), bool)
    words = units.runs(begins)
    rng = generator(seed, MASKS, epoch, index)
    count = int(tokens.rate * len(words) + rng.random())
    chosen = np.sort(rng.choice(len(words), count, replace=False)) if count else np.empty(0, np.int64)
    fates = rng.random(len(words))[chosen]
    lengths = np.array([stop - start for start, stop in words], np.int64)[chosen]
    positions = candidates[units.places(words[word] for word in chosen)]
    draws = rng.integers(2**63, size=len(positions))
    return masking.masked(example, masking.hide(ids, positions, tokens, np.repeat(fates, lengths), draws), positions)
