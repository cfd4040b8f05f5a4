"""``.pdparams``: PaddlePaddle's tensors, a pickle of a dictionary of NumPy arrays.

An array is a call that makes an empty one, and then its state: (1, shape, type, is it in Fortran's order, the bytes). The
machine of ``pickled`` runs it with stand-ins that only write down what they are told; the bytes stay in the file until they are
asked for. (Before protocol 3 a pickle had no bytes: they are a text of as many characters, which is read at once.) No checksums.

Paddle's linear layers keep their matrices (in, out), under the same name ``weight`` as its tables of embeddings. So whatever has
two dimensions is handed out the other way round, but for tables, which are called so. PaddleNLP's layers have names of their own,
which become those of PyTorch's BERT here; ERNIE's are left to its family.

Source: ``python/paddle/framework/io.py`` of PaddlePaddle, ``numpy/_core/src/multiarray/methods.c`` of NumPy.
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
from minibert.pretrained import pickled
from minibert.pretrained.pickled import Left
from minibert.pretrained.placed import Piece, Placed, Reader, placed

_BESIDE = "StructuredToParameterName@@"  # what Paddle calls the tensors elsewhere
_TABLE = re.compile(r"embedding|decoder_weight")

#: PaddleNLP's name for a part of a layer -> ours.
_PARTS = ((r"\bencoder\.layers\.", "encoder.layer."), (r"\.self_attn\.(q|k|v)_proj\.", r".attention.self.\1."),
          (r"\.self\.q\.", ".self.query."), (r"\.self\.k\.", ".self.key."), (r"\.self\.v\.", ".self.value."),
          (r"\.self_attn\.out_proj\.", ".attention.output.dense."), (r"\.linear1\.", ".intermediate.dense."),
          (r"\.linear2\.", ".output.dense."), (r"\.norm1\.", ".attention.output.LayerNorm."),
          (r"\.norm2\.", ".output.LayerNorm."), (r"\bembeddings\.layer_norm\.", "embeddings.LayerNorm."),
          (r"\bpredictions\.layer_norm\.", "predictions.transform.LayerNorm."),
          (r"\bpredictions\.transform\.(weight|bias)$", r"predictions.transform.dense.\1"),
          (r"\bpredictions\.decoder_(weight|bias)$", r"predictions.decoder.\1"))


class _Type:
    """Stands for ``numpy.dtype``: ``f4`` and the like, whose byte order is set later."""

    def __init__(self, code: Any = None, *_: Any) -> None:
        self.code, self.order = code, "<"

    def build(self, state: Any) -> None:
        if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise ValueError("the pickle in it is damaged: a type of numbers has no byte order")
        self.order = state[1]

    @property
    def name(self) -> str:
        """As NumPy calls it; ValueError for what is no type of numbers."""
        try:
            found = np.dtype(self.code) if isinstance(self.code, str) and len(self.code) < 4 else None
        except TypeError:
            found = None
        if found is None or found.kind not in "fiub":
            raise ValueError(f"the pickle in it is damaged: {brief(self.code)} is no type of numbers")
        return found.name


class _Array:
    """Stands for an array that ``numpy._core.multiarray._reconstruct`` made: empty, until its state is set."""

    def __init__(self, *_: Any) -> None:
        self.state: tuple = ()

    def build(self, state: Any) -> None:
        if type(state) is not tuple or len(state) != 5 or type(state[1]) is not tuple or type(state[2]) is not _Type:
            raise ValueError("the pickle in it is damaged: an array has no shape and type")
        self.state = state


def _encoded(text: Any, *_: Any) -> bytes:
    """Stands for ``_codecs.encode(text, "latin1")``: how protocol 2 writes bytes."""
    if type(text) is not str:
        raise ValueError("the pickle in it is damaged: bytes are made of something else than text")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Stands for ``bytes()``: how protocol 2 writes none."""
    return b""


def _pair(items: Any = (), *_: Any) -> Any:
    """Stands for ``builtins.tuple``: (name, array) of a tensor that was not in a model's dictionary."""
    return items


ADMITTED: dict[tuple[str, str], Any] = {
    **{(module, "_reconstruct"): _Array for module in ("numpy.core.multiarray", "numpy._core.multiarray")},
    ("numpy", "ndarray"): None, ("numpy", "dtype"): _Type, ("_codecs", "encode"): _encoded,
    **{(module, name): made for module in ("builtins", "__builtin__") for name, made in (("tuple", _pair), ("bytes", _no_bytes))},
}


class _Read(Reader):
    """A file of which some arrays were read at once: those of protocol 2."""

    def __init__(self, path: Path, arrays: dict[str, Placed], texts: dict[str, bytes]) -> None:
        super().__init__(path, "PaddlePaddle", arrays)
        self._texts = texts

    def _raw(self, name: str) -> np.ndarray:
        return np.frombuffer(self._texts[name], np.uint8) if name in self._texts else super()._raw(name)


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Reader]:
    """Open a file to read from.

    Raises FileNotFoundError, and ValueError for one that was cut short, is damaged, holds more than arrays or is something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        with open(path, "rb") as file:
            made = pickled.load(pickled.Leaving(file, path.stat().st_size), ADMITTED)
            if file.read(1):
                raise ValueError("the pickle in it ends before the file does: it is damaged")
        if not isinstance(made, dict):
            raise ValueError("this is not a file of paddle.save: it holds no dictionary of arrays")
        reader = _Read(path, *_arrays(made))
    except ValueError as error:
        raise ValueError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    yield reader


def _arrays(made: dict[str, Any]) -> tuple[dict[str, Placed], dict[str, bytes]]:
    """The arrays of a dictionary by name, and the bytes of those that are no longer in the file."""
    arrays: dict[str, Placed] = {}
    texts: dict[str, bytes] = {}
    for stored, x in made.items():
        if type(x) is tuple and len(x) == 2:
            x = x[1]
        if stored == _BESIDE or type(x) is not _Array or not x.state:
            continue
        _, shape, kind, fortran, data = x.state
        piece = Piece(data.at, data.count) if type(data) is Left else Piece(0, len(data)) if type(data) is bytes else None
        if piece is None or type(fortran) is not bool:
            raise ValueError(f"the pickle in it is damaged: {brief(stored)} has no bytes")
        name = named(str(stored))
        turned = len(shape) == 2 and not _TABLE.search(str(stored))
        if name in arrays:
            raise ValueError(f"two of its arrays are called {name}")
        arrays[name] = placed(kind.name, shape[::-1] if fortran else shape, [piece], turned != fortran, kind.order == ">")
        if type(data) is bytes:
            texts[name] = data
    return arrays, texts


def named(stored: str) -> str:
    """The name of a tensor, with PaddleNLP's parts of a BERT as we call them."""
    for pattern, name in _PARTS:
        stored = re.sub(pattern, name, stored)
    return stored
