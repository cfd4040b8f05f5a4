"""Masking for a generator whose words take the place of the text's, so that a second model can tell them apart (ELECTRA).

15 % of the tokens are drawn *with replacement*: one that is drawn twice counts twice in the generator's loss, and somewhat fewer
than 15 % are hidden. Of the drawn, 85 % become [MASK] and 15 % stay as they are; none becomes a random token. Special tokens are
never drawn.

With each comes a number from [0, 1), which decides what is drawn from the generator's distribution there (``model.joint``). So
the words that it puts in follow from the seed, in whatever micro-batch and on whatever device it computes.

A token that is drawn twice has one fate and one number. In the original it has two, is hidden where either says so, and of two
different words for its place the mean of their ids is taken, rounded down: a third word, which nobody drew.

Source: Clark et al. 2020, "ELECTRA", section 2 (arXiv 2003.10555); google-research/electra ``pretrain_helpers.py``, ``mask``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minibert.data.randomness import MASKS, generator
from minibert.tasks.corruption import masking
from minibert.tasks.corruption.masking import Rule
from minibert.tasks.examples import Example, Masked


def rule(tokenizer: Any, *, rate: float = 0.15, mask_share: float = 0.85) -> Rule:
    """The rule for a tokenizer: see ``masking.rule``."""
    return masking.rule(tokenizer, rate=rate, mask_share=mask_share, random_share=0.0)


def mask_example(example: Example, rule: Rule, key: tuple[int, int, int]) -> Masked:
    """An example with some tokens hidden, and a number for each of them. The same key always gives the same.

    M = max(1, round(rate · T)) tokens are drawn, some of them twice; none where there is nothing but special tokens.
    """
    ids, (seed, epoch, index) = example.ids, key
    candidates = rule.is_ordinary[ids].nonzero()[0]
    rng = generator(seed, MASKS, epoch, index)
    fates, numbers = rng.random((2, len(ids)))  # of each token
    count = max(1, round(rule.rate * len(ids))) if len(candidates) else 0
    positions = np.sort(candidates[rng.integers(len(candidates), size=count)]) if count else candidates
    seen = ids.copy()
    seen[positions[fates[positions] < rule.mask_share]] = rule.mask_id
    return masking.masked(example, seen, positions)._replace(others={"replaced": numbers[positions]})
