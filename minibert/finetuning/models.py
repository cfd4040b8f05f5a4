"""The models of fine-tuning: BERT with one head for one task, and the loss of that task.

::

    kind        head over                  logits       target                  called in transformers
    sequence    the pooled vector          (B, C)       (B,) class or number    BertForSequenceClassification
    choice      the pooled vectors         (B, C)       (B,) which one fits     BertForMultipleChoice
    token       every token's vector       (B, T, C)    (B, T) class            BertForTokenClassification
    span        every token's vector       (B, 2, T)    (B, 2) first and last   BertForQuestionAnswering

The last axis of the logits is always what the softmax runs over: classes, choices, or places in the text. So all four have one
loss, the cross-entropy of the rows; only a number (regression: a sequence with C = 1) has the squared error instead.

The whole network learns, from the first step on: a pre-trained encoder needs no more than a linear layer on top.
Source: Devlin et al. 2018, section 3.2 and figure 4.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal

import numpy as np

from minibert.config import BertConfig
from minibert.layers import cross_entropy, squared_error
from minibert.model.heads import choice, classifier, span
from minibert.model.model import Head, Model, Term

Kind = Literal["sequence", "choice", "token", "span"]
HEADS = MappingProxyType({"sequence": (classifier, "pooled"), "choice": (choice, "pooled"),
                          "token": (classifier, "last_hidden_state"), "span": (span, "last_hidden_state")})
HEAD, TERM = "task", "label"


def of(config: BertConfig, kind: Kind, outputs: int, weights: np.ndarray | None = None) -> Model:
    """``outputs``: classes for ``sequence`` and ``token``, else not looked at. ``weights`` ``(C,)``: what each class counts."""
    module, reads = HEADS[kind]
    loss = squared_error if kind == "sequence" and outputs == 1 else cross_entropy
    options = {} if weights is None else {"weights": weights}
    return Model(config, {HEAD: Head(module, outputs, reads)}, (Term(TERM, HEAD, loss, options=options),))
