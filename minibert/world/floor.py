"""The best possible loss: what nobody who sees the same text can beat on average."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from minibert.world.seen import MASK, Seen


class Floor(NamedTuple):
    """Losses in nats over the same hidden words."""

    best: float  # mean -ln of the posterior at the true word
    error: float  # standard error of that mean
    entropy: float  # mean entropy of the posterior: the same, on average over many texts
    unigram: float  # by frequency alone
    uniform: float  # ln V
    targets: int

    def __str__(self) -> str:
        return (f"best possible loss {self.best:.3f} ± {self.error:.3f} nats ({self.targets:,} hidden words); by frequency alone "
                f"{self.unigram:.3f}, ln V {self.uniform:.3f}")


def floor(posteriors: Sequence[np.ndarray], truth: Sequence[Sequence[int]], frequency: np.ndarray) -> Floor:
    """From the posteriors of the targets of some texts, and the true words there. frequency: (V,) counts of the words in any
    text."""
    p = np.concatenate(posteriors)
    words = np.concatenate([np.asarray(these, np.int64) for these in truth])
    losses = -np.log(p[np.arange(len(words)), words])
    entropy = -(p * np.log(np.where(p > 0, p, 1.0))).sum(1)
    share = (frequency + 1) / (frequency + 1).sum()
    return Floor(float(losses.mean()), float(losses.std() / len(losses) ** 0.5), float(entropy.mean()),
                 float(-np.log(share[words]).mean()), float(np.log(p.shape[1])), len(words))


def corrupt(words: Sequence[str], vocabulary: Sequence[str], rng: np.random.Generator, rate: float = 0.15, single: bool = False
            ) -> tuple[Seen, list[str]]:
    """Words as a model sees them in training, and the true words at the targets.

    max(1, round(rate · n)) of the n words are chosen; 80 % of them become [MASK], 10 % any word, 10 % stay.
    """
    chosen = np.sort(rng.permutation(len(words))[:max(1, round(rate * len(words)))]).tolist()
    seen = list(words)
    for place, share in zip(chosen, rng.random(len(chosen))):
        if share < 0.8:
            seen[place] = MASK
        elif share < 0.9:
            seen[place] = vocabulary[rng.integers(len(vocabulary))]
    return Seen(seen, chosen, len(chosen), single), [words[place] for place in chosen]


def windows(documents: Iterable[Sequence[Sequence[str]]], room: int) -> Iterator[list[Sequence[str]]]:
    """Whole sentences of one document, as many as fit into so many words. documents: words by document and sentence."""
    for sentences in documents:
        window: list[Sequence[str]] = []
        for sentence in sentences:
            if window and sum(map(len, window)) + len(sentence) > room:
                yield window
                window = []
            window.append(sentence)
        yield window
