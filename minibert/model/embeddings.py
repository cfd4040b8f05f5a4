"""The input of the encoder: word + position + token type, then layer norm and dropout, and a projection where there is one.

::

    e[b,t] = word[ids[b,t]] + position[t] + type[token_type_ids[b,t]]        y = dropout(layernorm(e))

Backward: a sum hands the same de to all tables. The position table gets one row per t, the sum over the batch.

The tables may be narrower than the encoder (E < H, ``embedding_size``): a linear layer then leads from one to the other, and the
V·E numbers of the word table are the fewer. Or only the word table is narrow, and the linear layer comes first: it reads each
word with its neighbours (``word_window``), and the other tables are added to what it makes of them::

    e[b,t] = W·(word[ids[b,t+1]] ‖ word[ids[b,t]] ‖ word[ids[b,t-1]]) + b + position[t] + type[…]        y = dropout(norm(e))

Padding is a token like any other in a window. So the numbers of a text depend a little on whether padding follows its last word,
which is then the neighbour of [PAD] and not of nothing; so it is in the original and in transformers.

A model without token types (``type_vocab_size`` 0) leaves that table out; where there is but one, every token is of it.
``task_type_vocab_size`` adds a table of tasks, of which a text has the first unless told otherwise. Positions may come from
outside (``position_ids``), as padding before a text needs it in some relatives of BERT.

Source: reference ``modeling.py``, ``embedding_postprocessor``; the projection: Lan et al. 2019 (ALBERT), section 3.1; the window:
Sun et al. 2020 (MobileBERT), section 3.3; tasks: Sun et al. 2019 (ERNIE 2.0), section 3.3.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, get_xp
from minibert.config import BertConfig
from minibert.layers import dropout, embedding, layernorm, linear, neighbours, norm
from minibert.layers.dropout import Key
from minibert.numerics.rows import down
from minibert.parameters import Shapes, Tree, named


class Cache(NamedTuple):
    words: embedding.Cache | None  # None where the words came as vectors
    types: embedding.Cache | None  # None where there are no token types
    window: neighbours.Cache | None  # None where nothing is projected before the sum
    tasks: embedding.Cache | None  # None where there are no tasks
    positions: embedding.Cache | None  # None where they were counted from the first token on
    offset: int
    norm: norm.Cache
    dropout: dropout.Cache
    projection: linear.Cache | None  # None where there is none


def shapes(config: BertConfig) -> Shapes:
    """The tables, the norm and the projection."""
    E, width, window = config.embedding_width, config.table_width, config.word_window
    types, tasks = config.type_vocab_size, config.task_type_vocab_size
    return named({
        "word_embeddings": embedding.shapes(config.vocab_size, E),
        "position_embeddings": embedding.shapes(config.max_position_embeddings, width),
        "token_type_embeddings": embedding.shapes(types, width) if types else {},
        "task_type_embeddings": embedding.shapes(tasks, width) if tasks else {},
        "LayerNorm": layernorm.shapes(width),
        "projection": linear.shapes(config.hidden_size, (window or 1) * E) if window or config.embedding_size else {},
    })


def position_ids(ids: Array, attention_mask: Array | None, config: BertConfig) -> Array | None:
    """Rows of the position table ``(B, T)`` for ids ``(B, T)`` on the host, or None where they count from the first token on.

    They do, unless this is a model in which padding is no token (``position_offset``) and there is padding that something sees or
    that stands before a token. Which id is padding decides, not the mask. ValueError where there are more tokens than positions.
    Source: fairseq, ``utils.make_positions``.
    """
    if not config.position_offset or not (pads := ids == config.pad_token_id).any():
        return None
    at_the_end = (pads[:, 1:] >= pads[:, :-1]).all()
    if at_the_end and attention_mask is not None and attention_mask.ndim == 2 and not attention_mask[pads].any():
        return None
    counted = (~pads).cumsum(1)
    if (most := int(counted.max())) > config.max_tokens:
        raise ValueError(f"input of {most} tokens: the model has {config.max_tokens} positions; cut the text or pass truncate")
    return counted * ~pads + (config.position_offset - 1)


def forward(ids: Array, token_type_ids: Array, p: Tree, config: BertConfig, key: Key | None = None,
            position_ids: Array | None = None, task_type_ids: Array | None = None) -> tuple[Array, Cache]:
    """ids ``(B, T)`` integers, or word vectors ``(B, T, E)``; token_type_ids ``(B, T)`` -> y ``(B, T, H)``.

    ``p``: word_embeddings ``(V, E)``, position_embeddings ``(P, E)``, token_type_embeddings ``(types, E)``, LayerNorm and, where
    there is one, projection ``(H, E)`` and task_type_embeddings ``(tasks, E)``; under a window H stands for E in all but the
    first, and the projection is ``(H, window·E)``. ``position_ids`` ``(B, T)``: rows of the position table; ``task_type_ids``
    ``(B, T)``: by default all 0. Raises ValueError where T exceeds the position table.
    """
    tokens, offset = ids.shape[1], config.position_offset
    words, words_cache = (ids, None) if ids.ndim == 3 else embedding.forward(ids, p["word_embeddings"])
    window_cache = projection_cache = types_cache = tasks_cache = positions_cache = None
    if config.word_window:
        words, window_cache = neighbours.forward(words, config.word_window)  # (B, T, E) -> (B, T, window·E)
        words, projection_cache = linear.forward(words, p["projection"])  # -> (B, T, H), which is E from here on
    if position_ids is None:
        positions = p["position_embeddings"]["weight"][offset:offset + tokens]
        if tokens > len(positions):
            raise ValueError(f"input of {tokens} tokens: the model has {len(positions)} positions; cut the text or pass truncate")
    else:
        positions, positions_cache = embedding.forward(position_ids, p["position_embeddings"])
    e = words + positions  # (B, T, E) + (T, E)
    none = get_xp(token_type_ids).zeros_like(token_type_ids)
    if config.type_vocab_size:
        types, types_cache = embedding.forward(token_type_ids if config.type_vocab_size > 1 else none, p["token_type_embeddings"])
        e += types
    if config.task_type_vocab_size:
        tasks, tasks_cache = embedding.forward(none if task_type_ids is None else task_type_ids, p["task_type_embeddings"])
        e += tasks
    y, norm_cache = norm.forward(e, p["LayerNorm"], config.norm, config.layer_norm_eps)
    y, dropout_cache = dropout.forward(y, config.hidden_dropout_prob, key)
    if config.embedding_size and not config.word_window:
        y, projection_cache = linear.forward(y, p["projection"])  # (B, T, E) -> (B, T, H)
    return y, Cache(words_cache, types_cache, window_cache, tasks_cache, positions_cache, offset, norm_cache, dropout_cache,
                    projection_cache)


def backward(dy: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dy ``(B, T, H)`` -> the gradient of the word vectors ``(B, T, E)``; adds to all tables."""
    if cache.projection is not None and cache.window is None:
        dy = linear.backward(dy, cache.projection, p["projection"], g["projection"])
    dy = dropout.backward(dy, cache.dropout)
    de = norm.backward(dy, cache.norm, p["LayerNorm"], g["LayerNorm"])
    if cache.positions is None and g:
        g["position_embeddings"]["weight"][cache.offset:cache.offset + de.shape[1]] += down(de)
    for name, looked_up in (("position_embeddings", cache.positions), ("token_type_embeddings", cache.types),
                            ("task_type_embeddings", cache.tasks)):
        if looked_up is not None:
            embedding.backward(de, looked_up, p[name], g[name])
    if cache.window is not None:
        de = linear.backward(de, cache.projection, p["projection"], g["projection"])
        de = neighbours.backward(de, cache.window)
    if cache.words is not None:
        embedding.backward(de, cache.words, p["word_embeddings"], g["word_embeddings"])
    return de
