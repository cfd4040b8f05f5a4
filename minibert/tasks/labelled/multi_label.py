"""Several labels for a text, or a pair of texts: whether each of them applies, from the pooled vector, whatever the others do.

A label applies where its probability σ(logit) is above one half. So a text may have none, and all may have all.

In a file the labels of a text stand in one column, separated by ``|``, or are a JSON list; an empty cell or list says that none
applies. Source: ``problem_type = "multi_label_classification"`` of transformers' ``BertForSequenceClassification``.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minibert.data import rows
from minibert.files import brief
from minibert.tasks.labelled import common, metrics
from minibert.tasks.labelled.classify import texts  # noqa: F401 - the same for both
from minibert.tasks.labelled.common import Data
from minibert.tasks.labelled.features import Feature
from minibert.text import Tokenizer

KIND = "labels"
ARCHITECTURE = "BertForSequenceClassification"
METRIC = "f1_micro"
METRICS = ("f1_micro", "f1_macro", "subset_accuracy")
MAX_LENGTH = 128
COLUMNS = ("text", "pair", "label", "guess", "confidence", "probabilities")
LABEL = "label"
THRESHOLD = 0.5  # of a probability, above which a label applies


class Example(NamedTuple):
    """A text or two, and its labels where they are known."""

    text: str
    pair: str | None
    label: tuple[str, ...] | None
    where: str


class Guess(NamedTuple):
    """The labels that apply, how likely exactly these are, and the probability of each label."""

    label: tuple[str, ...]
    confidence: float
    probabilities: dict[str, float]


def read(path: Any, settings: Any, labelled: bool | None = True) -> Data:
    """As in ``classify``, with any number of labels for each text."""
    table = rows.read(path, settings.header, [name for name in (settings.text, settings.pair, settings.label) if name])
    columns = rows.guess_columns(table, settings.text, settings.pair, settings.label, False, labelled, sparse=True)
    pair = columns.get("pair")
    values = [row.get(columns.get("label")) for row in table.rows]
    if not labelled and not any(values):  # nothing in it: not known, rather than none for all
        values = [None] * len(values)
    absent, notes = rows.absences(value.strip() for value in values if isinstance(value, str) and value.strip())
    return Data(table.path, [Example(rows.cell(table, i, columns["text"], "text"),
                                     rows.cell(table, i, pair, "second text") if pair else None,
                                     None if value is None or (isinstance(value, str) and value.strip() in absent)
                                     else rows.judged(labelled, split, value, table.where(i)),
                                     table.where(i)) for i, value in enumerate(values)], columns, [*table.notes, *notes])


def split(value: Any, where: str) -> tuple[str, ...]:
    """``a|b``, ``["a", "b"]`` as text or as the list that it is -> the labels. ValueError for anything else."""
    names = value
    if isinstance(value, str):
        text = value.strip()
        names = _list(text) if text[:1] + text[-1:] == "[]" else list(dict.fromkeys(name.strip() for name in text.split("|")))
    fine = isinstance(names, list) and all(isinstance(name, (str, int)) for name in names)
    found = tuple(filter(None, (str(name).strip() for name in names))) if fine else ()
    if not fine or len(set(found)) < len(found):
        raise ValueError(f'{where}: the labels of a text must be given as a|b, or as a JSON list ["a", "b"] of those that apply, '
                         f"each once; got {brief(value)}")
    return tuple(sorted(found))


def _list(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def join(labels: Sequence[str]) -> str:
    """The labels as ``split`` reads them: ``a|b``; ``[]`` for none."""
    plain = labels and not any("|" in label for label in labels) and not labels[0].startswith("[")
    return "|".join(labels) if plain else json.dumps(labels, ensure_ascii=False)


def classes(example: Example) -> tuple[str, ...]:
    """Its labels."""
    return example.label


def labels(examples: Sequence[Example]) -> list[str]:
    """The labels of the training data, sorted. ValueError where all texts have the same."""
    if len({frozenset(example.label) for example in examples}) < 2:
        raise ValueError(f"all {len(examples)} training examples have the labels {join(examples[0].label)}: "
                         "there is nothing to tell apart")
    return common.class_names(map(classes, examples))


def encode(examples: Sequence[Example], tokenizer: Tokenizer, labels: Sequence[str],
           settings: Any) -> tuple[list[Feature], int]:
    """One feature for each example; and how many texts were too long and cut."""
    features, cut = [], 0
    for i, example in enumerate(examples):
        ids, start, too_long = common.sequence(tokenizer, example.text, example.pair, settings)
        there = np.zeros(len(labels), bool)
        there[[common.class_number(name, labels, example.where) for name in example.label or ()]] = True
        features.append(Feature((ids,), (start,), there, i))
        cut += too_long
    return features, cut


def guess(logits: Sequence[np.ndarray], features: Sequence[Feature], examples: Sequence[Example], labels: Sequence[str],
          settings: Any) -> list[Guess]:
    """The labels of each example; logits: (C,) each. They are judged one by one, so the likelihood of all is a product."""
    probabilities = np.exp(-np.logaddexp(0, -np.stack(logits).astype(np.float64)))  # (N, C) σ without overflow
    return [Guess(tuple(name for name, x in zip(labels, row) if x > THRESHOLD), float(np.maximum(row, 1 - row).prod()),
                  dict(zip(labels, row.tolist()))) for row in probabilities]


def right(example: Example) -> Guess:
    """The guess that would be right."""
    return Guess(example.label, 1.0, {})


def score(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> dict[str, float]:
    """F1 over all labels together and as the mean of each label's; the share of texts of which every label is right."""
    micro, macro = metrics.f1_micro_macro(_confusion(examples, guesses, labels))
    whole = metrics.accuracy([set(e.label) for e in examples], [set(g.label) for g in guesses])
    return {"f1_micro": micro, "f1_macro": macro, "subset_accuracy": whole}


