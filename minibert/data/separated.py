"""Lines cut into cells: by tabs, commas, semicolons or bars; and whether the first line names the columns.

Tab-separated files are taken as they stand, quotes are text (as in the reference's ``DataProcessor``), unless the whole file
shows that a spreadsheet wrote it. All others follow the rules of spreadsheets: quotes hold a cell together, ``""`` is one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from minibert.files import csv_lines

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars (|)"}
FEW = 20  # rows of which even a text that stands in two of them is no chance


class Cells(NamedTuple):
    """The cells of every line that is not blank; ``lines[i]``: where row i begins, counted from 1."""

    rows: list[list[str]]
    lines: list[int]
    separator: str

    @property
    def even(self) -> bool:
        """Does it have columns: two at least, and in every row as many as in the first?"""
        return len(self.rows[0]) > 1 and all(len(row) == len(self.rows[0]) for row in self.rows)


def cut(path: Path, text: str, names: Collection[str]) -> tuple[Cells, list[str]]:
    """The cells of a file, and what is to be said about how it was cut. ``names``: of columns, in lower case.

    A ``.csv`` has commas, or else whatever cuts all its lines alike. Any other file has tabs; where it has none, another
    separator is believed only if it cuts all lines alike and the first into known names: commas stand in plain text as well.
    """
    if path.suffix.lower() == ".csv":
        cells, usual = _comma_separated(path, text), ","
    else:
        cells, usual = _tab_separated(path, text, names), "\t"
    notes = [] if cells.separator == usual or len(cells.rows[0]) < 2 else [
        f"the columns are separated by {SEPARATORS.get(cells.separator, repr(cells.separator))}"]
    return cells, notes


def _comma_separated(path: Path, text: str) -> Cells:
    if hint := re.match(r"sep=(.)\n", text):  # a line for Excel
        return _spreadsheet(path, text[hint.end() - 1:], hint[1])
    tried = []
    for separator in SEPARATORS:
        tried.append(_spreadsheet(path, text, separator))
        if tried[-1].even and not any(cell.startswith(" ") for row in tried[-1].rows for cell in row[1:]):  # no punctuation
            return tried[-1]
    even = [cells for cells in tried if cells.even]
    return next((cells for cells in even or tried if len(cells.rows[0]) > 1), tried[0])


def _tab_separated(path: Path, text: str, names: Collection[str]) -> Cells:
    numbered = [(line, number) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    plain = _trimmed(Cells([line.split("\t") for line, _ in numbered], [number for _, number in numbered], "\t"))
    if "\t" in text:
        if '"' in text and (_all_quoted(plain.rows) or not plain.even):
            quoted = _spreadsheet(path, text, "\t", strict=False)
            return quoted if quoted.even else plain
        return plain
    first = plain.rows[0][0].lower()
    for separator in SEPARATORS:
        if sum(name.strip(' "') in names for name in first.split(separator)) > 1:
            cells = _spreadsheet(path, text, separator, strict=False)
            if cells.even:
                return cells
    return plain


def _spreadsheet(path: Path, text: str, separator: str, strict: bool = True) -> Cells:
    found = [(line, row) for line, row in csv_lines(text, path, separator) if any(cell.strip() for cell in row)]
    if not found:
        raise ValueError(f"{path} has no cells that hold anything; expected one example a line")
    start = found[-1][0]
    last = text.split("\n", start - 1)[-1].rstrip("\n")
    if strict and "\n" in last and last.count('"') % 2:
        raise ValueError(f"{path}, line {start}: a quote (\") begins a cell that never ends; close it, or write \"\" for a quote "
                         "that is part of the text")
    cells = _trimmed(Cells([row for _, row in found], [line for line, _ in found], separator))
    return _decimal_points(cells) if separator == ";" and cells.even else cells


def _decimal_points(cells: Cells) -> Cells:
    """With a point in the numbers of columns that have nothing but numbers, some of them with a comma."""
    columns = [[cell.strip() for cell in column] for column in zip(*cells.rows[1:])]
    pattern = re.compile(r"[-+]?\d+(,\d+)?|")
    numbers = {i for i, column in enumerate(columns) if all(map(pattern.fullmatch, column))}
    return cells._replace(rows=[[cell.replace(",", ".") if i in numbers and pattern.fullmatch(cell.strip()) else cell
                                 for i, cell in enumerate(row)] for row in cells.rows])


def _trimmed(cells: Cells) -> Cells:
    """Without empty cells behind the last column that has any; and with a name for the first, where R numbered the rows."""
    width = len(cells.rows[0])
    if width > 1 and all(row[0].strip('"') == str(i) and len(row) == width + 1 for i, row in enumerate(cells.rows[1:], start=1)):
        return cells._replace(rows=[["", *cells.rows[0]], *cells.rows[1:]]) if len(cells.rows) > 2 else cells
    if cells.even:
        return cells
    widest = max(i for row in cells.rows for i, cell in enumerate(row, start=1) if cell.strip())
    return cells._replace(rows=[row if any(map(str.strip, row[widest:])) else row[:widest] for row in cells.rows])


def _all_quoted(rows: Sequence[Sequence[str]]) -> bool:
    """Did a spreadsheet write it? What begins with a quote ends with one, and some hold ``""`` or a whole column is quoted."""
    begun = [cell for row in rows for cell in row if cell.startswith('"')]
    return (bool(begun) and all(re.fullmatch(r'"(?:[^"]|"")*"', cell) for cell in begun)
            and (any('""' in cell[1:-1] for cell in begun)
                 or any(all(cell.startswith('"') for cell in column) for column in zip(*rows))))


def names_columns(rows: Sequence[Sequence[str]], names: Collection[str], mark: Collection[str]) -> tuple[bool, str | None]:
    """Does the first row name the columns? And what is to be said, where that could be doubted.

    By the whole file. It does where it has words above columns of numbers; it does not where it has a number itself above such a
    column, or what is there again below it, among values that recur (a class). Else it does where it has one of ``names``, or
    what would be a class that occurs nowhere else. ``mark``: what stands for a missing value, which tells nothing.
    """
    first = [cell.strip() for cell in rows[0]]
    if first == [str(i) for i in range(len(first))]:  # as pandas writes columns without names
        return len(first) > 1 and not all_numbers(rows[-1], mark), None
    if len(first) == 1 or len(rows) == 1:
        return any(cell.lower() in names for cell in first) and rows[0] not in rows[1:], None
    columns = [[cell.strip() for cell in column] for column in zip(*rows[1:])]
    named = [cell for cell, column in zip(first, columns) if cell.lower() in names]
    numbers = [cell for cell, column in zip(first, columns) if cell not in mark and all_numbers(column, mark)]
    if len(rows) > 2 and any(not is_number(cell) for cell in numbers):
        return True, None
    if any(map(is_number, numbers)):
        return False, None
    recurring = [(cell, Counter(column)) for cell, column in zip(first, columns)
                 if 2 * len(set(column)) <= len(column) or len(column) < FEW]
    if again := next((cell for cell, counts in recurring if cell in counts), None):
        return False, (f"the first line is an example, for {again!r} stands below it too; if it names the columns: --header"
                       if named else None)
    if named:
        return True, None
    classes = (cell for cell, counts in recurring if 2 <= len(counts) <= counts.total() / 2 and cell not in mark)
    if once := next(classes, None):
        header = all(len(cell.split()) <= 3 for cell in first)
        taken, other = ("names the columns, for", "--no-header") if header else ("is an example, though", "--header")
        return header, f"the first line {taken} {once!r} stands nowhere else in its column; if that is wrong: {other}"
    return False, None


def all_numbers(column: Sequence[str], mark: Collection[str]) -> bool:
    """Does a column hold numbers, and but for marks of missing values nothing else?"""
    present = [cell for cell in column if cell.lower() not in mark]
    return bool(present) and all(map(is_number, present))


def is_number(text: str) -> bool:
    """Would ``float`` take it?"""
    try:
        float(text)
    except ValueError:
        return False
    return True
