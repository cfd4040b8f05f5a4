"""What the model reads of an example, and batches of them: features, micro-batches, epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minibert.data.randomness import ORDER, TASKS, generator
from minibert.tasks.batches import Batch, Position, groups, rectangle
from minibert.tasks.examples import IGNORE

TARGET = "label"  # the term of the loss, where there is one task


class Feature(NamedTuple):
    """One input of the model with its label. An example has one; a long context of a question has several."""

    ids: tuple[np.ndarray, ...]  # one sequence (T,), or one for each choice
    splits: tuple[int, ...]  # of each sequence: where its second text begins
    labels: np.ndarray  # () class, number or right choice; (C,) numbers, or bool: which apply; (T,) classes; (2,) ends;
    # (K,) numbers of its texts
    example: int  # which example it belongs to
    places: Any = None  # what a task needs to find its way from tokens back to the text

    @property
    def length(self) -> int:
        """Tokens of its longest sequence."""
        return max(map(len, self.ids))

    @property
    def tokens(self) -> int:
        """Tokens of all its sequences."""
        return sum(map(len, self.ids))


def collate(features: Sequence[Feature], places: Sequence[int], pad_id: int = 0, target: str = TARGET) -> Batch:
    """A batch of the features in their order. Its ``target``, the term of their task: (B,), (B, C), (B, T) or (B, 2)."""
    ids, types, real = rectangle([ids for feature in features for ids in feature.ids],
                                 [split for feature in features for split in feature.splits], pad_id)
    labels = [feature.labels for feature in features]
    each_token = len(features[0].ids) == 1 and labels[0].shape == features[0].ids[0].shape and labels[0].dtype.kind == "i"
    if each_token:
        padded = np.full(real.shape, IGNORE, np.int64)
        padded[real] = np.concatenate(labels)
        labels = padded
    mask = None if real.all() else real
    return Batch(ids, types, mask, {target: np.asarray(labels)}, choices=len(features[0].ids), places=list(places))


def micro_batches(features: Sequence[Feature], max_tokens: int = 512, *, pad_id: int = 0, target: str = TARGET) -> list[Batch]:
    """The features as batches of similar length, longest first, each of about ``max_tokens`` tokens with padding at most.

    They are cut evenly: an even number of batches, none much larger than the others, so that no worker waits long for the
    other. The cut depends on the features alone, not on who computes them. A batch has as many sequences of each feature.
    """
    alike: dict[int, list[int]] = {}
    for i, feature in enumerate(features):
        alike.setdefault(len(feature.ids), []).append(i)
    return [collate([features[i] for i in chosen], chosen, pad_id, target) for rows, places in alike.items()
            for group in _evenly([features[i].length for i in places], max_tokens, rows)
            for chosen in [[places[i] for i in group]]]


def _evenly(widths: Sequence[int], max_tokens: int, rows: int) -> list[list[int]]:
    cut = groups(widths, max_tokens, rows)
    if len(widths) > 1:
        wanted = len(cut) + len(cut) % 2
        low, high = 1, max_tokens
        while low < high:  # the smallest limit that needs no more batches than wanted
            middle = (low + high) // 2
            low, high = (low, middle) if len(groups(widths, middle, rows)) <= wanted else (middle + 1, high)
        cut = groups(widths, low, rows)
    return cut


class Epochs:
    """A fixed set of features again and again, in each epoch in an order of its own; the last batch of an epoch may be smaller.

    What a batch holds follows from the seed and its position alone.
    """

    def __init__(self, features: Sequence[Feature], batch_size: int, seed: int) -> None:
        self.features, self.batch_size, self.seed = features, batch_size, seed

    def __len__(self) -> int:
        """Batches of an epoch."""
        return -(-len(self.features) // self.batch_size)

    def batch(self, position: tuple[int, int] = (0, 0)) -> tuple[list[Feature], Position]:
        """The features from a position on, and the position after them."""
        epoch, index = position[:2]
        chosen = generator(self.seed, ORDER, epoch).permutation(len(self.features))[index:index + self.batch_size]
        index += len(chosen)
        after = Position(epoch, index) if index < len(self.features) else Position(epoch + 1, 0)
        return [self.features[i] for i in chosen], after


class Turns:
    """Which of several tasks each step reads: in an epoch every batch of every task once, all of them shuffled together.

    So a task is read as often as it has batches, and each in its own order. With a ``ratio`` an epoch is one of the first task,
    and so many times as many batches of the others, drawn among theirs.

    Source: Liu et al. 2019, "Multi-Task Deep Neural Networks", arXiv:1901.11504, algorithm 1; namisan/mt-dnn ``batcher.py``.
    """

    def __init__(self, batches: Sequence[int], seed: int, ratio: float | None = None) -> None:
        self.tasks, self.first, self.seed = np.repeat(np.arange(len(batches)), batches), batches[0], seed
        others = len(self.tasks) - self.first
        self.others = others if ratio is None else min(int(ratio * self.first), others)

    def __len__(self) -> int:
        """Steps of an epoch."""
        return self.first + self.others

    def __call__(self, step: int) -> int:
        """The number of the task that is read in step ``step``, counted from 0."""
        epoch, index = divmod(step, len(self))
        rng, tasks = generator(self.seed, TASKS, epoch), self.tasks
        if len(self) < len(tasks):
            tasks = np.concatenate([tasks[:self.first], rng.permutation(tasks[self.first:])[:self.others]])
        return int(rng.permutation(tasks)[index])
