"""Does a token occur elsewhere in the document that this text was cut from? Two classes for every token.

Words that a text comes back to are what it is about. Elsewhere is outside of this example; in a pair of two documents each token
is asked about its own. Source: Sun et al. 2019, "ERNIE 2.0", 3.2.1 (arXiv 1907.12412); its data builders are not public.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minibert.tasks.corruption import masking
from minibert.tasks.examples import IGNORE, Example, Masked

TERM, MARKS = "token_document", ("document", "occurs")


def rule(tokenizer: Any) -> np.ndarray:
    """``(V,)`` bool: which tokens are asked about."""
    return masking.rule(tokenizer).is_ordinary


def ask(masked: Masked, example: Example, rule: np.ndarray, key: tuple[int, int, int]) -> Masked:
    """The target of ``token_document`` ``(T,)``: 1 where it occurs elsewhere too, 0 where not, IGNORE at special tokens."""
    pairs = np.stack([example.marks["document"], example.ids])
    _, which, here = np.unique(pairs, axis=1, return_inverse=True, return_counts=True)
    elsewhere = example.marks["occurs"] > here[which.reshape(-1)]
    return masked._replace(targets={**masked.targets, TERM: np.where(rule[example.ids], elsewhere, IGNORE)})
