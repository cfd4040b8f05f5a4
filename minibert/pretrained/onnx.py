"""``model.onnx``: the weights of an exported model. What it computes is read only so far as it says which array is which.

The file is one message in Protocol Buffers' encoding (``minibert.protobuf``), of which these fields matter::

    model   7: graph
    graph   1: nodes, 5: stored arrays             node    1: inputs, 2: outputs, 4: operator, 5: attributes
    array   1: sizes, 2: type, 8: name, 9: the numbers as they are; or 4, 5, 7, 10: float32, small numbers, int64, float64
            14: 1 where the numbers lie in another file, and 13: "location", "offset", "length" of them there

It may be larger than memory, so it is walked through without being read: a ``Part`` of a file stands where bytes would. Names and
matrices that exporters have changed, ``onnx_graph`` puts right; what is stored in 8 bits is multiplied out to float32 when it is
read. The format has no checksums. Source: ``onnx/onnx.proto``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from minibert import protobuf
from minibert.files import brief
from minibert.pretrained import onnx_graph
from minibert.pretrained.onnx_graph import Node, Weight
from minibert.pretrained.widths import BFLOAT16, as_array, is_shape, itemsize

LONGEST_TEXT = 1 << 16  # bytes, of a name
LARGEST_FIELD = 100  # the numbers of fields; today's end with 26
RESERVED = {3, 4, 6, 7, 8, 9}  # fields that no graph will ever have; an array whose beginning was lost looks like them

#: Number of a type -> what it is called, and the field where its numbers stand in a row.
_TYPES = {1: ("float32", 4), 2: ("uint8", 5), 3: ("int8", 5), 6: ("int32", 5), 7: ("int64", 7), 9: ("bool", 5),
          10: ("float16", 5), 11: ("float64", 10), 16: (BFLOAT16, 5)}
_DTYPES = {dtype for dtype, _ in _TYPES.values()}


class Part:
    """Bytes of a file, which are read when they are asked for."""

    __slots__ = ("file", "start", "stop")

    def __init__(self, file: BinaryIO, start: int, stop: int) -> None:
        self.file, self.start, self.stop = file, start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, at: int | slice) -> int | Part:
        if isinstance(at, slice):
            return Part(self.file, self.start + at.start, self.start + at.stop)
        self.file.seek(self.start + at)
        return self.file.read(1)[0]

    def __bytes__(self) -> bytes:
        self.file.seek(self.start)
        return self.file.read(len(self))


class Stored(NamedTuple):
    """An array of the file, and where its numbers lie. ``coded``: each as a varint."""

    dtype: str
    shape: tuple[int, ...]
    path: Path
    offset: int
    length: int
    coded: bool = False


class Reader:
    """An open file: ``.shapes`` and ``.dtypes`` by name, matrices as (out, in); ``reader[name]`` reads one array."""

    def __init__(self, path: Path, stored: dict[str, Stored], weights: dict[str, Weight]) -> None:
        self.path = path
        self.size = sum(file.stat().st_size for file in {path, *(x.path for x in stored.values())})
        self._stored, self._weights = stored, weights
        self.shapes = {name: stored[w.stored].shape[::-1 if w.turned else 1] for name, w in weights.items()}
        self.dtypes = {name: stored[w.stored].dtype for name, w in weights.items()}
        self.format = "ONNX, quantised" if any(w.small for w in weights.values()) else "ONNX"

    def __getitem__(self, name: str) -> np.ndarray:
        """The array of that name. bfloat16 comes as float32, and what is stored in 8 bits as well, multiplied by its scale."""
        w = self._weights[name]
        x = self._read(w.stored)
        try:
            if w.zero is not None:
                x = np.subtract(x, _along(self._read(w.zero), x.ndim, w.axis), dtype=np.int16)
            if w.scale is not None:
                scale = _along(self._read(w.scale), x.ndim, w.axis).astype(np.float32)
                with np.errstate(invalid="ignore", over="ignore"):  # of a damaged file; who reads looks for such numbers
                    x = np.multiply(x, scale, dtype=np.float32)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{self.path}: the scale of tensor {name} does not fit it ({error})") from None
        if x.shape != self._stored[w.stored].shape:
            raise ValueError(f"{self.path}: the scale of tensor {name} does not fit it")
        return x.T if w.turned else x

    def _read(self, name: str) -> np.ndarray:
        x = self._stored[name]
        if x.dtype not in _DTYPES:
            raise ValueError(f"{self.path}: array {name} is of {x.dtype}, which cannot be read here; export the model in float32")
        with open(x.path, "rb") as file:
            file.seek(x.offset)
            raw = file.read(x.length)
        array = _decoded(raw, x.dtype) if x.coded else as_array(raw, x.dtype)
        if array.size != math.prod(x.shape):
            raise ValueError(f"{x.path}: it is damaged or was cut short: array {name} of shape {x.shape} has {array.size:,} "
                             "numbers")
        return array.reshape(x.shape)


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Reader]:
    """Open a file to read from.

    Raises FileNotFoundError, and ValueError for a file that was cut short, is damaged, or is something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        with open(path, "rb") as file:
            stored, nodes = _graph(Part(file, 0, path.stat().st_size), path)
        reader = Reader(path, stored, onnx_graph.tensors(nodes, {name: x.dtype for name, x in stored.items()}))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    yield reader


