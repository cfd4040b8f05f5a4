"""BERT with one head for one task, and the loss of that task. What fine-tuning trains.

::

    kind        head over                  logits       labels                  called in transformers
    sequence    the pooled vector          (B, C)       (B,) class or number    BertForSequenceClassification
    choice      the pooled vectors         (B, C)       (B,) which one fits     BertForMultipleChoice
    token       every token's vector       (B, T, C)    (B, T) class            BertForTokenClassification
    span        every token's vector       (B, 2, T)    (B, 2) first and last   BertForQuestionAnswering

The last axis of the logits is always what the softmax runs over: classes, choices, or places in the text. So all four have one
loss, the cross-entropy of the rows; only numbers (regression: C = 1, labels of a floating type) have the squared error instead.

The whole network learns, from the first step on: a pre-trained encoder needs no more than a linear layer on top.
Source: Devlin et al. 2018, section 3.2 and figure 4.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from minibert.backend import Array
from minibert.config import BertConfig
from minibert.layers import cross_entropy, squared_error
from minibert.layers.dropout import Key
from minibert.model import bert
from minibert.model.encoder import add
from minibert.model.heads import classifier, span
from minibert.parameters import Layout, Tree

Kind = Literal["sequence", "choice", "token", "span"]


class Inputs(NamedTuple):
    """What one forward pass reads; N is B, or B times the number of choices."""

    ids: Array  # (N, T), or word vectors (N, T, H)
    token_type_ids: Array  # (N, T)
    attention_mask: Array | None = None  # (N, T); None: nothing is padded
    labels: Array | None = None  # see above; cross_entropy.IGNORE where there is none; None: no loss is wanted
    choices: int = 1


class Output(NamedTuple):
    """What comes out; and, with None where there is none, the upstream gradients that go back in."""

    loss: Array | float | None = None  # ()
    logits: Array | None = None
    bert: bert.Output = bert.Output()


class Cache(NamedTuple):
    kind: Kind
    bert: bert.Cache
    head: Any  # of classifier or span
    shape: tuple[int, ...]  # of the logits
    loss: cross_entropy.Cache | squared_error.Cache | None


def layout(config: BertConfig, kind: Kind, outputs: int) -> Layout:
    """Every tensor of the model; ``outputs``: classes for ``sequence`` and ``token``, else not looked at."""
    name, count = ("qa_outputs", 2) if kind == "span" else ("classifier", 1 if kind == "choice" else outputs)
    pooled = kind in ("sequence", "choice")
    body = {name: shape for name, shape in bert.shapes(config).items() if pooled or not name.startswith("bert.pooler.")}
    return Layout(body | {f"{name}.weight": (count, config.hidden_size), f"{name}.bias": (count,)})


def forward(x: Inputs, p: Tree, config: BertConfig, kind: Kind, *, key: Key | None = None, count: float | None = None,
            weights: Array | None = None, **options: Any) -> tuple[Output, Cache]:
    """Inputs -> Output. ``p``: the whole tree. Without a ``key`` nothing is dropped.

    ``count``: what the loss is divided by, where this batch is a part of a step: the labels of all of it (two for a span), or
    the sum of their weights. ``weights`` ``(C,)``: what each class counts. ``options``: those of ``bert.forward``.
    """
    body, bert_cache = bert.forward(x.ids, x.token_type_ids, x.attention_mask, p["bert"], config, key=key, **options)
    if kind == "span":
        logits, head_cache = span.forward(body.last_hidden_state, x.attention_mask, p["qa_outputs"])
    else:
        h = body.last_hidden_state if kind == "token" else body.pooled
        logits, head_cache = classifier.forward(h, p["classifier"], config, key and key.at(2))
        if kind == "choice":
            logits = logits.reshape(-1, x.choices)  # (N, 1) -> (B, C)
    loss = loss_cache = None
    if x.labels is not None and x.labels.dtype.kind == "f":
        loss, loss_cache = squared_error.forward(logits[:, 0], x.labels, count)
    elif x.labels is not None:
        rows = logits.reshape(-1, logits.shape[-1])
        loss, loss_cache = cross_entropy.forward(rows, x.labels.reshape(-1), count, weights)
    return Output(loss, logits, body), Cache(kind, bert_cache, head_cache, logits.shape, loss_cache)


def backward(d: Output, cache: Cache, p: Tree, g: Tree, frozen: int | None = None) -> bert.Gradients:
    """Upstream gradients, ``Output(loss=1.0)`` as a rule -> Gradients of every floating input; adds to ``g``.

    ``frozen``: the embeddings and so many of the lowest layers do not learn. The gradient ends above them, and what is below
    costs nothing.
    """
    kind, bert_cache, head_cache, shape, loss_cache = cache
    dlogits, body = d.logits, d.bert
    if d.loss is not None and loss_cache is not None:
        loss = squared_error if isinstance(loss_cache, squared_error.Cache) else cross_entropy
        dlogits = add(dlogits, loss.backward(d.loss, loss_cache).reshape(shape))
    if dlogits is not None and kind == "span":
        dh = span.backward(dlogits, head_cache, p["qa_outputs"], g["qa_outputs"])
        body = body._replace(last_hidden_state=add(body.last_hidden_state, dh))
    elif dlogits is not None:
        dlogits = dlogits.reshape(-1, 1) if kind == "choice" else dlogits
        dh = classifier.backward(dlogits, head_cache, p["classifier"], g["classifier"])
        output = "last_hidden_state" if kind == "token" else "pooled"
        body = body._replace(**{output: add(getattr(body, output), dh)})
    return bert.backward(body, bert_cache, p["bert"], g["bert"], frozen)
