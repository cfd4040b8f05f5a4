"""Which formats of weights there are, and how each is opened.

A reader is anything with ``.path``, ``.format`` (in words), ``.size`` (bytes), ``.shapes`` and ``.dtypes`` (by name), and
``[name]``, which reads one array and raises ValueError where it is damaged. What is damaged unnoticed depends on the format:
TensorFlow's checkpoints and zip archives have checksums, which are verified; the others have none for the numbers themselves, so
that there one wrong bit within the numbers is one wrong number, and in Keras' HDF5 one within an address is another array.

A reader may also have ``.read_into(name, array)`` (into an array that is there, without a second copy, in any thread; False, and
nothing done, where the numbers lie otherwise in the file), ``.notes`` (what there is to say about the file), ``.config`` (what
the file itself says of the model, with the keys of a ``config.json``) and ``.tokenizer()`` (the tokenizer that it holds).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np

from minibert.files import brief, read_json, refuse_stand_in
from minibert.pretrained import fairseq, flax, gguf, keras, npz, onnx, paddle, pytorch, tensorflow, tensors, unread

#: Names of files with weights, in the order in which they are looked for. The ``*`` stands for any name.
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json",
           "bert_model.npz", "bert_model.ckpt.index", "*.ckpt.index", "*.ckpt-*.index", "tf_model.h5", "flax_model.msgpack",
           "model_state.pdparams", "model.onnx", "onnx/model.onnx", "onnx/*.onnx")
WHOLE = (".gguf",)  # how formats end that hold the vocabulary too

#: How weights of any other name end, and what ends so and is something else.
_ENDS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".pdparams", ".onnx", ".gguf")
_BESIDE = re.compile(r"\.|heads\.safetensors|training_args|optimizer|scheduler|scaler|sampler|rng_state|random_states|"
                     r".*(_state|\.vectors)\.safetensors")


class Reader(Protocol):
    """Named arrays in one file or several."""

    path: Path
    format: str
    size: int
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, str]

    def __getitem__(self, name: str) -> np.ndarray: ...


def find(folder: Path) -> Path | None:
    """The file with the weights of a model's folder, or None: one with a usual name, else the only one that ends like weights.

    ValueError where several have an equal claim.
    """
    for claims in (*map(folder.glob, WEIGHTS), _of_any_name(folder)):
        found = sorted(path for path in claims if path.is_file())
        if len(found) > 1:
            raise ValueError(f"{folder} has several checkpoints ({', '.join(path.name for path in found[:4])}); name the one to "
                             "read: --weights FILE")
        if found:
            return found[0]
    return None


def of(folder: Path, name: str | os.PathLike[str] | None = None) -> Path | None:
    """The file with the weights: that of the ``name``, in the folder or wherever it says, else what is found."""
    if name is None:
        return find(folder)
    for path in (folder / name, Path(name)):
        if path.is_file():
            return path
    raise FileNotFoundError(f"{folder} has no {name}, and there is no such file")


def present(folder: Path) -> list[str]:
    """The names of all files with weights of whole models."""
    named = {path for pattern in WEIGHTS for path in folder.glob(pattern)}
    return sorted(path.relative_to(folder).as_posix() for path in {*named, *_of_any_name(folder)} if path.is_file())


def _of_any_name(folder: Path) -> list[Path]:
    """What ends like weights."""
    return [path for path in folder.iterdir() if path.name.endswith(_ENDS) and not _BESIDE.match(path.name)]


def opened(path: str | os.PathLike[str]) -> AbstractContextManager[Reader]:
    """Open a file with weights, by its name as a rule: ``with opened(path) as reader``.

    Raises FileNotFoundError, and ValueError for a file that was cut short, is damaged, or is something else.
    """
    path = Path(path)
    if path.is_file():
        with open(path, "rb") as file:
            start = file.read(1024)
        refuse_stand_in(start, path)
        unread.refuse(start, path)
        if start.startswith(gguf.MAGIC):  # whatever it is called
            return gguf.opened(path)
    return next((opener for end, opener in _OPENERS.items() if path.name.endswith(end)), _torch)(path)


@contextmanager
def _torch(path: Path) -> Iterator[Reader]:
    """A file of ``torch.save``, be it a model's or a training run's, fairseq's among them."""
    with pytorch.opened(path) as reader:
        yield fairseq.Reader(reader) if fairseq.wrote(reader.shapes) else reader


def read_into(reader: Reader, name: str, out: np.ndarray) -> bool:
    """Read a tensor into an array of its shape, without a second copy; False where that is not to be had."""
    return hasattr(reader, "read_into") and reader.read_into(name, out)


class _Shards:
    """Several files as one."""

    def __init__(self, path: Path, readers: Mapping[str, Reader], places: Mapping[str, str]) -> None:
        self.path = path
        self.format = f"{next(iter(readers.values())).format}, {len(readers)} files"
        self.size = sum(reader.size for reader in readers.values())
        self.shapes = {name: readers[file].shapes[name] for name, file in places.items()}
        self.dtypes = {name: readers[file].dtypes[name] for name, file in places.items()}
        self._readers, self._places = readers, places

    def __getitem__(self, name: str) -> np.ndarray:
        return self._readers[self._places[name]][name]

    def read_into(self, name: str, out: np.ndarray) -> bool:
        return read_into(self._readers[self._places[name]], name, out)


@contextmanager
def _sharded(path: Path) -> Iterator[Reader]:
    """``*.index.json``: ``{"weight_map": {name of a tensor: name of the file beside it}}``."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    index = read_json(path)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not places or not all(isinstance(file, str) for file in places.values()):
        raise ValueError(f'{path}: this is not an index of weights; expected {{"weight_map": {{tensor: file, …}}}}')
    files = sorted(set(places.values()))
    for file in files:
        if Path(file).name != file or "\\" in file or not file.endswith((".safetensors", ".bin")):
            raise ValueError(f"{path}: {brief(file)} is not the name of a file of weights beside it")
    if absent := [file for file in files if not (path.parent / file).is_file()]:
        raise FileNotFoundError(f"{path.parent} has no {', '.join(absent[:4])}, which {path.name} names")
    with ExitStack() as stack:
        readers = {file: stack.enter_context(opened(path.parent / file)) for file in files}
        for name, file in places.items():
            if name not in readers[file].shapes:
                raise ValueError(f"{path}: tensor {name} should be in {file}, but is not")
        yield _Shards(path, readers, places)


#: How the name of a file ends -> how it is opened; whatever ends otherwise is PyTorch's.
_OPENERS = {".index.json": _sharded, ".index": tensorflow.opened, ".npz": npz.opened, ".safetensors": tensors.opened,
            ".h5": keras.opened, ".msgpack": flax.opened, ".pdparams": paddle.opened,
            ".onnx": onnx.opened, ".gguf": gguf.opened}