def _graph(model: Part, path: Path) -> tuple[dict[str, Stored], list[Node]]:
    """The stored arrays by name, those of the nodes among them, and the nodes."""
    try:
        graph = _fields(_last(_fields(model), 7, b""))
    except ValueError:
        graph = {}
    if 5 not in graph and 1 not in graph:
        raise ValueError("this is no ONNX model, or it was cut short; expected a file as torch.onnx or Optimum writes it")
    if odd := graph.keys() & RESERVED:
        raise ValueError(f"it is damaged: no graph has a field {min(odd)}")
    arrays = [_array(message, path) for message in graph.get(5, [])]
    stored = dict(arrays)
    if len(stored) < len(arrays):
        raise ValueError("it is damaged: two of its arrays have one name")
    nodes = []
    for message in graph.get(1, []):
        node, array = _node(message)
        if array is not None and node.outputs:
            stored.setdefault(node.outputs[0], _array(array, path)[1])
        nodes.append(node)
    return stored, nodes


# From messages to what they say. A field is a number, or a Part or bytes

def _fields(message: Any) -> dict[int, list[Any]]:
    if isinstance(message, int):
        raise ValueError("it is damaged: a number stands where a message should")
    found = protobuf.fields(message, "the file")
    if found and max(found) > LARGEST_FIELD:
        raise ValueError(f"it is damaged: no message has a field {max(found)}")
    return found


def _last(fields: dict[int, list[Any]], number: int, default: Any) -> Any:
    return fields.get(number, [default])[-1]


def _text(value: Any) -> str:
    if isinstance(value, int) or len(value) > LONGEST_TEXT:
        raise ValueError("it is damaged: a name is none")
    return bytes(value).decode("utf-8", "replace")


def _numbers(values: Iterable[Any]) -> list[int]:
    """Whole numbers: each a field, or many in one."""
    found = []
    for value in values:
        if isinstance(value, int):
            found.append(value)
        elif len(value) > LONGEST_TEXT:
            raise ValueError("it is damaged: a row of numbers is too long")
        else:
            found += _varints(bytes(value))
    return found


