"""Three neighbouring words change places, and the model has to restore their order (StructBERT).

::

    … the old man sat down …   ->   … man the old sat down …        asked at the three: the, old, man

A window of three begins at a token with a chance of 5 %; windows do not overlap, and hold ordinary tokens only, none of them
asked for by the masking: what is hidden is never disturbed. The order is drawn from all six. A token that stands where it stood,
because the order is the old one or two tokens are alike, is not asked for.

The masked-word head answers, over the vocabulary, and has no new tensors; the loss is a term of its own.

Alibaba's only public code (``sofa``, ``data_plug.py``) lets a window touch [SEP] and [MASK].
Source: Wang et al. 2019, "StructBERT", 2.2 (arXiv 1908.04577).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minibert.data.randomness import SHUFFLES, generator
from minibert.tasks.corruption import masking
from minibert.tasks.examples import IGNORE, Example, Masked

TERM, MARKS, MOVES = "trigrams", (), True
K = 3


class Rule(NamedTuple):
    is_ordinary: np.ndarray  # (V,) bool
    rate: float  # the chance of a token to begin a window


def rule(tokenizer: Any, rate: float = 0.05) -> Rule:
    """The rule for a tokenizer. ValueError for a rate outside (0, 1]."""
    return Rule(masking.rule(tokenizer, rate=rate).is_ordinary, rate)


def ask(masked: Masked, example: Example, rule: Rule, key: tuple[int, int, int]) -> Masked:
    """Some windows in another order, and what stood there as the target of ``trigrams`` ``(M,)``, IGNORE where it was masked."""
    seed, epoch, index = key
    rng = generator(seed, SHUFFLES, epoch, index)
    free = rule.is_ordinary[example.ids]
    free[masked.positions] = False
    seen = masked.ids.copy()
    starts = np.flatnonzero(rng.random(len(seen)) < rule.rate)
    for start in rng.permutation(starts):
        window = slice(start, start + K)
        if free[window].sum() == K:
            free[window] = False
            seen[window] = seen[window][rng.permutation(K)]
    changed = np.flatnonzero(seen != masked.ids)
    positions = np.concatenate([masked.positions, changed])
    order = np.argsort(positions, kind="stable")
    hidden, moved = (np.full(len(places), IGNORE, np.int64) for places in (masked.positions, changed))

    def joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.concatenate([first, second])[order]

    others = {name: joined(x, np.zeros(len(changed), x.dtype)) for name, x in masked.others.items()}
    return masked._replace(ids=seen, positions=positions[order], labels=joined(masked.labels, moved),
                           others={**others, TERM: joined(hidden, example.ids[changed].astype(np.int64))})
