"""Sentence vectors: one vector for a whole text, made from those of its tokens.

::

    mean    v = Σₜ mₜ·hₜ / Σₜ mₜ        m: 1 for tokens, 0 for padding        h: the last hidden state (T, H)
    cls     v = h₀                      the vector of [CLS]
    max     v = maxₜ hₜ                 the largest of each of the H numbers
    and, if they are to be compared by their angle: v / ‖v‖

Any BERT gives such vectors; good ones come from models trained for it, where the vectors of texts that mean the same were drawn
together (Reimers and Gurevych 2019, "Sentence-BERT"). The folders of such models say how their vectors are made.

Texts of similar length go through the model side by side, longest first, and the batches are spread over the cores.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import batched
from minibert.backend import Array, get_xp, refuse_nan, to_numpy
from minibert.files import brief, read_json
from minibert.layers import pooling as pooled
from minibert.layers import unit
from minibert.model import bert as body
from minibert.pretrained import formats
from minibert.ranks import ALONE, Ranks
from minibert.text import Reading, forms
from minibert.text.forms import Text

if TYPE_CHECKING:
    from minibert.pretrained import Trained

POOLINGS = tuple(pooled.KINDS)

_MODES = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "pooling_mode_max_tokens": "max"}


class Pooling(NamedTuple):
    """How the vectors of a model are made."""

    kind: str = "mean"  # one of POOLINGS
    normalise: bool = False  # to length 1
    max_length: int | None = None  # tokens of a text, [CLS] and [SEP] counted; None: what the model can read
    lower_case: bool = False  # before the tokenizer sees the text
    literal: bool = False  # special tokens that are written in a text are words

    def __str__(self) -> str:
        kind = {"mean": "mean over the tokens", "cls": "the vector of [CLS]", "max": "maximum over the tokens"}[self.kind]
        return kind + (", normalised" if self.normalise else "")

    @classmethod
    def of(cls, folder: str | os.PathLike[str] | None) -> Pooling:
        """What ``modules.json`` and the files that it names say; the defaults where there is none.

        ValueError where they ask for what is not done here (a further layer, other kinds of pooling).
        """
        if folder is None:
            return cls()
        folder = Path(folder)
        modules = modules_of(folder)
        if modules is None:
            if told := _told(folder):
                return cls(told)
            modules = [{"type": "Pooling", "path": "1_Pooling"}] if (folder / "1_Pooling" / "config.json").is_file() else []
        pooling = cls()
        for module in modules:
            named = module.get("type") if isinstance(module, dict) else module
            kind = named.rsplit(".", 1)[-1] if isinstance(named, str) else brief(named)
            if kind == "Pooling":
                pooling = pooling._replace(kind=_kind(folder, str(module.get("path", ""))))
            elif kind == "Normalize":
                pooling = pooling._replace(normalise=True)
            elif kind != "Transformer":
                raise ValueError(f"{folder / 'modules.json'}: after the encoder comes a module of type {kind}, which is not done "
                                 "here; the vectors would be others. Say yourself how to make them (pooling)")
        path = folder / "sentence_bert_config.json"
        settings = read_json(path, dict) if path.is_file() else {}
        limit = settings.get("max_seq_length")
        return pooling._replace(max_length=limit if isinstance(limit, int) and limit > 2 else None,
                                lower_case=settings.get("do_lower_case") is True)

    def files(self, width: int) -> dict[str, str]:
        """What says all this in a folder, but ``literal``, of a model whose vectors have ``width`` numbers: name -> JSON.

        sentence-transformers of any version reads these files.
        """
        modules = [("", "Transformer"), ("1_Pooling", "Pooling"), *([("2_Normalize", "Normalize")] if self.normalise else [])]
        written = {
            "modules.json": [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
                             for i, (path, kind) in enumerate(modules)],
            "1_Pooling/config.json": {"word_embedding_dimension": width,
                                      **{key: kind == self.kind for key, kind in _MODES.items()}},
            "sentence_bert_config.json": {"max_seq_length": self.max_length, "do_lower_case": self.lower_case}}
        return {name: json.dumps(values, indent=2) + "\n" for name, values in written.items()}


def _told(folder: Path) -> str | None:
    """What the one file says that holds all of a model."""
    files = [path for end in formats.WHOLE for path in folder.glob(f"*{end}")]
    if len(files) != 1:
        return None
    with formats.opened(files[0]) as reader:
        return reader.pooling


def modules_of(folder: Path) -> list | None:
    """What ``modules.json`` lists, None where there is none."""
    path = folder / "modules.json"
    return read_json(path, list) if path.is_file() else None


def _kind(folder: Path, name: str) -> str:
    path = folder / Path(name).name / "config.json"
    values = read_json(path, dict) if path.is_file() else {}
    modes = [key for key, value in values.items() if key.startswith("pooling_mode_") and value is True]
    if isinstance(values.get("pooling_mode"), str):  # the way newer versions write it
        modes = [values["pooling_mode"]]
    kinds = [_MODES.get(mode, mode) for mode in modes] or ["mean"]
    if len(kinds) > 1 or kinds[0] not in POOLINGS:
        raise ValueError(f"{path}: asks for {' and '.join(kinds)}, which is not done here, only {', '.join(POOLINGS)}; "
                         "say yourself how to make the vectors (pooling)")
    return kinds[0]


def pool(h: Array, mask: Array | None, pooling: Pooling) -> Array:
    """Last hidden state ``(B, T, H)`` and mask ``(B, T)``, 1 for tokens, or None where all are -> vectors ``(B, H)``."""
    v, _ = pooled.forward(h, mask, pooling.kind)
    return unit.forward(v)[0] if pooling.normalise else v


class Vectors(NamedTuple):
    """What ``embed`` returns."""

    vectors: np.ndarray  # (N, H), row i for text i
    cut: int  # how many texts were longer than the model reads, and lost their end
    reading: Reading  # how much of the texts is unknown


def embed(bert: Trained, texts: Sequence[Text], pooling: Pooling, threads: int | None = None,
          progress: Callable[[int, int], None] | None = None, ranks: Ranks = ALONE) -> Vectors:
    """The vectors of texts, on the CPU, in the model's precision. The result does not depend on the company of a text.

    ``threads``: cores to compute on (default: all). ``progress(done, all)``: called with numbers of tokens after each batch.
    ``ranks``: who else computes a part of them; all have the result.
    """
    if pooling.kind not in POOLINGS:
        raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, got {pooling.kind!r}")
    limit = bert.max_length if pooling.max_length is None else min(bert.max_length, pooling.max_length)
    if limit < 3:
        raise ValueError(f"max_length must be at least 3 ([CLS], one token, [SEP]), got {limit}")
    if pooling.kind == "cls":
        bert.tokenizer.vocab.require("a vector of [CLS]", "[CLS]")
    texts = [forms.mapped(str.lower, text) for text in texts] if pooling.lower_case else texts
    whole = [forms.ids(bert.tokenizer, text, pooling.literal) for text in texts]
    rows = [bert.tokenizer.framed(ids[:limit - 2]) for ids in whole]
    reading = Reading.of(bert.tokenizer.vocab, map(forms.written, texts), rows, pooling.literal)
    return Vectors(of_tokens(bert, rows, pooling, threads, progress, ranks), sum(len(ids) > limit - 2 for ids in whole), reading)


def of_tokens(bert: Trained, rows: Sequence[Sequence[int]], pooling: Pooling, threads: int | None = None,
              progress: Callable[[int, int], None] | None = None, ranks: Ranks = ALONE) -> np.ndarray:
    """The vectors ``(N, H)`` of N texts that are ids already, [CLS] and [SEP] among them. As ``embed`` otherwise."""
    vectors = np.empty((len(rows), bert.config.hidden_size), bert.parameters.flat.dtype)
    mine: list[int] = []

    def work(batch: np.ndarray) -> None:
        ids, mask, positions = batched.padded(bert, [rows[i] for i in batch])
        out = body.answer(ids, get_xp(ids).zeros_like(ids), mask, bert.parameters["bert"], bert.config, position_ids=positions)
        vectors[batch] = to_numpy(pool(out.last_hidden_state, mask, pooling))
        mine.extend(batch.tolist())

    batched.each(bert, [len(row) for row in rows], work, threads=threads, progress=progress, ranks=ranks)
    if ranks.size > 1:
        vectors = _gathered(vectors, mine, ranks)
    refuse_nan(vectors[[len(row) > 0 for row in rows]])
    return vectors


def _gathered(vectors: np.ndarray, mine: Sequence[int], ranks: Ranks) -> np.ndarray:
    """All vectors ``(N, H)``, of which this rank has those with the numbers ``mine``."""
    by_rank, width = ranks.share(list(mine)), vectors.shape[1]
    ends = np.cumsum([0, *(len(numbers) * width for numbers in by_rank)]).tolist()
    strips = [range(start, stop) for start, stop in pairwise(ends)]
    flat = np.empty(vectors.size, vectors.dtype)
    flat[strips[ranks.rank].start:strips[ranks.rank].stop] = vectors[list(mine)].ravel()
    ranks.gather(flat, strips)
    vectors[[number for numbers in by_rank for number in numbers]] = flat.reshape(-1, width)
    return vectors
