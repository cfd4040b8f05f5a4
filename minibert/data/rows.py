"""Files of labelled examples as rows with named columns: TSV, CSV, JSON and JSON Lines.

How lines become cells: ``separated.py``. A file without a header gets the column names ``1``, ``2``, …
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from minibert.data import separated
from minibert.data.separated import all_numbers
from minibert.files import decode_utf8, line_ends, loads_json

Row = dict[str, Any]

#: Column names that are understood without being told, in lower case.
LABELS = ("label", "labels", "gold_label", "quality", "class", "category", "sentiment", "stars", "rating", "score", "similarity",
          "target", "intent", "is_duplicate", "y")
PAIRS = (("sentence1", "sentence2"), ("text_a", "text_b"), ("question1", "question2"), ("question", "sentence"),
         ("premise", "hypothesis"), ("#1 string", "#2 string"), ("text", "text_pair"), ("text1", "text2"))
TEXTS = ("text", "sentence", "text_a", "sentence1", "review", "content", "comment", "title", "question", "premise", "query",
         "utterance", "tweet")
IDS = ("id", "idx", "index", "guid")
_KNOWN = {*LABELS, *TEXTS, *(name for pair in PAIRS for name in pair), *IDS} - {"y"}  # y: also "yes"

NOTHING = ("", "-100", "nan")  # as a label, in lower case: there is none
_SIGNS = ("-", "_", "?", "n/a", "#n/a", "<na>", "null")  # as a label: none, unless others are signs too, or most are this one
_WORDS = ("na", "none")  # as a label: there is none, or a class that is called so; taken for that
MARKS = (*NOTHING, *_SIGNS, *_WORDS)


class Table(NamedTuple):
    """The rows of a file. ``lines[i]``: where row i stands in it, counted from 1."""

    path: Path
    columns: list[str]
    rows: list[Row]
    lines: list[int]
    header: bool  # do the columns have names of their own?
    unit: str = "line"  # what ``lines`` counts
    notes: Sequence[str] = ()

    def where(self, i: int) -> str:
        """How messages call row i."""
        return f"{self.path}, {self.unit} {self.lines[i]}"


def text_of(path: str | os.PathLike[str]) -> str:
    """The contents of a file as text, line ends as ``\\n``. OSError or ValueError where it cannot be read or is not UTF-8."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected a file with examples")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    text = line_ends(decode_utf8(path.read_bytes(), path))
    if not text.strip():
        raise ValueError(f"{path} is empty; expected one example a line")
    return text


def is_json(path: Path, text: str) -> bool:
    """Does the file hold JSON or JSON Lines?"""
    return path.suffix.lower() in (".json", ".jsonl", ".ndjson") or bool(re.match(r'\s*(\[\s*)?\{\s*"', text))


def is_json_file(path: str | os.PathLike[str]) -> bool:
    """Does the file hold JSON or JSON Lines? Raises what ``text_of`` raises."""
    return is_json(Path(path), text_of(path))


def read(path: str | os.PathLike[str], header: bool | None = None, named: Collection[str] = ()) -> Table:
    """The rows of a file. ``header``: has it one? None: as the whole file shows, or where it holds a name in ``named``.

    Raises OSError for a file that cannot be read, ValueError with the line for one that is not regular.
    """
    path = Path(path)
    text = text_of(path)
    if is_json(path, text):
        return json_rows(path, text, header)
    asked = {name.lower() for name in named if not name.isdigit()}
    (cells, lines, separator), notes = separated.cut(path, text, _KNOWN | asked)
    if header is None:
        header = not asked.isdisjoint(cell.strip().lower() for cell in cells[0])
        if not header:
            header, doubt = separated.names_columns(cells, _KNOWN, MARKS)
            notes += [doubt] if doubt else []
    columns = names_of(path, lines[0], cells[0], header)
    for row, line in zip(cells, lines):
        if len(row) != len(columns):
            by = separated.SEPARATORS.get(separator, repr(separator))
            raise ValueError(f"{path}, line {line}: expected {len(columns)} columns as in line {lines[0]}, found {len(row)} "
                             f"(separated by {by})")
    start = int(header)
    if len(cells) == start:
        raise ValueError(f"{path} has a header and no examples below it")
    return Table(path, columns, [dict(zip(columns, row)) for row in cells[start:]], lines[start:], header, notes=notes)