def _varints(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        number, at = protobuf.varint(data, at, "the file")
        yield number


def _decoded(data: bytes, dtype: str) -> np.ndarray:
    """Numbers that are written as varints; of halves the bits are."""
    bits = np.array([number & 0xFFFFFFFFFFFFFFFF for number in _varints(data)], np.uint64)
    if dtype in ("float16", BFLOAT16):
        return as_array(bits.astype("<u2").tobytes(), dtype)
    return bits.astype(np.int64).astype(dtype)


def _node(message: Any) -> tuple[Node, Any]:
    """An operation, and if it is a constant the message of its array."""
    fields = _fields(message)
    attributes, array = {}, None
    for attribute in map(_fields, fields.get(5, [])):
        name = _text(_last(attribute, 1, b""))
        attributes[name] = _numbers([*attribute.get(3, []), *attribute.get(8, [])])
        array = _last(attribute, 5, None) if name == "value" else array
    op = _text(_last(fields, 4, b""))
    return (Node(op, [*map(_text, fields.get(1, []))], [*map(_text, fields.get(2, []))], attributes),
            array if op == "Constant" else None)


def _array(message: Any, path: Path) -> tuple[str, Stored]:
    """The name of an array, and what there is to say about it; ValueError where its claims do not fit."""
    fields = _fields(message)
    name, number = _text(_last(fields, 8, b"")), _last(fields, 2, 0)
    dtype, row = _TYPES.get(number, (f"type number {brief(number)}", 0)) if isinstance(number, int) else ("no type", 0)
    shape = tuple(_numbers(fields.get(1, [])))
    if not is_shape(shape):
        raise ValueError(f"it is damaged: array {brief(name)} has sizes that no array has")
    if _last(fields, 14, 0) == 1:
        return name, _checked(name, Stored(dtype, shape, *_elsewhere(name, fields, path)))
    numbers = _last(fields, 9, None) if 9 in fields else _last(fields, row, None)
    if numbers is None or dtype not in _DTYPES:
        return name, Stored(dtype, shape, path, 0, 0)
    if isinstance(numbers, int) or (9 not in fields and len(fields[row]) > 1):
        raise ValueError(f"the numbers of array {brief(name)} are not stored in one piece, which no usual exporter does")
    coded = 9 not in fields and dtype not in ("float32", "float64")
    return name, _checked(name, Stored(dtype, shape, path, numbers.start, len(numbers), coded))


def _checked(name: str, x: Stored) -> Stored:
    expected = math.prod(x.shape) * itemsize(x.dtype) if x.dtype in _DTYPES else x.length
    if not x.coded and x.length != expected:
        raise ValueError(f"it is damaged: array {brief(name)} of shape {x.shape} and type {x.dtype} cannot take {x.length:,} "
                         "bytes")
    return x


def _elsewhere(name: str, fields: dict[int, list[Any]], path: Path) -> tuple[Path, int, int]:
    """File, offset and length of numbers that lie in a file beside this one."""
    entries = {_text(_last(entry, 1, b"")): _text(_last(entry, 2, b"")) for entry in map(_fields, fields.get(13, []))}
    location = entries.get("location", "")
    if Path(location).name != location or "\\" in location or not location:
        raise ValueError(f"{brief(location)} is not the name of a file beside it, where array {brief(name)} should be")
    file = path.parent / location
    if not file.is_file():
        raise FileNotFoundError(f"{path.parent} has no {location}, where {path.name} says its numbers are")
    size = file.stat().st_size
    if not all(entries.get(key, "0").isascii() and entries.get(key, "0").isdecimal() and len(entries.get(key, "0")) < 20
               for key in ("offset", "length")):
        raise ValueError(f"it is damaged: array {brief(name)} does not say where in {location} it is")
    offset = int(entries.get("offset", "0"))
    length = int(entries.get("length", max(size - offset, 0)))
    if offset + length > size:
        raise ValueError(f"{location} was cut short: array {brief(name)} ends at byte {offset + length:,}, found {size:,}; copy "
                         "or download it again")
    return file, offset, length


def _along(x: np.ndarray, dimensions: int, axis: int | None) -> np.ndarray:
    """A scale of each row or column, so that it is broadcast along ``axis``."""
    return x.reshape([-1 if i == axis % dimensions else 1 for i in range(dimensions)]) if axis is not None and x.size > 1 else x
