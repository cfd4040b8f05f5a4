"""One shard: the arrays of a slice of text, how they are made, written, read and counted."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minibert.data.corpora import documents_of
from minibert.data.tokens.sources import Piece, text_of
from minibert.files import write_atomically

FOLDER = "shards"
PARTS = ("ids", "sentences", "documents")
DOCUMENT = np.dtype([("sentence", "<u4"), ("drawn", "<u8")])
LONG = 512  # tokens; longer sentences are counted as if they had so many


class Shard(NamedTuple):
    """Its arrays. Sentences and documents are never empty."""

    ids: np.ndarray  # (N,) uint16 or uint32
    sentences: np.ndarray  # (S,) uint32, ascending from 0: the place of its first id
    documents: np.ndarray  # (D,) of DOCUMENT: the number of its first sentence, ascending from 0; a hash of its sentences


class Counted(NamedTuple):
    """What there is in a shard, or in many: of what is trained on, and of what is held out."""

    documents: np.ndarray  # (2,) int64
    sentences: np.ndarray  # (2,)
    tokens: np.ndarray  # (2,)
    ids: np.ndarray  # (2, V): how often each occurs
    lengths: np.ndarray  # (LONG + 1,): how many sentences have so many tokens
    longest: int

    @classmethod
    def nothing(cls, vocabulary: int) -> Counted:
        """Of no text."""
        pairs = (np.zeros(2, np.int64) for _ in range(3))
        return cls(*pairs, np.zeros((2, vocabulary), np.int64), np.zeros(LONG + 1, np.int64), 0)

    def __add__(self, other: Counted) -> Counted:  # type: ignore[override]
        return Counted(*(a + b for a, b in zip(self[:-1], other[:-1])), max(self.longest, other.longest))


def name_of(pieces: Sequence[Piece], tokenizer: str) -> str:
    """What the shard of a slice is called. ``tokenizer``: its fingerprint."""
    found = hashlib.sha256(tokenizer.encode("ascii"))
    for piece in pieces:
        found.update(f"{piece.layout} {piece.alone:d} {len(piece.data)} ".encode("ascii"))
        found.update(piece.data)
    return found.hexdigest()[:32]


def fingerprint(tokenizer: Any) -> str:
    """Of all that decides which ids a text has."""
    about = {name: value for name, value in tokenizer.described().items() if name != "max_length"}
    about["added"] = sorted(about["added"], key=lambda token: token["content"])  # in no order
    return hashlib.sha256(json.dumps([list(tokenizer.vocab.tokens), about], sort_keys=True).encode("utf-8")).hexdigest()


def dtype_of(vocabulary: int) -> np.dtype:
    """Of the ids, for so many tokens."""
    return np.dtype("<u2" if vocabulary <= 1 << 16 else "<u4")


def drawn(document: Sequence[str]) -> int:
    """The number of a document, from 0 to 2**64 - 1, that decides whether it is held out: the same sentences, the same number."""
    return int.from_bytes(hashlib.sha256("\n".join(document).encode("utf-8", "surrogatepass")).digest()[:8], "little")


def bound_of(share: float) -> int:
    """Documents that have drawn a number below it are held out, where a share of them is asked for."""
    return round(share * 2**64)


def cut(pieces: Sequence[Piece], tokenizer: Any) -> Shard:
    """The arrays of a slice. ValueError for what is not UTF-8."""
    documents = [document for piece in pieces for document in documents_of(text_of(piece), piece.layout, piece.alone)]
    numbers = list(tokenizer.ids_of(sentence for document in documents for sentence in document))
    lengths = np.fromiter(map(len, numbers), np.int64, len(numbers))
    of_document = np.repeat(np.arange(len(documents)), [len(document) for document in documents])[lengths > 0]
    lengths = lengths[lengths > 0]
    kept, firsts = np.unique(of_document, return_index=True)
    table = np.empty(len(kept), DOCUMENT)
    table["sentence"], table["drawn"] = firsts, [drawn(documents[i]) for i in kept.tolist()]
    ids = np.fromiter(chain.from_iterable(numbers), dtype_of(len(tokenizer.vocab)), int(lengths.sum()))
    return Shard(ids, (np.cumsum(lengths) - lengths).astype("<u4"), table)


def paths(folder: Path, name: str) -> list[Path]:
    """Its files, in the order of PARTS."""
    return [folder / FOLDER / f"{name}.{part}.npy" for part in PARTS]


def present(folder: Path, name: str) -> list[Path]:
    """The same. FileNotFoundError where one is missing."""
    for path in paths(folder, name):
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing, a part of the text that was prepared in {folder}: prepare it again")
    return paths(folder, name)


def write(folder: Path, name: str, shard: Shard) -> None:
    """Write its files; the last one says that it is whole."""
    for path, array in zip(paths(folder, name), shard):
        content = io.BytesIO()  # to a file NumPy writes past Python, and of a full disk it says "9 requested and 5 written"
        np.save(content, array)
        write_atomically(path, content.getvalue())


def read(folder: Path, name: str, vocabulary: int, sha256: str | None = None) -> Shard:
    """A shard, mapped into memory. ``sha256``: what its files must have.

    FileNotFoundError where one is missing, ValueError where one has changed, or does not fit the others or the vocabulary.
    """
    found = present(folder, name)
    if sha256 is not None and digest(folder, name) != sha256:
        raise ValueError(f"{found[0].with_suffix('').with_suffix('')}.*: this part of the text has changed since it was "
                         "prepared: prepare it again")
    ids, sentences, documents = map(_mapped, found, (dtype_of(vocabulary), np.dtype("<u4"), DOCUMENT))
    if not (_rises(sentences, len(ids)) and _rises(documents["sentence"], len(sentences))
            and int(ids.max(initial=0)) < vocabulary):
        raise ValueError(f"{found[0]} and the files beside it do not fit one another, or {vocabulary:,} tokens: prepare the text "
                         "again")
    return Shard(ids, sentences, documents)


def _mapped(path: Path, dtype: np.dtype) -> np.ndarray:
    """The array of a file that ``np.save`` wrote here. ``np.load`` does not refuse every damaged one by a ValueError."""
    with open(path, "rb") as file:
        start = file.read(10)
        header = file.read(int.from_bytes(start[8:], "little"))
        begins = file.tell()
    count, rest = divmod(path.stat().st_size - begins, dtype.itemsize)
    about = f"{{'descr': {np.lib.format.dtype_to_descr(dtype)!r}, 'fortran_order': False, 'shape': ({count},), }}"
    if start[:8] != b"\x93NUMPY\x01\x00" or header.strip() != about.encode("ascii") or rest:
        raise ValueError(f"{path} is damaged: it does not hold one row of {dtype.name}; prepare the text again")
    return np.memmap(path, dtype, "r", begins, (count,)) if count else np.empty(0, dtype)


def digest(folder: Path, name: str) -> str:
    """Of all its files."""
    found = hashlib.sha256()
    for path in paths(folder, name):
        data = path.read_bytes()
        found.update(len(data).to_bytes(8, "little"))
        found.update(data)
    return found.hexdigest()


def documents_in(shard: Shard, bound: int, held_out: bool) -> list[list[np.ndarray]]:
    """Its documents that are held out, or the others: int32 ids by sentence, in the order of the text, in memory."""
    # No ``astype``, which would stay a memory map, and make every sentence one: slices of those are slow.
    ids, stops = np.array(shard.ids, np.int32), [*shard.sentences[1:].tolist(), len(shard.ids)]
    ends = [*shard.documents["sentence"][1:].tolist(), len(stops)]
    starts = shard.sentences.tolist()
    wanted = (shard.documents["drawn"] < bound) == held_out
    return [[ids[starts[i]:stops[i]] for i in range(first, end)]
            for first, end, mine in zip(shard.documents["sentence"].tolist(), ends, wanted.tolist()) if mine]


def counted(shard: Shard, bound: int, vocabulary: int) -> Counted:
    """What is in it; documents that have drawn a number below ``bound`` are held out."""
    aside = (shard.documents["drawn"] < bound).astype(np.int64)
    sentences = np.repeat(aside, np.diff(shard.documents["sentence"], append=len(shard.sentences)))
    lengths = np.diff(shard.sentences, append=len(shard.ids)).astype(np.int64)
    tokens = np.repeat(sentences, lengths)
    every = np.bincount(shard.ids, minlength=vocabulary)
    kept = np.bincount(shard.ids[tokens == 1], minlength=vocabulary)
    return Counted(np.bincount(aside, minlength=2), np.bincount(sentences, minlength=2), np.bincount(tokens, minlength=2),
                   np.stack([every - kept, kept]), np.bincount(np.minimum(lengths, LONG), minlength=LONG + 1),
                   int(lengths.max(initial=0)))


def signatures(shard: Shard, numbers: np.ndarray) -> np.ndarray:
    """``(S,)`` uint64: the sum of the ``numbers`` (V,) of a sentence's tokens. Equal where they are the same in any order."""
    if not len(shard.sentences):
        return np.empty(0, np.uint64)
    return np.add.reduceat(numbers[shard.ids], shard.sentences.astype(np.int64))


def _rises(places: np.ndarray, end: int) -> bool:
    """Do they begin at 0, rise and end before ``end``?"""
    if not len(places):
        return end == 0
    return int(places[0]) == 0 and bool((places[1:] > places[:-1]).all()) and int(places[-1]) < end
