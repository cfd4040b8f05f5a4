"""The input of the encoder: word + position + token type, then layer norm and dropout, and a projection where there is one.

::

    e[b,t] = word[ids[b,t]] + position[t] + type[token_type_ids[b,t]]        y = dropout(layernorm(e))

Backward: a sum hands the same de to all three tables. The position table gets one row per t, the sum over the batch.

The tables may be narrower than the encoder (E < H, ``embedding_size``): a linear layer then leads from one to the other, and the
V·E numbers of the word table are the fewer. Or only the word table is narrow, and the linear layer comes first: it reads each
word with its neighbours (``word_window``), and the other tables are added to what it makes of them::

    e[b,t] = W·(word[ids[b,t+1]] ‖ word[ids[b,t]] ‖ word[ids[b,t-1]]) + b + position[t] + type[…]        y = dropout(norm(e))

A model without token types (``type_vocab_size`` 0) leaves that table out.

Source: reference ``modeling.py``, ``embedding_postprocessor``; the projection: Lan et al. 2019 (ALBERT), section 3.1; the window:
Sun et al. 2020 (MobileBERT), section 3.3.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array
from minibert.config import BertConfig
from minibert.layers import dropout, embedding, layernorm, linear, neighbours, norm
from minibert.layers.dropout import Key
from minibert.numerics.rows import down
from minibert.parameters import Shapes, Tree, named


class Cache(NamedTuple):
    words: embedding.Cache | None  # None where the words came as vectors
    types: embedding.Cache | None  # None where there are no token types
    window: neighbours.Cache | None  # None where nothing is projected before the sum
    offset: int
    norm: norm.Cache
    dropout: dropout.Cache
    projection: linear.Cache | None  # None where there is none


def shapes(config: BertConfig) -> Shapes:
    """The tables, the norm and the projection."""
    E, width, types, window = config.embedding_width, config.table_width, config.type_vocab_size, config.word_window
    return named({
        "word_embeddings": embedding.shapes(config.vocab_size, E),
        "position_embeddings": embedding.shapes(config.max_position_embeddings, width),
        "token_type_embeddings": embedding.shapes(types, width) if types else {},
        "LayerNorm": layernorm.shapes(width),
        "projection": linear.shapes(config.hidden_size, (window or 1) * E) if window or config.embedding_size else {},
    })


def forward(ids: Array, token_type_ids: Array, p: Tree, config: BertConfig, key: Key | None = None) -> tuple[Array, Cache]:
    """ids ``(B, T)`` integers, or word vectors ``(B, T, E)``; token_type_ids ``(B, T)`` -> y ``(B, T, H)``.

    ``p``: word_embeddings ``(V, E)``, position_embeddings ``(P, E)``, token_type_embeddings ``(types, E)``, LayerNorm and, where
    there is one, projection ``(H, E)``; under a window H stands for E in all but the first, and the projection is
    ``(H, window·E)``. Raises ValueError where T exceeds the position table.
    """
    tokens, offset = ids.shape[1], config.position_offset
    positions = p["position_embeddings"]["weight"][offset:offset + tokens]
    if tokens > len(positions):
        raise ValueError(f"input of {tokens} tokens: the model has {len(positions)} positions; cut the text or pass truncate")
    words, words_cache = (ids, None) if ids.ndim == 3 else embedding.forward(ids, p["word_embeddings"])
    window_cache = projection_cache = None
    if config.word_window:
        words, window_cache = neighbours.forward(words, config.word_window)  # (B, T, E) -> (B, T, window·E)
        words, projection_cache = linear.forward(words, p["projection"])  # -> (B, T, H), which is E from here on
    e, types_cache = words + positions, None  # (B, T, E) + (T, E)
    if config.type_vocab_size:
        types, types_cache = embedding.forward(token_type_ids, p["token_type_embeddings"])
        e += types
    y, norm_cache = norm.forward(e, p["LayerNorm"], config.norm, config.layer_norm_eps)
    y, dropout_cache = dropout.forward(y, config.hidden_dropout_prob, key)
    if config.embedding_size and not config.word_window:
        y, projection_cache = linear.forward(y, p["projection"])  # (B, T, E) -> (B, T, H)
    return y, Cache(words_cache, types_cache, window_cache, offset, norm_cache, dropout_cache, projection_cache)


def backward(dy: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dy ``(B, T, H)`` -> the gradient of the word vectors ``(B, T, E)``; adds to all tables."""
    if cache.projection is not None and cache.window is None:
        dy = linear.backward(dy, cache.projection, p["projection"], g["projection"])
    dy = dropout.backward(dy, cache.dropout)
    de = norm.backward(dy, cache.norm, p["LayerNorm"], g["LayerNorm"])
    if g:
        g["position_embeddings"]["weight"][cache.offset:cache.offset + de.shape[1]] += down(de)
    if cache.types is not None:
        embedding.backward(de, cache.types, p["token_type_embeddings"], g["token_type_embeddings"])
    if cache.window is not None:
        de = linear.backward(de, cache.projection, p["projection"], g["projection"])
        de = neighbours.backward(de, cache.window)
    if cache.words is not None:
        embedding.backward(de, cache.words, p["word_embeddings"], g["word_embeddings"])
    return de
