"""TFRecord: pieces of bytes one after another, each with its length and two checksums.

::

    length                    8 bytes, lowest first
    checksum of the length    4 bytes, the masked CRC-32C
    data
    checksum of the data      4 bytes

A file may be compressed as a whole (gzip). There is no index: who wants the thousandth piece reads the
lengths of all before it.

Source: TensorFlow, ``tensorflow/core/lib/io/record_writer.h``.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from minibert.crc32c import each_masked, masked
from minibert.files import writing

MOST_BYTES = 1 << 20  # of a piece; those of 512 tokens have some 4,000
_HEAD = struct.Struct("<QI")
_CHECKED_AT_ONCE = 1024  # pieces
_GZIP = b"\x1f\x8b"


def begins(start: bytes) -> bool:
    """Whether a file with these first bytes holds such pieces: no text has zeros there, should the checksum be wrong."""
    if start.startswith(_GZIP):
        try:
            start = zlib.decompressobj(31).decompress(start, _HEAD.size)
        except zlib.error:
            return False
    return len(start) >= _HEAD.size and (start[4:8] == bytes(4) or masked(start[:8]) == _HEAD.unpack_from(start)[1])


def packed(path: Path) -> bool:
    """Is it compressed?"""
    with open(path, "rb") as file:
        return file.read(2) == _GZIP


def places(path: Path) -> Iterator[int]:
    """The byte (of what is unpacked) where each piece begins. ValueError for a file that was cut short or is damaged."""
    at = number = 0
    with _opened(path) as file:
        while head := file.read(_HEAD.size):
            number += 1
            yield at
            length = _length(head, path, number)
            if len(file.read(length + 4)) < length + 4:
                raise _short(path, number)
            at += _HEAD.size + length + 4


def read(path: Path, at: int, first: int, count: int) -> list[bytes]:
    """``count`` pieces from a place on, ``first`` of the file before them. ValueError for a wrong checksum."""
    found: list[bytes] = []
    sums: list[int] = []
    with _opened(path) as file:
        file.seek(at)
        for number in range(first + 1, first + count + 1):
            length = _length(file.read(_HEAD.size), path, number)
            data = file.read(length + 4)
            if len(data) < length + 4:
                raise _short(path, number)
            found.append(data[:-4])
            sums.append(int.from_bytes(data[-4:], "little"))
    for number, (computed, stored) in enumerate(zip(each_masked(found), sums), start=first + 1):
        if computed != stored:
            raise ValueError(f"{path}, record {number:,}: its checksum is wrong, so it is damaged; make or copy the file again")
    return found


def write(path: Path, pieces: Iterable[bytes]) -> None:
    """A file of pieces; one whose name ends in ``.gz`` is compressed."""
    with writing(path) as file, gzip.GzipFile(fileobj=file, mode="wb", mtime=0, filename="") if path.suffix == ".gz" \
            else nullcontext(file) as out:
        pieces = iter(pieces)
        while group := list(islice(pieces, _CHECKED_AT_ONCE)):
            lengths = [len(piece).to_bytes(8, "little") for piece in group]
            for length, first, piece, last in zip(lengths, each_masked(lengths), group, each_masked(group)):
                out.write(length + first.to_bytes(4, "little") + piece + last.to_bytes(4, "little"))


def _length(head: bytes, path: Path, number: int) -> int:
    """What a head says of the piece behind it."""
    if len(head) < _HEAD.size:
        raise _short(path, number)
    length, stored = _HEAD.unpack(head)
    if masked(head[:8]) != stored:
        raise ValueError(f"{path}, record {number:,}: the checksum of its length is wrong, so the file is damaged from there on; "
                         "make or copy it again")
    if not 0 < length <= MOST_BYTES:
        raise ValueError(f"{path}, record {number:,}: it has {length:,} bytes, and an example has from 1 to {MOST_BYTES:,}")
    return length


def _short(path: Path, number: int) -> ValueError:
    return ValueError(f"{path}, record {number:,}: the file ends within it, so it was cut short; make or copy the file again")


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with gzip.open(path) if packed(path) else open(path, "rb") as file:
        try:
            yield file
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path} is damaged or was cut short: it cannot be unpacked ({error}); make or copy it "
                             "again") from None
