"""The optimisers: for each its constants by name, and the module that takes a step over the slabs.

A module of an optimiser has ``APART``, whether it tells tensors apart; ``slabs(layout)``, what it keeps from step to step, by
name; and ``apply(each, shares, p, g, kept, lr, number, constants, scale, skip)``, one step over slabs, which leaves zeros in g:

- ``shares``: the runs of the slab, dealt out. ``each(function, shares)`` calls the function with every share, side by side on a
  CPU, and gives the results in their order. What is added up over shares is added in that order, whoever came first. With
  ``told=False`` it gives none, and no rank waits for another's.
- ``number``: of the step, from 1 on. ``scale``: what the gradient is multiplied by first. ``skip``: let everything be as it is.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from minibert.numerics.adafactor import Adafactor
from minibert.numerics.adam import AdamW
from minibert.numerics.lamb import LAMB
from minibert.numerics.muon import Muon
from minibert.parameters import Layout
from minibert.training import adafactor, adamw, lamb, muon
from minibert.training.averaging import AVERAGE
from minibert.training.course import Course

OPTIMISERS: dict[str, Any] = {
    "adamw": AdamW(),
    "lamb": LAMB(),
    "lamb-albert": LAMB(bias_correction=False, ratio="weights"),
    "lamb-nvidia-tf": LAMB(ratio="all"),
    "adafactor": Adafactor(),
    "adafactor-unscaled": Adafactor(scaled=False),
    "muon": Muon(),
    "muon-original": Muon(scale="original", rest=0.015),
}
_MODULES = {AdamW: adamw, LAMB: lamb, Adafactor: adafactor, Muon: muon}


def module_of(constants: Any) -> ModuleType:
    """Whose constants these are."""
    return _MODULES[type(constants)]


def name_of(constants: Any) -> str:
    """What a state calls an optimiser; two that keep the same have one name."""
    return type(constants).__name__.lower()


def constants_of(course: Course) -> Any:
    """The constants of the optimiser that a course asks for."""
    constants = OPTIMISERS[course.optimiser]
    asked = {"beta2": course.beta2, "weight_decay": course.weight_decay,
             "bias_correction": getattr(constants, "bias_correction", False) and course.bias_correction}
    return constants._replace(**{name: value for name, value in asked.items() if name in constants._fields})


def kept_by(constants: Any, layout: Layout, ema: float | None = None) -> dict[str, Layout]:
    """The slabs that a run keeps beside weights of this layout, by name: the optimiser's, and the average for ``ema``."""
    return {**module_of(constants).slabs(layout), **({} if ema is None else {AVERAGE: layout})}