def names_of(path: Path, line: int, cells: Sequence[str], header: bool) -> list[str]:
    """What the columns are called: as ``cells`` say, where they are a header; their numbers where nothing does."""
    columns = [cell.strip() if header and cell.strip() else str(i) for i, cell in enumerate(cells, start=1)]
    if len(set(columns)) < len(columns):
        raise ValueError(f"{path}, line {line}: the header has a name twice: {', '.join(columns)}")
    return columns


def json_rows(path: Path, text: str, header: bool | None = None) -> Table:
    """An object a line; or one list of objects, or one object with such a list under ``data``."""
    if header is not None:
        raise ValueError(f"{path} is JSON, which names its fields and has no header line: --header and --no-header do not apply")
    rows, lines, unit = [], [], "line"
    try:
        whole = loads_json(text)
    except ValueError:
        whole = None
    if isinstance(whole, dict) and isinstance(whole.get("data"), list):
        whole = whole["data"]
    if isinstance(whole, list):
        rows, lines, unit = whole, list(range(1, len(whole) + 1)), "example"
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
            raise ValueError(f"{path}, {unit} {line}: expected a JSON object with named fields, found {type(row).__name__}")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if not rows:
        raise ValueError(f"{path} holds no examples")
    return Table(path, columns, rows, lines, True, unit)


def column(table: Table, role: str, name: str) -> str:
    """The column that the user called ``name``: its name, or its number from 1. ValueError lists those there are."""
    if name in table.columns:
        return name
    if name.isdigit() and 1 <= int(name) <= len(table.columns):
        return table.columns[int(name) - 1]
    if found := known(table, [name.lower()]):
        return found
    raise ValueError(f"{table.path} has no column {name!r} for the {role}; its columns are {', '.join(table.columns)}"
                     + ("" if table.header else " (it has no header: name them by number)"))


def named_columns(table: Table, **names: str | None) -> dict[str, str]:
    """role -> column, for every role that the user named one for. ValueError where two roles have the same."""
    found = {role: column(table, role, name) for role, name in names.items() if name}
    for role, name in found.items():
        if other := next((other for other in found if found[other] == name and other != role), None):
            raise ValueError(f"{table.path}: --{role} and --{other} both name the column {name}; each needs one of its own")
    return found


def known(table: Table, names: Sequence[str], taken: Collection[str] = ()) -> str | None:
    """The first of ``names`` that the table has as a column that is not ``taken``, whatever its case."""
    there = {name.lower(): name for name in table.columns if name not in taken}
    return next((there[name] for name in names if name in there), None)


def cell(table: Table, i: int, name: str, role: str) -> str:
    """The text in a column of row i. ValueError where there is none."""
    value = _text(table.rows[i].get(name))
    if not value.strip():
        raise ValueError(f"{table.where(i)}: the {role} (column {name}) is empty; fill it in or take the line out")
    if isinstance(table.rows[i][name], (list, dict)):
        raise ValueError(f"{table.where(i)}: the {role} (column {name}) must be a text, found a JSON "
                         f"{'list' if isinstance(table.rows[i][name], list) else 'object'}")
    return value


def judged(labelled: bool | None, read: Callable[..., Any], *args: Any) -> Any:
    """``read(*args)``, a label; None instead of its ValueError where none is needed."""
    try:
        return read(*args)
    except ValueError:
        if labelled:
            raise
        return None


def labels(table: Table, name: str | None, numeric: bool = False) -> tuple[list[str | None], list[str]]:
    """The label of every row, None where it has none; and what is to be said about that."""
    if name is None:
        return [None] * len(table.rows), []
    values = [_text(row.get(name)).strip() if numeric else _one_label(table, i, name) for i, row in enumerate(table.rows)]
    absent, notes = absences(values, numeric)
    return [None if value in absent else value for value in values], notes


def _one_label(table: Table, i: int, name: str) -> str:
    """What stands in the label column of row i, "" for nothing: one label, or a list of one."""
    value = table.rows[i].get(name)
    if isinstance(value, list) and len(value) < 2:
        value = value[0] if value else None
    if isinstance(value, (list, dict)):
        raise ValueError(f"{table.where(i)}: the label (column {name}) must be one, found {_text(value)[:60]}; for texts with "
                         "several labels: minibert finetune classify --multi-label")
    return _text(value).strip()


