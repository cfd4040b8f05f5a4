"""What the model reads of an example, and rectangles of them: features and micro-batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minibert.tasks.examples import IGNORE


class Feature(NamedTuple):
    """One input of the model with its label. An example has one; a long context of a question has several."""

    ids: tuple[np.ndarray, ...]  # one sequence (T,), or one for each choice
    splits: tuple[int, ...]  # of each sequence: where its second text begins
    labels: np.ndarray  # () class, number or right choice; (C,) numbers, or bool: which apply; (T,) classes; (2,) ends
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


class Batch(NamedTuple):
    """A rectangle of N sequences: B features, or B times the number of choices."""

    ids: np.ndarray  # (N, T)
    token_type_ids: np.ndarray  # (N, T)
    attention_mask: np.ndarray | None  # (N, T) bool, None where nothing is padded
    labels: np.ndarray  # (B,), (B, C), (B, T) or (B, 2)
    choices: int
    places: list[int]  # of its features in the list that was cut

    positions = None  # the logits of all tokens are asked for

    @property
    def targets(self) -> dict[str, np.ndarray]:
        """What the term of the loss compares with."""
        return {"label": self.labels}

    @property
    def tokens(self) -> int:
        """Tokens without padding."""
        return self.ids.size if self.attention_mask is None else int(self.attention_mask.sum())


def collate(features: Sequence[Feature], places: Sequence[int], pad_id: int = 0) -> Batch:
    """A batch of the features in their order, padded to the longest."""
    sequences = [ids for feature in features for ids in feature.ids]
    lengths = np.array([len(ids) for ids in sequences])
    splits = np.array([split for feature in features for split in feature.splits])
    T = int(lengths.max())
    real = np.arange(T) < lengths[:, None]  # (N, T)
    ids = np.full(real.shape, pad_id, np.int64)
    ids[real] = np.concatenate(sequences)
    types = (real & (np.arange(T) >= splits[:, None])).astype(np.int64)
    labels = [feature.labels for feature in features]
    each_token = len(features[0].ids) == 1 and labels[0].shape == features[0].ids[0].shape and labels[0].dtype.kind == "i"
    if each_token:
        rectangle = np.full(real.shape, IGNORE, np.int64)
        rectangle[real] = np.concatenate(labels)
        labels = rectangle
    return Batch(ids, types, None if real.all() else real, np.asarray(labels), len(features[0].ids), list(places))


def micro_batches(features: Sequence[Feature], max_tokens: int = 512, *, pad_id: int = 0) -> list[Batch]:
    """The features as batches of similar length, longest first, each of about ``max_tokens`` tokens with padding at most.

    They are cut evenly: an even number of batches, none much larger than the others, so that no worker waits long for the
    other. The cut depends on the features alone, not on who computes them.
    """
    order = sorted(range(len(features)), key=lambda i: -features[i].length)
    groups = _cut(order, features, max_tokens)
    if len(features) > 1:
        wanted = len(groups) + len(groups) % 2
        low, high = 1, max_tokens
        while low < high:  # the smallest limit that needs no more batches than wanted
            middle = (low + high) // 2
            low, high = (low, middle) if len(_cut(order, features, middle)) <= wanted else (middle + 1, high)
        groups = _cut(order, features, low)
    return [collate([features[i] for i in group], group, pad_id) for group in groups]


def _cut(order: Sequence[int], features: Sequence[Feature], limit: int) -> list[list[int]]:
    """Groups of at most ``limit`` tokens each, padding counted; a feature that is longer alone is a group of its own."""
    groups: list[list[int]] = []
    size = width = 0
    for i in order:
        choices = len(features[i].ids)
        if not groups or size + choices * width > limit:
            groups.append([])
            size, width = 0, features[i].length
        groups[-1].append(i)
        size += choices * width
    return groups
