"""Files of labelled examples as rows with named columns: TSV, CSV, JSON and JSON Lines.

Tab-separated files are taken as they stand, quotes are text (as in the reference's ``DataProcessor``); comma-separated ones
follow the rules of spreadsheets. A file without a header gets the column names ``1``, ``2``, …
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from minibert.files import csv_lines, decode_utf8, loads_json

Row = dict[str, Any]

#: Column names that are understood without being told, in lower case.
LABELS = ("label", "labels", "gold_label", "quality", "class", "category", "sentiment", "stars", "rating", "score", "similarity",
          "target", "y")
PAIRS = (("sentence1", "sentence2"), ("text_a", "text_b"), ("question1", "question2"), ("question", "sentence"),
         ("premise", "hypothesis"), ("#1 string", "#2 string"), ("text", "text_pair"), ("text1", "text2"))
TEXTS = ("text", "sentence", "text_a", "sentence1", "review", "content", "comment", "title", "question", "premise", "query")
_KNOWN = {*LABELS, *TEXTS, *(name for pair in PAIRS for name in pair), "id", "idx", "index", "guid"}


class Table(NamedTuple):
    """The rows of a file. ``lines[i]``: where row i stands in it, counted from 1."""

    path: Path
    columns: list[str]
    rows: list[Row]
    lines: list[int]
    header: bool  # do the columns have names of their own?

    def where(self, i: int) -> str:
        """How messages call row i."""
        return f"{self.path}, line {self.lines[i]}"


def text_of(path: str | os.PathLike[str]) -> str:
    """The contents of a file as text, line ends as ``\\n``. OSError or ValueError where it cannot be read or is not UTF-8."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected a file with examples")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    text = decode_utf8(path.read_bytes(), path).replace("\r\n", "\n")
    if not text.strip():
        raise ValueError(f"{path} is empty; expected one example a line")
    return text


def is_json(path: Path, text: str) -> bool:
    """Does the file hold JSON or JSON Lines?"""
    return path.suffix.lower() in (".json", ".jsonl", ".ndjson") or text.lstrip().startswith(("{\"", "[{"))


def read(path: str | os.PathLike[str], header: bool | None = None, named: Collection[str] = ()) -> Table:
    """The rows of a file. ``header``: has it one? None: it has if the first line holds a name that is known or in ``named``.

    Raises OSError for a file that cannot be read, ValueError with the line for one that is not regular.
    """
    path = Path(path)
    text = text_of(path)
    if is_json(path, text):
        return json_rows(path, text)
    cells, lines = _cells(path, text)
    if header is None:
        known = _KNOWN | {name.lower() for name in named if not name.isdigit()}
        header = any(cell.strip().lower() in known for cell in cells[0])
    columns = [cell.strip() for cell in cells[0]] if header else [str(i + 1) for i in range(len(cells[0]))]
    if len(set(columns)) < len(columns):
        raise ValueError(f"{path}, line {lines[0]}: the header has a name twice: {', '.join(columns)}")
    for row, line in zip(cells, lines):
        if len(row) != len(columns):
            raise ValueError(f"{path}, line {line}: expected {len(columns)} columns as in line {lines[0]}, found {len(row)}")
    start = int(header)
    if len(cells) == start:
        raise ValueError(f"{path} has a header and no examples below it")
    return Table(path, columns, [dict(zip(columns, row)) for row in cells[start:]], lines[start:], header)


def _cells(path: Path, text: str) -> tuple[list[list[str]], list[int]]:
    """The cells of every line that is not blank, and its number."""
    if path.suffix.lower() == ".csv":
        rows = csv_lines(text, path)
        return [cells for _, cells in rows], [line for line, _ in rows]
    numbered = [(line, number) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    return [line.split("\t") for line, _ in numbered], [number for _, number in numbered]


def json_rows(path: Path, text: str) -> Table:
    """An object a line; or one list of objects, or one object with such a list under ``data``."""
    rows, lines = [], []
    try:
        whole = loads_json(text)
    except ValueError:
        whole = None
    if isinstance(whole, dict) and isinstance(whole.get("data"), list):
        whole = whole["data"]
    if isinstance(whole, list):
        rows, lines = whole, list(range(1, len(whole) + 1))
    else:
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                try:
                    rows.append(loads_json(line))
                except json.JSONDecodeError as error:
                    raise ValueError(f"{path}, line {number}: not valid JSON ({error.msg} at column {error.colno})") from None
                except ValueError as error:  # a number of thousands of digits; brackets within brackets
                    raise ValueError(f"{path}, line {number}: not valid JSON ({error})") from None
                lines.append(number)
    for row, line in zip(rows, lines):
        if not isinstance(row, dict):
            raise ValueError(f"{path}, line {line}: expected a JSON object with named fields, found {type(row).__name__}")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if not rows:
        raise ValueError(f"{path} holds no examples")
    return Table(path, columns, rows, lines, True)


def column(table: Table, role: str, name: str) -> str:
    """The column that the user called ``name``: its name, or its number from 1. ValueError lists those there are."""
    if name in table.columns:
        return name
    if name.isdigit() and 1 <= int(name) <= len(table.columns):
        return table.columns[int(name) - 1]
    raise ValueError(f"{table.path} has no column {name!r} for the {role}; its columns are {', '.join(table.columns)}"
                     + ("" if table.header else " (it has no header: name them by number)"))


def known(table: Table, names: Sequence[str]) -> str | None:
    """The first of ``names`` that the table has as a column, whatever its case."""
    there = {name.lower(): name for name in table.columns}
    return next((there[name] for name in names if name in there), None)


def cell(table: Table, i: int, name: str, role: str) -> str:
    """What stands in a column of row i, as text. ValueError where nothing does."""
    value = table.rows[i].get(name)
    value = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if not value.strip():
        raise ValueError(f"{table.where(i)}: the {role} (column {name}) is empty; fill it in or take the line out")
    return value


def guess_columns(table: Table, text: str | None, pair: str | None, label: str | None, numeric: bool,
                  labelled: bool = True) -> dict[str, str]:
    """Which columns hold ``text``, ``pair`` and ``label``; what was named is taken, the rest is guessed.

    By names that are usual, and in a file without a header by what the columns hold: the label is what repeats itself most (or,
    for ``numeric`` labels, what is a number), the text what is longest. A second text is only guessed where the names say so.
    """
    found = {role: column(table, role, name) for role, name in (("text", text), ("pair", pair), ("label", label)) if name}
    if "label" not in found and labelled and (name := known(table, LABELS)):
        found["label"] = name
    if "text" not in found:
        both = next((pair for pair in PAIRS if known(table, pair[:1]) and known(table, pair[1:])), None)
        if both and "pair" not in found:
            found["text"], found["pair"] = known(table, both[:1]), known(table, both[1:])
        elif name := known(table, TEXTS):
            found["text"] = name
    free = [name for name in table.columns if name not in found.values()]
    if "text" not in found:
        if not free:
            raise ValueError(f"{table.path}: no column is left for the text; name the columns with --text and --label")
        values = {name: [str(row.get(name, "")) for row in table.rows] for name in free}
        if "label" not in found and labelled and len(free) > 1:
            fitting = [name for name in free if not numeric or all(map(_is_number, values[name]))]
            if fitting and not table.header:
                found["label"] = min(fitting, key=lambda name: (len(set(values[name])), sum(map(len, values[name]))))
                free.remove(found["label"])
        found["text"] = max(free, key=lambda name: sum(map(len, values[name])))
    if labelled and "label" not in found:
        raise ValueError(f"{table.path}: which column is the label? There are {', '.join(table.columns)}; "
                         "name it with --label")
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
