"""Sentence pairs, of which the model says whether the second follows the first::

    [CLS] a a a a [SEP] b b b [SEP]        next_label 0: b follows a in the text;  1: b comes from another document

They are drawn as in ``create_pretraining_data.py`` of the reference implementation (Devlin et al. 2018, A.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from minibert.data.documents import Document
from minibert.data.randomness import PAIRS, generator
from minibert.tasks.examples import IGNORE, NOTHING, Example, arrays


def sentence_pairs(
    documents: Iterable[Document],
    tokenizer: Any,
    *,
    max_length: int,
    seed: int,
    epoch: int = 0,
    short_prob: float = 0.1,
    random_next: float = 0.5,
) -> list[Example]:
    """Pairs of segments for masked-token and next-sentence prediction: ``[CLS] a [SEP] b [SEP]``.

    Sentences are gathered until a target length is reached, which is ``max_length`` or, with probability
    ``short_prob``, a random shorter one (fine-tuning will see short inputs too). The chunk is cut between two sentences
    at random: its head is segment a; with probability ``random_next`` segment b is text from another document, and the
    unused tail of the chunk is put back for the next example; otherwise the tail is b. Too long a pair loses tokens of
    its longer segment, from the front or the back at random.

    One difference from the reference: a random segment is always from another document (the reference gives up after
    ten tries), so that the label is always true.

    documents: ids of sentences, without special tokens. tokenizer: gives ``vocab.cls_id`` and ``vocab.sep_id``.
    max_length: of an example, in tokens, special tokens included; at least 5. The same (seed, epoch) gives the same
    examples. Raises ValueError where there are fewer than two documents, or ``max_length`` leaves no room.
    """
    room = room_of(max_length)
    documents = arrays(documents, room)
    enough(documents, 2, "next-sentence pairs")
    rng = generator(seed, PAIRS, epoch)
    examples = []
    for number, document in enumerate(documents):
        i = 0
        target = target_length(rng, room, short_prob)
        while i < len(document):
            start, i = i, reaching(document, i, target)
            chunk = document[start:i]
            cut = int(rng.integers(1, len(chunk))) if len(chunk) > 1 else 1
            a = np.concatenate(chunk[:cut])
            if len(chunk) == 1 or rng.random() < random_next:
                b = from_another(rng, documents, number, target - len(a))
                next_label = 1
                i -= len(chunk) - cut
            else:
                b = np.concatenate(chunk[cut:])
                next_label = 0
            examples.append(pair(*truncate(rng, a, b, room), next_label, tokenizer.vocab))
            target = target_length(rng, room, short_prob)
    return examples


def enough(documents: list, least: int, what: str) -> None:
    """ValueError where there are too few documents for ``what``."""
    if len(documents) < least:
        raise ValueError(f"for {what} there must be at least {least} document{'s' * (least > 1)} with text, got "
                         f"{len(documents)}: separate documents by a blank line, or train without pairs")


def room_of(max_length: int) -> int:
    """How many tokens a and b may have together. ValueError where that is not one for each."""
    if max_length < 5:
        raise ValueError(f"max_length must be at least 5 ([CLS] a [SEP] b [SEP]), got {max_length}")
    return max_length - 3


def pair(a: np.ndarray, b: np.ndarray, label: int, vocab: Any, targets: Mapping[str, Any] = NOTHING) -> Example:
    """``[CLS] a [SEP] b [SEP]``"""
    ids = np.empty(len(a) + len(b) + 3, dtype=np.int32)
    split = len(a) + 2
    ids[0], ids[split - 1], ids[-1] = vocab.cls_id, vocab.sep_id, vocab.sep_id
    ids[1 : split - 1] = a
    ids[split:-1] = b
    return Example(ids, split, label, targets)


def alone(sentence: np.ndarray, vocab: Any) -> Example:
    """``[CLS] a [SEP]``, of which nothing is asked."""
    ids = np.array([vocab.cls_id, *sentence, vocab.sep_id], dtype=np.int32)
    return Example(ids, len(ids), IGNORE)


def target_length(rng: np.random.Generator, room: int, short_prob: float) -> int:
    """How many tokens a pair is to have: ``room``, or with ``short_prob`` a random smaller number."""
    return int(rng.integers(2, room + 1)) if rng.random() < short_prob else room


def reaching(document: list, start: int, length: int) -> int:
    """The place behind the sentences from ``start`` on that together have ``length`` tokens, or behind the last one."""
    while start < len(document) and length > 0:
        length -= len(document[start])
        start += 1
    return start


def from_another(rng: np.random.Generator, documents: list, number: int, length: int) -> np.ndarray:
    """Whole sentences from a random place of a random document other than ``number``, at least ``length`` tokens."""
    other = int(rng.integers(len(documents) - 1))
    document = documents[other + (other >= number)]
    start = int(rng.integers(len(document)))
    return np.concatenate(document[start:reaching(document, start, max(length, 1))])


def truncate(rng: np.random.Generator, a: np.ndarray, b: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
    """a and b with together at most ``room`` tokens: the longer loses one at a time, at its front or back by a coin."""
    excess = len(a) + len(b) - room
    if excess <= 0:
        return a, b
    fronts = rng.random(excess) < 0.5
    cuts = {True: [0, 0], False: [0, 0]}  # [front, back] cut from a (True) and from b (False)
    left_a, left_b = len(a), len(b)
    for front in fronts.tolist():
        longer_a = left_a > left_b
        cuts[longer_a][0 if front else 1] += 1
        left_a, left_b = left_a - longer_a, left_b - (not longer_a)
    (front_a, back_a), (front_b, back_b) = cuts[True], cuts[False]
    return a[front_a : len(a) - back_a], b[front_b : len(b) - back_b]
