"""``pytorch_model.bin``: tensors as ``torch.save`` writes them, read without torch.

A tensor is a view: a storage (a row of numbers), an offset, a shape and strides; several tensors may look at one storage. The
views are a pickle, which refers to the storages by a key and to the few names in ``ADMITTED``. The storages lie beside it::

    since 1.6   a zip archive: NAME/data.pkl, NAME/data/0, NAME/data/1, …           verified by the checksums of the archive
    before      five pickles (a magic number, a version, the system, the views, the keys of the storages), then for each key
                8 bytes with the number of elements and the numbers themselves       no checksums

What training programs put beside the tensors, settings and the state of an optimiser, stays inert (``pickled``) in ``.extras``.

Source: ``torch/serialization.py`` and ``torch/_utils.py`` of PyTorch.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minibert.pretrained import pickled, zipped
from minibert.pretrained.widths import BFLOAT16, as_array, fill, is_shape, itemsize

MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of the old format
LARGEST_PICKLE = 1 << 20  # bytes; that of BERT-large is about 60 kB, with its optimiser's 200 kB
WRAPPERS = ("state_dict", "model_state_dict", "model")  # what training programs call the model among the rest, these first


class Storage(NamedTuple):
    """``count`` numbers under a key, of which the first ``start`` are not looked at."""

    key: str
    dtype: str
    start: int
    count: int


class View(NamedTuple):
    """A tensor."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _view(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> View:
    """Stands for ``torch._utils._rebuild_tensor_v2``; every claim is checked against the storage."""
    if not (isinstance(storage, Storage) and type(shape) is type(strides) is tuple and len(shape) == len(strides)
            and is_shape(shape) and is_shape(strides) and is_shape([offset])):
        raise ValueError("the pickle in it is damaged: a tensor has no proper storage, shape or strides")
    count = math.prod(shape)
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides)) if count else -1
    if count > storage.count or last >= storage.count:
        raise ValueError(f"a tensor of shape {shape} does not fit into its storage of {storage.count:,} numbers")
    reach = 0  # a step must lead beyond all that the smaller steps reach: else two elements would be one number
    for stride, n in sorted((stride, n) for n, stride in zip(shape, strides) if count and n > 1):
        if stride <= reach:
            raise ValueError(f"the pickle in it is damaged: the elements of a tensor of shape {shape} overlap")
        reach += (n - 1) * stride
    return View(storage, offset, shape, strides)


def _dictionary(pairs: Any = None) -> dict:
    """Stands for ``collections.OrderedDict``. The list is used up: else a pickle could have it read again and again."""
    pairs = [] if pairs is None else pairs
    if type(pairs) is not list or any(type(pair) not in (list, tuple) or len(pair) != 2 for pair in pairs):
        raise ValueError("the pickle in it is damaged: a dictionary is made of something else than names and values")
    made: dict = {}
    pickled.add_pairs(made, pairs)
    pairs.clear()
    return made


def _parameter(view: Any, *_: Any) -> Any:
    """Stands for ``torch._utils._rebuild_parameter``."""
    return view


_STORAGES = {"Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": BFLOAT16, "Long": "int64", "Int": "int32",
             "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool"}

#: All that a pickle may ask for by name.
ADMITTED: dict[tuple[str, str], str | Callable] = {
    ("collections", "OrderedDict"): _dictionary,
    ("torch._utils", "_rebuild_tensor"): _view,
    ("torch._utils", "_rebuild_tensor_v2"): _view,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    **{("torch", f"{kind}Storage"): dtype for kind, dtype in _STORAGES.items()},
}


class Content(NamedTuple):
    """What the views' pickle describes, the names that it asked for and did not get, and where the bytes of a storage begin."""

    made: Any
    inert: set[str]
    stream: Callable[[Storage], AbstractContextManager[IO[bytes]]]
    big_endian: bool = False


