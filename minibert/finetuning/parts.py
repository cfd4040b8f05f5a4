"""A task of a run, with all that is learned from and measured on; a run of one task has one, without a name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minibert.finetuning import models
from minibert.finetuning.look import look
from minibert.finetuning.material import Material
from minibert.finetuning.saved import Model
from minibert.tasks.batches import Batch
from minibert.tasks.labelled import name_of
from minibert.tasks.labelled.common import Data
from minibert.tasks.labelled.features import Feature, micro_batches
from minibert.text import Reading
from minibert.training.loop import Look, Row

MEAN = "mean"  # over several tasks
LOWER_IS_BETTER = ("mean_squared_error", "loss")

Scores = dict[str, float]


class Part(NamedTuple):
    """A task of a run, with all that is learned from and measured on."""

    material: Material
    model: Model
    network: models.Model  # body, head and loss of this task
    features: list[Feature]
    dev_features: list[Feature]
    cut: tuple[int, int]  # how many examples of each were too long

    def batches(self, features: Sequence[Feature], max_tokens: int) -> list[Batch]:
        """Micro-batches, with the target of this task."""
        return micro_batches(features, max_tokens, pad_id=self.model.tokenizer.vocab.pad_id, target=self.model.target)

    def scored(self, loss: float, logits: list[np.ndarray]) -> tuple[Scores, list[Any]]:
        """Scores on the dev examples, and guesses."""
        task, labels, examples = self.material.task, self.material.labels, self.material.dev.examples
        guesses = task.guess(logits, self.dev_features, examples, labels, self.model.settings)
        return task.score(examples, guesses, labels) | {"loss": loss}, guesses

    def column(self, figure: str, kind: str = "") -> str:
        """What a figure of this task is called in ``metrics.csv``: ``dev_accuracy``, or ``dev_sst2_accuracy``."""
        return "_".join(filter(None, (kind, self.model.name, figure)))

    def rows(self, rows: Sequence[Row]) -> list[Row]:
        """The rows of ``metrics.csv`` as those of a run of this task alone."""
        theirs = {self.column(name, kind): "_".join(filter(None, (kind, name))) for kind in ("", "dev")
                  for name in ("loss", "accuracy", *self.material.task.METRICS)}
        theirs["step"] = "step"
        return [{theirs[name]: value for name, value in row.items() if name in theirs} | {"loss": self.loss(row)} for row in rows]

    def loss(self, row: Row) -> float | None:
        """Its loss on the training examples; where its model learns by other terms, such as those of branches, their sum."""
        others = [x for name, x in row.items() if name.endswith("_loss") and not name.startswith("dev_") and x is not None]
        return row.get(self.column("loss"), sum(others) if others and not self.model.name else None)

    def best(self, rows: Sequence[Row]) -> Row:
        """The row of its own best look, the first of several."""
        looks = [row for row in self.rows(rows) if row.get(f"dev_{self.material.metric}") is not None]
        return max(looks, key=lambda row: better(row, self.material.metric, "dev_"))

    def look(self) -> str:
        """What is to be seen in the data."""
        task, _, train, dev, *_ = self.material
        readings = tuple(reading(self.model, *of) for of in ((train, self.features), (dev, self.dev_features)))
        return f"\n{self.model.name or name_of(task)}: {train.path} and {dev.path}\n" + look(
            task, train, dev, self.features, self.dev_features, self.cut, self.model.settings.max_length, readings)


def part_of(material: Material, model: Model) -> Part:
    """The features of its examples."""
    task, labels, train, dev, *_ = material
    features, cut = task.encode(train.examples, model.tokenizer, labels, model.settings)
    dev_features, dev_cut = task.encode(dev.examples, model.tokenizer, labels, model.settings)
    network = model.network(class_weights(model.settings.class_weights, features, labels))
    return Part(material, model, network, features, dev_features, (cut, dev_cut))


def reading(model: Model, data: Data, features: Sequence[Feature]) -> Reading:
    """How much of the examples is unknown to the model, and how many special tokens are written there."""
    return Reading.of(model.tokenizer.vocab, map(model.task.texts, data.examples), (ids for f in features for ids in f.ids),
                      model.settings.literal)


def better(scores: Look, metric: str, prefix: str = "") -> float:
    """The score that chooses between two models, the greater the better."""
    return -scores[prefix + metric] if metric in LOWER_IS_BETTER else scores[prefix + metric]


def seen(found: Sequence[Part], scores: Sequence[Scores]) -> Look:
    """The columns of a look: ``dev_accuracy``; of several ``dev_NAME_accuracy``, and means of the loss and of what chooses."""
    look = {part.column(name, "dev"): value for part, each in zip(found, scores) for name, value in each.items()}
    if not found[0].model.name:
        return look
    return {**look, "dev_loss": float(np.mean([each["loss"] for each in scores])), f"dev_{MEAN}": mean(found, scores)}


def mean(found: Sequence[Part], scores: Sequence[Scores]) -> float:
    """Of the scores that choose in each task; those of which less is better count with a minus."""
    return float(np.mean([better(each, part.material.metric) for part, each in zip(found, scores)]))


def class_weights(wanted: str | None, features: Sequence[Feature], labels: Sequence[str]) -> np.ndarray | None:
    """(C,) what each class counts. ``balanced``: N / (C · N_c), so that all classes together count alike.

    Of labels that do not exclude one another it is N / N_c - 1: that one is there counts as much, all in all, as that it is not.
    """
    if wanted is None:
        return None
    if wanted == "balanced" and features[0].labels.dtype.kind == "b":
        there = np.sum([feature.labels for feature in features], 0)
        return np.maximum(len(features) - there, 1) / np.maximum(there, 1)
    numbers = np.concatenate([np.atleast_1d(feature.labels) for feature in features])
    if wanted == "balanced":
        counts = np.bincount(numbers[numbers >= 0], minlength=len(labels))
        return counts.sum() / (len(labels) * np.maximum(counts, 1.0))
    weights = np.ones(len(labels))
    for part in wanted.split(","):
        label, _, value = part.rpartition("=")
        try:
            weights[labels.index(label)] = float(value)
        except ValueError:
            raise ValueError(f"--class-weights: expected balanced or LABEL=WEIGHT,… with labels {', '.join(labels)}, "
                             f"got {part!r}") from None
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise ValueError(f"--class-weights: weights must be numbers from 0 on, not all of them 0, got {wanted!r}")
    return weights
