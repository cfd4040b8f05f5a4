"""Losses that look at all examples of a step at once: the same numbers however the step is cut into micro-batches.

Such a loss (``TOGETHER`` in its module) compares every example with every other, so no micro-batch can compute its part alone. A
step then goes over its micro-batches twice::

    forward of each: only the logits stay         y_1 … y_n
    the loss of all of them, and back to them     L(y_1 … y_n)  ->  dy_1 … dy_n
    forward and backward of each                  from dy_i, as from any gradient that comes from above

For one more forward pass the memory of activations does not grow with the batch, on whose size such a loss lives. The same key
drops the same numbers in both passes. Source: Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited
Setup" (GradCache).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from minibert.backend import Array, get_xp
from minibert.model.encoder import add
from minibert.model.model import NONE, Model, Output, Term


class Part(NamedTuple):
    """What of these losses falls to a micro-batch. The first one carries the losses, and every one its gradients."""

    loss: Array | float | None = None
    losses: Mapping[str, Array | float] = NONE
    upstream: Output = Output()


def terms(model: Model) -> list[Term]:
    """The terms of this kind; they read heads."""
    return [term for term in model.terms if getattr(term.loss, "TOGETHER", False)]


def without(model: Model) -> Model:
    """The model with the other terms, which every micro-batch computes by itself."""
    return replace(model, terms=[term for term in model.terms if term not in terms(model)])


def parts(model: Model, batches: Sequence[Any], logits: Sequence[Mapping[str, Array]], counts: Mapping[str, float],
          dloss: Array | float | None = None) -> list[Part]:
    """``batches``: on the host; they hold the targets, and say which examples they hold. ``logits``: of each, by head.

    Without a ``dloss`` there are losses and no gradients.
    """
    order = np.argsort(np.concatenate([batch.places for batch in batches]))
    ends = np.cumsum([len(batch.places) for batch in batches])
    loss: Array | float = 0.0
    losses: dict[str, Array | float] = {}
    upstream: list[dict[str, Array]] = [{} for _ in batches]
    for term in terms(model):
        y = [each[term.reads] for each in logits]
        xp = get_xp(y[0])
        targets = np.concatenate([batch.targets[term.name] for batch in batches])[order]
        losses[term.name], cache = term.loss.forward(
            xp.concatenate(y).take(xp.asarray(order), axis=0), xp.asarray(targets), counts[term.name], **term.options)
        loss = loss + term.weight * losses[term.name]
        if dloss is not None:
            dy = term.loss.backward(term.weight * dloss, cache).take(xp.asarray(np.argsort(order)), axis=0)
            for d, start, end in zip(upstream, [0, *ends], ends):
                d[term.reads] = add(d.get(term.reads), dy[start:end])
    return [Part(0.0 if i else loss, NONE if i else losses, Output(loss=dloss, logits=d)) for i, d in enumerate(upstream)]
