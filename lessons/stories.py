"""Stories in which one has to look back, as text for a tiny model. For lessons 38, 39 and 41.

Two people each see an animal, and then one of the two is spoken of. To guess a hidden word of the last sentence, a model has to
look back at the right one of the first two.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minibert import BertConfig
from minibert.tasks.batches import Stream
from minibert.tasks.corruption.masking import Masked
from minibert.text.tokenizer import Tokenizer
from minibert.text.vocabulary import SPECIAL, Vocabulary

NAMES = "anna ben clara david emma felix grace henry".split()
COLOURS = "red green blue white black small large old".split()
ANIMALS = "cat dog bird horse goat cow duck owl".split()


def story(rng: np.random.Generator) -> str:
    """All have as many words."""
    names, colours, animals = (list(map(str, rng.choice(words, 2, replace=False))) for words in (NAMES, COLOURS, ANIMALS))
    i = int(rng.integers(2))
    first, second = (f"{names[k]} saw one {colours[k]} {animals[k]} ." for k in (0, 1))
    return f"{first} {second} the {animals[i]} was {colours[i]} , said {names[i]} ."


class Stories(NamedTuple):
    """As documents of ids, all of one length. A tenth is for measuring."""

    texts: list[str]
    tokenizer: Tokenizer
    documents: list[list[list[int]]]

    @classmethod
    def of(cls, count: int, rng: np.random.Generator) -> Stories:
        """So many, with a vocabulary of their words."""
        texts = [story(rng) for _ in range(count)]
        tokenizer = Tokenizer(Vocabulary([*SPECIAL, *sorted({word for text in texts for word in text.split()})]))
        return cls(texts, tokenizer, [[tokenizer.ids(text)] for text in texts])

    def config(self, layers: int, **changes: Any) -> BertConfig:
        """A tiny BERT that reads them."""
        sizes = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 128, "initializer_range": 0.1,
                 "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        return BertConfig(vocab_size=len(self.tokenizer.vocab), num_hidden_layers=layers, max_position_embeddings=self._length,
                          **{**sizes, **changes})

    def stream(self, size: int) -> Stream:
        """Steps of so many, with hidden words."""
        return self._stream(self.documents[len(self.documents) // 10:], size)

    def unread(self) -> list[Masked]:
        """The tenth that no step reads."""
        count = len(self.documents) // 10
        return self._stream(self.documents[:count], count).batch()[0]

    def _stream(self, documents: list[list[list[int]]], size: int) -> Stream:
        return Stream(documents, self.tokenizer, max_length=self._length, batch_size=size, seed=0, next_sentence=False)

    @property
    def _length(self) -> int:
        """With [CLS] and [SEP]."""
        return len(self.documents[0][0]) + 2
