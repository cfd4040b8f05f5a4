"""BERT: embeddings, encoder, pooler. From ids to one vector per token and one for the whole.

"Open by one rule": every floating array that goes in can have its gradient back, in its own shape; every array that comes out
accepts an upstream gradient. Distillation, attribution, head importance, early exit and probing are a few lines outside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from minibert.backend import Array
from minibert.config import BertConfig
from minibert.layers import layernorm
from minibert.layers.dropout import Key
from minibert.layers.softmax import additive_mask
from minibert.model import embeddings, encoder, pooler
from minibert.model.encoder import add
from minibert.parameters import NOTHING, Tree


class Output(NamedTuple):
    """What comes out; and, with None where there is none, the upstream gradients that go back in."""

    last_hidden_state: Array | None = None  # (B, T, H)
    pooled: Array | None = None  # (B, H)
    hidden_states: Sequence[Array | None] | None = None  # L+1 of (B, T, H): the embeddings, then after each block
    attentions: Sequence[Array | None] | None = None  # L of (B, A, T, T)


class Gradients(NamedTuple):
    """Of every floating array that went in, in its shape; None or empty where none did."""

    embeddings: Array  # (B, T, H) of the word vectors, given or looked up
    hidden: Mapping[int, Array]
    attentions: Mapping[int, Array]
    head_mask: Array | None


class Cache(NamedTuple):
    embeddings: embeddings.Cache
    encoder: encoder.Cache
    layers: Sequence[encoder.Layer] | None  # the caller's choice, None for the usual stack
    norm: layernorm.Cache | None  # pre-LN only
    pooler: pooler.Cache | None  # None where the parameters have no pooler
    config: BertConfig


def shapes(config: BertConfig) -> dict[str, tuple[int, ...]]:
    """Checkpoint name -> shape of every tensor, in layer order."""
    V, P, S = config.vocab_size, config.max_position_embeddings, config.type_vocab_size
    H, I = config.hidden_size, config.intermediate_size

    def dense(name: str, out: int, into: int) -> dict[str, tuple[int, ...]]:
        return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}

    def norm(name: str) -> dict[str, tuple[int, ...]]:
        return {f"{name}.weight": (H,), f"{name}.bias": (H,)}

    names: dict[str, tuple[int, ...]] = {
        "bert.embeddings.word_embeddings.weight": (V, H),
        "bert.embeddings.position_embeddings.weight": (P, H),
        "bert.embeddings.token_type_embeddings.weight": (S, H),
        **norm("bert.embeddings.LayerNorm"),
    }
    norm1, norm2 = ("attention", "intermediate") if config.norm_first else ("attention.output", "output")
    for i in range(config.num_hidden_layers):
        layer = f"bert.encoder.layer.{i}"
        names |= {
            **dense(f"{layer}.attention.self.query", H, H),
            **dense(f"{layer}.attention.self.key", H, H),
            **dense(f"{layer}.attention.self.value", H, H),
            **dense(f"{layer}.attention.output.dense", H, H),
            **norm(f"{layer}.{norm1}.LayerNorm"),
            **dense(f"{layer}.intermediate.dense", I, H),
            **dense(f"{layer}.output.dense", H, I),
            **norm(f"{layer}.{norm2}.LayerNorm"),
        }
    if config.norm_first:
        names |= norm("bert.LayerNorm")
    return names | dense("bert.pooler.dense", H, H)


def forward(ids: Array, token_type_ids: Array, attention_mask: Array | None, p: Tree, config: BertConfig, *,
            key: Key | None = None, head_mask: Array | None = None, hidden: Mapping[int, Array] | None = None,
            attentions: Mapping[int, Array] | None = None,
            layers: Sequence[encoder.Layer] | None = None) -> tuple[Output, Cache]:
    """ids ``(B, T)`` or word vectors ``(B, T, H)``, token_type_ids ``(B, T)`` -> Output.

    ``attention_mask`` ``(B, T)`` or ``(B, T, T)``: 1 where a token may be seen, or None where all may. ``p``: the subtree
    ``bert``, with or without its pooler. ``head_mask``, ``hidden``, ``attentions``, ``layers``: see ``encoder``. Without a
    ``key`` nothing is dropped.
    """
    x, embeddings_cache = embeddings.forward(ids, token_type_ids, p["embeddings"], config, key and key.at(0))
    mask = None if attention_mask is None else additive_mask(attention_mask, x.real.dtype)
    blocks = encoder.stack(p["encoder"], NOTHING, config) if layers is None else layers
    (states, weights), encoder_cache = encoder.forward(x, blocks, config, mask, key and key.at(1), head_mask, hidden, attentions)
    y, norm_cache = states[-1], None
    if config.norm_first:
        y, norm_cache = layernorm.forward(y, p["LayerNorm"], config.layer_norm_eps)
    pooled, pooler_cache = pooler.forward(y, p["pooler"]) if "pooler" in p else (None, None)
    return Output(y, pooled, states, weights), Cache(embeddings_cache, encoder_cache, layers, norm_cache, pooler_cache, config)


def backward(d: Output, cache: Cache, p: Tree, g: Tree) -> Gradients:
    """Upstream gradients of any of the outputs -> Gradients of every floating input; adds to ``g``, the subtree ``bert``."""
    _, encoder_cache, layers, norm_cache, pooler_cache, config = cache
    if layers is None:  # the usual stack; a list that the caller chose brought its g along
        encoder_cache = encoder_cache._replace(layers=encoder.stack(p["encoder"], g["encoder"], config))
    dstates = list(d.hidden_states or [None] * len(encoder_cache.states))
    dy = d.last_hidden_state
    if d.pooled is not None:
        dy = add(dy, pooler.backward(d.pooled, pooler_cache, p["pooler"], g["pooler"]))
    if norm_cache is not None and dy is not None:
        dy = layernorm.backward(dy, norm_cache, p["LayerNorm"], g["LayerNorm"])
    dstates[-1] = add(dstates[-1], dy)
    d_encoder = encoder.backward(dstates, encoder_cache, d.attentions)
    de = embeddings.backward(d_encoder.dx, cache.embeddings, p["embeddings"], g["embeddings"])
    return Gradients(de, d_encoder.hidden, d_encoder.attentions, d_encoder.head_mask)
