"""The files of a run, read: examples to learn from, and examples to measure on."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import NamedTuple

from minibert.data.randomness import ORDER, generator
from minibert.finetuning.options import Settings
from minibert.finetuning.several import parts
from minibert.tasks.labelled import common, task_of
from minibert.tasks.labelled.common import Data


class Material(NamedTuple):
    """What is read of a task, ready to be learned from."""

    task: ModuleType
    labels: list[str]
    train: Data
    dev: Data
    fingerprint: str  # of both files
    settings: Settings  # of a run of this task alone

    @property
    def metric(self) -> str:
        """The score that chooses."""
        return self.settings.metric or self.task.METRIC


Known = Callable[[ModuleType, Data], Data]
Materials = Mapping[str, Material]  # by the names of the tasks; of a run of one task that is ""


def _check_metric(settings: Settings, names: Collection[str]) -> None:
    if settings.metric not in (None, "loss", *names):
        raise ValueError(f"--metric must be one of {', '.join(names)} and loss, got {settings.metric!r}")


def read_all(settings: Settings, known: Known | None = None) -> Materials:
    """The files of every task. ``known``: from examples that need no labels to such as have some, where that is possible."""
    asked = parts(settings)
    for part in asked.values():
        _check_metric(part, task_of(part).METRICS)
    return {name: _read(part, known) for name, part in asked.items()}


def fingerprint(materials: Materials) -> str:
    """Of all files."""
    found = [material.fingerprint for material in materials.values()]
    return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest()


def _read(settings: Settings, known: Known | None) -> Material:
    """Both files; without ``--dev`` a tenth of the training examples is kept aside."""
    task, labelled = task_of(settings), True if known is None else None
    known = known or common.with_labels
    train = known(task, task.read(settings.train, settings, labelled))
    fingerprint = hashlib.sha256(train.path.read_bytes())
    if settings.dev is not None:
        dev = known(task, task.read(settings.dev, with_columns(settings, train), labelled))
        fingerprint.update(dev.path.read_bytes())
    elif len(train.examples) == 1:
        raise ValueError(f"{train.path} holds one example, which is not enough to learn from and to measure on"
                         + ("; a blank line ends a sentence" if task.KIND == "token" else ""))
    else:
        aside = kept_aside([task.classes(example) for example in train.examples])
        dev = train._replace(examples=[e for i, e in enumerate(train.examples) if i in aside], notes=[])
        train = train._replace(examples=[e for i, e in enumerate(train.examples) if i not in aside])
        if not dev.examples:
            raise ValueError(f"{train.path}: no example can be kept aside to measure on without a class losing its only one; "
                             "give more examples, or others to measure on with --dev")
    if not train.examples:
        raise ValueError(f"{train.path}: one example is not enough to learn from")
    labels = task.labels(train.examples)
    if settings.metric:  # not every figure is there for all data
        _check_metric(settings, task.score(dev.examples, [task.right(e) for e in dev.examples], labels))
    return Material(task, labels, train, dev, fingerprint.hexdigest(), settings)


def kept_aside(classes: Sequence[Collection[str]]) -> set[int]:
    """Which of the examples, given by their classes, are kept out of training: a tenth of each class, drawn always alike.

    They are shuffled and sorted by their rarest class. Of every ten that follow one another one is taken, the first that leaves
    another example of each of its classes.
    """
    left = Counter(name for found in classes for name in found)
    rarest = [min(((left[name], name) for name in found), default=(0, "")) for found in classes]
    order = sorted(generator(0, ORDER).permutation(len(classes)).tolist(), key=lambda i: rarest[i])
    aside = set()
    for start in range(0, max(10, len(order)) - 9, 10):
        chosen = next((i for i in order[start:start + 10] if all(left[name] > 1 for name in classes[i])), None)
        if chosen is not None:
            aside.add(chosen)
            left.subtract(classes[chosen])
    return aside


def with_columns(settings: Settings, data: Data) -> Settings:
    """The settings, with the columns named that were found."""
    if settings.task in ("tag", "qa"):  # of words and tags, or of SQuAD's fields
        return settings
    return replace(settings, **{role: data.columns.get(role) for role in ("text", "pair", "label")})
