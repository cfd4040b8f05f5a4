"""Judge a text, or a pair of texts, by a number: how alike two sentences are, how many stars a review gave.

One output of the same head as in ``classify``, trained with the squared error. Source: Devlin et al. 2018, section 4.1 (STS-B).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minibert.data import rows
from minibert.tasks.labelled import common, metrics
from minibert.tasks.labelled.classify import texts  # noqa: F401 - the same for both
from minibert.tasks.labelled.common import Data
from minibert.tasks.labelled.features import Feature
from minibert.text import Tokenizer

KIND = "number"
ARCHITECTURE = "BertForSequenceClassification"
METRIC = "pearson"
METRICS = ("pearson", "spearman", "mean_squared_error")
MAX_LENGTH = 128
COLUMNS = ("text", "pair", "label", "guess", "difference")
LABEL = "label"
PLACEHOLDER = -1.0  # the only label of a file without labels, as in the test sets of GLUE


class Example(NamedTuple):
    """A text or two, and its number where that is known; or several."""

    text: str
    pair: str | None
    label: float | tuple[float, ...] | None
    where: str


class Guess(NamedTuple):
    """A number, or as many as the model has outputs."""

    label: float | tuple[float, ...]


def read(path: Any, settings: Any, labelled: bool | None = True) -> Data:
    """As in ``classify``; labels must be finite numbers. Several for each text are written ``1.5|2``, or as a JSON list."""
    table = rows.read(path, settings.header, [name for name in (settings.text, settings.pair, settings.label) if name])
    columns = rows.guess_columns(table, settings.text, settings.pair, settings.label, numeric=True, labelled=labelled)
    pair = columns.get("pair")
    found, notes = rows.labels(table, columns.get("label"), numeric=True)
    numbers = [None if label is None else rows.judged(labelled, _numbers, label, table.where(i)) for i, label in enumerate(found)]
    if not labelled and set(numbers) == {PLACEHOLDER}:
        numbers = [None] * len(numbers)
    _check_sizes(numbers, table)
    return Data(table.path, [Example(rows.cell(table, i, columns["text"], "text"),
                                     rows.cell(table, i, pair, "second text") if pair else None,
                                     label, table.where(i)) for i, label in enumerate(numbers)], columns, [*table.notes, *notes])


def _check_sizes(numbers: Sequence[float | tuple[float, ...] | None], table: rows.Table) -> None:
    """ValueError where some texts have more numbers than others."""
    sizes = {i: np.size(label) for i, label in enumerate(numbers) if label is not None}
    first = next(iter(sizes), 0)
    if other := next((i for i, size in sizes.items() if size != sizes[first]), None):
        raise ValueError(f"{table.where(other)}: expected as many numbers as in {table.unit} {table.lines[first]}, "
                         f"{sizes[first]}, found {sizes[other]}")


def classes(example: Example) -> tuple[str, ...]:
    """Numbers are no classes."""
    return ()


def labels(examples: Sequence[Example]) -> list[str]:
    """The outputs, one for each number, which have no classes. ValueError where all numbers are the same."""
    if len({example.label for example in examples}) < 2:
        raise ValueError(f"all {len(examples)} training examples have the label {examples[0].label}: "
                         "there is nothing to tell apart")
    return [f"LABEL_{i}" for i in range(np.size(examples[0].label))]


def encode(examples: Sequence[Example], tokenizer: Tokenizer, labels: Sequence[str],
           settings: Any) -> tuple[list[Feature], int]:
    """One feature for each example; and how many texts were too long and cut."""
    for example in examples:
        if example.label is not None and np.size(example.label) != len(labels):
            raise ValueError(f"{example.where}: expected as many numbers as the training examples have, {len(labels)}, "
                             f"found {np.size(example.label)}")
    encoded = [common.sequence(tokenizer, e.text, e.pair, settings) for e in examples]
    unknown = _one_or_all([0.0] * len(labels))
    features = [Feature((ids,), (split,), np.array(unknown if e.label is None else e.label), i)
                for i, (e, (ids, split, _)) in enumerate(zip(examples, encoded))]
    return features, sum(cut for _, _, cut in encoded)


def guess(logits: Sequence[np.ndarray], features: Sequence[Feature], examples: Sequence[Example], labels: Sequence[str],
          settings: Any) -> list[Guess]:
    """The number of each example, or its numbers; logits: (C,) each."""
    return [Guess(_one_or_all(row.tolist())) for row in logits]


def right(example: Example) -> Guess:
    """The guess that would be right."""
    return Guess(example.label)


def score(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> dict[str, float]:
    """Both correlations, of several numbers the mean of them, and the mean squared error."""
    x, y = (np.array([each.label for each in part], float).reshape(len(part), -1) for part in (examples, guesses))
    if x.shape != y.shape:
        raise ValueError(f"{examples[0].where}: the label has {x.shape[1]} numbers, but the model gives {y.shape[1]}")
    pearson, spearman = (float(np.mean([correlation(*both) for both in zip(x.T, y.T)]))
                         for correlation in (metrics.pearson, metrics.spearman))
    return {"pearson": pearson, "spearman": spearman, "mean_squared_error": float(np.mean((x - y) ** 2))}


def row(example: Example, guess: Guess) -> tuple[tuple, bool | None]:
    """What is written down; no number is quite right, so all examples are listed by their distance."""
    off = None if example.label is None else float(np.abs(np.subtract(guess.label, example.label)).mean())
    return (example.text, example.pair, _text(example.label), _text(guess.label), off), None if off is None else off == 0


def describe(examples: Sequence[Example]) -> list[str]:
    """What numbers there are, and what always guessing the mean is worth."""
    lines = []
    for x in np.array([example.label for example in examples]).reshape(len(examples), -1).T:
        low, quarter, middle, three, high = np.percentile(x, (0, 25, 50, 75, 100))
        lines += [f"labels from {low:g} to {high:g}; a quarter up to {quarter:g}, half up to {middle:g}, three quarters up to "
                  f"{three:g}",
                  f"always guessing the mean, {x.mean():.3g}, has a mean squared error of {x.var():.3g}"]
    return lines


def details(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> list[str]:
    """Nothing beyond the figures."""
    return []


def picture(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> None:
    """There are no classes to confuse."""


def _text(label: float | tuple[float, ...] | None) -> str | None:
    return None if label is None else "|".join(f"{value:.4f}" for value in np.atleast_1d(label))


def _one_or_all(values: Sequence[float]) -> float | tuple[float, ...]:
    return values[0] if len(values) == 1 else tuple(values)


def _numbers(text: str, where: str) -> float | tuple[float, ...]:
    try:
        values = [float(value) for value in (text[1:-1].split(",") if text[0] == "[" else text.split("|"))]
    except ValueError:
        values = []
    if not values or not np.isfinite(values).all():
        raise ValueError(f"{where}: the label {text!r} is not a number; for classes use: minibert finetune classify")
    return _one_or_all(values)
