"""Nothing is hidden but what is to come: every token of b is asked for at the place of the one before it (a prefix LM).

::

    [CLS] a a a a [SEP] b₁ b₂ b₃ [SEP]
                    ↓   ↓  ↓  ↓
                    b₁  b₂ b₃ [SEP]           asked for by the masked-word head

The example is left as it is. That no token sees what it is asked for is up to attention: the batch is given the mask of
``segments.prefix``. An example without a b asks for nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minibert.tasks.examples import Example, Masked


def rule(tokenizer: Any) -> None:
    """Nothing is drawn, and no token is special."""


def mask_example(example: Example, rule: None, key: tuple[int, int, int]) -> Masked:
    """The example as it is, with the places before the tokens of b ``(M,)`` and these tokens."""
    asked = np.arange(example.split, len(example.ids))
    return Masked(example.ids, example.split, example.next_label, asked - 1, example.ids[asked].astype(np.int64), prefix=True)
