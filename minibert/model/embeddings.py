"""The input of the encoder: word + position + token type, then layer norm and dropout.

::

    e[b,t] = word[ids[b,t]] + position[t] + type[token_type_ids[b,t]]        y = dropout(layernorm(e))

Backward: a sum hands the same de to all three tables. The position table gets one row per t, the sum over the batch.

Source: reference ``modeling.py``, ``embedding_postprocessor``.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array
from minibert.config import BertConfig
from minibert.layers import dropout, embedding, layernorm
from minibert.layers.dropout import Key
from minibert.layers.rows import down
from minibert.parameters import Tree


class Cache(NamedTuple):
    words: embedding.Cache | None  # None where the words came as vectors
    types: embedding.Cache
    norm: layernorm.Cache
    dropout: dropout.Cache


def forward(ids: Array, token_type_ids: Array, p: Tree, config: BertConfig, key: Key | None = None) -> tuple[Array, Cache]:
    """ids ``(B, T)`` integers, or word vectors ``(B, T, H)``; token_type_ids ``(B, T)`` -> y ``(B, T, H)``.

    ``p``: word_embeddings ``(V, H)``, position_embeddings ``(P, H)``, token_type_embeddings ``(types, H)``, LayerNorm.
    Raises ValueError where T exceeds the position table.
    """
    tokens = ids.shape[1]
    positions = p["position_embeddings"]["weight"]
    if tokens > len(positions):
        raise ValueError(f"input of {tokens} tokens: the model has {len(positions)} positions; cut the text or pass truncate")
    words, words_cache = (ids, None) if ids.ndim == 3 else embedding.forward(ids, p["word_embeddings"])
    types, types_cache = embedding.forward(token_type_ids, p["token_type_embeddings"])
    e = words + positions[:tokens]  # (B, T, H) + (T, H)
    e += types
    y, norm_cache = layernorm.forward(e, p["LayerNorm"], config.layer_norm_eps)
    y, dropout_cache = dropout.forward(y, config.hidden_dropout_prob, key)
    return y, Cache(words_cache, types_cache, norm_cache, dropout_cache)


def backward(dy: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dy ``(B, T, H)`` -> the gradient of the word vectors ``(B, T, H)``; adds to all three tables."""
    dy = dropout.backward(dy, cache.dropout)
    de = layernorm.backward(dy, cache.norm, p["LayerNorm"], g["LayerNorm"])
    if g:
        g["position_embeddings"]["weight"][:de.shape[1]] += down(de)
    embedding.backward(de, cache.types, p["token_type_embeddings"], g["token_type_embeddings"])
    if cache.words is not None:
        embedding.backward(de, cache.words, p["word_embeddings"], g["word_embeddings"])
    return de
