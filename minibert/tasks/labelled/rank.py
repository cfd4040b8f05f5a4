"""Rank: which of the candidates of a question answers it? The numbers of all candidates of a question compete in a softmax.

The model is that of ``choice``; the file has a row for each candidate, and a question may have any number of them. Source: Liu et
al. 2019, arXiv:1901.11504, section 3, "Relevance Ranking"; MT-DNN reads QNLI so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minibert.tasks.labelled import choice, classify, common, metrics
from minibert.tasks.labelled.choice import (  # noqa: F401 - the same for both
    ARCHITECTURE,
    COLUMNS,
    KIND,
    LABEL,
    MAX_LENGTH,
    Example,
    classes,
    details,
    encode,
    picture,
    row,
    texts,
)
from minibert.tasks.labelled.common import Data
from minibert.tasks.labelled.features import Feature

METRIC = "accuracy"
METRICS = ("accuracy", "mrr")
RIGHT = ("1", "true", "yes", "entailment", "relevant", "positive")  # labels of the candidate that answers, in lower case


class Guess(NamedTuple):
    """The number of the best candidate, how likely it is, and the numbers of all, the best first."""

    label: int
    confidence: float
    order: tuple[int, ...]


def read(path: Any, settings: Any, labelled: bool | None = True) -> Data:
    """Rows with a question, a candidate, and whether it is the right one: 1, true, yes, entailment …, anything else is no.

    The rows of a question need not stand together. ValueError where a question has one candidate only or not one right one.
    """
    data = classify.read(path, settings, labelled)
    if "pair" not in data.columns:
        raise ValueError(f"{data.path}: expected a question and a candidate in each row, found columns "
                         f"{', '.join(data.columns.values())}; name them with --text and --pair")
    groups: dict[str, list[classify.Example]] = {}
    for example in data.examples:
        groups.setdefault(example.text, []).append(example)
    return data._replace(examples=[_example(group, labelled) for group in groups.values()])


def _example(group: Sequence[classify.Example], labelled: bool | None) -> Example:
    """The candidates of one question."""
    right = [i for i, e in enumerate(group) if e.label is not None and e.label.lower() in RIGHT]
    where, text = group[0].where, group[0].text
    if len(group) == 1:
        raise ValueError(f"{where}: the question {text[:60]!r} has one candidate, so there is nothing to rank; take it out, or "
                         "classify pairs: minibert finetune classify")
    if labelled and len(right) != 1:
        raise ValueError(f"{where}: {len(right) or 'none'} of the {len(group)} candidates of {text[:60]!r} are right, and one "
                         f"must be; the label of that one is {', '.join(RIGHT)}")
    return Example(text, [e.pair for e in group], right[0] if len(right) == 1 else None, where)


def labels(examples: Sequence[Example]) -> list[str]:
    """One output."""
    return ["right"]


def guess(logits: Sequence[np.ndarray], features: Sequence[Feature], examples: Sequence[Example], labels: Sequence[str],
          settings: Any) -> list[Guess]:
    """The candidates in their order; logits: (n,) each."""
    best = choice.guess(logits, features, examples, labels, settings)
    return [Guess(*first, tuple(np.argsort(-x, kind="stable").tolist())) for first, x in zip(best, logits)]


def right(example: Example) -> Guess:
    """A guess that would be right."""
    return Guess(example.label, 1.0, (example.label, *(i for i in range(len(example.choices)) if i != example.label)))


def score(examples: Sequence[Example], guesses: Sequence[Guess], labels: Sequence[str]) -> dict[str, float]:
    """How often the best candidate is right, and the mean of 1/rank of the right one."""
    ranks = [[1 + g.order.index(e.label)] for e, g in zip(examples, guesses)]
    return {"accuracy": metrics.accuracy([e.label for e in examples], [g.label for g in guesses]),
            "mrr": metrics.reciprocal_rank(ranks)}


def describe(examples: Sequence[Example]) -> list[str]:
    """How many candidates there are, and what a guess without reading is worth."""
    chance = np.mean([1 / len(e.choices) for e in examples])
    return [*common.balance(f"{len(e.choices)} candidates" for e in examples), f"guessing is right {chance:.1%} of the time"]
