"""Sentence vectors from pairs of texts with a score: the cosine of two vectors is to say how alike their texts are.

The squared error of the cosine, as sentence-transformers' ``CosineSimilarityLoss``. Scores of another range are divided by the
largest there may be, 5 for a scale from 0 to 5, and guesses are multiplied by it again. Source: Reimers and Gurevych 2019,
"Sentence-BERT", section 3, "Regression Objective Function".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minibert.data import rows
from minibert.tasks.labelled import embed, regress
from minibert.tasks.labelled.common import Data
from minibert.tasks.labelled.features import Feature
from minibert.tasks.labelled.regress import (  # noqa: F401 - the same for both
    COLUMNS,
    LABEL,
    METRICS,
    Example,
    Guess,
    classes,
    details,
    picture,
    right,
    row,
    score,
    texts,
)
from minibert.text import Tokenizer

KIND = "similarity"
ARCHITECTURE = embed.ARCHITECTURE
METRIC = "spearman"
MAX_LENGTH = embed.MAX_LENGTH


def read(path: Any, settings: Any, labelled: bool | None = True) -> Data:
    """As in ``embed``; the scores must be finite numbers."""
    table, columns = embed.columns_of(path, settings, True, labelled)
    found, notes = rows.labels(table, columns.get("label"), numeric=True)
    scores = [None if label is None else rows.judged(labelled, _score, label, table.where(i)) for i, label in enumerate(found)]
    return Data(table.path, [Example(rows.cell(table, i, columns["text"], "text"),
                                     rows.cell(table, i, columns["pair"], "second text"), label, table.where(i))
                             for i, label in enumerate(scores)], columns, [*table.notes, *notes])


def labels(examples: Sequence[Example]) -> list[str]:
    """No classes: the score of a cosine of 1. ValueError where all scores are the same."""
    regress.labels(examples)
    return [str(_scale(examples))]


def encode(examples: Sequence[Example], tokenizer: Tokenizer, labels: Sequence[str],
           settings: Any) -> tuple[list[Feature], int]:
    """One feature for each example, its two texts side by side; and how many examples had one that was too long and cut."""
    cosines = [(example.label or 0.0) / float(labels[0]) for example in examples]
    return embed.features(tokenizer, [(e.text, e.pair) for e in examples], cosines, settings)


def guess(logits: Sequence[np.ndarray], features: Sequence[Feature], examples: Sequence[Example], labels: Sequence[str],
          settings: Any) -> list[Guess]:
    """The score of each example; logits: cosines () each."""
    return [Guess(float(cosine) * float(labels[0])) for cosine in logits]


def describe(examples: Sequence[Example]) -> list[str]:
    """What scores there are, and how they become cosines."""
    scale = _scale(examples)
    return [*regress.describe(examples), *([f"the cosine learns each score divided by {scale}"] if scale > 1 else [])]


def _scale(examples: Sequence[Example]) -> int:
    """The whole number that no score is beyond; 1 where all are cosines already."""
    return max(1, math.ceil(max(abs(example.label) for example in examples)))


def _score(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{where}: the score {text!r} is not a number")
    return value
