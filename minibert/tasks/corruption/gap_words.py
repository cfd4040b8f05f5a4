"""Whole words as transformers' collator has them: a word is a run of tokens without a gap between their characters.

So ``"word."`` and ``"don't"`` are one word each. Every word is chosen with a chance of 15 %, by itself, so that an example may
ask for none or for many; a chosen word is always hidden, all of its pieces by [MASK].

Where the gaps are, ids do not tell: it is a mark of the text (``marks``, ``begins``). One difference: [UNK] is not asked for.

Source: transformers 5.24 ``DataCollatorForLanguageModeling(whole_word_mask=True)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minibert.data.randomness import MASKS, generator
from minibert.tasks.corruption import masking, units
from minibert.tasks.corruption.masking import Rule
from minibert.tasks.examples import Example, Masked

MARKS = ("begins",)


def rule(tokenizer: Any, *, rate: float = 0.15) -> Rule:
    """The rule for a tokenizer: see ``masking.rule``."""
    return masking.rule(tokenizer, rate=rate, mask_share=1.0, random_share=0.0)


def mask_example(example: Example, rule: Rule, key: tuple[int, int, int]) -> Masked:
    """An example with whole words hidden. The same key always gives the same."""
    seed, epoch, index = key
    words = words_of(example, rule)
    drawn = generator(seed, MASKS, epoch, index).random(len(words)) < rule.rate
    chosen = [word for word, hidden in zip(words, drawn) if hidden]
    positions = np.concatenate(chosen) if chosen else np.empty(0, np.int64)
    seen = example.ids.copy()
    seen[positions] = rule.mask_id
    return masking.masked(example, seen, positions)


def words_of(example: Example, rule: Rule) -> list[np.ndarray]:
    """The positions of each word. One begins at a gap, and behind a special token."""
    ordinary = rule.is_ordinary[example.ids]
    behind_special = np.append(True, ~ordinary[:-1])
    candidates = ordinary.nonzero()[0]
    begins = (example.marks["begins"] | behind_special)[candidates]
    return [candidates[start:stop] for start, stop in units.runs(begins)]
