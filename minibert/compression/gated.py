"""Gates that learn which heads can go: the loss has a price for each head that is open.

::

    loss = that of the task + price·Σ_h P(g_h > 0)        g_h: a hard concrete gate, times what head h gives

One gate a head is drawn for each micro-batch, and P(g > 0) is its closed form (``layers.hard_concrete``), so that the penalty is
exact and has a slope. The model's weights learn on, unless they are frozen, beside the gates, whose learning rate is ``speed``
times as high. Without a key, as at evaluation, each gate is 0 or 1, whichever is likelier: what is measured is what will be left.
The other reading of a gate at evaluation, σ(a)·(hi − lo) + lo with a not divided by the temperature, is that of Voita's code; it
leaves numbers between 0 and 1, by which no head can be removed. A layer whose gates are all closed keeps the likeliest one.

Source: Voita et al. 2019, "Analyzing Multi-Head Self-Attention", arXiv:1905.09418, section 5; code lena-voita/the-story-of-heads,
where the penalty of a layer is averaged over the L layers: a price there is L times the one here.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from minibert.backend import Array, get_xp, to_numpy
from minibert.compression import cutting, record
from minibert.compression.cutting import Kept
from minibert.compression.students import Student
from minibert.config import BertConfig
from minibert.files import write_atomically
from minibert.layers import hard_concrete
from minibert.layers.dropout import Key, generator
from minibert.model import bert, model
from minibert.model.model import Inputs, Model, Output, Term
from minibert.parameters import Layout, Parameters, Tree
from minibert.training.engine import predict
from minibert.workers import Workers

GATES = "gates.bias"  # (L, A), the a of hard_concrete
START, SITE, EDGE = 2.0, 1021, 1e-6


@dataclass(frozen=True)
class Gated(Student):
    """A model with a gate for each of its heads. ``price``: nats for a head that is open; ``fill``: see ``pruned``."""

    price: float = 0.01
    speed: float = 1000.0
    fill: str = ""

    def layout(self, pooled: bool = False) -> Layout:
        """The model's tensors, and the gates."""
        whole = self.alone.layout(pooled)
        gates = (self.config.num_hidden_layers, self.config.num_attention_heads)
        return Layout({**{name: slot.shape for name, slot in whole.slots.items()}, GATES: gates}, whole.ties)

    def begun(self, student: Parameters, teacher: Parameters, seed: int) -> Parameters:
        """See ``Student``. All gates are open."""
        parameters = super().begun(student, teacher, seed)
        parameters["gates"]["bias"][...] = START
        return parameters

    def forward(self, x: Inputs, p: Tree, *, key: Key | None = None, counts: Mapping[str, float] | None = None,
                read: Collection[str] = (), **opened: Any) -> tuple[Output, model.Cache]:
        """See ``Model``."""
        a, count = p["gates"]["bias"], counts["open"] if counts else 1
        u = None if key is None else drawn(key, a)
        (gates, density), gates_cache = hard_concrete.forward(a, u)
        if u is None:
            gates = get_xp(a).asarray(decided(to_numpy(a.real)), dtype=a.dtype)
        out, cache = super().forward(x, p, key=key, counts=counts, read=read, head_mask=gates, **opened)
        if out.loss is not None:
            penalty = density.sum() / count
            out = out._replace(loss=out.loss + self.price * penalty, losses={**out.losses, "open": penalty})
        return out, cache._replace(heads={**cache.heads, "gates": (gates_cache, count)})

    def backward(self, d: Output, cache: model.Cache, p: Tree, g: Tree, frozen: int | None = None) -> bert.Gradients:
        """See ``Model``."""
        gates_cache, count = cache.heads["gates"]
        found = super().backward(d, cache, p, g, frozen)
        if g:
            dopen = ((0.0 if d.loss is None else self.price * d.loss) + d.losses.get("open", 0.0)) / count
            g["gates"]["bias"] += hard_concrete.backward(found.head_mask, gates_cache, dopen)
        return found

    def asked_at_looks(self, network: Model, parameters: Parameters, batches: Sequence[Any],
                       workers: Workers) -> tuple[float, list]:
        """See ``Student``; while there are gates, they are asked as well."""
        return predict(self if "gates" in parameters.tree else network, parameters, batches, workers)

    def rate(self, name: str, present: Collection[str]) -> float:
        """See ``Model``."""
        return self.speed if name == GATES else 1.0

    def apart(self, parameters: Parameters) -> dict[str, tuple[BertConfig, Parameters]]:
        """The model without the heads whose gates are closed."""
        kept = kept_of(self.config, to_numpy(parameters["gates"]["bias"]))
        left = replace(self.alone, config=cutting.config_of(self.config, kept))
        small = cutting.cut(left, parameters, self.config, kept)
        return {"": cutting.whole_again(left, small, self.fill) if self.fill else (left.config, small)}

    def beside(self, out: Path, parameters: Parameters) -> None:
        """Which heads are left, and how likely each gate is to be open, closed or between."""
        a = to_numpy(parameters["gates"]["bias"])
        kept = cutting.config_of(self.config, kept_of(self.config, a))
        write_atomically(out / record.FILE, json.dumps({
            "by": "gates", "price": self.price, "model_type": self.fill or self.config.model_type,
            "layers": list(range(len(a))), "rows": None, "a": a.tolist(),
            "heads": {"kept": [list(kept.heads_of(i)) for i in range(len(a))],
                      "importance": hard_concrete.forward(a)[0][1].tolist()}}) + "\n")


def of(alone: Model, price: float, speed: float, fill: str = "") -> Gated:
    """The model that learns which heads it needs. ``alone``: without gates."""
    count = Term("open", "last_hidden_state", hard_concrete, price, counted=lambda batch: 1)  # once a step
    return Gated(alone.config, alone.heads, (*alone.terms, count), alone, price, speed, fill)


def drawn(key: Key, a: Array) -> Array:
    """``(L, A)`` numbers from 0 to 1, one for each gate, of a micro-batch."""
    return get_xp(a).asarray(generator(key.at(SITE)).uniform(EDGE, 1 - EDGE, a.shape), dtype=a.real.dtype)


def decided(a: np.ndarray) -> np.ndarray:
    """``(L, A)`` 0 or 1: which gates are open. In each layer at least the likeliest is."""
    opened = hard_concrete.decided(a)
    opened[np.arange(len(a)), a.argmax(1)] = 1
    return opened


def kept_of(config: BertConfig, a: np.ndarray) -> Kept:
    """What the gates leave."""
    opened, whole = decided(a), cutting.whole(config)
    own = [[k for k, head in enumerate(config.heads_of(i)) if opened[i, head]] or [0] for i in whole.layers]
    return whole._replace(heads=tuple(map(tuple, own)))
