"""``flax_model.msgpack``: the tree of parameters as Flax writes it, in MessagePack.

MessagePack is JSON in bytes: the first byte of a value says what it is and, of something short, how long; else its length
follows. What it has no kind for is an extension, of a number and bytes. Flax's are

    1   an array: again MessagePack, of [shape, name of the type, the bytes of its numbers]
    3   a single number, in the same way

and an array of more than a gigabyte is a map, {"__msgpack_chunked_array__": true, "shape": {"0": …}, "chunks": {"0": array, …}}.
The numbers are not read before they are asked for. Names are handed out as PyTorch has them (Flax says ``kernel``, ``scale`` and
``embedding`` for ``weight``), and a kernel, which lies (in, out), the other way round. There are no checksums.

Source: https://github.com/msgpack/msgpack/blob/master/spec.md, and ``flax/serialization.py``.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from minibert.files import brief
from minibert.pretrained.placed import Piece, Placed, Reader, placed

DEEPEST = 32  # maps within maps; a BERT has ten
MOST_VALUES = 1_000_000  # of a file; a BERT has some hundreds
LONGEST_NAME = 4096  # bytes

_ARRAY, _NUMBER = 1, 3  # of Flax's extensions
_CHUNKED = "__msgpack_chunked_array__"
_NAMES = {"kernel": "weight", "scale": "weight", "embedding": "weight"}
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
_NUMBERS = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i",
            0xD3: ">q"}
#: First byte -> what it is, and the number of bytes that its length takes.
_LONG = {0xC4: ("bytes", 1), 0xC5: ("bytes", 2), 0xC6: ("bytes", 4), 0xC7: ("extension", 1), 0xC8: ("extension", 2),
         0xC9: ("extension", 4), 0xD9: ("text", 1), 0xDA: ("text", 2), 0xDB: ("text", 4), 0xDC: ("list", 2), 0xDD: ("list", 4),
         0xDE: ("map", 2), 0xDF: ("map", 4)}
#: First byte, of the first to the last -> what it is; the length is in its lowest bits.
_SHORT = ((0x80, 0x8F, "map"), (0x90, 0x9F, "list"), (0xA0, 0xBF, "text"))


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Reader]:
    """Open a file to read from.

    Raises FileNotFoundError, and ValueError for one that was cut short, is damaged or something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        with open(path, "rb") as file:
            tree = _Decoder(file, path.stat().st_size).whole()
        if not isinstance(tree, dict):
            raise ValueError("this is not a file of Flax: it is no map of names and arrays")
        found = list(_flat(tree))
        arrays = dict(found)
        if len(arrays) < len(found):
            raise ValueError("two of its arrays have one name")
    except (ValueError, struct.error) as error:
        raise ValueError(f"{path}: {error}") from None
    yield Reader(path, "Flax", arrays)


def _flat(tree: dict[str, Any], above: str = "") -> Iterator[tuple[str, Placed]]:
    """The arrays of a tree, by all the names that lead to them."""
    for name, value in tree.items():
        if isinstance(value, dict) and _CHUNKED in value:
            value = _joined(value)
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        elif isinstance(value, Placed):
            yield f"{above}{_NAMES.get(name, name)}", value._replace(transposed=name == "kernel")


def _joined(chunks: dict[str, Any]) -> Placed:
    """One array out of its chunks."""
    shape, parts = chunks.get("shape"), chunks.get("chunks")
    if not isinstance(shape, dict) or not isinstance(parts, dict) or not all(isinstance(x, Placed) for x in parts.values()):
        raise ValueError("an array in chunks has no shape, or no chunks")
    ordered = [parts.get(str(i)) for i in range(len(parts))]
    if None in ordered or len({part.dtype for part in ordered}) != 1:
        raise ValueError("the chunks of an array are not numbered, or of several types")
    sizes = [shape.get(str(i)) for i in range(len(shape))]
    return placed(ordered[0].dtype, sizes, [piece for part in ordered for piece in part.pieces])


class _Decoder:
    """Reads one value after another; arrays stay where they are."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size, self.left = file, size, MOST_VALUES

    def whole(self) -> Any:
        """The one value of a file."""
        value = self.value()
        if self.file.tell() != self.size:
            raise ValueError(f"the file is damaged: it should end at byte {self.file.tell():,}, found {self.size:,}")
        return value

    def value(self, depth: int = 0) -> Any:
        self.left -= 1
        if depth > DEEPEST or self.left < 0:
            raise ValueError("this is not a file of Flax, or it is damaged: it is nested too deeply, or has too many values")
        first = self.take(1)[0]
        if first in _CONSTANTS:
            return _CONSTANTS[first]
        if first in _NUMBERS:
            return struct.unpack(_NUMBERS[first], self.take(struct.calcsize(_NUMBERS[first])))[0]
        if first < 0x80 or first >= 0xE0:
            return first if first < 0x80 else first - 0x100
        kind, length = self.head(first)
        return getattr(self, f"_{kind}")(length, depth)

    def head(self, first: int) -> tuple[str, int]:
        """What a value is, and its length."""
        if first in _LONG:
            kind, width = _LONG[first]
            return kind, int.from_bytes(self.take(width), "big")
        if 0xD4 <= first <= 0xD8:
            return "extension", 1 << first - 0xD4
        for start, stop, kind in _SHORT:
            if start <= first <= stop:
                return kind, first - start
        raise ValueError(f"the file is damaged: no value begins with the byte 0x{first:02x}")

    def take(self, count: int) -> bytes:
        if len(data := self.file.read(count)) < count:
            raise ValueError(f"the file was cut short: something of {count:,} bytes is not there; copy or download it again")
        return data

    def _text(self, length: int, depth: int) -> str:
        if length > LONGEST_NAME:
            raise ValueError(f"the file is damaged: a name is {length:,} bytes long")
        return self.take(length).decode("utf-8")

    def _bytes(self, length: int, depth: int) -> Piece:
        """Where they are; they stay there."""
        at = self.file.tell()
        if at + length > self.size:
            raise ValueError(f"the file was cut short: {length:,} bytes should begin at byte {at:,}, and it ends at "
                             f"{self.size:,}; copy or download it again")
        self.file.seek(at + length)
        return Piece(at, length)

    def _list(self, length: int, depth: int) -> list[Any]:
        return [self.value(depth + 1) for _ in range(length)]

    def _map(self, length: int, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for _ in range(length):
            name, value = self.value(depth + 1), self.value(depth + 1)
            if not isinstance(name, str) or name in made:
                raise ValueError(f"the file is damaged: {brief(name)} is no name, or stands there twice")
            made[name] = value
        return made

    def _extension(self, length: int, depth: int) -> Placed | None:
        """An array, or what is of no use here."""
        kind, start = self.take(1)[0], self.file.tell()
        if kind not in (_ARRAY, _NUMBER):
            return self._bytes(length, depth) and None
        parts = self.value(depth + 1)
        if not (isinstance(parts, list) and len(parts) == 3 and isinstance(parts[0], list) and isinstance(parts[2], Piece)):
            raise ValueError("the file is damaged: an array has no shape, type and bytes")
        if self.file.tell() != start + length:
            raise ValueError("the file is damaged: the parts of an array do not fill it")
        return placed(parts[1], parts[0], [parts[2]])
