"""An example is one row of a batch before anything in it is hidden."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from minibert.data.documents import Document

IGNORE = -100  # a label that is no class and no token id: it takes no part in a loss


class Example(NamedTuple):
    """One sequence with its special tokens in place, not yet masked."""

    ids: np.ndarray  # (T,) int32
    split: int  # index of the first token of segment b; T where there is no second segment
    next_label: int  # 0: b follows a; 1: b is from another document; IGNORE: no pair


def arrays(documents: Iterable[Document], limit: int | None = None) -> list[list[np.ndarray]]:
    """The documents with every sentence as an int32 array; empty sentences and empty documents are dropped.

    A sentence of more than ``limit`` tokens (a page without a full stop, a table) becomes several of at most
    ``limit``: cut to one example, all the rest of it would never be seen.
    """
    result = []
    for document in documents:
        sentences = []
        for sentence in document:
            ids = np.asarray(sentence, dtype=np.int32)
            step = limit or len(ids)
            sentences.extend(ids[start : start + step] for start in range(0, len(ids), step or 1))
        if sentences:
            result.append(sentences)
    return result
