"""An encoder block, pre-LN: each sublayer reads a normalised copy, and the residual path is never normalised.

::

    h = x + dropout(Wo·attention(layernorm(x)))
    y = h + dropout(W2·gelu(W1·layernorm(h)))

The gradient reaches every layer along a path of plain additions, so that training is stable without warm-up. After the last block
the caller normalises once more. Tensor names follow RoBERTa-PreLayerNorm: ``attention.LayerNorm`` and ``intermediate.LayerNorm``.

Source: Xiong et al. 2020, "On Layer Normalization in the Transformer Architecture", figure 1b.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array
from minibert.config import BertConfig
from minibert.layers import activation, attention, dropout, layernorm, linear
from minibert.layers.dropout import Key
from minibert.parameters import Shapes, Tree, named


class Cache(NamedTuple):
    norm1: layernorm.Cache
    attention: attention.Cache
    output: linear.Cache
    dropout1: dropout.Cache
    norm2: layernorm.Cache
    up: linear.Cache
    activation: activation.Cache
    down: linear.Cache
    dropout2: dropout.Cache


def shapes(config: BertConfig, layer: int = 0) -> Shapes:
    """Every tensor of the block of a layer."""
    H, I, W = config.hidden_size, config.intermediate_of(layer), len(config.heads_of(layer)) * config.head_size
    return named({
        "attention.self": attention.shapes(W, H),
        "attention.output.dense": linear.shapes(H, W),
        "attention.LayerNorm": layernorm.shapes(H),
        "intermediate.dense": linear.shapes(I, H),
        "output.dense": linear.shapes(H, I),
        "intermediate.LayerNorm": layernorm.shapes(H),
    })


def forward(x: Array, p: Tree, config: BertConfig, mask: Array | None = None, key: Key | None = None,
            head_mask: Array | None = None, override: Array | None = None) -> tuple[tuple[Array, Array], Cache]:
    """x ``(B, T, H)`` -> y ``(B, T, H)`` and attention weights ``(B, A, T, T)``. The other inputs are those of attention."""
    rate, eps = config.hidden_dropout_prob, config.layer_norm_eps
    n, norm1_cache = layernorm.forward(x, p["attention"]["LayerNorm"], eps)
    own = p["attention"]["self"]
    (context, weights), attention_cache = attention.forward(
        n, own, attention.count(own, config.head_size), mask, config.attention_probs_dropout_prob,
        key and key.at(0), head_mask, override)
    o, output_cache = linear.forward(context, p["attention"]["output"]["dense"])
    o, dropout1_cache = dropout.forward(o, rate, key and key.at(1))
    h = x + o

    n, norm2_cache = layernorm.forward(h, p["intermediate"]["LayerNorm"], eps)
    u, up_cache = linear.forward(n, p["intermediate"]["dense"], bias=False)  # (B, T, H) -> (B, T, I)
    a, activation_cache = activation.forward(u, p["intermediate"]["dense"], config.hidden_act)
    f, down_cache = linear.forward(a, p["output"]["dense"])  # (B, T, I) -> (B, T, H)
    f, dropout2_cache = dropout.forward(f, rate, key and key.at(2))
    return (h + f, weights), Cache(norm1_cache, attention_cache, output_cache, dropout1_cache,
                                   norm2_cache, up_cache, activation_cache, down_cache, dropout2_cache)


def backward(dy: Array, cache: Cache, p: Tree, g: Tree, dweights: Array | None = None) -> attention.Gradients:
    """dy ``(B, T, H)``, dweights ``(B, A, T, T)`` or None -> Gradients of x, head_mask and override."""
    df = dropout.backward(dy, cache.dropout2)
    da = linear.backward(df, cache.down, p["output"]["dense"], g["output"]["dense"])
    du = activation.backward(da, cache.activation, p["intermediate"]["dense"], g["intermediate"]["dense"])
    dn = linear.backward(du, cache.up, p["intermediate"]["dense"], g["intermediate"]["dense"])
    dh = dy + layernorm.backward(dn, cache.norm2, p["intermediate"]["LayerNorm"], g["intermediate"]["LayerNorm"])

    p, g = p["attention"], g["attention"]
    do = dropout.backward(dh, cache.dropout1)
    dcontext = linear.backward(do, cache.output, p["output"]["dense"], g["output"]["dense"])
    d = attention.backward(dcontext, cache.attention, p["self"], g["self"], dweights)
    read = (cache.output.x, dcontext), (cache.down.x, da)
    return d._replace(read=read, dx=dh + layernorm.backward(d.dx, cache.norm1, p["LayerNorm"], g["LayerNorm"]))
