"""Two pieces of text, of which the model says how far apart they stood::

    [CLS] a a a a [SEP] b b b [SEP]        0: b follows a;  1: b is from elsewhere in the document;  2: from another document

A third each, as far as there is such a b: of a document that is read whole there is no elsewhere, and another document stands in.
Chunks are gathered and cut as for next sentences (``next_sentence``). Between a and a b of class 1 there is a sentence at least.

Source: Sun et al. 2019, "ERNIE 2.0", 3.2.2 (arXiv 1907.12412); its data builders are not public.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from minibert.data.documents import Document
from minibert.data.randomness import PAIRS, generator
from minibert.tasks.examples import IGNORE, Example, arrays
from minibert.tasks.segments.next_sentence import enough, from_another, pair, reaching, room_of, target_length, truncate

TERM = "distance"
ADJACENT, SAME, OTHER = range(3)


def distances(documents: Iterable[Document], tokenizer: Any, *, max_length: int, seed: int, epoch: int = 0,
              short_prob: float = 0.1) -> list[Example]:
    """Pairs with the target ``distance``. The arguments, and what is refused, are those of ``next_sentence.sentence_pairs``."""
    room = room_of(max_length)
    documents = arrays(documents, room)
    enough(documents, 2, "sentence distance")
    rng, examples = generator(seed, PAIRS, epoch), []
    for number, document in enumerate(documents):
        i = 0
        while i < len(document):
            target = target_length(rng, room, short_prob)
            start, i = i, reaching(document, i, target)
            cut = start + (int(rng.integers(1, i - start)) if i - start > 1 else 1)
            a = np.concatenate(document[start:cut])
            way = int(rng.integers(3))
            way = OTHER if way == ADJACENT and cut == i else way
            b = np.concatenate(document[cut:i]) if way == ADJACENT else _elsewhere(
                rng, document, start, cut, target - len(a)) if way == SAME else None
            if b is None:
                way, b = OTHER, from_another(rng, documents, number, target - len(a))
            i = i if way == ADJACENT else cut  # what was not used is for the next example
            examples.append(pair(*truncate(rng, a, b, room), IGNORE, tokenizer.vocab, {TERM: way}))
    return examples


def _elsewhere(rng: np.random.Generator, document: list, start: int, stop: int, length: int) -> np.ndarray | None:
    """Whole sentences of a document, at least one away from those between start and stop; None where there are none."""
    places = [*range(start - 1), *range(stop + 1, len(document))]
    if not places:
        return None
    first = places[int(rng.integers(len(places)))]
    there = document[:start - 1] if first < start else document
    return np.concatenate(there[first:reaching(there, first, max(length, 1))])
