"""The original format of BERT: TensorFlow's tensor bundle, ``bert_model.ckpt.index`` and ``bert_model.ckpt.data-00000-of-00001``.

The index is a sorted table (``leveldb``) from the names of variables to small messages in Protocol Buffers' encoding, which say
where in which data file the numbers lie, and what their checksum is; the empty name has the message about the whole::

    ""                                  {1: number of data files, 2: byte order (0: little), 3: version}
    "bert/pooler/dense/bias"            {1: type, 2: shape, 3: data file, 4: offset, 5: size, 6: masked CRC-32C, 7: slices}

Every tensor is verified against its checksum when it is read. Matrices called ``kernel`` are handed out transposed, as (out, in).
Source: TensorFlow's ``core/protobuf/tensor_bundle.proto`` and ``core/util/tensor_bundle``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minibert import protobuf
from minibert.crc32c import masked
from minibert.pretrained import leveldb
from minibert.pretrained.names import lies_transposed
from minibert.pretrained.widths import BFLOAT16, as_array, is_shape, itemsize

LARGEST_INDEX = 1 << 20  # bytes; that of BERT-large with its optimiser is about 100 kB

_TYPES = {1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 9: "int64", 10: "bool", 14: BFLOAT16,
          17: "uint16", 19: "float16", 22: "uint32", 23: "uint64"}  # core/framework/types.proto


class Entry(NamedTuple):
    """Where a tensor lies."""

    dtype: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int
    partitioned: bool


class Reader:
    """An open checkpoint: ``.shapes`` and ``.dtypes`` by name, matrices as (out, in); ``reader[name]`` reads one array."""

    format = "TensorFlow checkpoint"

    def __init__(self, path: Path, shards: list[Path], found: dict[str, Entry]) -> None:
        self.path = path
        self.size = path.stat().st_size + sum(shard.stat().st_size for shard in shards)
        self._shards, self._entries = shards, found
        self.shapes = {name: e.shape[::-1] if lies_transposed(name) else e.shape for name, e in found.items()}
        self.dtypes = {name: e.dtype for name, e in found.items()}

    def __getitem__(self, name: str) -> np.ndarray:
        """The array of that name; ValueError where its checksum is wrong. bfloat16 comes as float32."""
        entry = self._entries[name]
        if entry.partitioned or entry.dtype not in _TYPES.values():
            what = "in slices" if entry.partitioned else f"of {entry.dtype}"
            raise ValueError(f"{self.path}: tensor {name} is stored {what}, which cannot be read here")
        shard = self._shards[entry.shard]
        with open(shard, "rb") as file:
            file.seek(entry.offset)
            raw = np.frombuffer(file.read(entry.size), np.uint8)
        if raw.size != entry.size or masked(raw) != entry.crc:
            raise ValueError(f"{shard}: tensor {name} is damaged, its checksum is wrong; copy or download the file again")
        x = as_array(raw, entry.dtype).reshape(entry.shape)
        return x.T if lies_transposed(name) else x


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Reader]:
    """Open a checkpoint by its ``.index`` file.

    Raises FileNotFoundError for a missing file, and ValueError for one that was cut short, damaged or is something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        if path.stat().st_size > LARGEST_INDEX:
            raise ValueError(f"{path.stat().st_size:,} bytes are too many for the index of a BERT")
        table = dict(leveldb.entries(path.read_bytes()))
        if b"" not in table:
            raise ValueError("the index has no header")
        header = protobuf.fields(table.pop(b""), leveldb.INDEX)
        count = header.get(1, [1])[-1]
        if not 1 <= count <= 99_999:
            raise ValueError(f"the index says there are {count} data files")
        if header.get(2, [0])[-1] != 0:
            raise ValueError("the numbers were written in big-endian byte order, which is not read here")
        shards = [path.with_name(f"{path.stem}.data-{i:05}-of-{count:05}") for i in range(min(count, len(table) + 1))]
        found = {key.decode("utf-8"): _entry(value) for key, value in table.items()}
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if absent := [shard.name for shard in shards if not shard.is_file()]:
        raise FileNotFoundError(f"{path.parent} has no {', '.join(absent[:3])}, where {path.name} says the numbers are")
    for name, entry in found.items():
        _check(path, shards, name, entry)
    yield Reader(path, shards, found)


def _check(path: Path, shards: list[Path], name: str, e: Entry) -> None:
    """That an entry's claims fit its data file, before anything is allocated."""
    if e.partitioned or e.dtype not in _TYPES.values():
        return
    if math.prod(e.shape) * itemsize(e.dtype) != e.size:
        raise ValueError(f"{path}: tensor {name} of shape {e.shape} and type {e.dtype} cannot take {e.size:,} bytes")
    if e.shard >= len(shards):
        raise ValueError(f"{path}: tensor {name} is said to be in data file {e.shard + 1} of {len(shards)}")
    if e.offset + e.size > (found := shards[e.shard].stat().st_size):
        raise ValueError(f"{shards[e.shard]}: the file was cut short: tensor {name} ends at byte {e.offset + e.size:,}, found "
                         f"{found:,}; copy or download it again")


def _entry(message: bytes) -> Entry:
    fields = protobuf.fields(message, leveldb.INDEX)

    def number(key: int) -> int:
        value = fields.get(key, [0])[-1]
        if not isinstance(value, int):
            raise ValueError("the index is damaged: an entry has a field of the wrong kind")
        return value

    shape = []
    for part in fields.get(2, []):
        if not isinstance(part, bytes):
            raise ValueError("the index is damaged: a shape is no message")
        for dimension in protobuf.fields(part, leveldb.INDEX).get(2, []):
            size = protobuf.fields(dimension, leveldb.INDEX).get(1, [0])[-1] if isinstance(dimension, bytes) else None
            if not isinstance(size, int):
                raise ValueError("the index is damaged: a dimension is no number")
            shape.append(size)
    if not is_shape(shape):
        raise ValueError("the index is damaged: an entry has too many dimensions, or one that is too large")
    kind = number(1)
    return Entry(_TYPES.get(kind, f"type number {kind}"), tuple(shape), number(3), number(4), number(5), number(6), 7 in fields)
