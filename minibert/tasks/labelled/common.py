"""What the tasks share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minibert.tasks.examples import IGNORE
from minibert.tasks.labelled import metrics
from minibert.text import Tokenizer


class Data(NamedTuple):
    """The examples of a file, and which columns they came from."""

    path: Path
    examples: list[Any]
    columns: dict[str, str]  # what it is -> the column's name
    notes: Sequence[str] = ()


def with_labels(task: ModuleType, data: Data) -> Data:
    """The examples that can be learned from or measured on, with a note on how many others there were. ValueError for none."""
    known = [example for example in data.examples if getattr(example, task.LABEL) is not None]
    if not known:
        raise ValueError("; ".join([f"{data.path}: none of the {len(data.examples):,} examples has a label", *data.notes]))
    if len(known) == len(data.examples):
        return data
    first = next(example.where for example in data.examples if getattr(example, task.LABEL) is None)
    return data._replace(examples=known, notes=[
        *data.notes, f"{len(data.examples) - len(known):,} of {len(data.examples):,} examples have no label and are left out "
                     f"(the first: {first.removeprefix(f'{data.path}, ')})"])


def sequence(tokenizer: Tokenizer, text: str, pair: str | None, settings: Any) -> tuple[np.ndarray, int, bool]:
    """ids, where the second text begins, and whether something had to be cut off."""
    special = not settings.literal
    encoding = tokenizer.encode(text, pair, max_length=settings.max_length, truncate=True, special_tokens=special)
    split = len(encoding) - sum(encoding.token_type_ids)
    whole = [len(tokenizer.ids(part, special_tokens=special)) for part in (text, pair) if part is not None]
    whole = tokenizer.frame.size(len(whole)) + sum(whole)
    return np.array(encoding.ids, np.int64), split, whole > settings.max_length


def class_names(classes: Iterable[Iterable[str]]) -> list[str]:
    """All that occur, sorted."""
    return sorted(set().union(*classes))


def class_number(label: str | None, labels: Sequence[str], where: str) -> int:
    """The number of a label, IGNORE for none; ValueError for one that the training data does not have."""
    if label is None:
        return IGNORE
    try:
        return labels.index(label)
    except ValueError:
        raise ValueError(f"{where}: the label {label!r} does not occur in the training data, which has "
                         f"{', '.join(labels[:20])}{' …' if len(labels) > 20 else ''}") from None


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities along the last axis, in float64."""
    e = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def balance(values: Iterable[str], total: int | None = None, width: int = 24) -> list[str]:
    """A line for each class: how often it is, also as a share of ``total``, by default of them all, with a bar."""
    counts = Counter(values)
    most, total = max(counts.values()), total or counts.total()
    wide = max(len(name) for name in counts)
    return [f"{name:<{wide}}  {n:>9,}  {n / total:6.1%}  {'#' * max(1, round(width * n / most))}"
            for name, n in sorted(counts.items(), key=lambda item: -item[1])[:30]]


def class_table(scores: Sequence[metrics.ClassScore]) -> list[str]:
    """Precision, recall, F1 and support of every class."""
    wide = max(5, *(len(score.label) for score in scores))
    lines = [f"{'class':<{wide}}  precision  recall      F1  support"]
    return lines + [f"{s.label:<{wide}}  {s.precision:9.1%}  {s.recall:6.1%}  {s.f1:6.1%}  {s.support:>7,}" for s in scores]


def confusion_table(matrix: np.ndarray, labels: Sequence[str]) -> list[str]:
    """The confusion matrix as text: rows are what it is, columns what was guessed."""
    wide = max(len(label) for label in labels)
    cells = [max(len(label), len(f"{matrix[:, i].max():,}")) for i, label in enumerate(labels)]
    head = " " * (wide + 2) + "  ".join(f"{label:>{w}}" for label, w in zip(labels, cells)) + "   <- guessed"
    return [head, *(f"{label:>{wide}}  " + "  ".join(f"{n:>{w},}" for n, w in zip(row, cells))
                    for label, row in zip(labels, matrix))]
