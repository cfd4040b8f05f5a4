"""A look at the data before anything is trained: most disappointments can be seen there."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from minibert.tasks.labelled.common import Data
from minibert.tasks.labelled.features import Feature
from minibert.text import Reading


def look(task: ModuleType, train: Data, dev: Data, features: Sequence[Feature], dev_features: Sequence[Feature],
         cut: tuple[int, int], max_length: int, readings: tuple[Reading, Reading]) -> str:
    """A report on both files: rows, columns, classes, lengths against the limit, what gets cut, what stands in both.

    ``cut``: how many examples of each were too long for ``max_length`` tokens. ``readings``: how much of each the model knows.
    """
    texts, dev_texts = ([task.texts(example) for example in data.examples] for data in (train, dev))
    seen = set(texts)
    both = sum(text in seen for text in dev_texts)
    lengths = [np.array([len(ids) for feature in part for ids in feature.ids]) for part in (features, dev_features)]

    def pair(name: str, values: Sequence[Any]) -> str:
        return f"  {name:<26}{values[0]:>11}  {values[1]:>11}"

    lines = [
        "columns: " + ", ".join(f"{role}: {name}" for role, name in train.columns.items()),
        f"  {'':<26}{'train':>11}  {'dev':>11}",
        pair("examples", [f"{len(train.examples):,}", f"{len(dev.examples):,}"]),
        pair("tokens, median", [f"{np.median(n):,.0f}" for n in lengths]),
        pair("tokens, 95 % have at most", [f"{np.percentile(n, 95):,.0f}" for n in lengths]),
        pair("tokens, longest", [f"{n.max():,}" for n in lengths]),
        pair(f"cut to fit into {max_length}", [f"{n:,}" for n in cut]),
        pair("repeated within", [f"{len(t) - len(set(t)):,}" for t in (texts, dev_texts)]),
        pair("also in the other", ["", f"{both:,}"]),
        pair("unknown tokens", [f"{reading.share:.2%}" for reading in readings]),
    ]
    if any(reading.special for reading in readings):
        lines.append(pair("[SEP], [MASK] … in it", [f"{reading.special:,}" for reading in readings])
                     + ("  read as words" if readings[0].literal else "  read as these tokens; as words with --literal"))
    if len(features) > len(train.examples):
        lines.insert(3, pair("windows", [f"{len(features):,}", f"{len(dev_features):,}"]))
    lines += [f"  {line}" for line in task.describe(train.examples)]
    lines += [f"  note: {data.path}: {note}" for data in (train, dev) for note in data.notes]
    if both:
        lines.append(f"  warning: {both:,} dev examples also stand in the training data ({both / len(dev_texts):.1%}): "
                     "the scores will flatter; give others with --dev")
    if (unknown := max(reading.share for reading in readings)) > 0.05:
        lines.append(f"  warning: {unknown:.0%} of the tokens are unknown to this model's vocabulary: is it for this language? "
                     "Another one: --model")
    if cut[0] > 0.1 * len(train.examples):
        lines.append(f"  warning: {cut[0] / len(train.examples):.0%} of the training examples are cut; a larger --max-length, "
                     "where the model has one, reads more")
    return "\n".join(lines)
