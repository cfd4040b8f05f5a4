"""HDF5, as far as Keras 2 writes it: where the arrays of a file lie.

HDF5 is a file system within a file. Everything that has a name is an *object*: a header with messages, each of a kind and some
bytes. A folder's (a *group's*) has one message that leads to a tree of its entries and to a heap with their names; an array's
say its shape, its type and where its numbers are::

    superblock ── object header ── symbol table ── TREE ── … ── SNOD: (place of the name in HEAP, object header), …
                                        └───────── HEAP: names, one after another
                  object header ── dataspace, datatype, layout: (address, bytes)

All addresses are eight bytes, little-endian. What HDF5 can do beside that (chunks, compression, links, external files, headers of
version 2) is refused by name. There are no checksums. A damaged file may lead in circles, so steps are counted.

Source: The HDF Group, "HDF5 File Format Specification Version 3.0".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from minibert.pretrained.placed import Piece, Placed, placed

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MOST_STEPS = 200_000  # nodes, headers and messages; those of BERT-large are about 10,000
DEEPEST = 32
LONGEST_NAME = 1024

_DATASPACE, _DATATYPE, _EXTERNAL, _LAYOUT, _FILTERS, _CONTINUED, _GROUP = 0x01, 0x03, 0x07, 0x08, 0x0B, 0x10, 0x11
_REFUSED = {_EXTERNAL: "in another file", _FILTERS: "compressed"}
_LAYOUTS = {0: "within its header", 2: "in chunks", 3: "virtual"}
_FLOATS = {(2, 5): "float16", (2, 8): "bfloat16", (4, 8): "float32", (8, 11): "float64"}  # (bytes, bits of the exponent)


def arrays(path: Path) -> dict[str, Placed]:
    """The arrays of a file by their paths. ValueError for what is damaged, or stored in a way that is not read here."""
    with open(path, "rb") as file:
        return dict(_File(file, path.stat().st_size).walk())


class _File:
    """A file that is being walked through."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size, self.steps = file, size, 0

    def read(self, at: int, count: int) -> bytes:
        """Bytes from an address on; each read is a step."""
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise ValueError("the file is damaged: it leads in circles")
        self.inside(Piece(at, count))
        self.file.seek(at)
        return self.file.read(count)

    def inside(self, piece: Piece) -> None:
        if piece.at + piece.count > self.size:
            raise ValueError(f"the file was cut short or is damaged: {piece.count:,} bytes should lie at byte {piece.at:,}, and "
                             f"it has {self.size:,}; copy or download it again")

    def numbers(self, at: int, form: str) -> tuple[int, ...]:
        return struct.unpack("<" + form, self.read(at, struct.calcsize("<" + form)))

    def walk(self) -> Iterator[tuple[str, Placed]]:
        if self.read(0, 8) != SIGNATURE:
            raise ValueError("this is no HDF5 file")
        version, offsets, lengths = self.read(8, 1)[0], *self.read(13, 2)
        if version > 1 or (offsets, lengths) != (8, 8):
            raise ValueError(f"its superblock of version {version} is not read here; Keras writes version 0")
        base, = self.numbers(24 + 4 * version, "Q")
        if base:
            raise ValueError("the file is damaged: it does not begin where it begins")
        root, = self.numbers(64 + 4 * version, "Q")
        yield from self.object("", root, 0)

    def object(self, name: str, at: int, depth: int) -> Iterator[tuple[str, Placed]]:
        """The arrays of an object, which is a group, an array, or of no use."""
        if depth > DEEPEST:
            raise ValueError("the file is damaged: its groups are nested too deeply")
        messages = self.messages(at)
        if _GROUP in messages:
            tree, heap = struct.unpack_from("<QQ", messages[_GROUP].ljust(16, b"\xff"))
            for child, header in self.entries(tree, self.names(heap), 0):
                yield from self.object(f"{name}/{child}", header, depth + 1)
        elif {_DATASPACE, _DATATYPE, _LAYOUT} <= messages.keys():
            try:
                array = _placed(messages)
            except (ValueError, IndexError, struct.error) as error:
                raise ValueError(f"its array {name[:200]!r}: {error}") from None
            self.inside(array.pieces[0])
            yield name.removeprefix("/"), array

    def messages(self, at: int) -> dict[int, bytes]:
        """Kind -> content, of a header with all of its continuations."""
        if (version := self.read(at, 1)[0]) != 1:
            raise ValueError(f"its header at byte {at:,} is damaged, or of a version ({version}) that Keras does not write")
        count, = self.numbers(at + 2, "H")
        size, = self.numbers(at + 8, "I")
        blocks, found = [(at + 16, size)], {}
        while blocks and count:
            start, size = blocks.pop(0)
            stop = start + size
            while start + 8 <= stop and count:
                kind, length = self.numbers(start, "HH")
                content = self.read(start + 8, length)
                if kind == _CONTINUED:
                    blocks.append(struct.unpack_from("<QQ", content.ljust(16, b"\xff")))
                found.setdefault(kind, content)
                start, count = start + 8 + length, count - 1
        return found

    def names(self, heap: int) -> int:
        """Where the names of a group begin."""
        if self.read(heap, 4) != b"HEAP":
            raise ValueError(f"the file is damaged: there are no names at byte {heap:,}")
        return self.numbers(heap + 24, "Q")[0]

    def entries(self, at: int, names: int, depth: int) -> Iterator[tuple[str, int]]:
        """The name and the header of each entry of a group."""
        kind = self.read(at, 4)
        if kind == b"TREE" and depth < DEEPEST:
            for i in range(self.numbers(at + 6, "H")[0]):
                yield from self.entries(self.numbers(at + 32 + 16 * i, "Q")[0], names, depth + 1)
        elif kind == b"SNOD":
            for i in range(self.numbers(at + 6, "H")[0]):
                place, header = self.numbers(at + 8 + 40 * i, "QQ")
                yield self.name(names + place), header
        else:
            raise ValueError(f"the file is damaged: there are no entries of a group at byte {at:,}")

    def name(self, at: int) -> str:
        """A text that ends with a zero."""
        text, end, _ = self.read(at, max(0, min(LONGEST_NAME, self.size - at))).partition(b"\0")
        if not text or not end:
            raise ValueError(f"the file is damaged: there is no name at byte {at:,}")
        return text.decode("utf-8")


