"""Classify a text, or a pair of texts: a class from the pooled vector.

Source: reference ``run_classifier.py``; Devlin et al. 2018, figure 4 (a) and (b).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minibert.data import rows
from minibert.tasks.labelled import common, metrics
from minibert.tasks.labelled.common import Data
from minibert.tasks.labelled.features import Feature
from minibert.text import Tokenizer

KIND = "sequence"
ARCHITECTURE = "BertForSequenceClassification"
METRIC = "accuracy"
METRICS = ("accuracy", "f1", "f1_macro", "matthews")
MAX_LENGTH = 128  # the flag's default in run_classifier.py
COLUMNS = ("text", "pair", "label", "guess", "confidence")
LABEL = "label"


class Example(NamedTuple):
    """A text or two, and its class where that is known."""

    text: str
    pair: str | None
    label: str | None
    where: str  # file and line, for messages


class Guess(NamedTuple):
    """The likeliest class, and how likely it is."""

    label: str
    confidence: float


def read(path: Any, settings: Any, labelled: bool | None = True) -> Data:
    """The examples of a TSV, CSV or JSON file. ValueError for an empty text, and for columns that are not there."""
    table = rows.read(path, settings.header, [name for name in (settings.text, settings.pair, settings.label) if name])
    columns = rows.guess_columns(table, settings.text, settings.pair, settings.label, numeric=False, labelled=labelled)
    pair = columns.get("pair")
    both = [(rows.cell(table, i, columns["text"], "text"), rows.cell(table, i, pair, "second text") if pair else None)
            for i in range(len(table.rows))]
    found, notes = rows.labels(table, columns.get("label"))
    return Data(table.path, [Example(*both[i], label, table.where(i)) for i, label in enumerate(found)], columns,
                [*table.notes, *notes])


def classes(example: Example) -> tuple[str, ...]:
    """Its class."""
    return example.label,


def labels(examples: Sequence[Example]) -> list[str]:
    """The classes of the training data, sorted. ValueError where there is only one."""
    names = common.class_names(map(classes, examples))
    if len(names) < 2:
        raise ValueError(f"all {len(examples)} training examples have the label {names[0]!r}: there is nothing to tell apart")
    return names


def encode(examples: Sequence[Example], tokenizer: Tokenizer, labels: Sequence[str],
           settings: Any) -> tuple[list[Feature], int]:
    """One feature for each example; and how many texts were too long and cut."""
    encoded = [common.sequence(tokenizer, e.text, e.pair, settings) for e in examples]
    features = [Feature((ids,), (split,), np.array(common.class_number(e.label, labels, e.where)), i)
                for i, (e, (ids, split, _)) in enumerate(zip(examples, encoded))]
    return features, sum(cut for _, _, cut in encoded)


def guess(logits: Sequence[np.ndarray], features: Sequence[Feature], examples: Sequence[Example], labels: Sequence[str],
          settings: Any) -> list[Guess]:
    """The likeliest class of each example; logits: (C,) each."""
    probabilities = common.softmax(np.stack(logits))  # (N, C)
    return [Guess(labels[i], float(row[i])) for i, row in zip(probabilities.argmax(-1), probabilities)]


def right(example: Example) -> Guess:
    """The guess that would be right."""
    return Guess(example.label, 1.0)


def score(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> dict[str, float]:
    """Accuracy, F1 and Matthews' correlation. ``f1``, for two classes: that of the second one in ``labels``."""
    matrix = _confusion(examples, guesses, labels)
    scores = {"accuracy": float(np.trace(matrix) / matrix.sum())}
    if len(labels) == 2:
        scores["f1"] = metrics.per_class(matrix, labels)[1].f1
    return scores | {"f1_macro": metrics.f1_macro(matrix), "matthews": metrics.matthews(matrix)}


def row(example: Example, guess: Guess) -> tuple[tuple, bool | None]:
    """What is written down for an example; and whether the guess is right, None where that is not known."""
    return ((example.text, example.pair, example.label, guess.label, guess.confidence),
            None if example.label is None else example.label == guess.label)


def texts(example: Example) -> str:
    """What makes two examples the same."""
    return f"{example.text}\t{example.pair or ''}"


def describe(examples: Sequence[Example]) -> list[str]:
    """The classes and how often they are, and what a guess without reading is worth."""
    values = [example.label for example in examples]
    (most, n), = Counter(values).most_common(1)
    lines = [*common.balance(values), f"always guessing {most!r} is right {n / len(values):.1%} of the time"]
    several = [value for value in values if "|" in value or value[0] + value[-1] == "[]"]
    if several:
        lines.append(f"note: {len(several):,} labels look like several, such as {several[0]!r}, which is one class here; with "
                     "--multi-label each is learned by itself")
    return lines


def details(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> list[str]:
    """The table by class, and the confusion matrix."""
    matrix = _confusion(examples, guesses, labels)
    lines = common.class_table(metrics.per_class(matrix, labels))
    return lines if len(labels) > 20 else [*lines, "", *common.confusion_table(matrix, labels)]


def picture(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> tuple[np.ndarray, Sequence[str]]:
    """The confusion matrix (C, C), and what its rows and columns are called."""
    return _confusion(examples, guesses, labels), labels


def _confusion(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> np.ndarray:
    return metrics.confusion([e.label for e in examples], [g.label for g in guesses], labels)
