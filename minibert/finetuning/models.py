"""The models of fine-tuning: BERT with one head for one task, and the loss of that task.

::

    kind        head over                  logits       target                  called in transformers
    sequence    the pooled vector          (B, C)       (B,) class              BertForSequenceClassification
    labels      the pooled vector          (B, C)       (B, C) there or not     the same, multi_label_classification
    number      the pooled vector          (B, C)       (B,) or (B, C) numbers  the same, regression
    choice      the pooled vectors         (B, C)       (B,) which one fits     BertForMultipleChoice
    token       every token's vector       (B, T, C)    (B, T) class            BertForTokenClassification
    span        every token's vector       (B, 2, T)    (B, 2) first and last   BertForQuestionAnswering

Where one of several is right, the last axis of the logits is what the softmax runs over: classes, choices, or places in the text.
So four of them have one loss, the cross-entropy of the rows. Several labels are as many yes-or-no questions, numbers have the
squared error.

Relatives of BERT whose configuration has a ``text_head`` judge texts by a head with a hidden layer of its own, over [CLS] itself.

The whole network learns, from the first step on: a pre-trained encoder needs no more than a linear layer on top.
Source: Devlin et al. 2018, section 3.2 and figure 4.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal

import numpy as np

from minibert.config import BertConfig
from minibert.layers import binary_cross_entropy, cross_entropy, squared_error
from minibert.model.heads import choice, classifier, dense, span
from minibert.model.model import Head, Model, Term

Kind = Literal["sequence", "labels", "number", "choice", "token", "span"]
KINDS = MappingProxyType({
    "sequence": (classifier, "pooled", cross_entropy), "labels": (classifier, "pooled", binary_cross_entropy),
    "number": (classifier, "pooled", squared_error), "choice": (choice, "pooled", cross_entropy),
    "token": (classifier, "last_hidden_state", cross_entropy), "span": (span, "last_hidden_state", cross_entropy)})
HEAD, TERM = "task", "label"


def of(config: BertConfig, kind: Kind, outputs: int, weights: np.ndarray | None = None) -> Model:
    """``outputs``: C, but for ``choice`` and ``span``, which do not look at it. ``weights`` ``(C,)``: what each class counts."""
    options = {} if weights is None else {"weights": weights}
    return Model(config, {HEAD: head(config, kind, outputs)}, (Term(TERM, HEAD, KINDS[kind][2], options=options),))


def head(config: BertConfig, kind: Kind, outputs: int) -> Head:
    """The head for a task; in a body with a ``text_head`` or without a pooler that which reads [CLS] itself."""
    module, reads, _ = KINDS[kind]
    if module is choice:
        reads = choice.judge(config).READS
    elif reads == "pooled" and config.text_head:
        module, reads = dense, dense.READS
    return Head(module, outputs, reads)
