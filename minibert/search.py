"""The lines of a file that are nearest in meaning to a query: the largest cosine between their sentence vectors.

The vectors of a file's lines are computed once and kept beside it, in ``FILE.vectors.safetensors``, with a fingerprint of the
text and the model: where either has changed, they are computed anew. A search is then one product of a matrix and a vector.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert.backend import to_numpy
from minibert.files import brief, decode_utf8, line_ends, parse_json
from minibert.pretrained import tensors
from minibert.sentence_vectors import Pooling, embed
from minibert.text import Reading

if TYPE_CHECKING:
    from minibert.pretrained import Trained


class Match(NamedTuple):
    """A line that was found."""

    score: float  # cosine of the angle to the query: 1 for the same direction
    number: int  # of the line, from 1
    line: str


def read_lines(path: str | os.PathLike[str]) -> list[str]:
    """The lines of a UTF-8 file, empty ones included, that after the last line end excepted. ValueError for other encodings."""
    lines = line_ends(decode_utf8(Path(path).read_bytes(), path)).split("\n")
    if lines[-1] == "":
        lines.pop()
    if not any(line.strip() for line in lines):
        raise ValueError(f"{path} has no text in it: expected one text a line")
    return lines


class Index:
    """Lines and their vectors, of length 1. Blank lines are left out. ``reading``: how much of the lines the model knows."""

    def __init__(self, bert: Trained, lines: Sequence[str], vectors: np.ndarray, numbers: np.ndarray, pooling: Pooling,
                 reading: Reading) -> None:
        self.bert, self.lines, self.vectors, self.numbers, self.pooling = bert, lines, vectors, numbers, pooling
        self.reading = reading

    @classmethod
    def of(cls, bert: Trained, path: str | os.PathLike[str], pooling: Pooling, *, cache: bool = True, threads: int | None = None,
           progress: Callable[[int, int], None] | None = None, say: Callable[[str], None] = lambda text: None) -> Index:
        """The index of a file's lines. ``cache``: keep the vectors beside it, and use those that are there."""
        pooling = pooling._replace(normalise=True)
        lines = read_lines(path)
        numbers = np.array([i for i, line in enumerate(lines) if line.strip()])
        store = Path(f"{os.fspath(path)}.vectors.safetensors")
        key = _fingerprint(bert, lines, pooling) if cache else ""
        kept = _kept(store, key, (len(numbers), bert.config.hidden_size), say) if cache else None
        if kept is not None:
            return cls(bert, lines, kept[0], numbers, pooling, kept[1])
        vectors, _, reading = embed(bert, [lines[i] for i in numbers], pooling, threads, progress)
        vectors = vectors.astype(np.float32)
        if cache:
            try:
                tensors.write(store, {"vectors": vectors}, {"fingerprint": key, "reading": json.dumps(reading)})
            except OSError as error:
                say(f"the vectors are not kept: {error}")
        return cls(bert, lines, vectors, numbers, pooling, reading)

    def search(self, query: str, top: int = 10) -> list[Match]:
        """The ``top`` nearest lines, best first; of equal ones the earlier first."""
        if top < 1:
            raise ValueError(f"top must be at least 1, got {top}")
        if not query.strip():
            raise ValueError("the query is empty: say what to look for")
        vector = embed(self.bert, [query], self.pooling, threads=1).vectors[0].astype(np.float32)
        scores = self.vectors @ vector  # (N,)
        top = min(top, len(scores))
        best = np.flatnonzero(scores >= np.partition(scores, -top)[-top])
        best = best[np.argsort(-scores[best], kind="stable")][:top]
        return [Match(float(scores[i]), int(self.numbers[i]) + 1, self.lines[self.numbers[i]]) for i in best]


def _fingerprint(bert: Trained, lines: Sequence[str], pooling: Pooling) -> str:
    tokenizer = bert.tokenizer
    settings = (pooling, bert.config, bert.max_length, tokenizer.lower_case, tokenizer.strip_accents, tokenizer.split_cjk,
                tokenizer.cut and tokenizer.cut.rule, tokenizer.added)
    digest = hashlib.sha256(repr(settings).encode("utf-8"))
    for part in (*tokenizer.vocab.tokens, "", *lines):
        digest.update(part.encode("utf-8", "surrogatepass") + b"\n")
    digest.update(np.ascontiguousarray(to_numpy(bert.parameters.flat)).data)
    return digest.hexdigest()


def _kept(store: Path, key: str, shape: tuple[int, int], say: Callable[[str], None]) -> tuple[np.ndarray, Reading] | None:
    """The vectors of an earlier search and its reading, or None where there are none for this text and model."""
    if not store.is_file():
        return None
    try:
        with tensors.opened(store) as reader:
            found = reader.metadata
            if found.get("fingerprint") == key and "reading" in found and reader.shapes.get("vectors") == shape:
                counts = parse_json(found["reading"], store, list)
                if [type(value) for value in counts] != [int, int, int, bool]:
                    raise ValueError(f"{store}: its reading must be three counts and a switch, found {brief(counts)}")
                return reader["vectors"], Reading(*counts)
    except (ValueError, OSError) as error:
        say(f"{error}; the vectors are computed anew")
        return None
    say(f"{store.name} was made from another text or model; the vectors are computed anew")
    return None