class Reader:
    """An open file: ``.shapes`` and ``.dtypes`` by name; ``reader[name]`` reads one array. ``.extras``: what is beside them."""

    def __init__(self, path: Path, kind: str, content: Content) -> None:
        self.path, self.format, self.size = path, kind, path.stat().st_size
        self._content = content
        self._views = _state_dict(content)
        self.extras: dict[str, Any] = content.made
        self.shapes = {name: view.shape for name, view in self._views.items()}
        self.dtypes = {name: view.storage.dtype for name, view in self._views.items()}

    def __getitem__(self, name: str) -> np.ndarray:
        """The array of that name; ValueError, naming file and tensor, where it is damaged. bfloat16 comes as float32."""
        view = self._views[name]
        with self._stream(name) as file:
            raw = np.empty(view.storage.count * itemsize(view.storage.dtype), np.uint8)
            fill(raw, file, "uint8")
        numbers = as_array(raw, view.storage.dtype, self._content.big_endian)
        if not math.prod(view.shape):
            return np.zeros(view.shape, numbers.dtype)
        steps = [stride * numbers.itemsize for stride in view.strides]
        return as_strided(numbers[view.offset:], view.shape, steps, writeable=False)  # within the storage: see _view

    def read_into(self, name: str, out: np.ndarray) -> bool:
        """The array of that name into ``out``, of its shape, without a second copy; False where it lies otherwise in the file."""
        view = self._views[name]
        if view.storage.count != out.size or any(n > 1 and stride * out.itemsize != step for n, stride, step
                                                 in zip(view.shape, view.strides, out.strides)):
            return False
        with self._stream(name) as file:
            return fill(out, file, view.storage.dtype, self._content.big_endian)

    @contextmanager
    def _stream(self, name: str) -> Iterator[IO[bytes]]:
        try:
            with self._content.stream(self._views[name].storage) as file:
                yield file
        except ValueError as error:
            raise ValueError(f"{error} (tensor {name})") from None


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Reader]:
    """Open a file to read from, in the new or the old format.

    Raises FileNotFoundError, and ValueError for a file that was cut short, is damaged, holds more than tensors or something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    with open(path, "rb") as file:
        start = file.read(4)
    if start != b"PK\x03\x04" and start[:1] != b"\x80":
        raise ValueError(f"{path}: this is not a file of torch.save (it starts with {start!r})")
    with ExitStack() as stack:
        with _named(path):
            if start[:1] == b"\x80":
                reader = Reader(path, "PyTorch, before 1.6", _legacy(path))
            else:
                reader = Reader(path, "PyTorch, zip", _zip(stack.enter_context(zipped.opened(path))))
        yield reader


def _prefix(archive: zipped.Archive) -> str:
    """``NAME/`` of all members."""
    found = [name for name in archive.names if name.endswith("/data.pkl") or name == "data.pkl"]
    if len(found) != 1:
        raise ValueError(f"this zip archive is not one of torch.save: it has {len(found)} data.pkl, expected one")
    prefix = found[0].removesuffix("data.pkl")
    if f"{prefix}constants.pkl" in archive.names:
        raise ValueError("it holds a TorchScript program, not tensors alone; save the model's state_dict instead")
    return prefix


def _zip(archive: zipped.Archive) -> Content:
    prefix = _prefix(archive)
    if archive.length(f"{prefix}data.pkl") > LARGEST_PICKLE:
        raise ValueError(f"its data.pkl has {archive.length(f'{prefix}data.pkl'):,} bytes: too many for the names of tensors")
    inert: set[str] = set()
    made = pickled.load(io.BytesIO(archive.read(f"{prefix}data.pkl")), ADMITTED, _persistent, inert)
    order = f"{prefix}byteorder"
    big_endian = order in archive.names and archive.read(order) == b"big"

    def stream(storage: Storage) -> AbstractContextManager[IO[bytes]]:
        member = f"{prefix}data/{storage.key}"
        if member not in archive.names:
            raise ValueError(f"{archive.path}: storage {storage.key[:40]!r} is missing")
        if archive.length(member) != storage.count * itemsize(storage.dtype):
            raise ValueError(f"{archive.path}: storage {storage.key[:40]!r} has {archive.length(member):,} bytes, expected "
                             f"{storage.count:,} numbers of {storage.dtype}")
        return archive.stream(member)

    return Content(made, inert, stream, big_endian)


def _legacy(path: Path) -> Content:
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = io.BytesIO(file.read(LARGEST_PICKLE))
    if pickled.load(start, {}) != MAGIC:
        raise ValueError("this is a pickle, but not one of torch.save")
    version, system = pickled.load(start, {}), pickled.load(start, {})
    if version != 1001 or not isinstance(system, dict) or system.get("little_endian") is not True:
        found = version if type(version) is int else f"a {type(version).__name__}"
        raise ValueError(f"its version or byte order is not read here (version {found}, expected 1001, little-endian)")
    storages: dict[str, Storage] = {}
    inert: set[str] = set()
    made = pickled.load(start, ADMITTED, lambda reference: _remember(storages, reference), inert)
    keys = pickled.load(start, {})
    if not isinstance(keys, list) or any(type(key) is not str for key in keys) or sorted(keys) != sorted(storages):
        raise ValueError("it is damaged: its tensors and its storages do not belong together")
    places, at = {}, start.tell()
    with open(path, "rb") as file:
        for key in keys:
            file.seek(at)
            header = file.read(8)
            count, at = int.from_bytes(header, "little", signed=True), at + 8
            if len(header) == 8 and count != storages[key].count:
                raise ValueError(f"it is damaged: storage {key[:40]!r} has {count:,} numbers, expected {storages[key].count:,}")
            places[key] = at
            at += storages[key].count * itemsize(storages[key].dtype)
            if at > size:
                break
    if at != size:
        what = "was cut short" if at > size else "is damaged"
        raise ValueError(f"the file {what}: expected {at:,} bytes, found {size:,}; copy or download it again")

    @contextmanager
    def stream(storage: Storage) -> Iterator[IO[bytes]]:
        with open(path, "rb") as file:
            file.seek(places[storage.key] + storage.start * itemsize(storage.dtype))
            yield file

    return Content(made, inert, stream)


def _persistent(reference: Any) -> Storage:
    """``("storage", type, key, device, count)``, and in the old format a view of it: None or ``(key, start, count)``."""
    parts = (*reference, None) if type(reference) is tuple and len(reference) == 5 else reference
    if type(parts) is not tuple or len(parts) != 6 or parts[0] != "storage":
        raise ValueError("it holds more than tensors: its pickle refers to something that is no storage; nothing was run")
    _, dtype, key, _, count, view = parts
    if dtype not in _STORAGES.values() or type(key) is not str or type(count) is not int or not 0 <= count < 2**63:
        raise ValueError("the pickle in it is damaged: a storage has no proper type, key or size")
    if view is None:
        return Storage(key, dtype, 0, count)
    _, start, part = view
    if type(start) is not int or type(part) is not int or start < 0 or part < 0 or start + part > count:
        raise ValueError("the pickle in it is damaged: a view reaches beyond its storage")
    return Storage(key, dtype, start, part)


def _remember(storages: dict[str, Storage], reference: Any) -> Storage:
    """The storage, and in ``storages`` the whole that it may be a view of."""
    storage = _persistent(reference)
    whole = Storage(storage.key, storage.dtype, 0, reference[4])
    if storages.setdefault(storage.key, whole) != whole:
        raise ValueError("the pickle in it is damaged: one storage has two types or sizes")
    return storage


def _state_dict(content: Content) -> dict[str, View]:
    """The tensors by name. Those of a dictionary within the dictionary have its name before theirs, but in usual wrappers."""
    made = content.made
    if isinstance(made, dict):
        levels = [{"": made.get(wrapper)} for wrapper in WRAPPERS]
        levels.append({"": made} | {f"{name}.": x for name, x in made.items() if isinstance(name, str)})
        for level in levels:
            if views := {start + name: x for start, inner in level.items() if isinstance(inner, dict)
                         for name, x in inner.items() if isinstance(x, View) and isinstance(name, str)}:
                return views
    if content.inert:
        raise pickled.more_than_tensors(content.inert)
    raise ValueError("it holds no dictionary of tensors; save the model's state_dict")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors with the name of the file in front."""
    try:
        yield
    except ValueError as error:
        raise ValueError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
