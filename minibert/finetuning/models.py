"""The models of fine-tuning: BERT with one head for one task, and the loss of that task.

::

    kind        head over                  logits       target                  called in transformers
    sequence    the pooled vector          (B, C)       (B,) class              BertForSequenceClassification
    labels      the pooled vector          (B, C)       (B, C) there or not     the same, multi_label_classification
    san         every token's vector       (B, C)       (B,) class              no model of it; BertModel, without the head
    number      the pooled vector          (B, C)       (B,) or (B, C) numbers  the same, regression
    choice      the pooled vectors         (B, C)       (B,) which one fits     BertForMultipleChoice
    token       every token's vector       (B, T, C)    (B, T) class            BertForTokenClassification
    span        every token's vector       (B, 2, T)    (B, 2) first and last   BertForQuestionAnswering
    vectors     every token's vector       (B, K, H)    (B, K) which text       BertModel; sentence-transformers pools
    similarity  every token's vector       (B,)         (B,) cosines            the same

Where one of several is right, the last axis of the logits is what the softmax runs over: classes, choices, or places in the text.
So five of them have one loss, the cross-entropy of the rows. Several labels are as many yes-or-no questions, numbers and cosines
have the squared error. Sentence vectors are compared with those of all other examples of the step.

Relatives of BERT whose configuration has a ``text_head`` judge texts by a head with a hidden layer of its own, over [CLS] itself.

The whole network learns, from the first step on: a pre-trained encoder needs no more than a linear layer on top.
Source: Devlin et al. 2018, section 3.2 and figure 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from minibert.config import BertConfig
from minibert.layers import binary_cross_entropy, contrastive, cross_entropy, squared_error
from minibert.model.heads import choice, classifier, dense, san, similarity, span, vectors
from minibert.model.model import NONE, Head, Model, Term

Kind = Literal["sequence", "labels", "san", "number", "choice", "token", "span", "vectors", "similarity"]
KINDS = MappingProxyType({
    "sequence": (classifier, "pooled", cross_entropy), "labels": (classifier, "pooled", binary_cross_entropy),
    "san": (san, "last_hidden_state", cross_entropy), "number": (classifier, "pooled", squared_error),
    "choice": (choice, "pooled", cross_entropy),
    "token": (classifier, "last_hidden_state", cross_entropy), "span": (span, "last_hidden_state", cross_entropy),
    "vectors": (vectors, "last_hidden_state", contrastive), "similarity": (similarity, "last_hidden_state", squared_error)})
HEAD, TERM = "task", "label"
PARTS = "tasks"  # where the tensors of the heads of several tasks are
POOLED = ("vectors", "similarity")  # of the tokens' vectors one is made


def of(config: BertConfig, kind: Kind, outputs: int, weights: np.ndarray | None = None, *, head: Mapping[str, Any] = NONE,
       loss: Mapping[str, Any] = NONE, dropout: float | None = None) -> Model:
    """``outputs``: C, where the kind has classes or numbers. ``weights`` ``(C,)``: what each class counts.

    ``head`` and ``loss``: what they take besides, such as the pooling of sentence vectors and the temperature of their loss.
    ``dropout``: of the head; None: as in the body.
    """
    options = {**loss, **({} if weights is None else {"weights": weights})}
    term = Term(TERM, HEAD, KINDS[kind][2], options=options)
    return Model(config, {HEAD: head_of(config, kind, outputs, head, dropout)}, (term,))


def part(alone: Model, name: str) -> Model:
    """A model of one task as a part of one of several: head and term by the name of the task, tensors under ``tasks.NAME``."""
    [head], [term] = alone.heads.values(), alone.terms
    return Model(alone.config, {name: replace(head, path=f"{PARTS}.{name}.{head.path}")}, [term._replace(name=name, reads=name)])


def weighted(one: Model, weight: float) -> Model:
    """A model whose losses count so much."""
    return replace(one, terms=[term._replace(weight=term.weight * weight) for term in one.terms])


def joined(parts: Sequence[Model]) -> Model:
    """One body with the heads and terms of all.

    Source: Liu et al. 2019, "Multi-Task Deep Neural Networks for Natural Language Understanding", arXiv:1901.11504, figure 1.
    """
    heads = {name: head for each in parts for name, head in each.heads.items()}
    return Model(parts[0].config, heads, [term for each in parts for term in each.terms])


def chosen(kind: Kind, settings: Any) -> dict[str, Mapping[str, Any]]:
    """``head`` and ``loss`` of a kind, as the settings say. The rows of a batch are compared with one another."""
    return {"head": {"pooling": settings.pooling} if kind in POOLED else NONE,
            "loss": {"temperature": settings.temperature, "symmetric": settings.symmetric,
                     "rows": settings.batch_size} if kind == "vectors" else NONE}


def head_of(config: BertConfig, kind: Kind, outputs: int, options: Mapping[str, Any] = NONE,
            dropout: float | None = None) -> Head:
    """The head for a task; in a body with a ``text_head`` or without a pooler that which reads [CLS] itself."""
    module, reads, _ = KINDS[kind]
    if module is choice:
        reads = choice.judge(config).READS
    elif reads == "pooled" and config.text_head:
        module, reads = dense, dense.READS
    return Head(module, outputs, reads, options=options, dropout=dropout)
