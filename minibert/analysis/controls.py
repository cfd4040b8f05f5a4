"""Controls: what a measurement is read against, since a number alone says nothing.

``random_weights``   the same architecture, untrained: what it finds needs no learning
``best_offset``      the word d places on, with the best d for each label: what finds no more only counts places
``shuffled``         the labels of other examples: what a probe finds in them it has learned by heart (Hewitt and Liang 2019)
``bag_of_words``     which words there are, without their order
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert.backend import get_xp
from minibert.parameters import initialise
from minibert.pretrained.folder import Loaded

if TYPE_CHECKING:
    from minibert.pretrained import Trained


class Offset(NamedTuple):
    """The best fixed offset for a label."""

    places: int  # to the right, or to the left where it is negative
    share: float  # of its examples
    examples: int


def random_weights(bert: Trained, seed: int = 0) -> Loaded:
    """A model with the configuration, the tensors and the tokenizer of ``bert``, as training would begin with it."""
    flat, xp = bert.parameters.flat, get_xp(bert.parameters.flat)
    dtype = flat.dtype if xp is np else np.float32
    fresh = initialise(bert.parameters.layout, bert.config.initializer_range, seed, dtype).to(xp)
    return Loaded(bert.config, fresh, bert.tokenizer, initialised=frozenset(bert.initialised))


def best_offset(pairs: Iterable[tuple[str, int]]) -> dict[str, Offset]:
    """Of (label, how many places to the right), for each label the most frequent number of places; the least of equals."""
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for label, places in pairs:
        counts[label][places] += 1
    found = {}
    for label, lengths in counts.items():
        places, n = min(lengths.items(), key=lambda item: (-item[1], abs(item[0]), item[0]))
        found[label] = Offset(places, n / lengths.total(), lengths.total())
    return found


def shuffled(labels: Sequence, seed: int = 0) -> list:
    """The labels in another order: each is as frequent as before, and says nothing of its example."""
    return [labels[i] for i in np.random.default_rng([seed, 0x5F]).permutation(len(labels))]


def bag_of_words(texts: Sequence[Sequence[str]], words: Sequence[str] | None = None) -> tuple[np.ndarray, list[str]]:
    """``(N, V)`` how often each word stands in each text, and the V words: those given, or all that there are, sorted."""
    words = sorted({word for text in texts for word in text}) if words is None else list(words)
    index = {word: i for i, word in enumerate(words)}
    counts = np.zeros((len(texts), len(words)))
    for row, text in zip(counts, texts):
        for word, n in Counter(text).items():
            if word in index:
                row[index[word]] = n
    return counts, words
