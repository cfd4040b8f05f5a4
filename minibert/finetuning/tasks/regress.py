"""Judge a text, or a pair of texts, by a number: how alike two sentences are, how many stars a review gave.

One output of the same head as in ``classify``, trained with the squared error. Source: Devlin et al. 2018, section 4.1 (STS-B).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minibert.finetuning import metrics, rows
from minibert.finetuning.features import Feature
from minibert.finetuning.tasks import common
from minibert.finetuning.tasks.classify import texts  # noqa: F401 - the same for both
from minibert.finetuning.tasks.common import Data
from minibert.text import Tokenizer

KIND = "sequence"
ARCHITECTURE = "BertForSequenceClassification"
METRIC = "pearson"
MAX_LENGTH = 128
COLUMNS = ("text", "pair", "label", "guess", "difference")


class Example(NamedTuple):
    """A text or two, and its number where that is known."""

    text: str
    pair: str | None
    label: float | None
    where: str


class Guess(NamedTuple):
    """A number."""

    label: float


def read(path: Any, settings: Any, labelled: bool = True) -> Data:
    """As in ``classify``; labels must be finite numbers."""
    table = rows.read(path, settings.header, [name for name in (settings.text, settings.pair, settings.label) if name])
    columns = rows.guess_columns(table, settings.text, settings.pair, settings.label, numeric=True, labelled=labelled)
    pair, label = columns.get("pair"), columns.get("label")
    return Data(table.path, [Example(rows.cell(table, i, columns["text"], "text"),
                                     rows.cell(table, i, pair, "second text") if pair else None,
                                     _number(rows.cell(table, i, label, "label"), table.where(i)) if label else None,
                                     table.where(i)) for i in range(len(table.rows))], columns)


def labels(examples: Sequence[Example]) -> list[str]:
    """One output, which has no classes. ValueError where all numbers are the same."""
    if len({example.label for example in examples}) < 2:
        raise ValueError(f"all {len(examples)} training examples have the label {examples[0].label}: "
                         "there is nothing to tell apart")
    return ["LABEL_0"]


def encode(examples: Sequence[Example], tokenizer: Tokenizer, labels: Sequence[str],
           settings: Any) -> tuple[list[Feature], int]:
    """One feature for each example; and how many texts were too long and cut."""
    encoded = [common.sequence(tokenizer, e.text, e.pair, settings) for e in examples]
    features = [Feature((ids,), (split,), np.array(0.0 if e.label is None else e.label), i)
                for i, (e, (ids, split, _)) in enumerate(zip(examples, encoded))]
    return features, sum(cut for _, _, cut in encoded)


def guess(logits: Sequence[np.ndarray], features: Sequence[Feature], examples: Sequence[Example], labels: Sequence[str],
          settings: Any) -> list[Guess]:
    """The number of each example; logits: (1,) each."""
    return [Guess(float(row[0])) for row in logits]


def score(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> dict[str, float]:
    """Both correlations, and the mean squared error."""
    x, y = _both(examples, guesses)
    error = float(np.mean((x - y) ** 2))
    return {"pearson": metrics.pearson(x, y), "spearman": metrics.spearman(x, y), "mean_squared_error": error}


def row(example: Example, guess: Guess) -> tuple[tuple, bool | None]:
    """What is written down; no number is quite right, so all examples are listed by their distance."""
    off = None if example.label is None else abs(guess.label - example.label)
    return (example.text, example.pair, example.label, guess.label, off), None if off is None else off == 0


def describe(examples: Sequence[Example]) -> list[str]:
    """What numbers there are, and what always guessing the mean is worth."""
    x = np.array([example.label for example in examples])
    low, quarter, middle, three, high = np.percentile(x, (0, 25, 50, 75, 100))
    return [f"labels from {low:g} to {high:g}; a quarter up to {quarter:g}, half up to {middle:g}, three quarters up to "
            f"{three:g}",
            f"always guessing the mean, {x.mean():.3g}, has a mean squared error of {x.var():.3g}"]


def details(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> list[str]:
    """Nothing beyond the figures."""
    return []


def picture(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> None:
    """There are no classes to confuse."""


def _both(examples: Sequence[Example], guesses: Sequence[Guess]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([e.label for e in examples], float), np.array([g.label for g in guesses], float)


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise ValueError(f"{where}: the label {text!r} is not a number; for classes use: minibert finetune classify")
    return value
