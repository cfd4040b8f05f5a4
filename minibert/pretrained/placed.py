"""Arrays that lie in a file as they are, of formats that only say where: read from their places, one at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minibert.files import brief
from minibert.pretrained.widths import as_array, is_shape, itemsize

#: What a number may be, by NumPy's names and those of ``ml_dtypes``.
TYPES = {"float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8",
         "bool"}


class Piece(NamedTuple):
    """Bytes of a file."""

    at: int
    count: int


class Placed(NamedTuple):
    """An array in row-major order, in one piece or several."""

    dtype: str
    shape: tuple[int, ...]
    pieces: tuple[Piece, ...]
    transposed: bool = False  # handed out the other way round
    big_endian: bool = False


def placed(dtype: object, shape: Sequence[object], pieces: Sequence[Piece], transposed: bool = False,
           big_endian: bool = False) -> Placed:
    """An array, with all of its claims checked against one another. ValueError where they do not fit."""
    if not isinstance(dtype, str) or dtype not in TYPES or not is_shape(shape):
        raise ValueError(f"it has an array of type {brief(dtype)} and shape {brief(shape)}, which is none of a BERT")
    if math.prod(shape) * itemsize(dtype) != (found := sum(piece.count for piece in pieces)):
        raise ValueError(f"an array of type {dtype} and shape {tuple(shape)} cannot take {found:,} bytes")
    return Placed(dtype, tuple(shape), tuple(pieces), transposed, big_endian)


class Reader:
    """An open file: ``.shapes`` and ``.dtypes`` by name; ``reader[name]`` reads one array."""

    def __init__(self, path: Path, format: str, arrays: Mapping[str, Placed]) -> None:
        self.path, self.format, self.size = path, format, path.stat().st_size
        self._arrays = arrays
        self.shapes = {name: x.shape[::-1] if x.transposed else x.shape for name, x in arrays.items()}
        self.dtypes = {name: x.dtype for name, x in arrays.items()}
        if not arrays:
            raise ValueError(f"{path}: it holds no arrays")

    def __getitem__(self, name: str) -> np.ndarray:
        """The array of that name. bfloat16 comes as float32. ValueError where the file ends before it."""
        x = self._arrays[name]
        numbers = as_array(self._raw(name), x.dtype, x.big_endian).reshape(x.shape)
        return numbers.T if x.transposed else numbers

    def _raw(self, name: str) -> np.ndarray:
        x = self._arrays[name]
        raw = np.empty(sum(piece.count for piece in x.pieces), np.uint8)
        start = 0
        with open(self.path, "rb") as file:
            for at, count in x.pieces:
                file.seek(at)
                if file.readinto(raw[start:start + count]) != count:
                    raise ValueError(f"{self.path}: the file was cut short: tensor {name} ends at byte {at + count:,}, found "
                                     f"{self.size:,}; copy or download it again")
                start += count
        return raw
