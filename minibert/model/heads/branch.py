"""A branch: a small classifier on the state after a layer, by which a text can leave before the last one.

::

    a = tanh(V·x + c)           y = O·attention(a)[CLS] + o           logits = W·tanh(U·y + d) + b

It is as wide as 128 numbers, or as the body where that is narrower, and has two heads of attention. There is no residual and no
norm. In the middle of a body [CLS] does not hold a whole text yet: the attention gathers it.

Backward: the chain from the last line to the first; of the attention only the first token's context has a gradient.

Source: Liu et al. 2020, "FastBERT", arXiv:2004.02178, section 3.1; autoliuweijie/FastBERT ``run_fastbert.py``, ``Classifier``.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, get_xp
from minibert.config import BertConfig
from minibert.layers import attention, bias_tanh, linear
from minibert.layers.dropout import Key
from minibert.layers.softmax import additive_mask
from minibert.parameters import Shapes, Tree, named

PATH = "branches"
READS = "last_hidden_state"
INPUTS = ("attention_mask",)
WIDTH, HEADS = 128, 2


class Cache(NamedTuple):
    narrow: linear.Cache
    narrow_tanh: bias_tanh.Cache
    attention: attention.Cache
    context: Array  # (B, T, S)
    output: linear.Cache
    dense: linear.Cache
    dense_tanh: bias_tanh.Cache
    linear: linear.Cache


def shapes(config: BertConfig, outputs: int) -> Shapes:
    """V and c as ``narrow``, O and o as ``output``, U and d as ``dense``; weight and bias as every classifier has them."""
    size = min(WIDTH, config.hidden_size // HEADS * HEADS)
    return {**named({"narrow": linear.shapes(size, config.hidden_size), "attention": attention.shapes(size),
                     "output": linear.shapes(size, size), "dense": linear.shapes(size, size)}), **linear.shapes(outputs, size)}


def forward(x: Array, attention_mask: Array | None, p: Tree, config: BertConfig | None = None,
            key: Key | None = None) -> tuple[Array, Cache]:
    """x ``(B, T, H)``, attention_mask ``(B, T)`` or ``(B, T, T)`` or None -> logits ``(B, C)``.

    ``p``: narrow ``(S, H)``, attention, output and dense ``(S, S)``, weight ``(C, S)``, bias ``(C,)``.
    """
    rate = 0.0 if key is None else config.attention_probs_dropout_prob
    mask = None if attention_mask is None else additive_mask(attention_mask, x.real.dtype)
    u, narrow = linear.forward(x, p["narrow"], bias=False)  # (B, T, H) -> (B, T, S)
    a, narrow_tanh = bias_tanh.forward(u, p["narrow"])
    (context, _), attention_cache = attention.forward(a, p["attention"], HEADS, mask, rate, key)
    y, output = linear.forward(context[:, 0], p["output"])  # (B, T, S) -> (B, S)
    u, dense = linear.forward(y, p["dense"], bias=False)
    a, dense_tanh = bias_tanh.forward(u, p["dense"])
    logits, linear_cache = linear.forward(a, p)
    return logits, Cache(narrow, narrow_tanh, attention_cache, context, output, dense, dense_tanh, linear_cache)


def backward(dlogits: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dlogits ``(B, C)`` -> dx ``(B, T, H)``."""
    narrow, narrow_tanh, attention_cache, context, output, dense, dense_tanh, linear_cache = cache
    da = linear.backward(dlogits, linear_cache, p, g)
    du = bias_tanh.backward(da, dense_tanh, p["dense"], g["dense"])
    dy = linear.backward(du, dense, p["dense"], g["dense"])
    dcontext = get_xp(context).zeros_like(context)
    dcontext[:, 0] = linear.backward(dy, output, p["output"], g["output"])
    da = attention.backward(dcontext, attention_cache, p["attention"], g["attention"]).dx
    du = bias_tanh.backward(da, narrow_tanh, p["narrow"], g["narrow"])
    return linear.backward(du, narrow, p["narrow"], g["narrow"])
