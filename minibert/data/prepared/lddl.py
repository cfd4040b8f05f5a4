"""LDDL's shards: pairs as words in a Parquet file. The package pyarrow reads them.

::

    A, B                   string   tokens with blanks between them, without [CLS] and [SEP]
    is_random_next         bool     b is from elsewhere
    num_tokens             uint16   of [CLS] A [SEP] B [SEP]
    masked_lm_positions    binary   of that, as numpy.save writes a uint16 array      } only where the masks were drawn
    masked_lm_labels       string   tokens with blanks between them                   } beforehand
    bin_id                 int      files by length; not looked at

Tokens are cut at blanks alone, for U+2028 is a token of the Chinese vocabulary.
Source: NVIDIA/LDDL, ``lddl/dask/bert/pretrain.py``, ``lddl/torch/bert.py``.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from minibert.data.prepared.instances import Block, Instance, Padding, Wanted
from minibert.files import brief, replacing
from minibert.text.vocabulary import Vocabulary

TITLE, ENDING = "LDDL's Parquet shards", ".parquet"
BLOCK = 16384  # examples; a file is read from the beginning of a row group, so that few blocks are better
AT_ONCE = 256  # rows
_COLUMNS = {"A": "string", "B": "string", "is_random_next": "bool", "num_tokens": "int"}
_MASKS = {"masked_lm_positions": "binary", "masked_lm_labels": "string"}


def begins(start: bytes) -> bool:
    """Whether a file with these first bytes is Parquet."""
    return start.startswith(b"PAR1")


def blocks(path: Path) -> list[Block]:
    """Where its examples lie. ValueError for a file that was cut short, or holds other things."""
    with _opened(path) as file:
        _columns(file, path)
        if (count := file.metadata.num_rows) > path.stat().st_size:
            raise ValueError(f"{path} is damaged: it says that it has {count:,} rows, more than bytes")
    return [Block(path, sys.modules[__name__], first, min(BLOCK, count - first)) for first in range(0, count, BLOCK)]


def read(block: Block, wanted: Wanted) -> list[Instance]:
    """The examples of a block. ValueError with the record for one that is damaged, or does not fit."""
    found: list[Instance] = []
    with _opened(block.path) as file:
        columns = _columns(file, block.path)
        ends = [0, *accumulate(file.metadata.row_group(group).num_rows for group in range(file.num_row_groups))]
        groups = [group for group, (start, end) in enumerate(pairwise(ends))
                  if start < block.first + block.count and end > block.first]
        skip = block.first - (ends[groups[0]] if groups else 0)
        for batch in file.iter_batches(AT_ONCE, row_groups=groups, columns=columns, use_threads=False):
            for row in batch.slice(min(skip, len(batch))).to_pylist():
                if len(found) == block.count:
                    return found
                found.append(_instance(row, f"{block.path}, record {block.first + len(found) + 1:,}", wanted))
            skip = max(0, skip - len(batch))
    if len(found) < block.count:
        raise ValueError(f"{block.path} was cut short or is damaged: it says that it has more than the "
                         f"{block.first + len(found):,} rows that are there; make or copy the file again")
    return found


def write(path: Path, instances: Sequence[Instance], vocab: Vocabulary, padding: Padding) -> None:
    """A whole file; with masks, where the instances have some. ValueError for an example that is no pair."""
    pyarrow = _library(path)
    rows = [_row(one, vocab) for one in instances]
    masked = bool(rows) and "masked_lm_labels" in rows[0]
    kinds = {"string": pyarrow.string(), "bool": pyarrow.bool_(), "int": pyarrow.uint16(), "binary": pyarrow.binary()}
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in {**_COLUMNS, **(_MASKS if masked else {})}.items()])
    with replacing(path) as temporary:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema), temporary)


def _row(one: Instance, vocab: Vocabulary) -> dict[str, Any]:
    if one.next_label is None:
        raise ValueError("LDDL's files hold pairs, and an example is none: give more documents, leave out --no-next-sentence, "
                         "or write another --format")
    row = {"A": _words(one.ids[1:one.split - 1], vocab), "B": _words(one.ids[one.split:-1], vocab),
           "is_random_next": bool(one.next_label), "num_tokens": len(one.ids)}
    if one.positions is not None:
        positions = io.BytesIO()
        np.save(positions, one.positions.astype(np.uint16))
        row |= {"masked_lm_positions": positions.getvalue(), "masked_lm_labels": _words(one.labels, vocab)}
    return row


def _words(ids: np.ndarray, vocab: Vocabulary) -> str:
    words = [vocab.tokens[i] for i in ids.tolist()]
    if odd := [word for word in words if " " in word]:
        raise ValueError(f"LDDL's files have blanks between tokens, and {odd[0]!r} holds one: write another --format")
    return " ".join(words)


def _instance(row: Mapping[str, Any], what: str, wanted: Wanted) -> Instance:
    if absent := [name for name, value in row.items() if value is None]:
        raise ValueError(f"{what}: {absent[0]} is missing")
    vocab = wanted.vocab
    a, b = (_ids(row[name], name, what, vocab) for name in ("A", "B"))
    ids = np.array([vocab.cls_id, *a, vocab.sep_id, *b, vocab.sep_id], np.int32)
    if not a or not b:
        raise ValueError(f"{what}: {'B' if a else 'A'} has no tokens")
    if row["num_tokens"] != len(ids):
        raise ValueError(f"{what}: num_tokens is {row['num_tokens']}, and A and B with [CLS] and twice [SEP] have {len(ids)}")
    if len(ids) > wanted.max_length:
        raise ValueError(f"{what}: it has {len(ids)} tokens, and an example has at most {wanted.max_length}: give --max-length "
                         f"{len(ids)} or more")
    if "masked_lm_labels" not in row:
        return Instance(ids, len(a) + 2, int(row["is_random_next"]))
    positions, labels = _saved(row["masked_lm_positions"], what), _ids(row["masked_lm_labels"], "masked_lm_labels", what, vocab)
    if len(positions) != len(labels):
        raise ValueError(f"{what}: masked_lm_positions has {len(positions):,} numbers and masked_lm_labels has {len(labels):,} "
                         "tokens; they belong together")
    if len(positions) and not 0 <= positions.min() <= positions.max() < len(ids):
        raise ValueError(f"{what}: masked_lm_positions holds {positions.max()}, and it has {len(ids)} tokens")
    order = positions.argsort(kind="stable")
    return Instance(ids, len(a) + 2, int(row["is_random_next"]), positions[order], np.array(labels, np.int64)[order])


def _ids(words: str, name: str, what: str, vocab: Vocabulary) -> list[int]:
    found = [vocab.index.get(word) for word in words.split(" ")] if words else []
    if None in found:
        raise ValueError(f"{what}: {name} holds {brief(words.split(' ')[found.index(None)])}, which the vocabulary of "
                         f"{len(vocab):,} tokens has not; name the one that the file was made with (--vocab)")
    return found


def _saved(data: bytes, what: str) -> np.ndarray:
    """(M,) int64 of the bytes that numpy.save wrote, which are looked at before anything is made of them."""
    try:
        start = 10 + int.from_bytes(data[8:10], "little")
        shape, dtype = _header(data[:start])
        if len(shape) != 1 or dtype.kind not in "iu" or shape[0] * dtype.itemsize != len(data) - start:
            raise ValueError(f"{shape[:3]} numbers of {dtype}")
        return np.frombuffer(data, dtype, offset=start).astype(np.int64)
    except Exception as error:  # a header is Python's own notation, and may be anything
        raise ValueError(f"{what}: masked_lm_positions is not a row of whole numbers as numpy.save writes it "
                         f"({str(error)[:100]})") from None


@lru_cache(1024)
def _header(data: bytes) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type, of the first bytes of what numpy.save wrote, in its version 1."""
    file = io.BytesIO(data)
    if (version := np.lib.format.read_magic(file)) != (1, 0):
        raise ValueError(f"its version {version}")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    return shape, dtype


