"""``bert_model.npz``: NumPy's own archive of arrays, under TensorFlow's names and with TensorFlow's orientation of matrices.

So ``numpy.load("bert_model.npz")["bert/pooler/dense/kernel"]`` is what TensorFlow would call by that name. An archive is a zip
file with one ``.npy`` per array, uncompressed; equal arrays give equal bytes.
Source: NumPy's ``numpy/lib/_format_impl.py``.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import Literal, NamedTuple

import numpy as np

from minibert.files import brief, writing
from minibert.pretrained import zipped
from minibert.pretrained.names import lies_transposed, tensorflow
from minibert.pretrained.widths import is_shape

_HEADER = 1 << 14  # bytes: more than the header of any array of numbers


def write(path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray]) -> None:
    """Write arrays with names and orientation of ours to ``path``, with those of TensorFlow: all of them, or nothing."""
    with writing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for ours, x in tensors.items():
            name = tensorflow(ours)
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            with archive.open(info, "w", force_zip64=True) as member:
                x = np.asarray(x.T if lies_transposed(name) else x, order="C")
                np.lib.format.write_array(member, x, allow_pickle=False)


class Stored(NamedTuple):
    """What the header of a member says of it, and where its numbers begin."""

    shape: tuple[int, ...]
    dtype: np.dtype
    start: int
    order: Literal["C", "F"]


class Reader:
    """An open archive: ``.shapes`` and ``.dtypes`` by name, matrices as (out, in); ``reader[name]`` reads one array."""

    format = "NumPy archive with TensorFlow's names"

    def __init__(self, archive: zipped.Archive) -> None:
        self.path, self.size = archive.path, archive.size
        self._archive = archive
        self._members: dict[str, str] = {}
        self._stored: dict[str, Stored] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, str] = {}
        for member in archive.names:
            name = member.removesuffix(".npy")
            if self._members.setdefault(name, member) != member:
                raise ValueError(f"{self.path}: {name} and {name}.npy are two names of one array; which one is meant?")
            stored = self._stored[name] = self._header(member)
            self.shapes[name] = stored.shape[::-1] if lies_transposed(name) else stored.shape
            self.dtypes[name] = stored.dtype.name

    def _header(self, member: str) -> Stored:
        """What a member is; ValueError where that does not fit its size."""
        start = io.BytesIO(self._archive.read(member, _HEADER))
        try:
            version = np.lib.format.read_magic(start)
            read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
            shape, fortran, dtype = read(start)
        except (ValueError, KeyError, TypeError, SyntaxError, TokenError, RecursionError, MemoryError, OverflowError) as error:
            raise ValueError(f"{self.path}: {member} is no array ({str(error)[:200]})") from None
        if not is_shape(shape):
            raise ValueError(f"{self.path}: {member} is no array: {brief(shape)} is no shape")
        expected = start.tell() + math.prod(shape) * dtype.itemsize
        if dtype.hasobject or expected != self._archive.length(member):
            raise ValueError(f"{self.path}: {member} of shape {shape} and type {dtype} should take {expected:,} bytes, found "
                             f"{self._archive.length(member):,}")
        return Stored(shape, dtype, start.tell(), "F" if fortran else "C")

    def __getitem__(self, name: str) -> np.ndarray:
        """The array of that name, a view of its bytes; ValueError where its checksum is wrong."""
        stored = self._stored[name]
        x = np.frombuffer(self._archive.read(self._members[name]), stored.dtype, offset=stored.start)
        x = x.reshape(stored.shape, order=stored.order)
        return x.T if lies_transposed(name) else x


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Reader]:
    """Open an archive. Raises FileNotFoundError, and ValueError for a file that was cut short, is damaged or something else."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    with zipped.opened(path) as archive:
        yield Reader(archive)
