"""Rare words are asked for more often than frequent ones, over all texts of a step at once (DistilBERT, XLM).

::

    weight of a token = max(count, 1)^-0.7          0 of special tokens, [UNK] among them
    ceil(0.15 · Σ T) tokens of the step are drawn without replacement          T counts [CLS] and [SEP]

So one text may be asked for much and another for nothing. The draw is a race: each token runs for ``-ln(u)/weight``, and the
first win. Every token's u follows from its example, so that the same step always draws the same. ``count``: how often a token
occurs in the documents that are read (``marks``).

One difference: a random token is never a special one.

Source: Sanh et al. 2019, "DistilBERT" (arXiv 1910.01108); its ``distiller.py``, ``prepare_batch_mlm``; Lample and Conneau 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minibert.data.randomness import MASKS, generator
from minibert.tasks.corruption import masking
from minibert.tasks.examples import Example, Masked

MARKS = ("count",)


class Rule(NamedTuple):
    tokens: masking.Rule
    power: float


def rule(tokenizer: Any, *, power: float = 0.7, **options: float) -> Rule:
    """The rule for a tokenizer; the other options are ``rate``, ``mask_share`` and ``random_share`` of ``masking.rule``."""
    return Rule(masking.rule(tokenizer, **options), power)


def mask_examples(examples: Sequence[Example], rule: Rule, keys: Sequence[tuple[int, int, int]]) -> list[Masked]:
    """The examples of a step with some of their tokens hidden. The same examples and keys always give the same."""
    drawn = [generator(seed, MASKS, epoch, index).random((3, len(example.ids)))
             for example, (seed, epoch, index) in zip(examples, keys)]
    times = [np.where(rule.tokens.is_ordinary[example.ids], -np.log1p(-u[0]) / weights(example, rule), np.inf)
             for example, u in zip(examples, drawn)]
    whole = np.concatenate(times)
    count = min(int(np.ceil(rule.tokens.rate * len(whole))), int(np.isfinite(whole).sum()))
    last = np.sort(whole)[count - 1] if count else -np.inf
    found = []
    for example, own, (_, fates, draws) in zip(examples, times, drawn):
        positions = np.flatnonzero(own <= last)
        numbers = (draws[positions] * 2**53).astype(np.int64)
        found.append(masking.masked(
            example, masking.hide(example.ids, positions, rule.tokens, fates[positions], numbers), positions))
    return found


def weights(example: Example, rule: Rule) -> np.ndarray:
    """``(T,)``: how much each token of an example weighs, if it is not special."""
    return np.maximum(example.marks["count"], 1.0) ** -rule.power
