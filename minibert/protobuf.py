"""Protocol Buffers' encoding of a message: TensorFlow's indices and examples, SentencePiece's models and ONNX's graphs.

A message is a row of fields, each a tag and a value. The tag is a number: which field (its number in the ``.proto`` file), and
in the three lowest bits how the value is written: 0 a varint, 1 eight bytes, 2 a length and so many bytes, 5 four bytes. A
field that stands there several times is a list, one that is absent has its default; neither says what it means: the ``.proto``
file does.

Source: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

import struct
from functools import lru_cache

Bytes = bytes | memoryview
_WIDTHS = {1: 8, 5: 4}


def varint(data: Bytes, at: int, what: str = "the message") -> tuple[int, int]:
    """The number at a place, seven bits a byte with the lowest first, and the place behind it. ``what``: for messages."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError(f"{what} is damaged: a number does not end")


def fields(message: Bytes, what: str = "the message") -> dict[int, list[int | Bytes]]:
    """Number of the field -> its values in order: numbers, or bytes, which of a ``memoryview`` are views and no copies.

    Of what has four or eight bytes the number is that of its bits: ``float32`` makes a float of it. ValueError for bytes that
    are no message.
    """
    found: dict[int, list[int | Bytes]] = {}
    at = 0
    while at < len(message):
        tag, at = varint(message, at, what)
        kind = tag & 7
        if kind == 0:
            value, at = varint(message, at, what)
        elif kind in (1, 2, 5):
            width, at = varint(message, at, what) if kind == 2 else (_WIDTHS[kind], at)
            if at + width > len(message):
                raise ValueError(f"{what} is damaged: an entry is too short")
            value = message[at:at + width] if kind == 2 else int.from_bytes(message[at:at + width], "little")
            at += width
        else:
            raise ValueError(f"{what} is damaged: there is no field of kind {kind}")
        found.setdefault(tag >> 3, []).append(value)
    return found


def float32(bits: int) -> float:
    """The number that a field of four bytes holds."""
    return struct.unpack("<f", struct.pack("<I", bits))[0]


def field(number: int, value: int | float | Bytes | str) -> bytes:
    """A field as it is written: a whole number as varint, a float in four bytes, text and bytes with their length."""
    if isinstance(value, float):
        return written(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return written(number << 3) + written(value)
    value = value.encode("utf-8") if isinstance(value, str) else value
    return opening(number, len(value)) + bytes(value)


def opening(number: int, length: int) -> bytes:
    """A field of so many bytes up to the bytes themselves, which are too many to be copied."""
    return written(number << 3 | 2) + written(length)


@lru_cache(1 << 16)
def written(value: int) -> bytes:
    """A varint, as it is written; a negative one as its two's complement."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
