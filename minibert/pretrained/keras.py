"""``tf_model.h5``: weights as Keras 2 saves them in HDF5, which transformers' TensorFlow models used until version 5.

The file has a group for each layer of Keras, whose attribute ``weight_names`` lists its variables::

    bert        tf_bert_for_pre_training/bert/encoder/layer_._0/output/dense/kernel:0
    mlm___cls   tf_bert_for_pre_training/mlm___cls/predictions/bias:0

The first part is the whole model, and ``mlm___cls`` means ``cls``; the embeddings are stored twice, for the masked-word head uses
them too. Names are handed out as PyTorch has them, and a kernel, which
lies (in, out), the other way round. HDF5 is a file system within a file; the package ``h5py`` reads it. There are no checksums.

Source: ``save_weights_to_hdf5_group`` of Keras 2, and transformers' ``modeling_tf_pytorch_utils.py``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from minibert.files import brief
from minibert.pretrained.widths import is_shape

_NAMES = {"kernel": "weight", "gamma": "weight", "beta": "bias", "embeddings": "weight"}
_LISTS = re.compile(r"weight_names\d*")  # several where one would be too long
_DAMAGED = (OSError, RuntimeError, KeyError, TypeError, AttributeError, ValueError, OverflowError, MemoryError)


class Reader:
    """An open file: ``.shapes`` and ``.dtypes`` by name, matrices as (out, in); ``reader[name]`` reads one array."""

    format = "Keras"

    def __init__(self, path: Path, arrays: dict[str, tuple[Any, bool]]) -> None:
        self.path, self.size = path, path.stat().st_size
        self._arrays = arrays
        self.shapes = {name: x.shape[::-1] if turned else x.shape for name, (x, turned) in arrays.items()}
        self.dtypes = {name: x.dtype.name for name, (x, _) in arrays.items()}

    def __getitem__(self, name: str) -> np.ndarray:
        """The array of that name; ValueError where it cannot be read."""
        array, turned = self._arrays[name]
        try:
            x = array[()]
        except _DAMAGED as error:
            raise _damaged(self.path, f"tensor {name}: {error}") from None
        return x.T if turned else x


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Reader]:
    """Open a file to read from.

    Raises FileNotFoundError, RuntimeError where the package h5py is missing, and ValueError for a file that is damaged or
    something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        import h5py
    except ModuleNotFoundError:
        raise RuntimeError(f'{path} is a file of Keras, which the package h5py reads: pip install "minibert[keras]"') from None
    try:
        file = h5py.File(path, "r")
    except _DAMAGED as error:
        raise _damaged(path, error) from None
    with file:
        try:
            found = list(_arrays(file))
        except _DAMAGED as error:
            raise _damaged(path, error) from None
        if len({name for name, _, _ in found}) < len(found):
            raise ValueError(f"{path}: two of its arrays have one name")
        if not found:
            raise ValueError(f"{path}: this HDF5 file has no layers with weight_names, which those of Keras have")
        yield Reader(path, {name: (array, turned) for name, array, turned in found})


def _variables(file: Any) -> dict[str, Any]:
    """Name of a variable -> its array. One that several layers use is stored with each of them: the first is as good."""
    found: dict[str, Any] = {}
    for layer in file.values():
        for name in (name for key in layer.attrs if _LISTS.fullmatch(key) for name in layer.attrs[key]):
            name = name.decode("utf-8") if isinstance(name, bytes) else str(name)
            found.setdefault(name, layer[name])
    return found


def _arrays(file: Any) -> Iterator[tuple[str, Any, bool]]:
    """Name, array, whether it lies transposed; every claim is checked against the size of the file."""
    import h5py

    for name, array in _variables(file).items():
        if not isinstance(array, h5py.Dataset) or array.file != file or array.is_virtual or array.external:
            raise ValueError(f"{brief(name)} is no array of this file")
        if not is_shape(array.shape) or array.nbytes > array.id.get_storage_size():
            raise ValueError(f"{brief(name)} of shape {brief(array.shape)} claims more bytes than it has")
        *parts, last = re.sub(r"[^/]*___", "", name.removesuffix(":0")).split("/")
        parts = [re.sub(r"^layer_\._(\d+)$", r"layer.\1", part) for part in parts[1:]]
        yield ".".join([*parts, _NAMES.get(last, last)]), array, last == "kernel"


def _damaged(path: Path, error: object) -> ValueError:
    return ValueError(f"{path}: the file was cut short, is damaged, or is no HDF5 file ({str(error)[:200]}); copy or download it "
                      "again")
