"""The head that compares: how alike the two texts of an example are, by the cosine of their sentence vectors.

::

    y[b] = cos(v[b,0], v[b,1])          v: the vectors of ``vectors``

Each text goes through the body by itself, so that a text can be compared with any other without being read again.

Backward: the cosine's, then the pooling's. Source: Reimers and Gurevych 2019, "Sentence-BERT", section 3, figure 2.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, get_xp
from minibert.config import BertConfig
from minibert.layers import cosine
from minibert.layers.dropout import Key
from minibert.model.heads import vectors
from minibert.model.heads.vectors import INPUTS, PATH, READS, shapes
from minibert.parameters import Tree

__all__ = ["INPUTS", "PATH", "READS", "Cache", "backward", "forward", "shapes"]


class Cache(NamedTuple):
    vectors: vectors.Cache
    cosine: cosine.Cache


def forward(x: Array, choices: int, attention_mask: Array | None, p: Tree, config: BertConfig | None = None,
            key: Key | None = None, pooling: str = "mean") -> tuple[Array, Cache]:
    """x ``(2·B, T, H)``, attention_mask ``(2·B, T)`` or None -> y ``(B,)``. ``choices`` is 2."""
    v, vectors_cache = vectors.forward(x, choices, attention_mask, p, config, key, pooling)
    y, cosine_cache = cosine.forward(v[:, 0], v[:, 1])
    return y, Cache(vectors_cache, cosine_cache)


def backward(dy: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dy ``(B,)`` -> dx ``(2·B, T, H)``."""
    dv = get_xp(dy).stack(cosine.backward(dy, cache.cosine), 1)  # 2 of (B, H) -> (B, 2, H)
    return vectors.backward(dv, cache.vectors, p, g)
