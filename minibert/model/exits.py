"""Early exit: a text leaves after the first layer whose branch is sure enough, and the layers above never see it.

::

    u_i = H(p_i)/ln N           p_i = softmax(branch_i(x_i))           leave after layer i where u_i ≤ speed

``u`` is the uncertainty, the entropy as a share of the largest that N classes can have: 0 where the branch is certain, 1 where it
cannot tell. A batch shrinks as its texts leave, and so does the padding that only they needed. Whoever stays to the end has the
answer of the model's own head. At speed 0 no branch is asked and all stay; at speed 1 all leave after the first layer.

Source: Liu et al. 2020, "FastBERT", arXiv:2004.02178, sections 3.1 and 3.3. There the last classifier is a branch as well; here
it is the head that the model was fine-tuned with. The authors' script goes on where u > speed, and so does this; their package on
PyPI leaves where u < speed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from minibert.backend import Array, get_xp, widen
from minibert.layers.dropout import Key
from minibert.layers.softmax import additive_mask
from minibert.model import bert, embeddings, encoder, model
from minibert.model.heads import branch
from minibert.model.model import Head, Inputs, Model, Output
from minibert.numerics.rows import total
from minibert.parameters import NOTHING, Tree, subtree

LAYER = "layer"  # what the numbers of layers are called among the logits


def branches(alone: Model) -> dict[str, Head]:
    """A branch on the state after each layer but the last. ValueError where that would be of no use."""
    [head], layers = alone.heads.values(), alone.config.num_hidden_layers
    if alone.config.filter_sizes or layers < 2:
        raise ValueError("texts can leave before the last layer where there are at least two, and this model has "
                         + ("convolutions in their place" if alone.config.filter_sizes else "one"))
    if head.outputs < 2:
        raise ValueError("a text leaves early where it is clear which of several classes it has, and this model has one output: "
                         "take a model that classifies")
    return {f"branch_{i}": Head(branch, head.outputs, f"hidden_states.{i}", f"{branch.PATH}.{i}") for i in range(1, layers)}


def branched(alone: Model) -> Model:
    """A model of one head with branches beside it."""
    return replace(alone, heads={**alone.heads, **branches(alone)})


def uncertainty(logits: Array) -> Array:
    """logits ``(..., N)`` -> ``(...)`` from 0 to 1: the entropy of their softmax over that of N equal shares.

    It is 1 less the divergence from equal shares, which is 0 to the last bit where they are equal.
    """
    xp, classes = get_xp(logits), logits.shape[-1]
    z = widen(logits)
    z = z - z.max(-1, keepdims=True)
    p = xp.exp(z)
    sums = total(p)
    divergence = (p / sums * (z - xp.log(sums / classes))).sum(-1)  # in nats
    return (1 - divergence / math.log(classes)).clip(0, 1)


@dataclass(frozen=True)
class Leaving(Model):
    """A model of one head whose texts leave early. For answers only: there is no way back through it."""

    speed: float

    def forward(self, x: Inputs, p: Tree, *, key: Key | None = None, counts: Mapping[str, float] | None = None,
                read: Collection[str] = (), **opened: Any) -> tuple[Output, model.Cache]:
        """See ``Model``. Among the logits is also ``layer`` ``(B,)``: how many layers each text went through."""
        if not self.speed:
            out, cache = super().forward(x, p, key=key, counts=counts, read=read, **opened)
            layers = get_xp(x.ids).full(len(x.ids), self.config.num_hidden_layers)
            return out._replace(logits={**out.logits, LAYER: layers}), cache
        [(name, head)] = self.heads.items()
        logits, layers = self._read(x, p, head)
        out, terms = self.compared(Output(logits={name: logits, LAYER: layers}), x.targets, counts)
        return out, model.Cache(None, {}, terms)

    def _read(self, x: Inputs, p: Tree, head: Head) -> tuple[Array, Array]:
        """Logits ``(B, C)``, and how many layers each text went through ``(B,)``."""
        xp, config, ways = get_xp(x.ids), self.config, [*branches(self).values()]
        blocks = encoder.stack(p["bert"]["encoder"], NOTHING, config)
        h, _ = embeddings.forward(x.ids, x.token_type_ids, p["bert"]["embeddings"], config, None, x.position_ids,
                                  x.task_type_ids)
        rows, mask = xp.arange(len(h)), x.attention_mask
        logits, layers = xp.empty((len(h), head.outputs), h.dtype), xp.full(len(h), len(blocks))
        for i, (block, q, _) in enumerate(blocks):
            (h, _), _ = block.forward(h, q, config, None if mask is None else additive_mask(mask, h.dtype), None, None, None)
            if i == len(ways):
                break
            found, _ = branch.forward(h, mask, subtree(p, ways[i].path), config)
            leave = uncertainty(found) <= self.speed
            logits[rows[leave]], layers[rows[leave]] = found[leave], i + 1
            rows, h, mask = rows[~leave], *_those(~leave, h, mask)
            if not len(rows):
                return logits, layers
        body, _ = bert.top(h, p["bert"], config)
        x = x._replace(attention_mask=mask)
        logits[rows] = head.module.forward(getattr(body, head.reads), *(getattr(x, field) for field in head.module.INPUTS),
                                           subtree(p, head.path), config, **head.options)[0]
        return logits, layers


def leaving(alone: Model, speed: float) -> Leaving:
    """A model of one head, with branches among its parameters, at a speed. ValueError for one outside 0…1."""
    if not 0 <= speed <= 1:
        raise ValueError(f"--speed must be from 0, where every text goes through all layers, to 1, got {speed:g}")
    branches(alone)
    return Leaving(alone.config, alone.heads, alone.terms, speed)


def _those(stay: Array, h: Array, mask: Array | None) -> tuple[Array, Array | None]:
    """States and mask of the texts that stay, without the padding that none of them needs."""
    if mask is None or not stay.any():
        return h[stay], mask
    mask = mask[stay]
    if mask.ndim == 3:
        return h[stay], mask
    width = int(get_xp(mask).flatnonzero(mask.any(0))[-1]) + 1
    mask = mask[:, :width]
    return h[stay, :width], None if mask.all() else mask
