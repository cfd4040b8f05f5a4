"""CRC-32C, the checksum of TensorFlow's checkpoints and records: the remainder of a long division, bit by bit, without carries.

Taken as the coefficients of a polynomial over {0, 1}, the data is divided by the polynomial 0x1EDC6F41; the checksum is what is
left over. A byte at a time, with a table of the remainders of all bytes::

    r = table[(r ^ byte) & 0xFF] ^ (r >> 8)

One step after another, that takes Python some ten seconds for 100 MB. But division without carries is linear: the remainder of
``a + b`` (a, then b) is the remainder of a, moved on by as many zeros as b is long, XOR the remainder of b. So long data is cut
into many pieces of equal length, whose divisions go side by side in NumPy, and the remainders are joined two by two.

Source: RFC 3720, appendix B.4; the mask: LevelDB's ``util/crc32c.h``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

_POLYNOMIAL = 0x82F63B78  # 0x1EDC6F41, lowest bit first
_PIECE = 1024  # bytes of one division
_AT_ONCE = 4096  # divisions side by side


def _byte_table() -> np.ndarray:
    r = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        r = np.where(r & 1, (r >> 1) ^ np.uint32(_POLYNOMIAL), r >> 1)
    return r


_BYTES = _byte_table()  # (256,) remainder of each byte
_TABLE = _BYTES.tolist()
_low = _BYTES[np.arange(65536) & 255]
_PAIRS = _BYTES[(_low ^ (np.arange(65536) >> 8).astype(np.uint32)) & 255] ^ (_low >> 8)  # (65536,) of two bytes at once


def crc32c(data: bytes | np.ndarray) -> int:
    """The checksum of bytes, or of the memory of a contiguous array."""
    x = np.frombuffer(data, np.uint8) if isinstance(data, (bytes, bytearray)) else data.reshape(-1).view(np.uint8)
    register = 0xFFFFFFFF
    for start in range(0, len(x), _PIECE * _AT_ONCE):
        part = x[start:start + _PIECE * _AT_ONCE]
        if len(part) <= 2 * _PIECE:
            for byte in part.tobytes():
                register = _TABLE[(register ^ byte) & 0xFF] ^ (register >> 8)
        else:
            register = _moved(register, len(part)) ^ _remainder(part)
    return register ^ 0xFFFFFFFF


def masked(data: bytes | np.ndarray) -> int:
    """The checksum as it is stored: turned and shifted, because the checksum of data that holds its own checksum is special."""
    return _mask(crc32c(data))


def each_masked(parts: Sequence[bytes]) -> list[int]:
    """``masked`` of each of many short pieces, a group of which are divided side by side."""
    found = [0] * len(parts)
    order = sorted(range(len(parts)), key=lambda i: len(parts[i]))
    while order:
        width = len(parts[order[-1]]) + len(parts[order[-1]]) % 2
        count = max(1, _PIECE * _AT_ONCE // max(1, width))
        group, order = order[-count:], order[:-count]
        x = np.zeros((len(group), width), np.uint8)
        for row, i in zip(x, group):
            row[width - len(parts[i]):] = np.frombuffer(parts[i], np.uint8)  # zeros in front change nothing
        for i, remainder in zip(group, _divided(x).tolist()):
            found[i] = _mask(_moved(0xFFFFFFFF, len(parts[i])) ^ remainder ^ 0xFFFFFFFF)
    return found


def _mask(crc: int) -> int:
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _divided(pieces: np.ndarray) -> np.ndarray:
    """The remainders ``(N,)`` of pieces ``(N, W)`` uint8, W even, each from a register of 0."""
    r = np.zeros(len(pieces), np.uint32)
    for pair in np.ascontiguousarray(pieces.view("<u2").T):  # (W/2, N)
        r = _PAIRS[(r ^ pair) & 0xFFFF] ^ (r >> 16)
    return r


def _remainder(x: np.ndarray) -> int:
    """Of uint8 ``x``, from a register of 0: zeros in front change nothing, so they fill it up to equal pieces."""
    count = 1 << max(0, -(-len(x) // _PIECE) - 1).bit_length()  # a power of two, to be joined two by two
    pieces = np.zeros(count * _PIECE, np.uint8)
    pieces[len(pieces) - len(x):] = x
    r = _divided(pieces.reshape(count, _PIECE))
    length = _PIECE
    while len(r) > 1:
        r = _apply(_zeros(length), r[::2]) ^ r[1::2]
        length *= 2
    return int(r[0])


@lru_cache(4096)
def _moved(register: int, zeros: int) -> int:
    """The register after so many zero bytes."""
    r, power = np.array([register], np.uint32), 0
    while zeros >> power:
        if zeros >> power & 1:
            r = _apply(_zeros(1 << power), r)
        power += 1
    return int(r[0])


_operators: dict[int, np.ndarray] = {}


def _zeros(length: int) -> np.ndarray:
    """What 2ᵏ zero bytes do to a register: (32,), the result for each single bit. Twice as many: the operator on itself."""
    if length not in _operators:
        bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
        _operators[length] = (_BYTES[bits & 255] ^ (bits >> 8) if length == 1
                              else _apply(_zeros(length // 2), _zeros(length // 2)))
    return _operators[length]


def _apply(operator: np.ndarray, r: np.ndarray) -> np.ndarray:
    """The operator on each of the registers ``r``: XOR of its results for the bits that are set."""
    result = np.zeros_like(r)
    for bit, image in enumerate(operator):
        result ^= np.where(r >> np.uint32(bit) & 1, image, np.uint32(0))
    return result
