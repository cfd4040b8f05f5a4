"""Choose: which of several endings, answers or choices fits? Each is read together with the text, each gets one number.

The numbers of one example compete in a softmax. Source: Devlin et al. 2018, section 4.4 (SWAG).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minibert.data import rows
from minibert.tasks.examples import IGNORE
from minibert.tasks.labelled import common, metrics
from minibert.tasks.labelled.common import Data
from minibert.tasks.labelled.features import Feature
from minibert.text import Tokenizer

KIND = "choice"
ARCHITECTURE = "BertForMultipleChoice"
METRIC = "accuracy"
METRICS = ("accuracy",)
MAX_LENGTH = 128
COLUMNS = ("text", "label", "guess", "confidence", "choices")
LABEL = "label"
TEXTS = ("sent1", "startphrase", "context", "text", "premise", "question", "sentence", "article", "ctx", "goal")
STARTS = ("sent2", "start")  # what every choice begins with
LABELS = (*rows.LABELS, "answer", "answerkey")
ABSENT = (None, "-1", "-100")  # the labels that say that there is none
LISTS = ("choices", "endings", "options")
NUMBERED = re.compile(r"^(ending|choice|option|answer|sol|solution)s?[_ -]?(\d+|[a-h])$", re.IGNORECASE)


class Example(NamedTuple):
    """A text, what may follow it, and the number of the right one where that is known."""

    text: str
    choices: list[str]
    label: int | None
    where: str


class Guess(NamedTuple):
    """The number of the choice that fits best, and how likely it is."""

    label: int
    confidence: float


def read(path: Any, settings: Any, labelled: bool | None = True) -> Data:
    """Rows with a text, choices (columns such as ``ending0``, ``ending1``, … or a list ``choices``) and the right one's number.

    The number counts from 0, or from 1 where the whole file shows it; a letter (A, B, …), what a choice is called in the file, or
    its text will do as well. ``sent2``, where there is such a column, or the one that is named as the second text, is put before
    every choice (SWAG). In a file without a header the choices are the columns that are neither text nor label. ValueError where
    examples have different numbers of choices.

    ``labelled``: must there be a label? None: it may be missing. False: none is looked for.
    """
    asked = [name for name in (settings.text, settings.pair, settings.label) if name]
    table = rows.read(path, settings.header, [*asked, *TEXTS])
    columns = rows.named_columns(table, text=settings.text, pair=settings.pair, label=settings.label)
    for role, names in (("text", TEXTS), ("pair", STARTS), ("label", LABELS)):
        wanted = role not in columns and (role != "label" or labelled is not False)
        if wanted and (name := rows.known(table, names, columns.values())):
            columns[role] = name
    whole = rows.known(table, LISTS)
    numbered = [name for name in table.columns if name not in columns.values() and (NUMBERED.match(name) or not table.header)]
    if "text" not in columns or (labelled and "label" not in columns) or not (whole or len(numbered) > 1):
        raise ValueError(f"{table.path}: expected a text ({', '.join(TEXTS[:4])}, …), choices (ending0, ending1, … or a list "
                         f"{LISTS[0]!r}) and a label, found columns {', '.join(table.columns)}; name the first and the last with "
                         "--text and --label")
    if not whole:
        numbered.sort(key=lambda name: (len(name), name))
    choices, called = zip(*(_choices(table, i, whole, numbered) for i in range(len(table.rows))))
    for i, each in enumerate(choices):
        if len(each) < 2 or len(each) != len(choices[0]):
            raise ValueError(f"{table.where(i)}: every example must have the same number of choices, at least 2; the first one "
                             f"has {len(choices[0])}, this one {len(each)}")
    found, notes = rows.labels(table, columns.get("label"), numeric=True)
    numbers = [int(label) for label, names in zip(found, called) if label and label.isdecimal() and label not in names]
    first = _first(numbers, len(choices[0]), numbered)
    if first or (numbers and 0 not in numbers):
        notes.append(f"the label of the first choice is taken to be {first}")
    examples = []
    for i, label in enumerate(found):
        number = None if label in ABSENT else rows.judged(
            labelled, _number, label, choices[i], called[i], first, table.where(i))
        before = str(table.rows[i].get(columns["pair"]) or "") + " " if "pair" in columns else ""
        examples.append(Example(rows.cell(table, i, columns["text"], "text"), [before + choice for choice in choices[i]], number,
                                table.where(i)))
    columns = {role: columns.get(role, whole or ", ".join(numbered)) for role in ("text", "pair", "choices", "label")
               if role == "choices" or role in columns}
    return Data(table.path, examples, columns, [*table.notes, *notes])


def _first(numbers: Sequence[int], choices: int, numbered: Sequence[str]) -> int:
    """0 or 1: from where on labels count the choices. As they show, by a 0 or by one for the last; else as the columns do."""
    if 0 in numbers or choices in numbers or not numbered:
        return int(0 not in numbers and choices in numbers)
    return int(numbered[0].endswith("1") and bool(numbers))


def _choices(table: rows.Table, i: int, whole: str | None, numbered: Sequence[str]) -> tuple[list[str], list[str]]:
    """The choices of row i, and what they are called there: nothing, but for ``{"label": ["A", …], "text": ["…", …]}``."""
    found, called = [rows.cell(table, i, name, "choice") for name in numbered], []
    if whole:
        found = table.rows[i].get(whole)
        if isinstance(found, list) and found and all(isinstance(choice, dict) for choice in found):
            found = {key: [choice.get(key) for choice in found] for key in ("label", "text")}
        if isinstance(found, dict):
            found, called = found.get("text"), list(map(str, found.get("label") or []))
    if not isinstance(found, list) or not all(isinstance(choice, str) and choice.strip() for choice in found):
        raise ValueError(f"{table.where(i)}: {whole} must be a list of texts, none of them empty")
    return found, called


def _number(label: str, choices: Sequence[str], called: Sequence[str], first: int, where: str) -> int:
    letter = ord(label.upper()) - ord("A") if len(label) == 1 else -1
    if label in called:
        return called.index(label)
    if label.isdecimal() and 0 <= int(label) - first < len(choices):
        return int(label) - first
    if 0 <= letter < len(choices):
        return letter
    if label in choices:
        return choices.index(label)
    raise ValueError(f"{where}: the label must be the number of the right choice, from {first} to {len(choices) - 1 + first}, "
                     f"a letter from A on or the choice itself, got {label!r}")


def classes(example: Example) -> tuple[str, ...]:
    """The number of a choice is no class."""
    return ()


def labels(examples: Sequence[Example]) -> list[str]:
    """The numbers of the choices."""
    return [str(i) for i in range(len(examples[0].choices))]


def encode(examples: Sequence[Example], tokenizer: Tokenizer, labels: Sequence[str],
           settings: Any) -> tuple[list[Feature], int]:
    """One feature for each example, with a sequence for each choice; and how many examples were too long and cut."""
    features, cut = [], 0
    for i, example in enumerate(examples):
        ids, splits, too_long = zip(*(common.sequence(tokenizer, example.text, choice, settings)
                                      for choice in example.choices))
        features.append(Feature(ids, splits, np.array(IGNORE if example.label is None else example.label), i))
        cut += any(too_long)
    return features, cut


def guess(logits: Sequence[np.ndarray], features: Sequence[Feature], examples: Sequence[Example], labels: Sequence[str],
          settings: Any) -> list[Guess]:
    """The choice that fits best; logits: (C,) each."""
    return [Guess(int(p.argmax()), float(p.max())) for p in map(common.softmax, logits)]


def right(example: Example) -> Guess:
    """The guess that would be right."""
    return Guess(example.label, 1.0)


def score(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> dict[str, float]:
    """The share that is right."""
    return {"accuracy": metrics.accuracy([e.label for e in examples], [g.label for g in guesses])}


def row(example: Example, guess: Guess) -> tuple[tuple, bool | None]:
    """What is written down for an example; and whether the guess is right, None where that is not known."""
    return ((example.text, example.label, guess.label, guess.confidence, " | ".join(example.choices)),
            None if example.label is None else example.label == guess.label)


def texts(example: Example) -> str:
    """What makes two examples the same."""
    return "\t".join([example.text, *example.choices])


def describe(examples: Sequence[Example]) -> list[str]:
    """Where the right choice stands: it should stand everywhere alike."""
    return common.balance(f"choice {example.label}" for example in examples)


def details(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> list[str]:
    """Nothing beyond the figure."""
    return []


def picture(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> None:
    """The numbers of the choices mean nothing: there is nothing to confuse."""
