"""Choose: which of several endings, answers or choices fits? Each is read together with the text, each gets one number.

The numbers of one example compete in a softmax. Source: Devlin et al. 2018, section 4.4 (SWAG).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minibert.finetuning import metrics, rows
from minibert.finetuning.features import Feature
from minibert.finetuning.tasks import common
from minibert.finetuning.tasks.common import Data
from minibert.layers.cross_entropy import IGNORE
from minibert.text import Tokenizer

KIND = "choice"
ARCHITECTURE = "BertForMultipleChoice"
METRIC = "accuracy"
MAX_LENGTH = 128
COLUMNS = ("text", "label", "guess", "confidence", "choices")
TEXTS = ("sent1", "startphrase", "context", "text", "premise", "question", "sentence", "article")
STARTS = ("sent2", "start")  # what every choice begins with
LABELS = (*rows.LABELS, "answer", "answerkey")
LISTS = ("choices", "endings", "options")
NUMBERED = re.compile(r"^(ending|choice|option|answer)s?[_ -]?(\d+|[a-h])$", re.IGNORECASE)


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


def read(path: Any, settings: Any, labelled: bool = True) -> Data:
    """Rows with a text, choices (columns such as ``ending0``, ``ending1``, … or a list ``choices``) and the right one's number.

    The number counts from 0; a letter (A, B, …) or the text of the right choice will do as well. ``sent2``, where there is such
    a column, is put before every choice (SWAG). ValueError where examples have different numbers of choices.
    """
    table = rows.read(path, settings.header, [name for name in (settings.text, settings.label) if name] + list(TEXTS))
    text = rows.column(table, "text", settings.text) if settings.text else rows.known(table, TEXTS)
    label = rows.column(table, "label", settings.label) if settings.label else rows.known(table, LABELS)
    whole = rows.known(table, LISTS)
    numbered = sorted((name for name in table.columns if NUMBERED.match(name)), key=lambda name: (len(name), name))
    if text is None or (labelled and label is None) or not (whole or len(numbered) > 1):
        raise ValueError(f"{table.path}: expected a text ({', '.join(TEXTS[:4])}, …), choices (ending0, ending1, … or a list "
                         f"{LISTS[0]!r}) and a label, found columns {', '.join(table.columns)}")
    start = rows.known(table, STARTS)
    examples: list[Example] = []
    for i, row in enumerate(table.rows):
        choices = row.get(whole) if whole else [rows.cell(table, i, name, "choice") for name in numbered]
        if not isinstance(choices, list) or not all(isinstance(choice, str) and choice.strip() for choice in choices):
            raise ValueError(f"{table.where(i)}: {whole} must be a list of texts, none of them empty")
        if len(choices) < 2 or (examples and len(choices) != len(examples[0].choices)):
            raise ValueError(f"{table.where(i)}: every example must have the same number of choices, at least 2; the first one "
                             f"has {len(examples[0].choices) if examples else len(choices)}, this one {len(choices)}")
        number = _number(rows.cell(table, i, label, "label").strip(), choices, table.where(i)) if label else None
        before = str(row.get(start) or "") + " " if start else ""
        choices = [before + choice for choice in choices]
        examples.append(Example(rows.cell(table, i, text, "text"), choices, number, table.where(i)))
    columns = {"text": text, "start": start, "choices": whole or ", ".join(numbered), "label": label}
    return Data(table.path, examples, {role: name for role, name in columns.items() if name})


def _number(label: str, choices: Sequence[str], where: str) -> int:
    if label.isdigit() and int(label) < len(choices):
        return int(label)
    if len(label) == 1 and 0 <= ord(label.upper()) - ord("A") < len(choices):
        return ord(label.upper()) - ord("A")
    if label in choices:
        return choices.index(label)
    raise ValueError(f"{where}: the label must be the number of the right choice, from 0 to {len(choices) - 1}, a letter "
                     f"from A on or the choice itself, got {label!r}")


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
