"""One token of an example is hidden, whatever its length: what a model can be asked that has one vector for a text.

Of the hidden ones 80 % become [MASK], 10 % a random token, and 10 % stay as they are. An example of special tokens alone has
nothing to hide: its label is IGNORE, so that every example has one.

Source: brightmart/bert_language_understanding ``pretrain_task.py``, ``mask_language_model``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minibert.tasks.corruption import masking
from minibert.tasks.corruption.masking import Masked, Rule
from minibert.tasks.examples import IGNORE, Example

LEAST = 1e-9  # the share of the tokens of which one is left


def rule(tokenizer: Any, *, mask_share: float = 0.8, random_share: float = 0.1) -> Rule:
    """The rule for a tokenizer: see ``masking.rule``."""
    return masking.rule(tokenizer, rate=LEAST, mask_share=mask_share, random_share=random_share)


def mask_example(example: Example, rule: Rule, key: tuple[int, int, int]) -> Masked:
    """The example with one token hidden, ``positions`` and ``labels`` ``(1,)``. The same key always gives the same."""
    masked = masking.mask_example(example, rule, key)
    return masked if len(masked.labels) else masked._replace(positions=np.zeros(1, np.int64), labels=np.full(1, IGNORE))
