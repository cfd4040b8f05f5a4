"""The reference's records: a TFRecord file of ``tf.Example`` messages, each a table from names to lists of numbers.

::

    message Example  { Features features = 1; }
    message Features { map<string, Feature> feature = 1; }      an entry of a map: key = 1, value = 2
    message Feature  { oneof { BytesList = 1; FloatList = 2; Int64List = 3; } }
    message …List    { repeated … value = 1; }                   numbers packed: varints, or four bytes each

Other features than those of ``instances`` are passed over (ALBERT's ``token_boundary``).
Source: TensorFlow, ``tensorflow/core/example/{example,feature}.proto``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minibert import files, protobuf
from minibert.data.prepared import tfrecord
from minibert.data.prepared.instances import LABEL, MASKS, MOST_TOKENS, TOKENS, Block, Instance, Padding, Wanted, padded, unpadded
from minibert.data.prepared.tfrecord import begins  # noqa: F401 - of a format
from minibert.text.vocabulary import Vocabulary

TITLE, ENDING = "tf.Example records", ".tfrecord"
BLOCK, PACKED_BLOCK = 1024, 16384  # examples; what is packed is read from its beginning for each block, so that few is better
AT_ONCE = 128  # decoded side by side
_FLOATS, _INTEGERS = 2, 3  # fields of a Feature
_WEIGHTS = MASKS[2]


def blocks(path: Path) -> list[Block]:
    """Where its examples lie. ValueError for a file that was cut short."""
    size = PACKED_BLOCK if tfrecord.packed(path) else BLOCK
    starts, count = [], 0
    for at in tfrecord.places(path):
        if count % size == 0:
            starts.append(at)
        count += 1
    return [Block(path, sys.modules[__name__], i * size, min(size, count - i * size), at) for i, at in enumerate(starts)]


def read(block: Block, wanted: Wanted) -> list[Instance]:
    """The examples of a block. ValueError with the record for one that is damaged, or does not fit."""
    found: list[Instance] = []
    pieces = tfrecord.read(block.path, block.at, block.first, block.count)
    for start in range(0, block.count, AT_ONCE):
        some = block._replace(first=block.first + start, count=min(AT_ONCE, block.count - start))
        found += unpadded(some, _rectangles(some, pieces[start:start + AT_ONCE]), wanted)
    return found


def write(path: Path, instances: Sequence[Instance], vocab: Vocabulary, padding: Padding) -> None:
    """A whole file."""
    fields = padded(instances, padding, vocab.pad_id)
    tfrecord.write(path, (message({name: np.atleast_1d(column[row]) for name, column in fields.items()})
                          for row in range(len(instances))))


def message(features: dict[str, np.ndarray]) -> bytes:
    """An Example: a FloatList of what is float32, Int64Lists of the other numbers."""
    entries = b""
    for name, values in features.items():
        kind = _FLOATS if values.dtype.kind == "f" else _INTEGERS
        numbers = (values.astype("<f4").tobytes() if kind == _FLOATS else
                   b"".join(map(protobuf.written, values.tolist())))
        feature = protobuf.field(kind, protobuf.field(1, numbers))
        entries += protobuf.field(1, protobuf.field(1, name) + protobuf.field(2, feature))
    return protobuf.field(1, entries)


def features(piece: bytes, what: str) -> dict[str, tuple[int, bytes]]:
    """Name -> (kind of its list, its numbers packed) of an Example. ValueError, with ``what``, for what is none."""
    found = {}
    for entry in _fields(_fields([piece], what).get(1, []), what).get(1, []):
        parts = _fields([entry], what)
        name, feature = (parts.get(number, [b""])[-1:] for number in (1, 2))
        for kind, lists in _fields(feature, what).items():
            numbers = _fields(lists, what).get(1, [])
            found[_joined(name, what).decode("utf-8", "replace")] = kind, _joined([
                x if isinstance(x, bytes) else x.to_bytes(4, "little") if kind == _FLOATS else protobuf.written(x)
                for x in numbers], what)  # numbers one by one are as good as packed ones
    return found


def _fields(messages: list, what: str) -> dict[int, list]:
    """The fields of a message; one that stands there in parts is all of them."""
    return protobuf.fields(_joined(messages, what), what)


def _joined(parts: list, what: str) -> bytes:
    if len(parts) == 1 and isinstance(parts[0], bytes):  # as a rule
        return parts[0]
    if not all(isinstance(part, bytes) for part in parts):
        raise ValueError(f"{what} is damaged: there is a number where a message should be")
    return b"".join(parts)


def _rectangles(block: Block, pieces: Sequence[bytes]) -> dict[str, np.ndarray]:
    """The features of some examples, the shorter ones with zeros behind. ValueError where one is missing, or lengths disagree."""
    whats = [f"{block.path}, record {block.first + row:,}" for row in range(1, len(pieces) + 1)]
    found = [features(piece, what) for piece, what in zip(pieces, whats)]
    columns, counts = {}, {}
    for name in (*TOKENS, *MASKS, LABEL):
        wanted = _FLOATS if name == _WEIGHTS else _INTEGERS
        for what, one in zip(whats, found):
            if one.get(name, (None,))[0] != wanted:
                names = ", ".join(sorted(one))
                raise ValueError(f"{what}: expected the {'floats' if wanted == _FLOATS else 'integers'} {name}, found "
                                 f"{files.brief(names) if names else 'nothing'}; this is no example for pre-training")
        columns[name], counts[name] = _rectangle([one[name][1] for one in found], wanted, whats)
    for names in (TOKENS, MASKS):
        for name in names[1:]:
            for what, first, count in zip(whats, counts[names[0]], counts[name]):
                if first != count:
                    raise ValueError(f"{what}: {names[0]} has {first:,} numbers and {name} has {count:,}; they belong together")
    for what, count in zip(whats, counts[LABEL]):
        if count != 1:
            raise ValueError(f"{what}: {LABEL} has {count:,} numbers; expected one")
    return {**columns, LABEL: columns[LABEL][:, 0]}


def _rectangle(packed: Sequence[bytes], kind: int, whats: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Packed numbers of some examples as rows, and how many each has."""
    ends = np.cumsum([0, *map(len, packed)])
    data = np.frombuffer(b"".join(packed), np.uint8)
    if kind == _FLOATS:
        bad, counts = ends[1:] % 4 != 0, np.diff(ends) // 4
        values = None if bad.any() else data.view("<f4")
    else:
        last = data < 0x80
        bad = np.array([bool(part) and part[-1] >= 0x80 for part in packed])
        counts = np.diff(np.concatenate([[0], np.cumsum(last)])[ends])
        values = None if bad.any() else _varints(data, last)
    for what, wrong, count in zip(whats, bad, counts):
        if wrong or count > MOST_TOKENS:
            raise ValueError(f"{what} is damaged: " + ("a number does not end" if wrong else f"it has {count:,} numbers"))
    rows = np.zeros((len(packed), max(1, *counts)), np.float32 if kind == _FLOATS else np.int64)
    rows[np.arange(rows.shape[1]) < counts[:, None]] = values
    return rows, counts


def _varints(data: np.ndarray, last: np.ndarray) -> np.ndarray:
    """int64 numbers of bytes: seven bits each, the lowest first; ``last``: which bytes end a number."""
    if not len(data):
        return np.empty(0, np.int64)
    stops = last.nonzero()[0]
    starts = np.append(0, stops[:-1] + 1)
    places = np.arange(len(data)) - np.repeat(starts, stops - starts + 1)
    bits = (data & 0x7F).astype(np.uint64) << np.minimum(7 * places, 63).astype(np.uint64)
    return np.bitwise_or.reduceat(bits, starts).view(np.int64)
