"""``tf_model.h5``: weights as Keras 2 saves them in HDF5, which transformers' TensorFlow models used until version 5.

The file (``hdf5``) has a group for each layer of Keras, and in it the variables that the layer uses::

    bert        tf_bert_for_pre_training/bert/encoder/layer_._0/output/dense/kernel:0
    mlm___cls   tf_bert_for_pre_training/mlm___cls/predictions/bias:0

The first part of a variable's name is the whole model, and ``mlm___cls`` means ``cls``; the embeddings are stored twice, for the
masked-word head uses them too. Names are handed out as PyTorch has them, and a kernel, which lies (in, out), the other way round.

Source: ``save_weights_to_hdf5_group`` of Keras 2, and transformers' ``modeling_tf_pytorch_utils.py``.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minibert.pretrained import hdf5
from minibert.pretrained.placed import Placed, Reader

_NAMES = {"kernel": "weight", "gamma": "weight", "beta": "bias", "embeddings": "weight"}


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Reader]:
    """Open a file to read from.

    Raises FileNotFoundError, and ValueError for one that was cut short, is damaged or something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        arrays = _named(hdf5.arrays(path))
    except (ValueError, IndexError, struct.error) as error:
        raise ValueError(f"{path}: {error}") from None
    yield Reader(path, "Keras", arrays)


def _named(stored: dict[str, Placed]) -> dict[str, Placed]:
    """The arrays by PyTorch's names. Of a variable that several layers use, the first copy is as good as the others."""
    variables: dict[str, Placed] = {}
    for path, array in stored.items():
        layer, _, variable = path.partition("/")
        if layer != "optimizer_weights":
            variables.setdefault(variable, array)
    arrays: dict[str, Placed] = {}
    for variable, array in variables.items():
        *parts, last = re.sub(r"[^/]*___", "", variable.removesuffix(":0")).split("/")
        name = ".".join([re.sub(r"^layer_\._(\d+)$", r"layer.\1", part) for part in parts[1:]] + [_NAMES.get(last, last)])
        if name in arrays:
            raise ValueError(f"two of its arrays are called {name}")
        arrays[name] = array._replace(transposed=last == "kernel")
    return arrays
