"""The head of a classifier: dropout, then one linear layer, ``logits = W·dropout(x) + b``.

Over the pooled vector it judges a whole text (a class, a number, how well a choice fits), over every token's vector it tags
tokens. Its parameters are called ``classifier`` in checkpoints.

Source: reference ``run_classifier.py``, ``create_model``; Devlin et al. 2018, figure 4.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array
from minibert.config import BertConfig
from minibert.layers import dropout, linear
from minibert.layers.dropout import Key
from minibert.parameters import Shapes, Tree

PATH = "classifier"
READS = "pooled"
INPUTS = ()


class Cache(NamedTuple):
    dropout: dropout.Cache
    linear: linear.Cache


def shapes(config: BertConfig, outputs: int) -> Shapes:
    """weight and bias."""
    return linear.shapes(outputs, config.hidden_size)


def forward(x: Array, p: Tree, config: BertConfig | None = None, key: Key | None = None) -> tuple[Array, Cache]:
    """x ``(..., H)`` -> logits ``(..., C)``. ``p``: weight ``(C, H)``, bias ``(C,)``."""
    x, dropout_cache = dropout.forward(x, 0.0 if key is None else config.hidden_dropout_prob, key)
    logits, linear_cache = linear.forward(x, p)
    return logits, Cache(dropout_cache, linear_cache)


def backward(dlogits: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dlogits ``(..., C)`` -> dx ``(..., H)``."""
    return dropout.backward(linear.backward(dlogits, cache.linear, p, g), cache.dropout)
