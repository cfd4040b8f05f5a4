"""The masked-language-model head: which word stands here?

::

    t = layernorm(gelu(W·x + b))        logits = E·t + bias         E is the table of word embeddings, used a second time

Only the masked positions, about 15 % of the tokens, are gathered and scored: over a vocabulary of 30,522 this product is the
largest of a small model.

A table narrower than the encoder (E < H) leaves two ways: t is made as wide as the table (ALBERT), or each word's vector is
lengthened by H - E numbers that only this head reads (``long_decoder``, MobileBERT)::

    logits = E·t[:E] + extra·t[E:] + bias

Backward: the gather's is a scatter. The decoder's weight *is* the embedding table (one view under two names), so its gradient
adds to that of the lookup by itself. Source: reference ``run_pretraining.py``, ``get_masked_lm_output``.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, get_xp
from minibert.config import BertConfig
from minibert.layers import activation, embedding, layernorm, linear
from minibert.layers.dropout import Key
from minibert.parameters import Shapes, Tree, named

PATH = "cls.predictions"
READS = "last_hidden_state"
INPUTS = ("positions",)


class Cache(NamedTuple):
    x: Array  # (B, T, H)
    positions: Array | None  # (M,)
    dense: linear.Cache
    activation: activation.Cache
    norm: layernorm.Cache
    decoder: linear.Cache
    extra: linear.Cache | None  # None where the table is as wide as t


def shapes(config: BertConfig, outputs: int = 0) -> Shapes:
    """Every tensor that it does not share; there are always as many outputs as words."""
    width = config.decoder_width
    longer = width - config.embedding_width
    return {"bias": (config.vocab_size,), **named({
        "transform.dense": linear.shapes(width, config.hidden_size), "transform.LayerNorm": layernorm.shapes(width),
        "extra": embedding.shapes(config.vocab_size, longer) if longer else {}})}


def ties(path: str = PATH) -> dict[str, str]:
    """The decoder is the table of words."""
    return {f"{path}.decoder.weight": "bert.embeddings.word_embeddings.weight", f"{path}.decoder.bias": f"{path}.bias"}


def forward(x: Array, positions: Array | None, p: Tree, config: BertConfig, key: Key | None = None) -> tuple[Array, Cache]:
    """x ``(B, T, H)`` -> logits ``(M, V)`` at the flat ``positions`` b·T + t ``(M,)``, or ``(B, T, V)`` of all where it is None.

    ``p``: transform.dense, transform.LayerNorm, decoder (weight tied to the word embeddings, bias tied to ``bias``) and, for a
    long decoder, extra ``(V, H - E)``.
    """
    rows = x if positions is None else x.reshape(-1, x.shape[-1]).take(positions, axis=0)  # (B, T, H) -> (M, H)
    u, dense_cache = linear.forward(rows, p["transform"]["dense"], bias=False)
    a, activation_cache = activation.forward(u, p["transform"]["dense"], config.head_act or config.hidden_act)
    t, norm_cache = layernorm.forward(a, p["transform"]["LayerNorm"], config.layer_norm_eps)
    logits, decoder_cache = linear.forward(t[..., :config.embedding_width], p["decoder"])  # (M, E) -> (M, V)
    extra_cache = None
    if config.long_decoder:
        extra, extra_cache = linear.forward(t[..., config.embedding_width:], p["extra"], bias=False)
        logits += extra
    return logits, Cache(x, positions, dense_cache, activation_cache, norm_cache, decoder_cache, extra_cache)


def backward(dlogits: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dlogits ``(M, V)`` or ``(B, T, V)`` -> dx ``(B, T, H)``."""
    x, positions, *_ = cache
    dt = linear.backward(dlogits, cache.decoder, p["decoder"], g["decoder"])
    if cache.extra is not None:
        dt = get_xp(x).concatenate([dt, linear.backward(dlogits, cache.extra, p["extra"], g["extra"])], axis=-1)
    p, g = p["transform"], g["transform"]
    da = layernorm.backward(dt, cache.norm, p["LayerNorm"], g["LayerNorm"])
    du = activation.backward(da, cache.activation, p["dense"], g["dense"])
    drows = linear.backward(du, cache.dense, p["dense"], g["dense"])
    if positions is None:
        return drows
    dx = get_xp(x).zeros_like(x)
    embedding.add_rows(dx.reshape(-1, dx.shape[-1]), positions, drows)
    return dx
