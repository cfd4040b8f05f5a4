"""An instance is one prepared example; padded, many of them are rectangles of numbers with the reference's names.

::

    input_ids             [CLS] a a [MASK] a [SEP] b b b [SEP] [PAD] [PAD]      (T,)
    input_mask              1   1 1    1   1   1   1 1 1   1     0     0        (T,)
    segment_ids             0   0 0    0   0   0   1 1 1   1     0     0        (T,)
    masked_lm_positions     3   7 0                                             (P,) which were chosen, in order
    masked_lm_ids           a   b 0                                             (P,) what stood there
    masked_lm_weights       1.0 1.0 0.0                                         (P,) 0 for what is only padding
    next_sentence_labels    0                                                   () 1: b is from elsewhere

Source: google-research/bert, ``create_pretraining_data.py``, ``write_instance_to_example_files``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from minibert.text.vocabulary import Vocabulary

MOST_TOKENS = 16384  # T of a rectangle
TOKENS = ("input_ids", "input_mask", "segment_ids")  # of T numbers
MASKS = ("masked_lm_positions", "masked_lm_ids", "masked_lm_weights")  # of P
LABEL = "next_sentence_labels"


class Instance(NamedTuple):
    """One example without its padding."""

    ids: np.ndarray  # (T,) int32
    split: int  # index of the first token of the second segment; T where there is none
    next_label: int | None  # 0: b follows a, 1: it does not; None: no second segment, so nothing is asked
    positions: np.ndarray | None = None  # (M,) int64, ascending: which tokens were chosen; None: nothing is masked yet
    labels: np.ndarray | None = None  # (M,) int64: what stood there


class Block(NamedTuple):
    """Some neighbouring examples of a file."""

    path: Path
    format: ModuleType
    first: int  # how many examples of the file come before them
    count: int
    at: int = 0  # the byte where they begin, where the format needs it


class Wanted(NamedTuple):
    """What an example must fit."""

    vocab: Vocabulary
    max_length: int


class Padding(NamedTuple):
    """How wide the rectangles are that are written."""

    tokens: int  # T
    masks: int  # P


def original(instance: Instance) -> np.ndarray:
    """The ids of the text, nothing hidden."""
    if instance.positions is None:
        return instance.ids
    ids = instance.ids.copy()
    ids[instance.positions] = instance.labels
    return ids


def padded(instances: Sequence[Instance], padding: Padding, pad_id: int) -> dict[str, np.ndarray]:
    """Rectangles (N, T), (N, P) and (N,) of instances, int64 but for the float32 weights. ValueError for what does not fit."""
    n, (width, most) = len(instances), padding
    fields = {name: np.zeros((n, width), np.int64) for name in TOKENS} | {name: np.zeros((n, most), np.int64) for name in MASKS}
    fields["input_ids"][:] = pad_id
    fields["masked_lm_weights"] = np.zeros((n, most), np.float32)
    fields[LABEL] = np.array([one.next_label or 0 for one in instances], np.int64)
    for row, one in enumerate(instances):
        length, chosen = len(one.ids), len(one.positions)
        if length > width or chosen > most:
            raise ValueError(f"an example has {length} tokens, {chosen} of them to be guessed, and there is room for {width} and "
                             f"{most}: give a larger --max-length or --max-predictions")
        fields["input_ids"][row, :length] = one.ids
        fields["input_mask"][row, :length] = 1
        fields["segment_ids"][row, one.split:length] = 1
        fields["masked_lm_positions"][row, :chosen] = one.positions
        fields["masked_lm_ids"][row, :chosen] = one.labels
        fields["masked_lm_weights"][row, :chosen] = 1
    return fields


def unpadded(block: Block, fields: Mapping[str, np.ndarray], wanted: Wanted) -> list[Instance]:
    """The instances of rectangles that begin with the first of ``block``. ValueError with the record for what cannot be one."""
    ids, mask, segments, places, labels, weights = (fields[name] for name in (*TOKENS, *MASKS))
    following, vocab = fields[LABEL], wanted.vocab

    def need(right: np.ndarray, say: Callable[[int], str]) -> None:
        wrong = ~right.reshape(len(right), -1).all(1)
        if wrong.any():
            row = int(wrong.argmax())
            raise ValueError(f"{block.path}, record {block.first + row + 1:,}: {say(row)}")

    def need_ids(right: np.ndarray, found: np.ndarray, name: str) -> None:
        need(right, lambda row: f"{name} holds {found[row][~right[row]][0]}, which is beyond the vocabulary of {len(vocab):,} "
             "tokens; name the one that the file was made with (--vocab)")

    rows = np.arange(len(ids))
    lengths = (mask == 1).sum(1)
    column = np.arange(ids.shape[1])
    real = column < lengths[:, None]
    need(mask == real, lambda row: "input_mask is not ones for the tokens and then zeros for the padding")
    need(lengths > 0, lambda row: "it has no tokens")
    need(lengths <= wanted.max_length, lambda row: f"it has {lengths[row]} tokens, and an example has at most "
         f"{wanted.max_length}: give --max-length {lengths[row]} or more")
    need_ids((ids >= 0) & (ids < len(vocab)) | ~real, ids, "input_ids")
    second = (segments == 1) & real
    splits = np.where(second.any(1), second.argmax(1), lengths)
    need((segments == (column >= splits[:, None])) | ~real, lambda row: "segment_ids is not zeros for the first text and then "
         "ones for the second")
    asked = weights == 1
    need(asked | (weights == 0), lambda row: "masked_lm_weights holds a number other than 0 and 1, which is not read here")
    need((places >= 0) & (places < lengths[:, None]) | ~asked, lambda row: f"masked_lm_positions holds "
         f"{places[row][asked[row]].max()}, and it has {lengths[row]} tokens")
    need_ids((labels >= 0) & (labels < len(vocab)) | ~asked, labels, "masked_lm_ids")
    need((following == 0) | (following == 1), lambda row: f"next_sentence_labels is {following[row]}; expected 0 or 1")
    text, (row, nth) = ids.copy(), asked.nonzero()
    text[row, places[row, nth]] = labels[row, nth]
    first, last = text[:, 0], text[rows, lengths - 1]
    need((first == vocab.cls_id) & (last == vocab.sep_id), lambda row: f"it begins with {vocab.tokens[first[row]]!r} and ends "
         f"with {vocab.tokens[last[row]]!r}, not with {vocab.special[2]} and {vocab.special[3]}: name the vocabulary that the "
         "file was made with (--vocab)")
    return [_instance(*parts) for parts in zip(ids.astype(np.int32), lengths, splits, following, places, labels, asked)]


def _instance(ids: np.ndarray, length: int, split: int, label: int, places: np.ndarray, labels: np.ndarray,
              asked: np.ndarray) -> Instance:
    places, labels = places[asked], labels[asked]
    order = places.argsort(kind="stable")
    return Instance(ids[:length].copy(), int(split), int(label) if split < length else None, places[order], labels[order])
