"""Phrases that belong together, one a line; or the names in a file with CoNLL's tags, in any of their schemes."""

from __future__ import annotations

import os
from itertools import chain
from pathlib import Path

from minibert.data import conll
from minibert.files import decode_utf8
from minibert.tasks.labelled import metrics

ENDS = (".conll", ".iob", ".bio", ".iob2", ".bio2")


def read(path: str | os.PathLike[str]) -> list[str]:
    """The phrases of a file, each once, in the order in which they come.

    A file whose name ends in one of ``ENDS``, or that has tabs in it, is one of words and tags. FileNotFoundError where there is
    none, ValueError for one without a phrase.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r} with phrases: expected one a line, or words with CoNLL's tags")
    text = decode_utf8(path.read_bytes(), path).replace("\r\n", "\n")
    found = _tagged(path, text) if path.suffix in ENDS or "\t" in text else text.split("\n")
    phrases = [*dict.fromkeys(" ".join(phrase.split()) for phrase in found if phrase.strip())]
    if not phrases:
        raise ValueError(f"{path} has no phrase in it: expected one a line, or words with CoNLL's tags (B-, I-, O)")
    return phrases


def _tagged(path: Path, text: str) -> list[str]:
    """The entities of a file with tags, whatever their scheme."""
    found = conll.read(path, text, None, ())
    if found.label is None:
        raise ValueError(f"{path} has words and no tags: expected CoNLL's tags (B-, I-, O), or one phrase a line")
    word, tag = (found.table.columns.index(name) for name in (found.word, found.label))
    tags = [[cells[tag] for _, cells in sentence] for sentence in found.sentences]
    if (scheme := metrics.scheme(chain.from_iterable(tags))) is None:
        return []
    return [" ".join(cells[word] for _, cells in sentence[first:last + 1]) for sentence, own in zip(found.sentences, tags)
            for _, first, last in metrics.entities(own, scheme)]
