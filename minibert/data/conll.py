"""Sentences with a word on each line: CoNLL's layouts, and those that number the words (CoNLL-U, GermEval).

::

    word … tag                                   CoNLL-2003 and most others: the word in column 1, the tag in the last
    1 word outer inner                           GermEval: the word in column 2, the tag of the whole name in column 3
    1 FORM LEMMA UPOS XPOS … MISC                CoNLL-U and CoNLL-X: ten columns; 1-2 is written as one word, 8.1 is not written

A blank line or ``-DOCSTART-`` ends a sentence. Lines that begin with ``#`` are comments where they cannot be a word.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from minibert.data import rows
from minibert.data.rows import Table

UNIVERSAL = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
UNSPECIFIED = ("UPOS", "XPOS", "HEAD", "DEPREL")
WORDS = ("word", "words", "token", "tokens", "form")
TAGS = ("ner", "tag", "tags", "label", "labels", "ner_tag", "ner_tags", "pos", "pos_tag", "pos_tags", "upos")

Line = tuple[int, list[str]]  # its number from 1, and its cells


class Words(NamedTuple):
    """The words of a file: ``sentences`` of lines, in a ``table`` that knows what its columns are called."""

    table: Table
    sentences: list[list[Line]]
    word: str  # the columns that are taken where the user names none
    label: str | None
    universal: bool  # CoNLL-U or CoNLL-X: ``_`` says that there is nothing, in UNSPECIFIED that nothing is known


def read(path: Path, text: str, header: bool | None, named: Collection[str]) -> Words:
    """The words of a file. ``header``: does the first line name the columns? None: as it looks. ValueError with the line."""
    sentences, comments = _sentences(path, text)
    first, cells = sentences[0][0]
    if header is None:
        header = _names_columns(sentences, named)
    names = next((line.partition("=")[2].split() for line in comments if line.startswith("# global.columns")), [])
    if header:
        sentences = [rest for rest in (sentences[0][1:], *sentences[1:]) if rest]
        if not sentences:
            raise ValueError(f"{path} has a header and no words below it")
        names = cells
    number = _numbering(sentences)
    if number is not None:  # without the words that are parts of others, and those that are not written
        written = [[line for line in sentence if line[1][number].isdecimal()] for sentence in sentences]
        sentences = list(filter(None, written))
    if not names and number == 0 and len(cells) == len(UNIVERSAL):
        names = UNIVERSAL
    columns = rows.names_of(path, first, names if len(names) == len(cells) else [""] * len(cells), True)
    universal = "FORM" in columns and "UPOS" in columns
    notes = [] if universal or not comments else [f"{len(comments):,} lines that begin with # are taken for comments"]
    table = Table(path, columns, [], [], columns[0] != "1", notes=notes)
    word = rows.known(table, WORDS) or columns[0 if number is None else number + 1]
    label = "UPOS" if universal else rows.known(table, TAGS) or _label(sentences, columns, number)
    return Words(table, sentences, word, label, universal)


def _sentences(path: Path, text: str) -> tuple[list[list[Line]], list[str]]:
    """Runs of lines with words in them, all of the same width; and the comments."""
    lines = [(number, line, _cells(line)) for number, line in enumerate(text.split("\n"), start=1)]
    plain = [(number, cells) for number, line, cells in lines if cells and not line.startswith(("#", "-DOCSTART-"))]
    if not plain:
        raise ValueError(f"{path} has no sentences; expected a word and its tag on each line, "
                         "and a blank line after each sentence")
    widths = Counter(len(cells) - _empty(cells) for _, cells in plain)
    width = max(widths, key=lambda n: (widths[n], n))
    first = next(number for number, cells in plain if len(cells) - _empty(cells) == width)
    last, tabs = {cells[width - 1] for _, cells in plain if len(cells) >= width} | {"#"}, "\t" in text
    behind = defaultdict(set)  # what begins with # -> what ends such lines
    for _, line, cells in lines:
        if line.startswith("#"):
            behind[cells[0]].add(cells[-1])
    sentences: list[list[Line]] = [[]]
    comments = []
    for number, line, cells in lines:
        if not cells or line.startswith("-DOCSTART-"):
            sentences.append([])
            continue
        if len(cells) > width >= len(cells) - _empty(cells):
            cells = cells[:width]
        if line.startswith("#"):
            heads = not sentences[-1] and cells[-1] not in last and (cells[0] == "#" or len(behind[cells[0]]) > 1)
            if heads or len(cells) != width or (tabs and "\t" not in line):
                comments.append(line)
                continue
        if len(cells) != width or not cells[-1]:
            raise ValueError(f"{path}, line {number}: expected {width} columns as in line {first}, found "
                             f"{sum(map(bool, cells))}: {line.strip()!r}; a blank line ends a sentence")
        sentences[-1].append((number, cells))
    return list(filter(None, sentences)), comments


def _empty(cells: list[str]) -> int:
    """How many cells are empty at the end."""
    return next((i for i, cell in enumerate(reversed(cells)) if cell), 0)


def _cells(line: str) -> list[str]:
    """Cut by tabs, or by blanks where there are none. A cell of nothing but blanks is a word too: some are strange ones."""
    if not line.strip():
        return []
    return [cell.strip() or cell for cell in line.split("\t")] if "\t" in line else re.split("[ \t]+", line.strip(" "))


def _names_columns(sentences: list[list[Line]], named: Collection[str]) -> bool:
    """Does the first line name the columns? It has a name that is asked for or usual, and nothing of it stands below it."""
    cells = sentences[0][0][1]
    asked = {name.lower() for name in named if not name.isdigit()}
    if not asked.isdisjoint(cell.lower() for cell in cells):
        return True
    if not any(cell.lower() in WORDS for cell in cells):
        return False
    below = zip(*[line for sentence in sentences for _, line in sentence][1:])
    return not any(cell in column for cell, column in zip(cells, below) if cell.lower() not in WORDS)


def _numbering(sentences: list[list[Line]]) -> int | None:
    """The column that counts the words of every sentence, with the words behind it: before it is what all words of one share."""
    for i in range(len(sentences[0][0][1]) - 1):
        cells, behind = ([[cells[j] for _, cells in sentence] for sentence in sentences] for j in (i, i + 1))
        if _rises(cells) and not _rises(behind) and (max(map(len, cells)) > 1 or len(sentences[0][0][1]) == len(UNIVERSAL)):
            return i
        if not _rises(cells) and any(len(set(sentence)) > 1 for sentence in cells):
            return None
    return None


def _rises(cells: list[list[str]]) -> bool:
    """Are these numbers that rise within every sentence? ``1-2`` and ``8.1`` stand between them."""
    whole = [[int(cell) for cell in sentence if cell.isdecimal()] for sentence in cells]
    return (all(re.fullmatch(r"\d+([-.]\d+)?", cell) for sentence in cells for cell in sentence)
            and all(a < b for sentence in whole for a, b in pairwise(sentence)))


def _label(sentences: list[list[Line]], columns: list[str], number: int | None) -> str | None:
    """The last column; in GermEval's layout the one before it, which has the names that stand within no other."""
    nested = number == 0 and len(columns) == 4 and all(
        any(cells[i] == "O" for sentence in sentences for _, cells in sentence) for i in (2, 3))
    return columns[2] if nested else columns[-1] if len(columns) > 1 else None
