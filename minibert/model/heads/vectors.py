"""The head of sentence vectors: one for each text, pooled from those of its tokens; the texts of an example side by side.

::

    v[b,k] = pool(x[b·K + k])           of the K texts of example b

It has no tensors: training moves the body itself, until texts that belong together have near vectors. Nothing is dropped here, as
in sentence-transformers.

Backward: the pooling's. Source: Reimers and Gurevych 2019, "Sentence-BERT", section 3.
"""

from __future__ import annotations

from minibert.backend import Array
from minibert.config import BertConfig
from minibert.layers import pooling as layer
from minibert.layers.dropout import Key
from minibert.layers.pooling import Cache
from minibert.parameters import Shapes, Tree

PATH = ""
READS = "last_hidden_state"
INPUTS = ("choices", "attention_mask")


def shapes(config: BertConfig, outputs: int = 0) -> Shapes:
    """Nothing: a text has as many numbers as a token."""
    return {}


def forward(x: Array, choices: int, attention_mask: Array | None, p: Tree, config: BertConfig | None = None,
            key: Key | None = None, pooling: str = "mean") -> tuple[Array, Cache]:
    """x ``(B·choices, T, H)``, attention_mask ``(B·choices, T)`` or None -> v ``(B, choices, H)``.

    ``pooling``: one of ``layers.pooling.KINDS``.
    """
    v, cache = layer.forward(x, attention_mask, pooling)
    return v.reshape(-1, choices, v.shape[-1]), cache


def backward(dv: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dv ``(B, choices, H)`` -> dx ``(B·choices, T, H)``."""
    return layer.backward(dv.reshape(-1, dv.shape[-1]), cache)
