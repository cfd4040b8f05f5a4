"""BERT with its two pre-training tasks: masked words, and whether the second sentence follows the first.

::

    loss = mlm + nsp      mlm: mean surprise over the masked tokens      nsp: mean surprise over the pairs

Both means are sums divided by a count that the caller may give: that of the whole step, when this batch is a part of it.
Source: Devlin et al. 2018, section 3.1; reference ``run_pretraining.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minibert.backend import Array
from minibert.config import BertConfig
from minibert.layers import cross_entropy
from minibert.layers.dropout import Key
from minibert.model import bert, encoder
from minibert.model.encoder import add
from minibert.model.heads import mlm, nsp
from minibert.parameters import Layout, Parameters, Tree, initialise, named


class Inputs(NamedTuple):
    """What one forward pass reads. Integers, but for the masks; ``labels`` is None where no loss is wanted."""

    ids: Array  # (B, T), or word vectors (B, T, H)
    token_type_ids: Array  # (B, T)
    attention_mask: Array | None = None  # (B, T) or (B, T, T); None: nothing is padded
    positions: Array | None = None  # (M,) flat positions b·T + t of the masked tokens; None: logits for all
    labels: Array | None = None  # (M,) the words that stood there, or cross_entropy.IGNORE
    next_labels: Array | None = None  # (B,) 0: follows, 1: random, or cross_entropy.IGNORE


class Output(NamedTuple):
    """What comes out; and, with None where there is none, the upstream gradients that go back in."""

    loss: Array | float | None = None  # () the sum of the next two
    mlm_loss: Array | float | None = None  # ()
    nsp_loss: Array | float | None = None  # ()
    logits: Array | None = None  # (M, V), or (B, T, V)
    next_logits: Array | None = None  # (B, 2)
    bert: bert.Output = bert.Output()


class Cache(NamedTuple):
    bert: bert.Cache
    mlm: mlm.Cache
    nsp: nsp.Cache
    mlm_loss: cross_entropy.Cache | None
    nsp_loss: cross_entropy.Cache | None


def layout(config: BertConfig) -> Layout:
    """Every tensor of the model with both heads, and the decoder's two ties."""
    heads = named({head.PATH: head.shapes(config) for head in (mlm, nsp)})
    return Layout(bert.shapes(config) | heads, mlm.ties())


def initial_parameters(config: BertConfig, seed: int = 0, dtype: Any = np.float32) -> Parameters:
    """Fresh parameters of the whole model, on the CPU."""
    return initialise(layout(config), config.initializer_range, seed, dtype)


def forward(x: Inputs, p: Tree, config: BertConfig, *, key: Key | None = None, counts: tuple[int, int] | None = None,
            head_mask: Array | None = None, hidden: Mapping[int, Array] | None = None,
            attentions: Mapping[int, Array] | None = None,
            layers: Sequence[encoder.Layer] | None = None) -> tuple[Output, Cache]:
    """Inputs -> Output. ``p``: the whole tree. ``counts``: (masked tokens, pairs) of the whole step, by default of this batch.

    The other arguments are those of ``bert.forward``.
    """
    body, bert_cache = bert.forward(x.ids, x.token_type_ids, x.attention_mask, p["bert"], config, key=key, head_mask=head_mask,
                                    hidden=hidden, attentions=attentions, layers=layers)
    logits, mlm_cache = mlm.forward(body.last_hidden_state, x.positions, p["cls"]["predictions"], config)
    next_logits, nsp_cache = nsp.forward(body.pooled, p["cls"]["seq_relationship"])

    masked, pairs = counts or (None, None)
    mlm_loss = nsp_loss = loss = mlm_loss_cache = nsp_loss_cache = None
    if x.labels is not None:
        mlm_loss, mlm_loss_cache = cross_entropy.forward(logits.reshape(-1, logits.shape[-1]), x.labels.reshape(-1), masked)
        loss = mlm_loss
    if x.next_labels is not None:
        nsp_loss, nsp_loss_cache = cross_entropy.forward(next_logits, x.next_labels, pairs)
        loss = add(loss, nsp_loss)
    return (Output(loss, mlm_loss, nsp_loss, logits, next_logits, body),
            Cache(bert_cache, mlm_cache, nsp_cache, mlm_loss_cache, nsp_loss_cache))


def backward(d: Output, cache: Cache, p: Tree, g: Tree) -> bert.Gradients:
    """Upstream gradients, ``Output(loss=1.0)`` as a rule -> Gradients of every floating input; adds to ``g``."""
    dlogits, dnext, body = d.logits, d.next_logits, d.bert
    if cache.mlm_loss is not None and (dloss := add(d.loss, d.mlm_loss)) is not None:
        dx = cross_entropy.backward(dloss, cache.mlm_loss)  # (N, V)
        dlogits = dx if dlogits is None else dlogits + dx.reshape(dlogits.shape)
    if cache.nsp_loss is not None and (dloss := add(d.loss, d.nsp_loss)) is not None:
        dnext = add(dnext, cross_entropy.backward(dloss, cache.nsp_loss))
    if dlogits is not None:
        dx = mlm.backward(dlogits, cache.mlm, p["cls"]["predictions"], g["cls"]["predictions"])
        body = body._replace(last_hidden_state=add(body.last_hidden_state, dx))
    if dnext is not None:
        dpooled = nsp.backward(dnext, cache.nsp, p["cls"]["seq_relationship"], g["cls"]["seq_relationship"])
        body = body._replace(pooled=add(body.pooled, dpooled))
    return bert.backward(body, cache.bert, p["bert"], g["bert"])
