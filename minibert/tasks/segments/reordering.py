"""A text in up to three parts that changed places, of which the model says how::

    [CLS] c c c [SEP] a a a [SEP] b b [SEP]        one of 1! + 2! + 3! = 9 classes: so many parts, in this order

Class 0 is a text in one part; then come the orders of two parts and those of three, as ``itertools.permutations`` lists them.
All parts are of one document, cut between sentences. How many there are is drawn, then their order; a text of fewer sentences has
fewer parts.

Source: Sun et al. 2019, "ERNIE 2.0", 3.2.2 (arXiv 1907.12412). Its data builders are not public, and the paper does not say how
parts are told apart: here by a [SEP] behind each.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise, permutations
from typing import Any

import numpy as np

from minibert.data.documents import Document
from minibert.data.randomness import PAIRS, generator
from minibert.tasks.examples import IGNORE, Example, arrays
from minibert.tasks.segments.next_sentence import enough, target_length

TERM, PARTS = "reorder", 3
ORDERS = [order for n in range(1, PARTS + 1) for order in permutations(range(n))]  # by class


def reordered(documents: Iterable[Document], tokenizer: Any, *, max_length: int, seed: int, epoch: int = 0,
              short_prob: float = 0.1) -> list[Example]:
    """Texts with the target ``reorder``. The arguments are those of ``next_sentence.sentence_pairs``.

    ValueError where there is no text, or ``max_length`` leaves no token for each part.
    """
    room = max_length - 1 - PARTS
    if room < PARTS:
        raise ValueError(f"max_length must be at least {2 * PARTS + 1} ([CLS] a [SEP] b [SEP] c [SEP]), got {max_length}")
    documents = arrays(documents, room)
    enough(documents, 1, "the order of parts")
    rng, vocab, examples = generator(seed, PAIRS, epoch), tokenizer.vocab, []
    for document in documents:
        i = 0
        while i < len(document):
            target, chunk, length = target_length(rng, room, short_prob), [], 0
            while i < len(document) and length < target:
                chunk.append(document[i][: room - length])
                length += len(chunk[-1])
                i += 1
            count = min(int(rng.integers(1, PARTS + 1)), len(chunk))
            cuts = [0, *sorted((1 + rng.choice(len(chunk) - 1, count - 1, replace=False)).tolist()), len(chunk)]
            parts = [[*chunk[start:stop], [vocab.sep_id]] for start, stop in pairwise(cuts)]
            order = tuple(rng.permutation(count).tolist())
            ids = np.concatenate([[vocab.cls_id], *(sentence for part in order for sentence in parts[part])]).astype(np.int32)
            examples.append(Example(ids, len(ids), IGNORE, {TERM: ORDERS.index(order)}))
    return examples
