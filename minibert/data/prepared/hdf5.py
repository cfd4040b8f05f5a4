"""NVIDIA's shards: the rectangles of ``instances`` as datasets of an HDF5 file, compressed with gzip; h5py reads them.

::

    input_ids (N, T) i4 · input_mask (N, T) i1 · segment_ids (N, T) i1
    masked_lm_positions (N, P) i4 · masked_lm_ids (N, P) i4 · next_sentence_labels (N,) i1

There are no weights: the positions of an example end before the first 0, where [CLS] stands, which nobody guesses.
Source: NVIDIA/DeepLearningExamples, ``PyTorch/LanguageModeling/BERT``: ``create_pretraining_data.py``, ``run_pretraining.py``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from minibert.data.prepared.instances import LABEL, MASKS, MOST_TOKENS, TOKENS, Block, Instance, Padding, Wanted, padded, unpadded
from minibert.files import replacing
from minibert.text.vocabulary import Vocabulary

TITLE, ENDING = "NVIDIA's HDF5 shards", ".hdf5"
BLOCK = 1024  # examples
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_DTYPES = {"input_ids": "i4", "input_mask": "i1", "segment_ids": "i1", "masked_lm_positions": "i4", "masked_lm_ids": "i4",
           LABEL: "i1"}
_MOST_PACKED = 1100  # gzip makes nothing smaller than a 1,032th


def begins(start: bytes) -> bool:
    """Whether a file with these first bytes is HDF5."""
    return start.startswith(_SIGNATURE)


def blocks(path: Path) -> list[Block]:
    """Where its examples lie. ValueError for a file that was cut short, or holds other things."""
    with _opened(path) as file:
        count = len(_datasets(file, path)[LABEL])
    return [Block(path, sys.modules[__name__], first, min(BLOCK, count - first)) for first in range(0, count, BLOCK)]


def read(block: Block, wanted: Wanted) -> list[Instance]:
    """The examples of a block. ValueError with the record for one that does not fit."""
    with _opened(block.path) as file:
        fields = {name: found[block.first:block.first + block.count].astype(np.int64)
                  for name, found in _datasets(file, block.path).items()}
    fields[MASKS[2]] = np.minimum.accumulate(fields[MASKS[0]] != 0, axis=1).astype(np.float32)
    return unpadded(block, fields, wanted)


def write(path: Path, instances: Sequence[Instance], vocab: Vocabulary, padding: Padding) -> None:
    """A whole file."""
    fields = padded(instances, padding, vocab.pad_id)
    with replacing(path) as temporary, _library(path).File(temporary, "w", locking=False) as file:
        for name, dtype in _DTYPES.items():
            file.create_dataset(name, data=fields[name].astype(dtype), compression="gzip")


def _datasets(file: Any, path: Path) -> dict[str, Any]:
    """The datasets by name. ValueError where one is missing or is something else, or they do not belong together."""
    h5py = _library(path)
    found = {name: file.get(name) if isinstance(file.get(name, getlink=True), h5py.HardLink) else None for name in _DTYPES}
    for name, data in found.items():
        axes = 1 if name == LABEL else 2
        if not isinstance(data, h5py.Dataset) or data.dtype.kind not in "iu" or data.ndim != axes:
            raise ValueError(f"{path}: expected {name}, a dataset of whole numbers with {axes} axes; it holds "
                             f"{', '.join(sorted(map(str, file)))[:200] or 'nothing'}")
        elsewhere = data.is_virtual or data.external or data.nbytes > _MOST_PACKED * data.id.get_storage_size()
        if elsewhere or max(data.shape[1:], default=1) > MOST_TOKENS:
            raise ValueError(f"{path}: {name} should hold {' × '.join(map(str, data.shape))} numbers, and they are not in the "
                             "file, or too many for an example")
    for names in (TOKENS, MASKS[:2]):
        shapes = {name: found[name].shape for name in names}
        if len({(len(found[LABEL]), *shape[1:]) for shape in shapes.values()} | set(shapes.values())) > 1:
            said = ", ".join(f"{name} {' × '.join(map(str, shape))}" for name, shape in shapes.items())
            raise ValueError(f"{path}: {said} and {LABEL} {len(found[LABEL])} do not belong together")
    return found


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with _library(path).File(path, "r") as file:
            yield file
    except ValueError:
        raise
    except Exception as error:  # the library has several, and names neither the file nor what to do
        raise ValueError(f"{path} was cut short or is damaged ({str(error)[:200]}); make or copy the file again") from None


def _library(path: Path) -> Any:
    try:
        import h5py
    except ImportError:
        raise ValueError(f"{path}: HDF5 needs the package h5py: pip install \"minibert[hdf5]\", or pip install h5py") from None
    return h5py
