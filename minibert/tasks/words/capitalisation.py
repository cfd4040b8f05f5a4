"""Did a token's word begin with a capital letter, of which an uncased tokenizer shows nothing? Two classes for every token.

Names and nouns betray themselves: what begins a sentence does so by its place. Source: Sun et al. 2019, "ERNIE 2.0", 3.2.1 (arXiv
1907.12412); its data builders are not public.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minibert.tasks.corruption import masking
from minibert.tasks.examples import IGNORE, Example, Masked

TERM, MARKS = "capitalisation", ("capital",)


def rule(tokenizer: Any) -> np.ndarray:
    """``(V,)`` bool: which tokens are asked about."""
    return masking.rule(tokenizer).is_ordinary


def ask(masked: Masked, example: Example, rule: np.ndarray, key: tuple[int, int, int]) -> Masked:
    """The target of ``capitalisation`` ``(T,)``: 1 for a capital letter, 0 for none, IGNORE at special tokens."""
    target = np.where(rule[example.ids], example.marks["capital"], IGNORE)
    return masked._replace(targets={**masked.targets, TERM: target})
