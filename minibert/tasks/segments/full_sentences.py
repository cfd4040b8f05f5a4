"""Full sentences packed to the length limit, without pairs::

    [CLS] s s s s s s s s s s [SEP]        next_label IGNORE: no pair
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from minibert.data.documents import Document
from minibert.data.randomness import PAIRS, generator
from minibert.tasks.examples import IGNORE, Example, arrays


def packed(
    documents: Iterable[Document], tokenizer: Any, *, max_length: int, seed: int, epoch: int = 0, within: bool = False
) -> list[Example]:
    """Full sentences packed up to ``max_length``: ``[CLS] s s s [SEP]``, without next-sentence prediction.

    Documents follow one another in an order drawn from (seed, epoch), joined by a [SEP] where two of them meet in one
    example ("FULL-SENTENCES" of Liu et al. 2019, RoBERTa, 4.2). No token is lost; a sentence longer than an example
    continues in the next one. ``within``: an example ends with its document ("DOC-SENTENCES").

    max_length: of an example, in tokens, special tokens included; at least 3. Raises ValueError where there is no text.
    """
    if max_length < 3:
        raise ValueError(f"max_length must be at least 3 ([CLS] token [SEP]), got {max_length}")
    room = max_length - 2
    documents = arrays(documents, room)
    if not documents:
        raise ValueError("there is no text in these documents; give a corpus with at least one sentence")
    cls, sep = (np.array([i], dtype=np.int32) for i in (tokenizer.vocab.cls_id, tokenizer.vocab.sep_id))
    examples: list[Example] = []
    chunk: list[np.ndarray] = []
    length = 0

    def close() -> None:
        ids = np.concatenate([cls, *chunk, sep])
        examples.append(Example(ids, len(ids), IGNORE))

    for number in generator(seed, PAIRS, epoch).permutation(len(documents)):
        if chunk and within:
            close()
            chunk, length = [], 0
        between = [sep] if chunk else []
        for sentence in documents[number]:
            if chunk and length + len(between) + len(sentence) > room:
                close()
                chunk, length, between = [], 0, []
            chunk += [*between, sentence]
            length += len(between) + len(sentence)
            between = []
    close()
    return examples
