"""A head that judges a text by [CLS] itself, with a hidden layer of its own in the place of the body's pooler.

::

    logits = W·dropout(f(V·dropout(x[CLS]) + c)) + b        f: tanh (RoBERTa), relu (DistilBERT), gelu (ELECTRA)

The hidden layer is part of the head and begins fresh with it; a pooler was trained with the body. Whether there is dropout before
it as well (RoBERTa and ELECTRA have it, DistilBERT has not), the configuration says: ``text_head``, ``text_head_drops``. The GELU
is the erf form whatever ``hidden_act`` is.

Source: fairseq ``RobertaClassificationHead``; the same heads of transformers for the other two.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, get_xp
from minibert.config import BertConfig
from minibert.layers import activation, dropout, linear
from minibert.layers.dropout import Key
from minibert.parameters import Shapes, Tree, named

PATH = "classifier"
READS = "last_hidden_state"
INPUTS = ()


class Cache(NamedTuple):
    x: Array  # (B, T, H)
    before: dropout.Cache
    dense: linear.Cache
    activation: activation.Cache
    behind: dropout.Cache
    linear: linear.Cache


def shapes(config: BertConfig, outputs: int) -> Shapes:
    """The hidden layer, and weight and bias as every classifier has them."""
    H = config.hidden_size
    return {**named({"dense": linear.shapes(H, H)}), **linear.shapes(outputs, H)}


def forward(x: Array, p: Tree, config: BertConfig, key: Key | None = None) -> tuple[Array, Cache]:
    """x ``(B, T, H)`` -> logits ``(B, C)``. ``p``: dense ``(H, H)``, weight ``(C, H)``, bias ``(C,)``."""
    rate = config.hidden_dropout_prob
    first, before = dropout.forward(x[:, 0], rate * config.text_head_drops, key and key.at(0))  # (B, T, H) -> (B, H)
    u, dense_cache = linear.forward(first, p["dense"], bias=False)
    a, activation_cache = activation.forward(u, p["dense"], config.text_head)
    a, behind = dropout.forward(a, rate, key and key.at(1))
    logits, linear_cache = linear.forward(a, p)
    return logits, Cache(x, before, dense_cache, activation_cache, behind, linear_cache)


def backward(dlogits: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dlogits ``(B, C)`` -> dx ``(B, T, H)``, zero but for the first token."""
    x, before, dense_cache, activation_cache, behind, linear_cache = cache
    da = dropout.backward(linear.backward(dlogits, linear_cache, p, g), behind)
    du = activation.backward(da, activation_cache, p["dense"], g["dense"])
    dx = get_xp(x).zeros_like(x)
    dx[:, 0] = dropout.backward(linear.backward(du, dense_cache, p["dense"], g["dense"]), before)
    return dx