def row(example: Example, guess: Guess) -> tuple[tuple, bool | None]:
    """What is written down for an example; and whether all its labels are right, None where that is not known."""
    probabilities = json.dumps({name: round(x, 4) for name, x in guess.probabilities.items()}, ensure_ascii=False)
    return ((example.text, example.pair, None if example.label is None else join(example.label), join(guess.label),
             guess.confidence, probabilities), None if example.label is None else set(example.label) == set(guess.label))


def describe(examples: Sequence[Example]) -> list[str]:
    """How often each label is, how many a text has, and what a guess without reading is worth."""
    counts = Counter(name for example in examples for name in example.label)
    found, total = counts.most_common(), counts.total()
    f1 = [2 * sum(n for _, n in found[:k]) / (k * len(examples) + total) for k in range(1, len(found) + 1)]  # the k most frequent
    best = int(np.argmax(f1))
    none = sum(not example.label for example in examples)
    lines = [*common.balance(counts, len(examples)),
             f"{total / len(examples):.2f} labels a text; {none:,} texts have none",
             f"always guessing {join([name for name, _ in found[:best + 1]])} has a micro F1 of {f1[best]:.1%}"]
    several = [name for name in counts if any(part.strip() in counts for part in re.split("[,;]", name) if part != name)]
    if several:
        lines.append(f"note: {len(several):,} labels look like several, such as {several[0]!r}, which is one here; what "
                     "separates labels is |")
    return lines


def details(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> list[str]:
    """The table by label."""
    return common.class_table(metrics.per_label(_confusion(examples, guesses, labels), labels))


def picture(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> tuple[np.ndarray, Sequence[str]]:
    """The confusion of each label by itself (C, 2, 2), and what they are called."""
    return _confusion(examples, guesses, labels), labels


def _confusion(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> np.ndarray:
    return metrics.confusion_of_each([e.label for e in examples], [g.label for g in guesses], labels)
