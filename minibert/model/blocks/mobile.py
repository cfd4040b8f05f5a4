"""An encoder block with a bottleneck, as in MobileBERT: a narrow block inside a wide one, with several feed-forward layers.

::

    n = norm(Wn·x)                                               H -> N
    h₀ = norm(n + Wo·attention(queries and keys: a, values: v))  N
    hᵢ = norm(hᵢ₋₁ + W2ᵢ·relu(W1ᵢ·hᵢ₋₁))                         N -> I -> N, F times one after the other
    y = norm(x + dropout(Wy·h_F))                                N -> H

Inside, a vector has N numbers (``bottleneck_size``), from one block to the next H: almost all the products are narrow ones, while
what is handed on stays wide. The way down makes attention's part of the weights too large beside that of the feed-forward layers:
there are F of these (``ffn_count``). What a and v are, ``attention_reads`` says::

    shared       a = norm(Wa·x), a second bottleneck, which queries and keys share     v = x     MobileBERT
    bottleneck   a = n                                                                 v = n     MobileBERT-tiny
    state        a = x                                                                 v = x     IB-BERT, its teacher

Without a bottleneck (``bottleneck_size`` None) n, a and v are x, h_F is y, and what is dropped is what BERT drops: the output of
attention and of the last feed-forward layer.

Backward is forward read upside down. x is read up to four times: by the way in, by attention (twice), and by the last residual.

Source: Sun et al. 2020, "MobileBERT", figure 1 and section 3; its reference ``modeling.py``, ``transformer_model``. transformers
departs from it twice: it cannot run the third row, and where there are layer norms, that of the last feed-forward layer and that
of the embeddings take 1e-5 for ε whatever the configuration says; here all take ``layer_norm_eps``. Tensor names are
transformers'.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array
from minibert.config import BertConfig
from minibert.layers import activation, attention, dense_norm, linear
from minibert.layers.dropout import Key
from minibert.parameters import Shapes, Tree, named


class FeedForward(NamedTuple):
    up: linear.Cache
    activation: activation.Cache
    down: dense_norm.Cache


class Cache(NamedTuple):
    reads: str
    bottleneck: dense_norm.Cache | None  # None where there is none
    shared: dense_norm.Cache | None  # None where queries and keys have no bottleneck of their own
    attention: attention.Cache
    output: dense_norm.Cache
    networks: tuple[FeedForward, ...]
    wide: dense_norm.Cache | None  # None where there is no bottleneck to leave


def shapes(config: BertConfig, layer: int = 0) -> Shapes:
    """Every tensor of the block of a layer."""
    H, I, N, W = (config.hidden_size, config.intermediate_of(layer), config.attention_size,
                  len(config.heads_of(layer)) * config.head_size)
    reads, narrow = config.attention_reads, config.bottleneck_size is not None
    widths = {"state": (H, H), "bottleneck": (N, N), "shared": (N, H)}  # of what queries and keys, and values are made from
    networks = [*(f"ffn.{i}." for i in range(config.ffn_count - 1)), ""]
    return named({
        "bottleneck.input": dense_norm.shapes(N, H) if narrow else {},
        "bottleneck.attention": dense_norm.shapes(N, H) if reads == "shared" else {},
        "attention.self": attention.shapes(W, *widths[reads]),
        "attention.output": dense_norm.shapes(N, W),
        **{f"{path}{part}": shape for path in networks for part, shape in (
            ("intermediate.dense", linear.shapes(I, N)), ("output", dense_norm.shapes(N, I)))},
        "output.bottleneck": dense_norm.shapes(H, N) if narrow else {},
    })


def forward(x: Array, p: Tree, config: BertConfig, mask: Array | None = None, key: Key | None = None,
            head_mask: Array | None = None, override: Array | None = None) -> tuple[tuple[Array, Array], Cache]:
    """x ``(B, T, H)`` -> y ``(B, T, H)`` and attention weights ``(B, A, T, T)``. The other inputs are those of attention."""
    kind, eps, reads, narrow = config.norm, config.layer_norm_eps, config.attention_reads, config.bottleneck_size is not None
    rate, inside = config.hidden_dropout_prob, 0.0 if narrow else config.hidden_dropout_prob
    n, bottleneck_cache = dense_norm.forward(x, None, p["bottleneck"]["input"], kind, eps) if narrow else (x, None)
    a, shared_cache, values = n if reads == "bottleneck" else x, None, None
    if reads == "shared":
        a, shared_cache = dense_norm.forward(x, None, p["bottleneck"]["attention"], kind, eps)
        values = x
    own = p["attention"]["self"]
    (context, weights), attention_cache = attention.forward(
        a, own, attention.count(own, config.head_size), mask, config.attention_probs_dropout_prob,
        key and key.at(0), head_mask, override, values)
    h, output_cache = dense_norm.forward(context, n, p["attention"]["output"], kind, eps, inside, key and key.at(1))

    networks = []
    for q in _networks(p, config.ffn_count):
        u, up_cache = linear.forward(h, q["intermediate"]["dense"], bias=False)  # (B, T, N) -> (B, T, I)
        u, activation_cache = activation.forward(u, q["intermediate"]["dense"], config.hidden_act)
        drop = inside if q is p else 0.0  # the last one's output
        h, down_cache = dense_norm.forward(u, h, q["output"], kind, eps, drop, key and key.at(2))  # (B, T, I) -> (B, T, N)
        networks.append(FeedForward(up_cache, activation_cache, down_cache))
    y, wide_cache = h, None
    if narrow:
        y, wide_cache = dense_norm.forward(h, x, p["output"]["bottleneck"], kind, eps, rate, key and key.at(2))
    return (y, weights), Cache(reads, bottleneck_cache, shared_cache, attention_cache, output_cache, tuple(networks), wide_cache)


def backward(dy: Array, cache: Cache, p: Tree, g: Tree, dweights: Array | None = None) -> attention.Gradients:
    """dy ``(B, T, H)``, dweights ``(B, A, T, T)`` or None -> Gradients of x, head_mask and override."""
    reads, bottleneck_cache, shared_cache, attention_cache, output_cache, networks, wide_cache = cache
    narrow, dh, dx = wide_cache is not None, dy, None
    if narrow:
        dh, dx = dense_norm.backward(dy, wide_cache, p["output"]["bottleneck"], g["output"]["bottleneck"])
    read = []
    for c, q, gq in zip(reversed(networks), reversed(_networks(p, len(networks))), reversed(_networks(g, len(networks)))):
        da, dh = dense_norm.backward(dh, c.down, q["output"], gq["output"])
        read.append((c.down.dense.x, da))
        du = activation.backward(da, c.activation, q["intermediate"]["dense"], gq["intermediate"]["dense"])
        dh = dh + linear.backward(du, c.up, q["intermediate"]["dense"], gq["intermediate"]["dense"])

    dcontext, dn = dense_norm.backward(dh, output_cache, p["attention"]["output"], g["attention"]["output"])
    d = attention.backward(dcontext, attention_cache, p["attention"]["self"], g["attention"]["self"], dweights)
    if reads == "bottleneck":
        dn = dn + d.dx
    if narrow:
        dn, _ = dense_norm.backward(dn, bottleneck_cache, p["bottleneck"]["input"], g["bottleneck"]["input"])
    dx = dn if dx is None else dx + dn
    if reads == "state":
        dx = dx + d.dx
    if reads == "shared":
        dx = dx + d.values
        if d.dx is not None:  # nobody read queries and keys where the weights were given from outside
            dx += dense_norm.backward(d.dx, shared_cache, p["bottleneck"]["attention"], g["bottleneck"]["attention"])[0]
    return d._replace(dx=dx, values=None, read=((output_cache.dense.x, dcontext), *reversed(read)))


def _networks(p: Tree, count: int) -> list[Tree]:
    """The feed-forward layers' parameters in order; those of the last stand where BERT has its only one."""
    return [*(p["ffn"][str(i)] for i in range(count - 1)), p]
