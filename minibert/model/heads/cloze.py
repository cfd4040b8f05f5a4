"""The head of a model without a vector for each token: which word is missing from this text, wherever it stood?

::

    logits = dropout(W·dropout(v) + b)        v: the vector of the text

One word is hidden in a text (``tasks.corruption.one_word``), and its place is never used: two hidden words would be asked for by
the same logits. That logits themselves are dropped in training is a peculiarity of the original.

Source: brightmart/bert_language_understanding ``bert_cnn_model.py``, ``inference_lm``.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array
from minibert.config import BertConfig
from minibert.layers import dropout, linear
from minibert.layers.dropout import Key
from minibert.parameters import Shapes, Tree

PATH = "cls.predictions"
READS = "pooled"
INPUTS = ()


class Cache(NamedTuple):
    before: dropout.Cache
    linear: linear.Cache
    behind: dropout.Cache


def shapes(config: BertConfig, outputs: int = 0) -> Shapes:
    """weight and bias; there are always as many outputs as words."""
    return linear.shapes(config.vocab_size, config.hidden_size)


def forward(x: Array, p: Tree, config: BertConfig, key: Key | None = None) -> tuple[Array, Cache]:
    """x ``(B, H)`` -> logits ``(B, V)``. ``p``: weight ``(V, H)``, bias ``(V,)``."""
    x, before = dropout.forward(x, config.hidden_dropout_prob, key and key.at(0))
    logits, linear_cache = linear.forward(x, p)
    logits, behind = dropout.forward(logits, config.hidden_dropout_prob, key and key.at(1))
    return logits, Cache(before, linear_cache, behind)


def backward(dlogits: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dlogits ``(B, V)`` -> dx ``(B, H)``."""
    dlogits = dropout.backward(dlogits, cache.behind)
    return dropout.backward(linear.backward(dlogits, cache.linear, p, g), cache.before)
