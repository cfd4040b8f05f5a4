"""Phrases: what stands between two marks of a sentence, in runs of ten tokens at most, without pairs::

    [CLS] s s s s s [SEP]        next_label IGNORE: no pair

What a model without positions can learn a word from: its nearest neighbours. The marks themselves are left out. The original
keeps the first ten words of a phrase that has more, and nothing of one that has not; here all of a phrase is read, and what is
left of it as an example of its own, unless it is a single token.

Source: brightmart/bert_language_understanding ``pretrain_task.py``, ``mask_language_model``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from minibert.data.documents import Document
from minibert.tasks.examples import Example, arrays
from minibert.tasks.segments.next_sentence import alone

LONGEST, SHORTEST = 10, 2  # tokens of a phrase, [CLS] and [SEP] not counted
MARKS = (*",.;:!?", *"，。；：！？、")


def phrases(documents: Iterable[Document], tokenizer: Any, *, max_length: int, seed: int = 0, epoch: int = 0) -> list[Example]:
    """Phrases of at most ``LONGEST`` tokens, and of ``max_length`` with their special tokens: ``[CLS] s s s [SEP]``.

    They are the same in every epoch. Raises ValueError where there are none, or ``max_length`` leaves no room for one.
    """
    room = min(LONGEST, max_length - 2)
    if room < SHORTEST:
        raise ValueError(f"max_length must be at least {SHORTEST + 2} for a phrase, got {max_length}")
    vocab, examples = tokenizer.vocab, []
    marks = np.array([vocab.index[mark] for mark in MARKS if mark in vocab.index], np.int32)
    for document in arrays(documents):
        for sentence in document:
            ends = np.flatnonzero(np.isin(sentence, marks))
            for phrase in np.split(sentence, np.sort(np.concatenate([ends, ends + 1]))):
                for start in range(0, len(phrase), room):
                    part = phrase[start:start + room]
                    if len(part) >= SHORTEST:
                        examples.append(alone(part, vocab))
    if not examples:
        raise ValueError(f"there is no phrase of {SHORTEST} tokens in these documents; give a corpus with some text")
    return examples
