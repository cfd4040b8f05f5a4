"""BERT with its two pre-training tasks: masked words, and whether the second sentence follows the first.

::

    loss = mlm + nsp      mlm: mean surprise over the masked tokens      nsp: mean surprise over the pairs

It is the ``model.Model`` of two heads and two terms of ``HEADS`` and ``TERMS``; inputs and outputs have their names here.
A body of convolutions asks for masked words by another head (``heads.cloze``).
Relatives of BERT have others of them, which the ``objectives`` of their configuration name: RoBERTa masked words alone, ELECTRA's
discriminator ``replaced``, which tells of every token whether it is the text's. A run may ask further questions (``FURTHER``),
for which no class of other libraries has a head:

::

    three_ways, distance, reorder, order    a class of the pooled vector, as nsp is: two or more outputs, tensors of their own
    capitalisation, token_document          one of two classes for every token
    trigrams                                the word that stood at a place, by the masked-word head: no tensors of its own

Source: Devlin et al. 2018, section 3.1; reference ``run_pretraining.py``.
"""

from __future__ import annotations

from collections.abc import Collection
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from minibert.backend import Array
from minibert.config import OBJECTIVES, BertConfig
from minibert.layers import binary_cross_entropy, cross_entropy
from minibert.layers.dropout import Key
from minibert.model import bert, model
from minibert.model.heads import classifier, cloze, mlm, nsp, replaced
from minibert.model.model import Head, Model, Term
from minibert.parameters import Layout, Parameters, Tree, initialise

HEADS = MappingProxyType({
    "mlm": Head(mlm), "nsp": Head(nsp), "replaced": Head(replaced),
    **{name: Head(nsp, classes, path=f"cls.{name}") for name, classes in (
        ("three_ways", 3), ("distance", 3), ("reorder", 9), ("order", 2))},
    **{name: Head(classifier, 2, "last_hidden_state", f"cls.{name}") for name in ("capitalisation", "token_document")},
})
TERMS = (Term("mlm", "mlm", cross_entropy), Term("nsp", "nsp", cross_entropy), Term("replaced", "replaced", binary_cross_entropy),
         Term("trigrams", "mlm", cross_entropy), *(Term(name, name, cross_entropy) for name in HEADS if name not in OBJECTIVES))
FURTHER = tuple(term.name for term in TERMS if term.name not in OBJECTIVES)  # what no configuration names


class Inputs(NamedTuple):
    """What one forward pass reads. Integers, but for the masks; ``labels`` is None where no loss is wanted."""

    ids: Array  # (B, T), or word vectors (B, T, E)
    token_type_ids: Array  # (B, T)
    attention_mask: Array | None = None  # (B, T) or (B, T, T); None: nothing is padded
    positions: Array | None = None  # (M,) flat positions b·T + t of the masked tokens; None: logits for all
    labels: Array | None = None  # (M,) the words that stood there, or cross_entropy.IGNORE
    next_labels: Array | None = None  # (B,) 0: follows, 1: random, or cross_entropy.IGNORE
    position_ids: Array | None = None  # (B, T) see embeddings


class Output(NamedTuple):
    """What comes out; and, with None where there is none, the upstream gradients that go back in."""

    loss: Array | float | None = None  # () the sum of the next two
    mlm_loss: Array | float | None = None  # ()
    nsp_loss: Array | float | None = None  # ()
    logits: Array | None = None  # (M, V), or (B, T, V)
    next_logits: Array | None = None  # (B, 2) None where the model has no head for pairs
    bert: bert.Output = bert.Output()


class Cache(NamedTuple):
    bert: bert.Cache
    mlm: mlm.Cache | None
    nsp: nsp.Cache | None
    mlm_loss: cross_entropy.Cache | None
    nsp_loss: cross_entropy.Cache | None
    config: BertConfig


def of(config: BertConfig, further: Collection[str] = ()) -> Model:
    """The model: what an engine trains. Pairs are judged by the pooled vector, so without a pooler there is no head for them.

    ``further``: those of ``FURTHER`` that are asked as well.
    """
    there = HEADS if config.filter_sizes is None else {**HEADS, "mlm": Head(cloze)}
    heads = {name: head for name, head in there.items()
             if name in further or (name in config.objectives and (config.pooler or head.reads != "pooled"))}
    return Model(config, heads, [term for term in TERMS if term.reads in heads and (term.name in heads or term.name in further)])


def layout(config: BertConfig, pooled: bool = False) -> Layout:
    """Every tensor of the model with its heads, and the decoder's two ties. ``pooled``: see ``Model.layout``."""
    return of(config).layout(pooled)


def initial_parameters(config: BertConfig, seed: int = 0, dtype: Any = np.float32) -> Parameters:
    """Fresh parameters of the whole model, on the CPU."""
    return initialise(layout(config), config.initializer_range, seed, dtype)


def word_logits(out: bert.Output, positions: Array, p: Tree, config: BertConfig) -> Array:
    """What a body's outputs say of the words at ``positions`` ``(M,)`` of one text: logits ``(M, V)``. ``p``: the whole tree."""
    if config.filter_sizes is None:
        return mlm.forward(out.last_hidden_state, positions, p["cls"]["predictions"], config)[0]
    return cloze.forward(out.pooled, p["cls"]["predictions"], config)[0].repeat(len(positions), axis=0)


def inputs(batch: Any, xp: Any = np) -> Inputs:
    """A micro-batch of ``tasks.batches`` as Inputs, on the device of ``xp``."""
    arrays = (batch.ids, batch.token_type_ids, batch.attention_mask, batch.positions, batch.targets["mlm"], batch.targets["nsp"])
    return Inputs(*(None if array is None else xp.asarray(array) for array in arrays))


def forward(x: Inputs, p: Tree, config: BertConfig, *, key: Key | None = None, counts: tuple[int, int] | None = None,
            **opened: Any) -> tuple[Output, Cache]:
    """Inputs -> Output. ``p``: the whole tree. ``counts``: (masked tokens, pairs) of the whole step, by default of this batch.

    ``opened``: the other arguments of ``bert.forward``.
    """
    whole = model.Inputs(x.ids, x.token_type_ids, x.attention_mask, _named(x.labels, x.next_labels), x.positions,
                         position_ids=x.position_ids)
    out, cache = of(config).forward(whole, p, key=key, counts=counts and _named(*counts), read=HEADS, **opened)
    parts = [part.get(name) for part in (out.losses, out.logits, cache.heads, cache.terms) for name in ("mlm", "nsp")]
    return Output(out.loss, *parts[:4], out.bert), Cache(cache.bert, *parts[4:], config)


def backward(d: Output, cache: Cache, p: Tree, g: Tree) -> bert.Gradients:
    """Upstream gradients, ``Output(loss=1.0)`` as a rule -> Gradients of every floating input; adds to ``g``."""
    upstream = model.Output(d.loss, _named(d.mlm_loss, d.nsp_loss), _named(d.logits, d.next_logits), d.bert)
    whole = model.Cache(cache.bert, _named(cache.mlm, cache.nsp), _named(cache.mlm_loss, cache.nsp_loss))
    return of(cache.config).backward(upstream, whole, p, g)


def _named(mlm: Any, nsp: Any) -> dict[str, Any]:
    """What there is of the two, by the names of their terms and heads."""
    return {name: value for name, value in (("mlm", mlm), ("nsp", nsp)) if value is not None}