def absences(values: Iterable[str], numeric: bool = False) -> tuple[set[str], list[str]]:
    """Which values of a file's label column say that there is no label, and what is to be said about them.

    Always those in ``NOTHING``. A sign such as ``-`` (SNLI: no agreement) or ``N/A``, unless labels that are made of signs
    (``+``) make it one of them, or most examples have it, which is how "none of these" is written. And -1, where the others
    count 0, 1, 2, … and are all more frequent (``datasets``); beside 0 and 1 alone it is a class: negative, neutral, positive.
    ``numeric`` labels may be any number.
    """
    counts = Counter(values)
    always = {value for value in counts if value.lower() in NOTHING and not (numeric and value == "-100")}
    marks = [value for value in counts if value.lower() in (*_SIGNS, *_WORDS)]
    others = {value: n for value, n in counts.items() if value not in (*always, *marks, "-1")}
    count_up = set(others) == {str(i) for i in range(len(others))}

    def absent(value: str) -> bool:
        if not others or numeric:
            return True
        if value == "-1":
            return len(others) > 2 and counts[value] < min(others.values())
        if value.lower() in _WORDS:
            return False
        return counts[value] <= max(others.values()) and all(any(map(str.isalnum, other)) for other in others)

    doubtful = marks + ["-1"] * ("-1" in counts and count_up and not numeric)
    found = always.union(filter(absent, doubtful))
    return found, [f"a label {value!r} is taken to say that there is none" for value in sorted(found - {""})] + [
        f"the label {value!r} is taken for a class; if it says that there is none, take its lines out"
        for value in doubtful if value not in found]


def _text(value: Any) -> str:
    """A cell as text; "" for nothing."""
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def guess_columns(table: Table, text: str | None, pair: str | None, label: str | None, numeric: bool,
                  labelled: bool | None = True, sparse: bool = False) -> dict[str, str]:
    """Which columns hold ``text``, ``pair`` and ``label``; what was named is taken, the rest is guessed.

    ``labelled``: must there be a label? None: it may be missing. False: none is looked for. ``sparse``: it may be empty.

    By names that are usual, and else by what the columns hold: the label is what repeats itself most (or, for ``numeric`` labels,
    what is a number), the text what is longest. Where more than two columns have names and several could be the label, that is
    not guessed. A second text is only guessed where the names say so.
    """
    found = named_columns(table, text=text, pair=pair, label=label)
    if "label" not in found and labelled is not False and (name := known(table, LABELS, found.values())):
        found["label"] = name
    if "text" not in found:
        both = next((pair for pair in PAIRS if all(known(table, [name], found.values()) for name in pair)), None)
        if both and "pair" not in found:
            found["text"], found["pair"] = known(table, both[:1]), known(table, both[1:])
        elif name := known(table, TEXTS, found.values()):
            found["text"] = name
    free = [name for name in table.columns if name not in found.values()]
    values = {name: [_text(row.get(name)).strip() for row in table.rows] for name in free}
    if "label" not in found and labelled is not False and len(free) > ("text" not in found):
        if name := _label_by_content(table, values, numeric, sparse):
            found["label"] = name
            free.remove(name)
    if "text" not in found:
        if not free:
            raise ValueError(f"{table.path}: no column is left for the text; name the columns with --text and --label")
        found["text"] = max(free, key=lambda name: sum(map(len, values[name])))
    if labelled and "label" not in found:
        if len(table.columns) == 1 and table.unit == "line":
            raise ValueError(f"{table.path}: no separator was found in it, so that each line is one text without a label; "
                             "expected a text, a tab and a label on each line (in a .csv: a comma, semicolon, tab or |)")
        raise ValueError(f"{table.path}: which column is the label? There are {', '.join(table.columns)}; name it with --label"
                         + "; or --no-header, if the first line is an example" * (table.header and table.unit == "line"))
    return found


def _label_by_content(table: Table, values: dict[str, list[str]], numeric: bool, sparse: bool) -> str | None:
    """The column that could be the label, in a table without known names.

    One that says the same in all rows is none, nor, but for ``sparse`` labels, one that is empty in more than a tenth of them.
    """
    fitting = [name for name, column in values.items()
               if (sparse or 10 * column.count("") <= len(column)) and len({*column} - {""}) > 1
               and (not numeric or all_numbers(column, MARKS))]
    if not table.header or len(table.columns) == 2:
        return min(fitting, key=lambda name: (len(set(values[name])), sum(map(len, values[name]))), default=None)
    recurring = [name for name in fitting if name.lower() not in IDS
                 and (numeric or 2 * len(set(values[name])) <= len(values[name]))]
    return recurring[0] if len(recurring) == 1 else None
