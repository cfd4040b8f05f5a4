"""``.safetensors`` files: named arrays, and a few strings beside them.

The format is short: 8 bytes with the length n of the header (little-endian), n bytes of JSON, then the raw numbers, one array
after another::

    {"__metadata__": {"format": "pt"}, "a.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …}

It is written here by hand, array by array, straight from where the numbers are: no second copy in memory, equal contents give
equal bytes, and a full disk is an OSError that costs nothing. The ``safetensors`` library reads it, and checks what it reads.
Source: the format's description at https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from minibert.files import brief, decode_utf8, parse_json, writing
from minibert.pretrained.in_8_bits import NUMBERS, SCALE, unpacked
from minibert.pretrained.widths import BFLOAT16, as_array, fill, is_shape

_CODES = {np.dtype(kind): code for code, kind in {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?"}.items()}
_NAMES = {code: kind.name for kind, code in _CODES.items()} | {"BF16": BFLOAT16}


def write(path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write NumPy arrays under their names, and ``metadata``, to ``path``: all of it, or nothing.

    Wide types come first, so that every array starts at a multiple of its item size; within a type the given order stays.
    """
    arrays = dict(sorted(tensors.items(), key=lambda item: -item[1].dtype.itemsize))
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    start = 0
    for name, x in arrays.items():
        if x.dtype not in _CODES:
            raise TypeError(f"tensor {name}: dtype {x.dtype} has no place in a safetensors file; convert it with astype first")
        header[name] = {"dtype": _CODES[x.dtype], "shape": list(x.shape), "data_offsets": [start, start + x.nbytes]}
        start += x.nbytes
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    with writing(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for x in arrays.values():
            file.write(np.ascontiguousarray(x).data)


class Reader:
    """An open file: ``.shapes``, ``.dtypes`` by name, ``.metadata`` (dict of strings); ``reader[name]`` reads one array."""

    format = "safetensors"

    def __init__(self, path: Path, file: safe_open) -> None:
        self.path, self.size = path, path.stat().st_size
        self.metadata: dict[str, str] = file.metadata() or {}
        self._numbers, header = _header(path)
        self._places = {name: header[name] for name in file.keys()}
        self.shapes = {name: tuple(entry["shape"]) for name, entry in self._places.items()}
        self.dtypes = {name: _NAMES.get(entry["dtype"], entry["dtype"]) for name, entry in self._places.items()}
        self._packed = [name.removesuffix(NUMBERS) for name, kind in self.dtypes.items()
                        if name.endswith(NUMBERS) and kind == "int8"]
        for name in self._packed:
            shape, scale = self.shapes.pop(name + NUMBERS), self.shapes.pop(name + SCALE, None)
            if scale != shape[:1] or len(shape) != 2 or self.dtypes[name + SCALE] != "float32" or name in self.shapes:
                raise ValueError(f"{path}: tensor {brief(name)} is stored in 8 bits, {brief(shape)}, and needs a float32 scale "
                                 f"for each row, found {brief(scale)}")
            self.shapes[name], self.dtypes[name] = shape, self.dtypes.pop(name + NUMBERS)
            del self.dtypes[name + SCALE]
        for name, shape in self.shapes.items():
            if not is_shape(shape):
                raise ValueError(f"{path}: tensor {brief(name)} has {len(shape):,} dimensions, which no tensor of a BERT has")

    def read_into(self, name: str, out: np.ndarray) -> bool:
        """The array of that name into ``out``, of its shape, without a second copy; False where it must be converted."""
        if name in self._packed:
            return False
        with open(self.path, "rb") as file:
            file.seek(self._numbers + self._places[name]["data_offsets"][0])
            return fill(out, file, self.dtypes[name])

    def __getitem__(self, name: str) -> np.ndarray:
        """The array of that name. bfloat16, which NumPy does not have, comes as float32: it is float32's upper half. So does what
        is stored in 8 bits (see ``in_8_bits``).

        Read from its place: the library maps the whole file into memory, which then counts as a second copy of it.
        """
        if name in self._packed:
            return unpacked(self._stored(name + NUMBERS, "int8", self.shapes[name]),
                            self._stored(name + SCALE, "float32", self.shapes[name][:1]))
        kind = self.dtypes[name]
        if kind not in _NAMES.values():
            raise ValueError(f"{self.path}: tensor {name} is of type {kind}, which cannot be read here; "
                             "save the model in float32 or float16")
        return self._stored(name, kind, self.shapes[name])

    def _stored(self, name: str, kind: str, shape: tuple[int, ...]) -> np.ndarray:
        start, stop = self._places[name]["data_offsets"]
        raw = np.fromfile(self.path, np.uint8, stop - start, offset=self._numbers + start)
        return as_array(raw, kind).reshape(shape)


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Reader]:
    """Open a file to read from.

    Raises FileNotFoundError, and ValueError for a file that was cut short or is something else: what was expected and found.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        file = safe_open(path, framework="numpy")
    except SafetensorError as error:
        raise ValueError(f"{path}: {_what_is_wrong(path)} ({error})") from None
    with file:
        yield Reader(path, file)


def _header(path: Path) -> tuple[int, dict]:
    """Where the numbers begin, and the header. ValueError for what is no JSON, or has two tensors of one name."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return 8 + length, parse_json(decode_utf8(file.read(length), path), f"{path}: its header", dict)


def _what_is_wrong(path: Path) -> str:
    """Why the library refused the file, as far as its size and first bytes tell."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = file.read(16)
    length = int.from_bytes(start[:8], "little")
    if size < 8 or (start[8:9] == b"{" and size < 8 + length):
        return f"the file was cut short: {size} bytes, fewer than its header alone needs; copy or download it again"
    if start[8:9] != b"{":
        return f"this is not a safetensors file (it starts with {start[:8]!r}); expected a file written as model.safetensors"
    try:
        numbers, header = _header(path)
        end = numbers + max((x["data_offsets"][1] for name, x in header.items() if name != "__metadata__"), default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return "the header of this safetensors file is damaged; copy or download it again"
    if size < end:
        return f"the file was cut short: expected {end} bytes, found {size}; copy or download it again"
    return f"this safetensors file is damaged: expected {end} bytes, found {size}; copy or download it again"
