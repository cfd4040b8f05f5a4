"""BERT: embeddings, encoder, pooler. From ids to one vector per token and one for the whole.

"Open by one rule": every floating array that goes in can have its gradient back, in its own shape; every array that comes out
accepts an upstream gradient. Distillation, attribution, head importance, early exit and probing are a few lines outside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from minibert.backend import Array
from minibert.config import BertConfig
from minibert.layers import layernorm
from minibert.layers.dropout import Key
from minibert.layers.softmax import additive_mask
from minibert.model import embeddings, encoder, pooler
from minibert.model.encoder import add
from minibert.parameters import NOTHING, Shapes, Tree, named

Layers = Callable[[Tree, Tree], Sequence[encoder.Layer]]  # p and g of the encoder -> its blocks


class Output(NamedTuple):
    """What comes out; and, with None where there is none, the upstream gradients that go back in."""

    last_hidden_state: Array | None = None  # (B, T, H)
    pooled: Array | None = None  # (B, H)
    hidden_states: Sequence[Array | None] | None = None  # L+1 of (B, T, H): the embeddings, then after each block
    attentions: Sequence[Array | None] | None = None  # L of (B, A, T, T); None of a long text, whose maps are not kept unasked


OUTPUTS = Output._fields


class Gradients(NamedTuple):
    """Of every floating array that went in, in its shape; None or empty where none did."""

    embeddings: Array  # (B, T, E) of the word vectors, given or looked up
    hidden: Mapping[int, Array]
    attentions: Mapping[int, Array]
    head_mask: Array | None


class Cache(NamedTuple):
    embeddings: embeddings.Cache
    encoder: encoder.Cache
    layers: Layers
    norm: layernorm.Cache | None  # pre-LN only
    pooler: pooler.Cache | None  # None where there is no pooler
    recompute: bool = False


def shapes(config: BertConfig, pooled: bool = True) -> Shapes:
    """Checkpoint name -> shape of every tensor, in layer order. ``pooled``: with a pooler, if the configuration has one."""
    return named({
        "bert.embeddings": embeddings.shapes(config),
        "bert.encoder": encoder.shapes(config),
        "bert.LayerNorm": layernorm.shapes(config.hidden_size) if config.norm_first else {},
        "bert.pooler": pooler.shapes(config) if pooled else {},
    })


def forward(ids: Array, token_type_ids: Array, attention_mask: Array | None, p: Tree, config: BertConfig, *,
            key: Key | None = None, head_mask: Array | None = None, hidden: Mapping[int, Array] | None = None,
            attentions: Mapping[int, Array] | None = None,
            layers: Layers | Sequence[encoder.Layer] | None = None, position_ids: Array | None = None,
            task_type_ids: Array | None = None, maps: bool = False, recompute: bool = False) -> tuple[Output, Cache]:
    """ids ``(B, T)`` or word vectors ``(B, T, E)``, token_type_ids ``(B, T)`` -> Output.

    ``attention_mask`` ``(B, T)`` or ``(B, T, T)``: 1 where a token may be seen, or None where all may. ``p``: the subtree
    ``bert``, with or without its pooler. ``layers``: a function from ``p`` and ``g``, the subtree ``encoder``, to a list of
    blocks (by default ``encoder.stack``), or the list itself. ``head_mask``, ``hidden``, ``attentions``, ``maps``: see
    ``encoder``; ``position_ids``, ``task_type_ids``: see ``embeddings``. ``recompute``: every layer is computed again for its
    backward pass, and attention weights come out with ``maps`` only. Without a ``key`` nothing is dropped.
    """
    x, embeddings_cache = embeddings.forward(
        ids, token_type_ids, p["embeddings"], config, key and key.at(0), position_ids, task_type_ids)
    mask = None if attention_mask is None else additive_mask(attention_mask, x.real.dtype)
    chosen = partial(encoder.stack, config=config) if layers is None else layers if callable(layers) else lambda p, g: layers
    blocks = chosen(p["encoder"], NOTHING)
    blocks = encoder.forgetful(blocks, maps) if recompute else blocks
    (states, weights), encoder_cache = encoder.forward(
        x, blocks, config, mask, key and key.at(1), head_mask, hidden, attentions, maps)
    out, caches = top(states[-1], p, config)
    return (out._replace(hidden_states=states, attentions=weights),
            Cache(embeddings_cache, encoder_cache, chosen, *caches, recompute))


def top(x: Array, p: Tree, config: BertConfig) -> tuple[Output, tuple[layernorm.Cache | None, pooler.Cache | None]]:
    """The state after the last block ``(B, T, H)`` -> Output: what is above the blocks, and its caches."""
    y, norm_cache = x, None
    if config.norm_first:
        y, norm_cache = layernorm.forward(y, p["LayerNorm"], config.layer_norm_eps)
    pooled = pooler_cache = None
    if config.pooler == "first" or (config.pooler and "pooler" in p):
        pooled, pooler_cache = pooler.forward(y, p.get("pooler", NOTHING), config.pooler)
    return Output(y, pooled), (norm_cache, pooler_cache)


def answer(ids: Array, token_type_ids: Array, attention_mask: Array | None, p: Tree, config: BertConfig,
           head_mask: Array | None = None, attentions: bool = False, position_ids: Array | None = None) -> Output:
    """What ``forward`` says, where no backward pass follows: the memory of one layer instead of L. ``attentions``: keep them."""
    layers = encoder.forgetful(encoder.stack(p["encoder"], NOTHING, config), attentions)
    return forward(ids, token_type_ids, attention_mask, p, config, head_mask=head_mask, layers=layers,
                   position_ids=position_ids, maps=attentions)[0]


def backward(d: Output, cache: Cache, p: Tree, g: Tree, frozen: int | None = None) -> Gradients:
    """Upstream gradients of any of the outputs -> Gradients of every floating input; adds to ``g``, the subtree ``bert``.

    ``frozen``: the embeddings and so many of the lowest layers do not learn. The gradient ends above them, and what is below
    costs nothing.
    """
    _, encoder_cache, layers, norm_cache, pooler_cache, recompute = cache
    blocks = layers(p["encoder"], g["encoder"])
    encoder_cache = encoder_cache._replace(layers=encoder.forgetful(blocks) if recompute else blocks)
    if frozen is not None:  # as if the state above the frozen part had come from outside: see encoder
        encoder_cache = encoder_cache._replace(hidden={**encoder_cache.hidden, frozen: encoder_cache.states[frozen]})
        g = {**g, "embeddings": NOTHING} if g else g
    dstates = list(d.hidden_states or [None] * len(encoder_cache.states))
    dy = d.last_hidden_state
    if d.pooled is not None:
        dy = add(dy, pooler.backward(d.pooled, pooler_cache, p.get("pooler", NOTHING), g.get("pooler", NOTHING)))
    if norm_cache is not None and dy is not None:
        dy = layernorm.backward(dy, norm_cache, p["LayerNorm"], g["LayerNorm"])
    dstates[-1] = add(dstates[-1], dy)
    d_encoder = encoder.backward(dstates, encoder_cache, d.attentions)
    de = embeddings.backward(d_encoder.dx, cache.embeddings, p["embeddings"], g["embeddings"])
    return Gradients(de, d_encoder.hidden, d_encoder.attentions, d_encoder.head_mask)