def _columns(file: Any, path: Path) -> list[str]:
    """Which columns are read. ValueError where one is missing or is something else."""
    found = {field.name: field.type for field in file.schema_arrow}
    with_masks = _COLUMNS | _MASKS if found.keys() & _MASKS.keys() else _COLUMNS
    types = _library(path).types
    kinds = {"string": (types.is_string, types.is_large_string), "bool": (types.is_boolean,), "int": (types.is_integer,),
             "binary": (types.is_binary, types.is_large_binary)}
    for name, kind in with_masks.items():
        if name not in found or not any(is_one(found[name]) for is_one in kinds[kind]):
            raise ValueError(f"{path}: expected the column {name} of {kind}, found "
                             f"{', '.join(f'{column} of {type}' for column, type in found.items())[:200] or 'nothing'}")
    return list(with_masks)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    pyarrow = _library(path)
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield file
    except (pyarrow.ArrowException, OSError, MemoryError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} was cut short or is damaged ({str(error)[:200]}); make or copy the file again") from None


def _library(path: Path) -> Any:
    try:
        import pyarrow.parquet
        import pyarrow.types
    except ImportError:
        raise ValueError(f"{path}: Parquet needs the package pyarrow: pip install \"minibert[parquet]\", or pip install "
                         "pyarrow") from None
    return pyarrow
