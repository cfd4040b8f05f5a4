"""BERT-of-Theseus: layer by layer a smaller encoder takes the place of a larger one, until nothing of that is left.

The L layers of the predecessor are cut into n modules of L/n, and the successor has one layer for each::

    r_i = 1 with probability rate, else 0, for the whole micro-batch        y_i = successor_i(x_i) if r_i else predecessor_i(x_i)

The loss is that of the task alone, and only the successor's layers learn: embeddings, heads and the predecessor stay as they are
to the last bit. The rate is constant for a while and then 1, or rises in a line to 1. Where nothing is drawn, as at evaluation,
all modules are the successor's. The successor begins with the predecessor's first n layers, not with ones spread over it.

Source: Xu et al. 2020, "BERT-of-Theseus", arXiv:2002.02925, and its code (JetRunner/BERT-of-Theseus). There the gradient is
clipped by the norm over all tensors, also those that do not learn (``clip_all``); here, unless asked, over those that do.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from minibert.compression.options import Settings
from minibert.compression.students import LAYER, Student, chosen
from minibert.config import BertConfig
from minibert.layers.dropout import Key, generator
from minibert.model import bert, encoder, model
from minibert.model.model import Inputs, Model, Output
from minibert.parameters import NOTHING, Layout, Parameters, Tree, named

PREDECESSOR = "bert.encoder.predecessor."
SITE = 1022  # of the draws among the keys of a model, which has dropout at the lower ones


class Schedule(NamedTuple):
    """How likely a module is replaced, by the number of steps done."""

    rate: float = 0.3  # in the first step
    steps: int = 0  # until all are replaced
    linear: bool = True

    def at(self, step: int) -> float:
        """The rate of the step after so many."""
        if step >= self.steps:
            return 1.0
        return self.rate + (1 - self.rate) * step / self.steps if self.linear else self.rate


class Replaced(NamedTuple):
    """The layers of one forward pass: a function, as ``bert.forward`` takes it, from p and g of the encoder to its blocks."""

    draws: tuple[bool, ...]  # of each module: is it the successor's?
    successor: BertConfig
    predecessor: BertConfig

    def __call__(self, p: Tree, g: Tree) -> list[encoder.Layer]:
        new = encoder.stack(p, g, self.successor)
        old = encoder.stack(p["predecessor"], g["predecessor"], self.predecessor)
        return [layer for i, drawn in enumerate(self.draws) for layer in ([new[i]] if drawn else old[i * self.each:][:self.each])]

    @property
    def each(self) -> int:
        """Layers of the predecessor in a module."""
        return self.predecessor.num_hidden_layers // len(self.draws)

    def frozen(self, freeze: int) -> int:
        """How many blocks are below the first that learns, where the lowest ``freeze`` of the successor's do not."""
        count = 0
        for i, drawn in enumerate(self.draws):
            if drawn and i >= freeze:
                break
            count += 1 if drawn else self.each
        return count


