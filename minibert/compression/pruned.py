"""The recipe ``prune``: what a model learns that has lost heads and rows, or learns which heads to lose.

What was taken out before stands in the teacher's folder (``prune``): the student is the teacher, and learns on.
"""

from __future__ import annotations

from dataclasses import dataclass

from minibert.compression import cutting, gated
from minibert.compression.options import Settings
from minibert.compression.students import Student
from minibert.config import BertConfig
from minibert.model.model import Model
from minibert.parameters import Parameters


@dataclass(frozen=True)
class Pruned(Student):
    """A model that learns on. ``fill``: the family that it was of, where it is to be saved with zeros in its gaps; or empty."""

    fill: str = ""

    def apart(self, parameters: Parameters) -> dict[str, tuple[BertConfig, Parameters]]:
        """See ``Model``."""
        return {"": cutting.whole_again(self.alone, parameters, self.fill) if self.fill else (self.config, parameters)}


def taught(recipe: Settings, alone: Model, teacher: BertConfig, steps: int) -> Student:
    """The model that a recipe asks for."""
    if recipe.gates:
        return gated.of(alone, recipe.price, recipe.gate_speed, recipe.fill)
    return Pruned(alone.config, alone.heads, alone.terms, alone, recipe.fill)


def layers(recipe: Settings, teacher: BertConfig) -> tuple[int, ...]:
    """All of them."""
    return tuple(range(teacher.num_hidden_layers))


def config_of(recipe: Settings, teacher: BertConfig, layers: int) -> BertConfig:
    """The teacher's."""
    return teacher
