"""Controls: what a measurement is read against, since a number alone says nothing.

``random_weights``   the same architecture, untrained: what it finds needs no learning
``bag_of_words``     which words there are, without their order
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from minibert.backend import get_xp
from minibert.parameters import initialise
from minibert.pretrained.folder import Loaded

if TYPE_CHECKING:
    from minibert.pretrained import Trained


def random_weights(bert: Trained, seed: int = 0) -> Loaded:
    """A model with the configuration, the tensors and the tokenizer of ``bert``, as training would begin with it."""
    flat, xp = bert.parameters.flat, get_xp(bert.parameters.flat)
    dtype = flat.dtype if xp is np else np.float32
    fresh = initialise(bert.parameters.layout, bert.config.initializer_range, seed, dtype).to(xp)
    return Loaded(bert.config, fresh, bert.tokenizer, initialised=frozenset(bert.initialised))


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
