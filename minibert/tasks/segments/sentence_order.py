"""Two neighbouring pieces of a text, of which the model says whether they were swapped (SOP)::

    [CLS] a a a a [SEP] b b b [SEP]        next_label 0: b follows a in the text;  1: a follows b

Both are of one document, so that the topic tells nothing: only the order does. The chunks are gathered and cut as for next
sentences (``next_sentence``). A chunk of one sentence has nothing to swap. Here it is an example without a pair. In the original
it gets a b from another document and the label 1, which is next-sentence prediction in disguise: ``lone_from_another``.

The head that answers is the one that BERT has for next sentences. A run that asks both questions takes ``apart`` for this one.

Source: Lan et al. 2019, "ALBERT", 3.1 (arXiv 1909.11942); google-research/albert ``create_pretraining_data.py``,
``create_instances_from_document``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from minibert.data.documents import Document
from minibert.data.randomness import PAIRS, generator
from minibert.tasks.examples import IGNORE, Example, arrays
from minibert.tasks.segments.next_sentence import alone, enough, from_another, pair, reaching, room_of, target_length, truncate

TERM = "order"  # where it has a head of its own


def ordered_pairs(
    documents: Iterable[Document],
    tokenizer: Any,
    *,
    max_length: int,
    seed: int,
    epoch: int = 0,
    short_prob: float = 0.1,
    swapped: float = 0.5,
    lone_from_another: bool = False,
) -> list[Example]:
    """Pairs of neighbours, with probability ``swapped`` exchanged: ``[CLS] a [SEP] b [SEP]``.

    The arguments are those of ``next_sentence.sentence_pairs``, and so is what the same (seed, epoch) gives. A single document
    will do, unless ``lone_from_another``. Raises ValueError where there are too few, or ``max_length`` leaves no room.
    """
    room = room_of(max_length)
    documents = arrays(documents, room)
    enough(documents, 1 + lone_from_another, "sentence order")
    rng, vocab, examples = generator(seed, PAIRS, epoch), tokenizer.vocab, []
    for number, document in enumerate(documents):
        i = 0
        while i < len(document):
            target = target_length(rng, room, short_prob)
            start, i = i, reaching(document, i, target)
            chunk = document[start:i]
            if len(chunk) > 1:
                cut = int(rng.integers(1, len(chunk)))
                a, b, label = np.concatenate(chunk[:cut]), np.concatenate(chunk[cut:]), 0
                if rng.random() < swapped:
                    a, b, label = b, a, 1
            elif lone_from_another:
                a, b, label = chunk[0], from_another(rng, documents, number, target - len(chunk[0])), 1
            else:
                examples.append(alone(chunk[0], vocab))
                continue
            examples.append(pair(*truncate(rng, a, b, room), label, vocab))
    return examples


def apart(documents: Iterable[Document], tokenizer: Any, **options: Any) -> list[Example]:
    """The same examples, of which a head of its own is asked: the label is the target ``order``."""
    return [example._replace(next_label=IGNORE, targets={TERM: example.next_label})
            for example in ordered_pairs(documents, tokenizer, **options)]
