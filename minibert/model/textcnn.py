"""A body of convolutions: from ids to one vector for the whole text, the largest response of each filter (TextCNN).

::

    e[b,t]   = word[ids[b,t]] + type[…] + position[t]
    h_k      = relu(norm(conv_k(e)))    h'_k = relu(norm(conv'_k(h_k)))      for each width k: H/4 filters if there are 4 widths
    pooled   = max_t h'_2[t] ‖ max_t h'_3[t] ‖ …                             (B, H)

The norm is that of the batch; its β is the bias of the convolution. There is no vector for a token: it is not known which token a
maximum came from, so what was asked about one, such as which word is hidden there, is asked of the whole text.

A convolution reads whole windows only: two of width 5, one on the other, make one number of 9 tokens. So a text counts as having
at least ``config.least_tokens`` tokens, the last of them [PAD], which has a vector like any other. Beyond that, padding is not
there: windows that reach into it count neither in the statistics nor in the maximum. So a text has the same numbers whatever it
stands beside, in evaluation. In training the texts of a batch look at one another through its mean and variance, and a batch
that is cut is another batch: an engine is given whole batches (``tasks.batches.whole``).

With a ``key`` it trains, by the statistics of the batch; without one it evaluates, by the running ones.

Source: Kim 2014, "Convolutional Neural Networks for Sentence Classification" (arXiv 1408.5882); brightmart/
bert_language_understanding ``bert_cnn_model.py``, where the norm has no γ and a second bias follows its β, word vectors begin ten
times as large, and the tables of types and positions at 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from minibert.backend import Array, get_xp
from minibert.config import BertConfig
from minibert.layers import batch_norm, conv1d, embedding, pooling
from minibert.layers.dropout import Key
from minibert.model.bert import Gradients, Output
from minibert.numerics.rows import down
from minibert.parameters import NOTHING, Shapes, Tree, named

OUTPUTS = ("pooled",)


class Unit(NamedTuple):
    """Of a convolution with its norm and ReLU."""

    convolution: conv1d.Cache
    norm: batch_norm.Cache
    y: Array  # (B, T', F)


class Column(NamedTuple):
    """Of all filters of one width."""

    units: Sequence[Unit]
    largest: pooling.Cache


class Cache(NamedTuple):
    words: embedding.Cache | None  # None where the words came as vectors
    types: embedding.Cache | None  # None where there are no token types
    padding: embedding.Cache | None  # None where every text is long enough
    columns: Sequence[Column]


def shapes(config: BertConfig, pooled: bool = True) -> Shapes:
    """Checkpoint name -> shape of every tensor, in layer order. ``pooled``: the largest has no tensors."""
    E, F, types = config.embedding_width, config.hidden_size // len(config.filter_sizes), config.type_vocab_size
    unit = {f"bert.encoder.layer.{i}.filters.{k}": {
        **named({"convolution": conv1d.shapes(F, (E, F)[i], k, bias=False), "BatchNorm": batch_norm.shapes(F)})}
        for i in range(2) for k in config.filter_sizes}
    return named({
        "bert.embeddings.word_embeddings": embedding.shapes(config.vocab_size, E),
        "bert.embeddings.position_embeddings": embedding.shapes(config.max_position_embeddings, E),
        "bert.embeddings.token_type_embeddings": embedding.shapes(types, E) if types else {}, **unit})


def forward(ids: Array, token_type_ids: Array, attention_mask: Array | None, p: Tree, config: BertConfig, *,
            key: Key | None = None, position_ids: Array | None = None, task_type_ids: Array | None = None,
            recompute: bool = False) -> tuple[Output, Cache]:
    """ids ``(B, T)`` or word vectors ``(B, T, E)``, token_type_ids ``(B, T)`` -> Output with the ``pooled`` vector ``(B, H)``.

    ``attention_mask`` ``(B, T)``: 1 for tokens, 0 for the padding behind them, None where there is none. ``p``: the subtree
    ``bert``. ``position_ids`` and ``task_type_ids`` are None, ``recompute`` changes nothing. ValueError where T exceeds the
    position table.
    """
    xp, tables, (B, T) = get_xp(ids), p["embeddings"], ids.shape[:2]
    positions = tables["position_embeddings"]["weight"]
    if T > len(positions):
        raise ValueError(f"input of {T} tokens: the model has {len(positions)} positions; cut the text or pass truncate")
    x, words_cache = (ids, None) if ids.ndim == 3 else embedding.forward(ids, tables["word_embeddings"])
    types_cache = padding_cache = None
    if short := max(0, config.least_tokens - T):
        padding, padding_cache = embedding.forward(xp.full((B, short), config.pad_token_id or 0), tables["word_embeddings"])
        x = xp.concatenate([x, padding], axis=1)
    x = x + positions[:T + short]  # (B, T, E) + (T, E)
    if config.type_vocab_size:
        types = xp.zeros((B, T + short), dtype=token_type_ids.dtype)
        types[:, :T] = token_type_ids if config.type_vocab_size > 1 else 0
        types, types_cache = embedding.forward(types, tables["token_type_embeddings"])
        x += types
    lengths = None if attention_mask is None else attention_mask.sum(1).clip(config.least_tokens)
    columns, pooled = [], []
    for k in config.filter_sizes:
        h, units = x, []
        for layer in p["encoder"]["layer"].values():
            h, unit = _unit(h, lengths, T + short, layer["filters"][str(k)], config, key is not None)
            units.append(unit)
        largest, largest_cache = pooling.forward(h, _whole(lengths, T + short, h), "max")
        columns.append(Column(tuple(units), largest_cache))
        pooled.append(largest)
    return (Output(pooled=xp.concatenate(pooled, axis=1)),
            Cache(words_cache, types_cache, padding_cache, tuple(columns)))


def backward(d: Output, cache: Cache, p: Tree, g: Tree, frozen: int | None = None) -> Gradients:
    """The upstream gradient of ``pooled`` -> Gradients of the word vectors; adds to ``g``, the subtree ``bert``.

    ``frozen``: the embeddings and so many of the two layers do not learn.
    """
    frozen = -1 if frozen is None else frozen
    g_tables = g["embeddings"] if frozen < 0 else NOTHING
    layers = [(layer["filters"], NOTHING if i < frozen else g["encoder"]["layer"][str(i)]["filters"])
              for i, layer in enumerate(p["encoder"]["layer"].values())]
    dx, start = 0, 0
    for k, column in zip(layers[0][0], cache.columns):
        size = column.largest.weights.shape[-1]
        dh = pooling.backward(d.pooled[:, start:start + size], column.largest)
        for (filters, g_filters), unit in zip(layers[::-1], column.units[::-1]):
            dh = _unit_backward(dh, unit, filters[k], g_filters[k])
        dx, start = dx + dh, start + size
    if cache.types is not None:
        embedding.backward(dx, cache.types, p["embeddings"]["token_type_embeddings"], g_tables["token_type_embeddings"])
    if g_tables:
        g_tables["position_embeddings"]["weight"][:dx.shape[1]] += down(dx)
    if cache.padding is not None:
        T = dx.shape[1] - cache.padding.ids.shape[1]
        embedding.backward(dx[:, T:], cache.padding, p["embeddings"]["word_embeddings"], g_tables["word_embeddings"])
        dx = dx[:, :T]
    if cache.words is not None:
        embedding.backward(dx, cache.words, p["embeddings"]["word_embeddings"], g_tables["word_embeddings"])
    return Gradients(dx, {}, {}, None)


def _unit(x: Array, lengths: Array | None, tokens: int, p: Tree, config: BertConfig, training: bool) -> tuple[Array, Unit]:
    """x ``(B, T, in)`` -> relu(norm(conv(x))) ``(B, T-k+1, F)``."""
    y, convolution = conv1d.forward(x, p["convolution"], bias=False)
    y, norm = batch_norm.forward(y, p["BatchNorm"], _whole(lengths, tokens, y), config.layer_norm_eps, training)
    y *= y.real > 0
    return y, Unit(convolution, norm, y)


def _unit_backward(dy: Array, cache: Unit, p: Tree, g: Tree) -> Array:
    convolution, norm, y = cache
    dy = batch_norm.backward(dy * (y.real > 0), norm, p["BatchNorm"], g["BatchNorm"])
    return conv1d.backward(dy, convolution, p["convolution"], g["convolution"])


def _whole(lengths: Array | None, tokens: int, y: Array) -> Array | None:
    """Which of the places of y ``(B, T', F)`` come from windows within their text ``(B, T')``; None where all do."""
    if lengths is None:
        return None
    lost = tokens - y.shape[1]  # a place reads so many tokens beside its own
    return get_xp(y).arange(y.shape[1]) < (lengths - lost)[:, None]
