"""The next-sentence head: does the second sentence follow the first? ``logits = W·pooled + b``, two classes.

As in the reference, class 0 means "it follows" and class 1 "it was drawn at random" (several tutorials have it the other way
round). The head is one linear layer over the pooled vector. Source: reference ``run_pretraining.py``,
``get_next_sentence_output``.
"""

from __future__ import annotations

from minibert.backend import Array
from minibert.config import BertConfig
from minibert.layers import linear
from minibert.layers.dropout import Key
from minibert.layers.linear import Cache
from minibert.parameters import Shapes, Tree

PATH = "cls.seq_relationship"
READS = "pooled"
INPUTS = ()


def shapes(config: BertConfig, outputs: int = 2) -> Shapes:
    """weight and bias."""
    return linear.shapes(outputs, config.hidden_size)


def forward(pooled: Array, p: Tree, config: BertConfig | None = None, key: Key | None = None) -> tuple[Array, Cache]:
    """pooled ``(B, H)`` -> logits ``(B, 2)``. ``p``: weight ``(2, H)``, bias ``(2,)``."""
    return linear.forward(pooled, p)


def backward(dlogits: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dlogits ``(B, 2)`` -> dpooled ``(B, H)``."""
    return linear.backward(dlogits, cache, p, g)
