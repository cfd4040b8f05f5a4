"""A small tokenizer and random documents of it."""

from collections import Counter

import numpy as np
import pytest

from minibert.text.tokenizer import Tokenizer
from minibert.text.vocabulary import Vocabulary

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """Five special tokens, 300 words, 100 pieces of words."""
    return Tokenizer(Vocabulary([*SPECIAL, *(f"word{i}" for i in range(300)), *(f"##piece{i}" for i in range(100))]))


@pytest.fixture(scope="session")
def documents(tokenizer) -> list[list[list[int]]]:
    """40 documents of random ordinary ids: 2 to 39 sentences of 1 to 29 tokens."""
    rng = np.random.default_rng(0)
    result = []
    for _ in range(40):
        sentences = [rng.integers(5, len(tokenizer.vocab), rng.integers(1, 30)).tolist() for _ in range(rng.integers(2, 40))]
        result.append(sentences)
    return result


@pytest.fixture(scope="session")
def count():
    """Multiset of the ordinary ids in documents or examples."""

    def ids_of(sequences) -> Counter:
        return Counter(i for sequence in sequences for i in np.asarray(sequence).tolist() if i >= len(SPECIAL))

    return ids_of
