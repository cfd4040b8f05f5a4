"""The stochastic answer network: a head that judges a pair of texts by looking at the second one several times, and answers with
the mean of what it thought each time.

::

    s = Σ_t softmax(w·h)_t·h_t                                  h: the first text, with [CLS] and its [SEP]
    K times:
        m = Σ_t softmax(x·(W·s + b))_t·x_t                      x: the second text, with its [SEP]
        scores_k = V·[m; s; |m - s|; m∘s] + c
        s = GRU(m, s)
    logits = log(1/K · Σ_k d_k·softmax(scores_k))               d_k: 1, or while training 1/(1-p) or 0

While training, whole turns are dropped: each with probability p, but one of every example, drawn evenly, always stays. With the
same p numbers are dropped of the tokens (all tokens of a pair lose the same ones), of s where it asks and goes into the GRU, and
of the four parts before V. The cross-entropy of the logits divides by what their probabilities add up to where turns are missing.

Backward: the turns from the last to the first; each gives something back to x, and the s that it began with.

The source draws the mask of a text anew for each use; here there is one. Source: Liu et al. 2018, "Stochastic Answer Networks for
Natural Language Inference", arXiv:1804.07888; Liu et al. 2019, "Multi-Task Deep Neural Networks", arXiv:1901.11504, section 3;
namisan/mt-dnn ``module/san.py``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minibert.backend import Array, get_xp
from minibert.config import BertConfig
from minibert.layers import attentive_pooling, dropout, gru, linear, mixture
from minibert.layers.dropout import Key
from minibert.layers.softmax import MASKED
from minibert.parameters import Shapes, Tree, named

PATH = "answer"
READS = "last_hidden_state"
INPUTS = ("attention_mask", "token_type_ids")
TURNS = 5


class Turn(NamedTuple):
    m: Array  # (B, H)
    s: Array  # (B, H)
    asked: dropout.Cache
    query: linear.Cache
    attention: attentive_pooling.Cache
    parts: dropout.Cache
    scores: linear.Cache
    gru: gru.Cache | None  # None: the last turn, after which nobody reads the state


class Cache(NamedTuple):
    texts: dropout.Cache
    first: attentive_pooling.Cache
    turns: list[Turn]
    mixture: mixture.Cache


def shapes(config: BertConfig, outputs: int) -> Shapes:
    """w as ``first``, W and b as ``query``, the GRU's, and V and c as ``scores``."""
    H = config.hidden_size
    return {"first.weight": (H,), **named({"query": linear.shapes(H, H), "gru": gru.shapes(H, H),
                                           "scores": linear.shapes(outputs, 4 * H)})}


def forward(x: Array, attention_mask: Array | None, token_type_ids: Array, p: Tree, config: BertConfig | None = None,
            key: Key | None = None, turns: int = TURNS) -> tuple[Array, Cache]:
    """x ``(B, T, H)``, attention_mask and token_type_ids ``(B, T)`` -> logits ``(B, C)``.

    ``token_type_ids``: 0 in the first text, 1 in the second. ``p``: first with weight ``(H,)``, query ``(H, H)``, gru, scores
    ``(C, 4H)``.
    """
    rate = 0.0 if key is None else config.hidden_dropout_prob
    first, second = _masks(x, attention_mask, token_type_ids)
    mask = dropout.draw(key.at(0), (len(x), 1, x.shape[-1]), rate, get_xp(x), x.real.dtype) if rate else None
    x, texts = dropout.forward(x, rate, mask)
    s, first_cache = attentive_pooling.forward(x, _each(p["first"]["weight"], x), first)
    scores, caches = [], []
    for k in range(turns):
        asked, asked_cache = dropout.forward(s, rate, key and key.at(2 + 2 * k))
        query, query_cache = linear.forward(asked, p["query"])
        m, attention_cache = attentive_pooling.forward(x, query, second)
        parts, parts_cache = dropout.forward(_joined(m, s), rate, key and key.at(3 + 2 * k))
        score, scores_cache = linear.forward(parts, p["scores"])
        scores.append(score)
        after, gru_cache = gru.forward(m, asked, p["gru"]) if k < turns - 1 else (None, None)
        caches.append(Turn(m, s, asked_cache, query_cache, attention_cache, parts_cache, scores_cache, gru_cache))
        s = after
    kept = _kept(key.at(1), turns, len(x), rate, get_xp(x), x.real.dtype) if rate else None
    logits, mixture_cache = mixture.forward(get_xp(x).stack(scores), kept)
    return logits, Cache(texts, first_cache, caches, mixture_cache)


def backward(dlogits: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dlogits ``(B, C)`` -> dx ``(B, T, H)``."""
    texts, first_cache, turns, mixture_cache = cache
    ds, dx = 0.0, 0.0  # of the state behind a turn; of the texts
    for turn, dscore in zip(turns[::-1], mixture.backward(dlogits, mixture_cache)[::-1]):
        dparts = dropout.backward(linear.backward(dscore, turn.scores, p["scores"], g["scores"]), turn.parts)
        dm, ds_parts = _joined_backward(dparts, turn.m, turn.s)
        dasked = 0.0
        if turn.gru is not None:
            dm_gru, dasked = gru.backward(ds, turn.gru, p["gru"], g["gru"])
            dm = dm + dm_gru
        dx_turn, dquery = attentive_pooling.backward(dm, turn.attention)
        dasked = dasked + linear.backward(dquery, turn.query, p["query"], g["query"])
        ds = ds_parts + dropout.backward(dasked, turn.asked)
        dx = dx + dx_turn
    dx_first, dw = attentive_pooling.backward(ds, first_cache)
    if g:
        g["first"]["weight"] += dw.sum(0)
    return dropout.backward(dx + dx_first, texts)


def _masks(x: Array, attention_mask: Array | None, token_type_ids: Array) -> tuple[Array, Array]:
    """(B, T) each, to be added to scores: 0 for the tokens of the first text, and of the second."""
    real = token_type_ids >= 0 if attention_mask is None else attention_mask != 0
    return tuple((~(real & (token_type_ids == i))).astype(x.real.dtype) * MASKED for i in (0, 1))


def _each(w: Array, x: Array) -> Array:
    """One vector (H,) for all texts of a batch (B, T, H): (B, H)."""
    return get_xp(x).broadcast_to(w, (len(x), len(w)))


def _joined(m: Array, s: Array) -> Array:
    """m, s (B, H) -> [m; s; |m - s|; m∘s] (B, 4H)."""
    d = m - s
    return get_xp(m).concatenate([m, s, get_xp(m).where(d.real < 0, -d, d), m * s], -1)


def _joined_backward(dparts: Array, m: Array, s: Array) -> tuple[Array, Array]:
    xp = get_xp(m)
    dm, ds, distance, product = xp.split(dparts, 4, axis=-1)
    distance = xp.where((m - s).real < 0, -distance, distance)
    return dm + distance + product * s, ds - distance + product * m


def _kept(key: Key, turns: int, examples: int, rate: float, xp: Any, dtype: Any) -> Array:
    """(K, B) what each turn of each example counts: 1/(1-p), or 0; one that is drawn is never 0."""
    kept = dropout.draw(key, (turns, examples), rate, np, dtype)
    kept[dropout.generator(key.at(0)).integers(0, turns, examples), np.arange(examples)] = 256 / (256 - dropout.of_256(rate))
    return xp.asarray(kept)
