"""Two pieces of text, of which the model says whether the second is the next, the one before, or from elsewhere::

    [CLS] a a a a [SEP] b b b [SEP]        0: b is from another document;  1: b follows a in the text;  2: a follows b

A third each; a chunk of one sentence has nothing to follow, and gets a b from another document. Chunks are gathered and cut as
for next sentences (``next_sentence``).

Source: Wang et al. 2019, "StructBERT", 2.3 (arXiv 1908.04577); the classes are numbered as in Alibaba's ``data_plug.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from minibert.data.documents import Document
from minibert.data.randomness import PAIRS, generator
from minibert.tasks.examples import IGNORE, Example, arrays
from minibert.tasks.segments.next_sentence import enough, from_another, pair, reaching, room_of, target_length, truncate

TERM = "three_ways"
RANDOM, NEXT, PREVIOUS = range(3)


def three_ways(documents: Iterable[Document], tokenizer: Any, *, max_length: int, seed: int, epoch: int = 0,
               short_prob: float = 0.1) -> list[Example]:
    """Pairs with the target ``three_ways``. The arguments, and what is refused, are those of ``next_sentence.sentence_pairs``."""
    room = room_of(max_length)
    documents = arrays(documents, room)
    enough(documents, 2, "three-way pairs")
    rng, examples = generator(seed, PAIRS, epoch), []
    for number, document in enumerate(documents):
        i = 0
        while i < len(document):
            target = target_length(rng, room, short_prob)
            start, i = i, reaching(document, i, target)
            chunk = document[start:i]
            cut = int(rng.integers(1, len(chunk))) if len(chunk) > 1 else 1
            way = RANDOM if len(chunk) == 1 else int(rng.integers(3))
            a = np.concatenate(chunk[:cut])
            if way == RANDOM:
                b = from_another(rng, documents, number, target - len(a))
                i -= len(chunk) - cut
            else:
                b = np.concatenate(chunk[cut:])
            if way == PREVIOUS:
                a, b = b, a
            examples.append(pair(*truncate(rng, a, b, room), IGNORE, tokenizer.vocab, {TERM: way}))
    return examples
