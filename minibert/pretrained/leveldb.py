"""The sorted table of LevelDB, in which TensorFlow writes where each tensor lies.

::

    file    = block … block  metaindex  index  footer
    block   = contents, 1 byte: compressed with Snappy?, 4 bytes: masked CRC-32C of both
    contents= entry … entry  restart … restart  number of restarts        (4 bytes each; for searching, not needed to read all)
    entry   = shared, fresh, length (varints), the fresh end of the key, the value
    index   = a block whose values say where the other blocks are         handle = offset, size (varints)
    footer  = handle of the metaindex, handle of the index, zeros up to 40 bytes, 8 bytes of magic

Neighbouring keys have long common beginnings, so an entry says how many bytes it shares with the key before it.
Source: LevelDB's ``doc/table_format.md``; Snappy's ``format_description.txt``.
"""

from __future__ import annotations

from collections.abc import Iterator

from minibert.crc32c import masked
from minibert.protobuf import varint

INDEX = "the index"  # what messages call it
MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
_FOOTER = 48
LONGEST_KEY = 1024  # bytes
LARGEST = 1 << 22  # bytes, of all blocks when decompressed, and of all keys when written out


def entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every (key, value) in order. ValueError where something does not add up; checksums are verified."""
    if len(table) < _FOOTER or table[-8:] != MAGIC:
        raise ValueError("this is not the index of a TensorFlow checkpoint, or its end was cut off")
    footer = table[-_FOOTER:-8]
    _, at = _handle(footer, 0)  # the metaindex: filters, which TensorFlow does not use
    (offset, size), _ = _handle(footer, at)
    last, end, room, room_of_keys = None, 0, LARGEST, LARGEST
    for _, value in _in_block(_block(table, offset, size, LARGEST)):
        (offset, size), _ = _handle(value, 0)
        if offset < end:
            raise ValueError("the index is damaged: blocks overlap")
        end = offset + size
        contents = _block(table, offset, size, room)
        room -= len(contents)
        for key, value in _in_block(contents):
            if last is not None and key <= last:
                raise ValueError(f"the index is damaged: the keys are out of order at {key[:40]!r}")
            last = key
            room_of_keys -= len(key)
            if room_of_keys < 0:
                raise ValueError(f"the index is damaged: its keys take more than {LARGEST:,} bytes")
            yield key, value


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    offset, at = varint(data, at, INDEX)
    size, at = varint(data, at, INDEX)
    return (offset, size), at


def _block(table: bytes, offset: int, size: int, room: int) -> bytes:
    """The contents of a block, verified and decompressed: at most ``room`` bytes."""
    if offset + size + 5 > len(table):
        raise ValueError(f"the index is damaged or was cut off: a block ends at byte {offset + size + 5:,} of {len(table):,}")
    contents, kind = table[offset:offset + size], table[offset + size]
    stored = int.from_bytes(table[offset + size + 1:offset + size + 5], "little")
    if masked(table[offset:offset + size + 1]) != stored:
        raise ValueError(f"the index is damaged: the checksum of the block at byte {offset:,} is wrong")
    if kind > 1:
        raise ValueError(f"the index is compressed in an unknown way (number {kind})")
    return snappy(contents, room) if kind else contents


def _in_block(contents: bytes) -> Iterator[tuple[bytes, bytes]]:
    restarts = int.from_bytes(contents[-4:], "little")
    stop = len(contents) - 4 * (restarts + 1)
    if len(contents) < 4 or stop < 0:
        raise ValueError("the index is damaged: a block is too short")
    key, at = b"", 0
    while at < stop:
        shared, at = varint(contents, at, INDEX)
        fresh, at = varint(contents, at, INDEX)
        length, at = varint(contents, at, INDEX)
        if shared > len(key) or at + fresh + length > stop or shared + fresh > LONGEST_KEY:
            raise ValueError("the index is damaged: an entry does not fit into its block")
        key = key[:shared] + contents[at:at + fresh]
        at += fresh
        yield key, contents[at:at + length]
        at += length


def snappy(data: bytes, room: int = LARGEST) -> bytes:
    """Decompress, to at most ``room`` bytes.

    First comes the length, then literal bytes and copies of what came before, told apart by the two lowest bits of a tag.
    """
    size, at = varint(data, 0, INDEX)
    if size > min(room, 64 * len(data)):  # a copy of 64 bytes takes at least two
        raise ValueError(f"the index is damaged: {len(data):,} compressed bytes cannot be {size:,}")
    out = bytearray()
    while at < len(data):
        tag, kind = data[at], data[at] & 3
        at += 1
        if kind == 0:  # a literal; lengths from 61 on stand in 1 to 4 bytes of their own
            length = tag >> 2
            if length >= 60:
                width = length - 59
                length = int.from_bytes(data[at:at + width], "little")
                at += width
            length += 1
            out += data[at:at + length]
            at += length
        else:  # a copy: so many bytes from so far back, which may reach into itself
            if kind == 1:
                length, back = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | int.from_bytes(data[at:at + 1], "little")
                at += 1
            else:
                width = 2 if kind == 2 else 4
                length, back = (tag >> 2) + 1, int.from_bytes(data[at:at + width], "little")
                at += width
            if not 0 < back <= len(out):
                raise ValueError("the index is damaged: compressed data points before its beginning")
            again = out[len(out) - back:len(out) - back + length]
            out += (again * -(-length // len(again)))[:length]
        if at > len(data) or len(out) > size:
            raise ValueError("the index is damaged: compressed data does not have the length that it says")
    if len(out) != size:
        raise ValueError("the index is damaged: compressed data does not have the length that it says")
    return bytes(out)