@dataclass(frozen=True)
class Theseus(Student):
    """A successor's model, with the predecessor's layers beside its own. ValueError for numbers of layers that do not fit."""

    predecessor: BertConfig
    schedule: Schedule
    clip_all: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        mine, theirs = self.config.num_hidden_layers, self.predecessor.num_hidden_layers
        if theirs % mine:
            raise ValueError(f"each layer of the successor takes the place of as many, and {theirs} layers cannot be cut into "
                             f"{mine} equal modules: ask for a number that divides {theirs} with --layers")

    def layout(self, pooled: bool = False) -> Layout:
        """The successor's tensors, then the predecessor's layers."""
        whole = self.alone.layout(pooled)
        shapes = {name: slot.shape for name, slot in whole.slots.items()}
        return Layout(shapes | named({PREDECESSOR.rstrip("."): encoder.shapes(self.predecessor)}), whole.ties)

    def draws(self, key: Key) -> tuple[bool, ...]:
        """Which modules are replaced in the forward pass of a key."""
        numbers = generator(key.at(SITE)).random(self.config.num_hidden_layers)
        return tuple((numbers < self.schedule.at(key.step)).tolist())

    def forward(self, x: Inputs, p: Tree, *, key: Key | None = None, counts: Mapping[str, float] | None = None,
                read: Collection[str] = (), **opened: Any) -> tuple[Output, model.Cache]:
        """See ``Model``. Without a ``key`` all modules are the successor's."""
        if key is not None:
            opened = {"layers": Replaced(self.draws(key), self.config, self.predecessor), **opened}
        return super().forward(x, p, key=key, counts=counts, read=read, **opened)

    def backward(self, d: Output, cache: model.Cache, p: Tree, g: Tree, frozen: int | None = None) -> bert.Gradients:
        """See ``Model``. Unless the norm is over all, nothing below the lowest module that learns is computed."""
        layers = cache.bert.layers
        if g and not self.clip_all:
            learns = {"layer": g["bert"]["encoder"]["layer"], "predecessor": NOTHING}
            g = {head.path.partition(".")[0]: NOTHING for head in self.heads.values()}
            g |= {"bert": {"embeddings": NOTHING, "encoder": learns, "LayerNorm": NOTHING, "pooler": NOTHING}}
        if isinstance(layers, Replaced):
            frozen = None if self.clip_all else layers.frozen(frozen or 0)
        return super().backward(d, cache, p, g, frozen)

    def idle(self, present: Collection[str]) -> tuple[str, ...]:
        """See ``Model``; what does not learn rests, unless its gradients are part of the norm."""
        still = (PREDECESSOR, "bert.embeddings.", "bert.LayerNorm.", "bert.pooler.",
                 *(f"{head.path}." for head in self.heads.values()))
        return (*super().idle(present), *(() if self.clip_all else still))

    def rate(self, name: str, present: Collection[str]) -> float:
        """See ``Model``."""
        return float(name.startswith(LAYER))

    @property
    def bodies(self) -> tuple[BertConfig, ...]:
        """Of both."""
        return self.config, self.predecessor

    def begun(self, student: Parameters, teacher: Parameters, seed: int) -> Parameters:
        """Both encoders, see the function of this name."""
        return begun(self, teacher)


def taught(recipe: Settings, alone: Model, teacher: BertConfig, steps: int) -> Theseus:
    """The model that a recipe asks for. ``steps``: of the run."""
    schedule = Schedule(recipe.replace_rate, round(recipe.replaced_after * steps), recipe.replacing == "linear")
    return of(alone, teacher, schedule, recipe.clip_all)


def layers(recipe: Settings, teacher: BertConfig) -> tuple[int, ...]:
    """Which of the predecessor's layers the successor begins with: the first ones."""
    found = chosen(recipe.layers, teacher.num_hidden_layers)
    first = tuple(range(len(found)))
    if recipe.layers and "," in recipe.layers and found != first:
        raise ValueError(f"--layers: theseus begins with the teacher's first layers; say only how many, such as {len(found)}")
    return first


def of(alone: Model, predecessor: BertConfig, schedule: Schedule, clip_all: bool = False) -> Theseus:
    """The model of a successor that takes a predecessor's place. ``alone``: the successor's own."""
    return Theseus(alone.config, alone.heads, alone.terms, alone, predecessor, schedule, clip_all)


def begun(whole: Theseus, predecessor: Parameters) -> Parameters:
    """Both encoders with the predecessor's weights: the successor has its first layers, and its embeddings and heads."""
    parameters, there = Parameters.zeros(whole.layout(), dtype=predecessor.flat.dtype), dict(predecessor.items())
    for name, view in parameters.items():
        name = name.replace(PREDECESSOR, "bert.encoder.")
        if name not in there:
            raise ValueError(f"the teacher has no {name}, and in theseus only layers learn: leave out what asks for it")
        view[...] = there[name]
    return parameters
