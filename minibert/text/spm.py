"""SentencePiece's ``.model`` files: the pieces with their scores and kinds, and how a text is written before it is cut.

A file is one message of Protocol Buffers. What it says about training is kept as it is and not looked at. What bears on the
pieces of a text is read, checked, and refused by name where it is not done here. Source: ``sentencepiece_model.proto``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from minibert import protobuf
from minibert.files import brief, write_atomically

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
UNIGRAM, BPE = 1, 2
_MODEL_TYPES = {UNIGRAM: "unigram", BPE: "BPE", 3: "word", 4: "char"}
LARGEST = 1 << 28  # bytes; that of XLM-R, with 250,000 pieces, has 5 MB
_FILE, _PIECE, _NORMALIZER = (range(1, 6), range(1, 4), range(1, 7))  # the fields that are known


class Spm(NamedTuple):
    """What is in a model file."""

    pieces: tuple[str, ...]
    scores: tuple[float, ...]
    types: tuple[int, ...]
    model_type: int = UNIGRAM
    charsmap: bytes = b""
    add_dummy_prefix: bool = True  # a space before the text
    remove_extra_whitespaces: bool = True  # none at its ends, one between words
    escape_whitespaces: bool = True  # ▁ for a space
    whitespace_as_suffix: bool = False  # pieces end with ▁ and do not begin with it
    byte_fallback: bool = False  # an unknown character is its bytes
    unknown_surface: str = " \u2047 "  # what the unknown piece is when decoded
    trainer: bytes = b""  # the rest of its trainer_spec, as it was
    normalizer: str = ""  # the name of its rules

    @property
    def unknown_id(self) -> int:
        return self.types.index(UNKNOWN)


def read(path: str | os.PathLike[str]) -> Spm:
    """A ``.model`` file. ValueError, with its name, for what is damaged or cannot be done here."""
    data = Path(path).read_bytes()
    if len(data) > LARGEST:
        raise ValueError(f"{path} has {len(data):,} bytes; at most {LARGEST:,} are read of a model of SentencePiece")
    try:
        return check(_parse(data))
    except ValueError as error:
        raise ValueError(f"{path}: no model of SentencePiece that can be read here: {error}") from None


def write(path: str | os.PathLike[str], spm: Spm) -> None:
    """Write a ``.model`` file that ``sentencepiece`` opens: all of it or nothing."""
    write_atomically(path, dump(spm))


def dump(spm: Spm) -> bytes:
    """The bytes of a ``.model`` file."""
    field = protobuf.field
    pieces = b"".join(field(1, field(1, piece) + field(2, float(score)) + (field(3, kind) if kind != NORMAL else b""))
                      for piece, score, kind in zip(spm.pieces, spm.scores, spm.types))
    trainer = spm.trainer + b"".join([
        field(3, spm.model_type), field(24, int(spm.whitespace_as_suffix)), field(35, int(spm.byte_fallback)),
        field(44, spm.unknown_surface)])
    normalizer = b"".join([
        field(1, spm.normalizer), field(2, spm.charsmap), field(3, int(spm.add_dummy_prefix)),
        field(4, int(spm.remove_extra_whitespaces)), field(5, int(spm.escape_whitespaces))])
    return pieces + field(2, trainer) + field(3, normalizer)


def check(spm: Spm) -> Spm:
    """The same. ValueError where ``sentencepiece`` would not take it, or nothing here does what it asks for."""
    if spm.model_type not in (UNIGRAM, BPE):
        raise ValueError(f"its model_type is {_MODEL_TYPES.get(spm.model_type, spm.model_type)}; unigram and BPE are read")
    if not spm.pieces:
        raise ValueError("it has no pieces")
    if (unknown := spm.types.count(UNKNOWN)) != 1:
        raise ValueError(f"it has {unknown} unknown pieces; there must be one")
    if odd := {*spm.types} - {NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE}:
        raise ValueError(f"a piece has the type {min(odd)}; the types are 1 to 6")
    if "" in spm.pieces or len({*spm.pieces}) < len(spm.pieces):
        twice = next((piece for number, piece in enumerate(spm.pieces) if piece in spm.pieces[:number]), "")
        raise ValueError(f"{brief(twice)} stands there as a piece twice" if twice else "a piece is empty")
    if not all(map(math.isfinite, spm.scores)):
        raise ValueError("a score is no finite number")
    found = {piece for piece, kind in zip(spm.pieces, spm.types) if kind == BYTE}
    if found - {*BYTES} or (found and not spm.byte_fallback) or (spm.byte_fallback and found != {*BYTES}):
        raise ValueError(f"it has {len(found)} pieces for bytes; <0x00> to <0xFF> are all there with byte_fallback, none without")
    return spm


BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))


def _parse(data: bytes) -> Spm:
    top = _fields(data, "the file", _FILE)
    pieces, scores, types = [], [], []
    for part in top.get(1, []):
        found = _fields(_bytes(part, "a piece"), "a piece", _PIECE)
        pieces.append(_text(found, 1, "a piece"))
        scores.append(protobuf.float32(_number(found, 2, 0)))
        types.append(_number(found, 3, NORMAL))
    if 5 in top and _fields(_bytes(top[5][-1], "denormalizer_spec"), "denormalizer_spec", _NORMALIZER).get(2, [b""])[-1]:
        raise ValueError("it has a denormalizer_spec: what is decoded would be rewritten, which is not done here")
    message = _bytes(top.get(2, [b""])[-1], "trainer_spec")
    trainer, normalizer = protobuf.fields(message, "trainer_spec"), _fields(
        _bytes(top.get(3, [b""])[-1], "normalizer_spec"), "normalizer_spec", _NORMALIZER)
    flags = {name: bool(_number(normalizer, number, 1)) for number, name in _FLAGS.items()}
    return Spm(tuple(pieces), tuple(scores), tuple(types), _number(trainer, 3, UNIGRAM),
               _bytes(normalizer.get(2, [b""])[-1], "precompiled_charsmap"), **flags,
               whitespace_as_suffix=bool(_number(trainer, 24, 0)), byte_fallback=bool(_number(trainer, 35, 0)),
               unknown_surface=_text(trainer, 44, "unk_surface") if 44 in trainer else Spm._field_defaults["unknown_surface"],
               trainer=message, normalizer=_text(normalizer, 1, "the name of its rules") if 1 in normalizer else "")


_FLAGS = {3: "add_dummy_prefix", 4: "remove_extra_whitespaces", 5: "escape_whitespaces"}


def _fields(data: bytes, what: str, known: Sequence[int]) -> dict[int, list]:
    found = protobuf.fields(data, what)
    if odd := found.keys() - {*known}:
        raise ValueError(f"{what} has a field {min(odd)}, of which nothing is known here")
    return found


def _number(found: dict[int, list], number: int, default: int) -> int:
    value = found.get(number, [default])[-1]
    if not isinstance(value, int):
        raise ValueError(f"field {number} is text where a number is expected")
    return value & 0xFFFFFFFF


def _bytes(value: object, what: str) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError(f"{what} is a number where a text or a message is expected")
    return value


def _text(found: dict[int, list], number: int, what: str) -> str:
    try:
        return _bytes(found.get(number, [b""])[-1], what).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{what} is not UTF-8") from None