def _placed(messages: dict[int, bytes]) -> Placed:
    """An array, by the messages of its header."""
    if refused := [how for kind, how in _REFUSED.items() if kind in messages]:
        raise ValueError(f"it is stored {refused[0]}, which is not read here")
    layout = messages[_LAYOUT]
    version, kind = struct.unpack_from("BB", layout)
    if version != 3 or kind != 1:
        raise ValueError(f"it is stored {_LAYOUTS.get(kind, 'in an unknown way')} (version {version}), which is not read here")
    at, size = struct.unpack_from("<QQ", layout, 2)
    dtype, big_endian = _type(messages[_DATATYPE])
    return placed(dtype, _shape(messages[_DATASPACE]), [Piece(at if size else 0, size)], big_endian=big_endian)


def _shape(message: bytes) -> tuple[int, ...]:
    version, rank = struct.unpack_from("BB", message)
    return struct.unpack_from(f"<{rank}Q", message, {1: 8, 2: 4}.get(version, len(message)))


def _type(message: bytes) -> tuple[str, bool]:
    """The name of a type of numbers, and whether its bytes come the highest first."""
    kind, flags, size = message[0] & 15, message[1], struct.unpack_from("<I", message, 4)[0]
    if kind == 1:
        return _FLOATS.get((size, message[13]), f"float of {size} bytes"), bool(flags & 1)
    if kind == 0:
        return f"{'int' if flags & 8 else 'uint'}{8 * size}", bool(flags & 1)
    return f"class {kind}", False
