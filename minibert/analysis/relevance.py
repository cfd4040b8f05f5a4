"""Relevance propagation: how much of a logit came through each head, and from each word.

Relevance begins as the logit of the best guess and is handed down, layer by layer: what stands at v goes to each u that v was
made of, in proportion to what u gave to it::

    r_u = Σ_v (W_vu·u / v)·r_v              v = Σ_u W_vu·u + b_v: the bias keeps its own part, b_v/v·r_v

Non-linear steps hand on what they have: GELU, the division by a standard deviation, and the weights of attention are taken as
constants that were found beforehand. Between these constants the whole model is linear, and then r_u = u·∂logit/∂u: so one
ordinary backward pass does it, in which those three have no slope. ``constant`` takes their slopes out of the cache that a
forward pass left. What all words, positions and biases receive is the logit, exactly.

The relevance of a head is that of its numbers, summed over tokens: ∂logit/∂gate in such a pass. Compared are shares of a layer,
|r_h| / Σ_h |r_h|, the mean over texts.

Source: Voita et al. 2019, "Analyzing Multi-Head Self-Attention", arXiv:1905.09418, section 4, after Ding et al. 2017. Their code
(lena-voita/the-story-of-heads, ``lrp.py``) has another rule by default: positive and negative parts apart, half of each, with a
stabiliser, the full slope of softmax, and a rescaling that keeps Σ|r|; the first version had an error, says its README. A tanh
keeps its slope here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minibert.analysis import masked
from minibert.analysis.masked import Batch
from minibert.backend import get_xp, to_numpy
from minibert.kernels import without
from minibert.layers import attention, gelu, layernorm
from minibert.model import pretraining
from minibert.model.pretraining import Output
from minibert.parameters import NOTHING, Tree

if TYPE_CHECKING:
    from minibert.pretrained import Trained


class Relevance(NamedTuple):
    """Of a batch of B texts; a text's logit is the sum over its hidden tokens of that of the best guess."""

    heads: np.ndarray  # (L, B, A)
    words: np.ndarray  # (B, T) of the word vectors; positions, token types and biases have the rest
    logits: np.ndarray  # (B,)


def constant(cache: Any) -> Any:
    """The same cache, of a forward pass of whatever size, after which backward takes the non-linear steps for constants."""
    if isinstance(cache, layernorm.Cache):
        return cache._replace(xhat=cache.xhat * 0)  # nothing through the standard deviation
    if isinstance(cache, gelu.Cache):
        return cache._replace(x=cache.x * 0)  # dx = dy·(Φ + x·Φ′), and nothing through Φ
    if isinstance(cache, attention.Cache):
        return cache._replace(probs_cache=None)  # as weights that were put in from outside
    if isinstance(cache, list):
        return [constant(part) for part in cache]
    if isinstance(cache, tuple):
        parts = [constant(part) for part in cache]
        return type(cache)(*parts) if hasattr(cache, "_fields") else tuple(parts)
    return cache


def relevance(bert: Trained, batch: Batch, g: Tree = NOTHING) -> Relevance:
    """Handed down in every text of a batch. ``g``: where biases and tables find what they receive, for each unit of theirs."""
    xp, p, V = get_xp(bert.parameters.flat), bert.parameters, len(bert.tokenizer.vocab)
    B, T = batch.real.shape
    gates = np.ones((bert.config.num_hidden_layers, B, bert.config.num_attention_heads))
    with without():  # the caches of readable pairs, whose slopes ``constant`` knows
        out, cache = masked.forward(bert, batch, gates, wrap=lambda layers: layers)
    best = out.logits[:, :V].argmax(-1)
    one = xp.zeros_like(out.logits)
    one[xp.arange(len(best)), best] = 1
    cache = constant(cache)
    d = pretraining.backward(Output(logits=one), cache, p, g)
    table = p["bert"]["embeddings"]["word_embeddings"]["weight"]
    words = (table[batch.inputs.ids] * d.embeddings).sum(-1)  # (B, T)
    chosen = to_numpy(out.logits[xp.arange(len(best)), best])
    logits = np.bincount(to_numpy(batch.inputs.positions) // T, chosen, B)
    return Relevance(to_numpy(d.head_mask), to_numpy(words), logits)


def shares(found: Relevance) -> np.ndarray:
    """``(L, A)``: of each layer what each head has, the mean over the texts."""
    size = np.abs(found.heads)
    return (size / np.maximum(size.sum(-1, keepdims=True), 1e-30)).mean(1)
