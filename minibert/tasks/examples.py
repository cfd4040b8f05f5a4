"""An example is one row of a batch: before anything in it is hidden, and as the model sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from minibert.data.documents import Document

IGNORE = -100  # a label that is no class and no token id: it takes no part in a loss
NOTHING: Mapping[str, Any] = MappingProxyType({})


class Example(NamedTuple):
    """One sequence with its special tokens in place, not yet masked."""

    ids: np.ndarray  # (T,) int32
    split: int  # index of the first token of segment b; T where there is no second segment
    next_label: int  # 0: b follows a; 1: b is from another document; IGNORE: no pair
    targets: Mapping[str, Any] = NOTHING  # what else is asked, by term: a label of the whole, or one for each token (T,)
    marks: Mapping[str, np.ndarray] = NOTHING  # (T,) each: what is known of its tokens beside their ids, see ``marks``


class Masked(NamedTuple):
    """An example as the model sees it, with what it has to guess."""

    ids: np.ndarray  # (T,) int32
    split: int  # index of the first token of segment b; T where there is none
    next_label: int  # 0: b follows a; 1: b is from another document; IGNORE: no pair
    positions: np.ndarray  # (M,) int64, ascending: which tokens are asked for
    labels: np.ndarray  # (M,) int64: the original ids at those positions; IGNORE where only ``others`` ask
    others: Mapping[str, np.ndarray] = NOTHING  # (M,) each: what else is asked at those positions, by term
    targets: Mapping[str, Any] = NOTHING  # as in an example
    prefix: bool = False  # no token of segment b sees what comes after it: see ``segments.prefix``


class Marked(list):
    """Documents of ids with ``marks``, by name, that lie as the ids do: by document and sentence, one for each token."""

    def __init__(self, documents: Sequence[Document], marks: Mapping[str, Sequence[Document]]) -> None:
        super().__init__(documents)
        self.marks = marks


def arrays(documents: Iterable[Document], limit: int | None = None) -> list[list[np.ndarray]]:
    """The documents with every sentence as an int32 array; empty sentences and empty documents are dropped.

    A sentence of more than ``limit`` tokens (a page without a full stop, a table) becomes several of at most
    ``limit``: cut to one example, all the rest of it would never be seen.
    """
    result = []
    marks = getattr(documents, "marks", {})
    for document in documents:
        sentences = []
        for sentence in document:
            ids = np.asarray(sentence, dtype=np.int32)
            step = limit or len(ids)
            sentences.extend(ids[start : start + step] for start in range(0, len(ids), step or 1))
        if sentences:
            result.append(sentences)
    return Marked(result, {name: arrays(x, limit) for name, x in marks.items()}) if marks else result
