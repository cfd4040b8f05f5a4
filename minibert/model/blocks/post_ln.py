"""An encoder block, post-LN as in BERT: attention, add & norm, feed-forward, add & norm.

::

    h = layernorm(x + dropout(Wo·attention(x)))
    y = layernorm(h + dropout(W2·gelu(W1·h)))                    H -> I -> H

Backward is forward read upside down. x and h are each read twice (by the sublayer and by the residual): their gradients are
added.

Source: Devlin et al. 2018 after Vaswani et al. 2017, section 3.1; reference ``modeling.py``, ``transformer_model``.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array
from minibert.config import BertConfig
from minibert.layers import activation, add_norm, attention, layernorm, linear
from minibert.layers.dropout import Key
from minibert.parameters import Shapes, Tree, named


class Cache(NamedTuple):
    attention: attention.Cache
    output: linear.Cache
    norm1: add_norm.Cache
    up: linear.Cache
    activation: activation.Cache
    down: linear.Cache
    norm2: add_norm.Cache


def shapes(config: BertConfig, layer: int = 0) -> Shapes:
    """Every tensor of the block of a layer."""
    H, I, W = config.hidden_size, config.intermediate_of(layer), len(config.heads_of(layer)) * config.head_size
    return named({
        "attention.self": attention.shapes(W, H),
        "attention.output.dense": linear.shapes(H, W),
        "attention.output.LayerNorm": layernorm.shapes(H),
        "intermediate.dense": linear.shapes(I, H),
        "output.dense": linear.shapes(H, I),
        "output.LayerNorm": layernorm.shapes(H),
    })


def forward(x: Array, p: Tree, config: BertConfig, mask: Array | None = None, key: Key | None = None,
            head_mask: Array | None = None, override: Array | None = None) -> tuple[tuple[Array, Array], Cache]:
    """x ``(B, T, H)`` -> y ``(B, T, H)`` and attention weights ``(B, A, T, T)``. The other inputs are those of attention."""
    rate, eps = config.hidden_dropout_prob, config.layer_norm_eps
    own = p["attention"]["self"]
    (context, weights), attention_cache = attention.forward(
        x, own, attention.count(own, config.head_size), mask, config.attention_probs_dropout_prob,
        key and key.at(0), head_mask, override)
    o, output_cache = linear.forward(context, p["attention"]["output"]["dense"])
    h, norm1_cache = add_norm.forward(o, x, p["attention"]["output"]["LayerNorm"], eps, rate, key and key.at(1))

    u, up_cache = linear.forward(h, p["intermediate"]["dense"], bias=False)  # (B, T, H) -> (B, T, I)
    a, activation_cache = activation.forward(u, p["intermediate"]["dense"], config.hidden_act)
    f, down_cache = linear.forward(a, p["output"]["dense"])  # (B, T, I) -> (B, T, H)
    y, norm2_cache = add_norm.forward(f, h, p["output"]["LayerNorm"], eps, rate, key and key.at(2))
    return (y, weights), Cache(attention_cache, output_cache, norm1_cache, up_cache, activation_cache, down_cache, norm2_cache)


def backward(dy: Array, cache: Cache, p: Tree, g: Tree, dweights: Array | None = None) -> attention.Gradients:
    """dy ``(B, T, H)``, dweights ``(B, A, T, T)`` or None -> Gradients of x, head_mask and override."""
    df, dh = add_norm.backward(dy, cache.norm2, p["output"]["LayerNorm"], g["output"]["LayerNorm"])
    da = linear.backward(df, cache.down, p["output"]["dense"], g["output"]["dense"])
    du = activation.backward(da, cache.activation, p["intermediate"]["dense"], g["intermediate"]["dense"])
    dh = dh + linear.backward(du, cache.up, p["intermediate"]["dense"], g["intermediate"]["dense"])

    p, g = p["attention"], g["attention"]
    do, dx = add_norm.backward(dh, cache.norm1, p["output"]["LayerNorm"], g["output"]["LayerNorm"])
    dcontext = linear.backward(do, cache.output, p["output"]["dense"], g["output"]["dense"])
    d = attention.backward(dcontext, cache.attention, p["self"], g["self"], dweights)
    read = (cache.output.x, dcontext), (cache.down.x, da)
    return d._replace(read=read, dx=dx + d.dx)
