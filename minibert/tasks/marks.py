"""What is known of a token beside its id, and how that comes along when examples are made.

::

    begins     does it begin a run of characters without a gap?           the text says so
    capital    does its word begin with a capital letter?                 the text says so
    count      how often does its id occur in all documents?
    occurs     how often does its id occur in its document?
    document   the number of its document                                  -1: a special token, which is of none

Whatever makes examples cuts, joins and exchanges sentences of numbers. Where marks are wanted it is given not ids but *places*:
the numbers of the tokens of all documents, from the first to the last. So each token of an example can be traced back, and its id
and its marks be looked up there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from minibert.data.documents import Document
from minibert.tasks.examples import Example, Marked, arrays

OF_TEXT = ("begins", "capital")


def marked(documents: Sequence[Document], texts: Sequence[Sequence[str]], tokenizer: Any, names: Collection[str]) -> list:
    """Documents of ids with those marks among ``names`` that only their texts tell; the documents themselves where none is.

    texts: the sentences by document. ValueError where capitals are wanted of a tokenizer that keeps them in its ids.
    """
    wanted = [name for name in OF_TEXT if name in names]
    if not wanted:
        return list(documents)
    if "capital" in wanted and not tokenizer.lower_case:
        raise ValueError("which words had a capital letter is asked of a model that cannot see it, but this tokenizer keeps "
                         "capital letters: leave the question out, or take an uncased vocabulary")
    found: dict[str, list] = {name: [] for name in wanted}
    for document in texts:
        rows = [_of_text(sentence, tokenizer) for sentence in document]
        for name in wanted:
            found[name].append([row[name] for row in rows])
    return Marked(documents, found)


def _of_text(text: str, tokenizer: Any) -> dict[str, np.ndarray]:
    encoding = tokenizer.encode(text, max_length=2**31, special_tokens=False)
    rows = [(start, end, word) for (start, end), word, added in
            zip(encoding.offsets, encoding.words, encoding.special_tokens_mask) if not added]
    begins, capital, before, behind = [], [], None, None
    for start, end, word in rows:
        begins.append(start != behind)
        capital.append(text[start:start + 1].isupper() if word != before else capital[-1])
        before, behind = word, end
    return {"begins": np.array(begins, bool), "capital": np.array(capital, bool)}


class Places:
    """The tokens of all documents side by side: ``documents`` of their places, and what is known at each.

    ValueError for a mark that only the text tells and these documents have not.
    """

    def __init__(self, documents: Sequence[Document], names: Collection[str], vocab: Any) -> None:
        own = arrays(documents)
        given = getattr(own, "marks", {})
        if absent := [name for name in names if name in OF_TEXT and name not in given]:
            raise ValueError(f"these documents are ids alone, and {' and '.join(absent)} only their text tells: make them with "
                             "tasks.marks.marked")
        ids = _flat(own)
        number = np.repeat(np.arange(len(own)), [sum(map(len, document)) for document in own])
        self.documents = list(_placed(own))
        self.tokenizer = SimpleNamespace(vocab=SimpleNamespace(cls_id=len(ids), sep_id=len(ids) + 1))
        self.ids = np.append(ids, np.array([vocab.cls_id, vocab.sep_id], np.int32))
        made = {"document": lambda: number, "count": lambda: _times(ids), "occurs": lambda: _times(number * 2**32 + ids)}
        self.marks = {name: np.append(made[name](), [-1, -1]) if name in made else
                      np.append(_flat(given[name]), [0, 0]).astype(bool) for name in names}

    def looked_up(self, example: Example) -> Example:
        """An example of places with their ids and their marks."""
        return example._replace(ids=self.ids[example.ids], marks={name: x[example.ids] for name, x in self.marks.items()})


def _flat(documents: Sequence[Document]) -> np.ndarray:
    return np.concatenate([sentence for document in documents for sentence in document] or [np.empty(0, np.int32)])


def _placed(documents: Sequence[Document]) -> Iterator[list[np.ndarray]]:
    """Documents of the same form, with the numbers from 0 on for tokens."""
    place = 0
    for document in documents:
        stops = place + np.cumsum([len(sentence) for sentence in document])
        yield [np.arange(stop - len(sentence), stop, dtype=np.int32) for sentence, stop in zip(document, stops.tolist())]
        place = int(stops[-1])


def _times(values: np.ndarray) -> np.ndarray:
    """Of each value, how often it occurs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return counts[inverse]
