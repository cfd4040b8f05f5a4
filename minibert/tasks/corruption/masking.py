"""Masking: which tokens the model has to guess, and what it sees in their place.

15 % of the tokens are chosen. Of those, 80 % become [MASK], 10 % a random token, 10 % stay as they are (Devlin et al.
2018, 3.1): all of the chosen are predicted, and because the model cannot tell which tokens were left alone or replaced,
it has to keep a representation of every one. Special tokens are neither chosen nor used as random tokens.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minibert.data.randomness import MASKS, philox
from minibert.tasks.corruption.units import runs
from minibert.tasks.examples import Example, Masked


class Rule(NamedTuple):
    """How to mask, with the tables over the vocabulary that it takes; made once by ``rule``."""

    mask_id: int
    is_ordinary: np.ndarray  # (V,) bool: not special, may be chosen
    ordinary: np.ndarray  # (V - special,) int32: the ids that a random replacement is drawn from
    is_continuation: np.ndarray | None  # (V,) bool: pieces that go on with a word, for whole-word masking; None: single tokens
    rate: float  # share of the tokens that are chosen
    mask_share: float  # share of the chosen that become [MASK]
    random_share: float  # share of the chosen that become a random token


def rule(
    tokenizer: Any, *, whole_word: bool = False, rate: float = 0.15, mask_share: float = 0.8, random_share: float = 0.1
) -> Rule:
    """The masking rule for a tokenizer: reads ``vocab.mask_id``, ``vocab.special_ids`` and, for whole words, ``continues``.

    whole_word: choose all pieces of a word together; each piece is then masked, replaced or kept on its own.
    Raises ValueError for shares outside [0, 1] and for a vocabulary without ordinary tokens.
    """
    if not 0 < rate <= 1:
        raise ValueError(f"rate must be in (0, 1], got {rate}: the share of tokens that the model has to guess")
    if min(mask_share, random_share) < 0 or mask_share + random_share > 1:
        raise ValueError(
            f"mask_share {mask_share} and random_share {random_share} must not be negative and sum to at most 1; "
            "what is left of 1 is the share of chosen tokens that stay as they are"
        )
    vocab = tokenizer.vocab
    is_ordinary = np.ones(len(vocab), dtype=bool)
    is_ordinary[list(vocab.special_ids)] = False
    ordinary = np.flatnonzero(is_ordinary).astype(np.int32)
    if len(ordinary) == 0:
        raise ValueError(f"the vocabulary has {len(vocab)} tokens, all of them special: nothing can be masked")
    is_continuation = np.array([*map(tokenizer.continues, range(len(vocab)))]) if whole_word else None
    return Rule(vocab.mask_id, is_ordinary, ordinary, is_continuation, rate, mask_share, random_share)


def mask(ids: np.ndarray, rule: Rule, key: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Choose tokens of one sequence and hide them.

    ids: (T,). key: (seed, epoch, index of the example); the same key always gives the same masks. Returns the ids that
    the model sees (T,), the chosen positions in ascending order (M,), and the original ids there (M,).
    M = max(1, round(rate · candidates)), where candidates are the tokens that are not special; 0 where there are none.
    With whole words M may fall short by part of a word, and exceeds it only where the first word alone does.
    """
    candidates = rule.is_ordinary[ids].nonzero()[0]
    n = len(candidates)
    if n == 0:
        return ids.copy(), np.empty(0, np.int64), np.empty(0, np.int64)
    count = max(1, round(rule.rate * n))
    seed, epoch, index = key
    bits = philox(seed, MASKS, epoch, index).random_raw(3 * n).reshape(3, n)
    if rule.is_continuation is None:
        chosen = np.argpartition(bits[0], count - 1)[:count]  # the tokens with the smallest random numbers
        chosen.sort()
    else:
        chosen = _whole_words(ids, candidates, rule.is_continuation, bits[0], count)
    positions = candidates[chosen]
    labels = ids[positions].astype(np.int64)
    return hide(ids, positions, rule, bits[1, chosen] * 2.0**-64, bits[2, chosen]), positions, labels


def hide(ids: np.ndarray, positions: np.ndarray, rule: Rule, fates: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """What the model sees of ids ``(T,)``: at the positions ``(M,)`` [MASK], a random token, or what was there.

    fates: ``(M,)`` from [0, 1), which of the three; draws: ``(M,)`` whole numbers, which random token.
    """
    random = rule.ordinary[draws % len(rule.ordinary)]
    keep_or_random = np.where(fates < rule.mask_share + rule.random_share, random, ids[positions])
    seen = ids.copy()
    seen[positions] = np.where(fates < rule.mask_share, rule.mask_id, keep_or_random)
    return seen


def _whole_words(
    ids: np.ndarray, candidates: np.ndarray, is_continuation: np.ndarray, bits: np.ndarray, count: int
) -> np.ndarray:
    """Indices into ``candidates`` of whole words with together about ``count`` tokens, words in random order.

    A word begins at every token that does not continue the candidate right before it.
    """
    words = runs(~is_continuation[ids[candidates]] | (np.diff(candidates, prepend=-1) > 1))
    chosen: list[int] = []
    for word in np.argsort(bits[[start for start, _ in words]], kind="stable").tolist():
        start, stop = words[word]
        if not chosen or len(chosen) + stop - start <= count:
            chosen.extend(range(start, stop))
        if len(chosen) >= count:
            break
    return np.sort(np.array(chosen))


def mask_example(example: Example, rule: Rule, key: tuple[int, int, int]) -> Masked:
    """``mask`` for a whole example."""
    seen, positions, _ = mask(example.ids, rule, key)
    return masked(example, seen, positions)


def masked(example: Example, seen: np.ndarray, positions: np.ndarray) -> Masked:
    """The example as it is seen ``(T,)``, with its own tokens at the positions ``(M,)`` asked for."""
    return Masked(seen, example.split, example.next_label, positions, example.ids[positions].astype(np.int64),
                  targets=example.targets)
