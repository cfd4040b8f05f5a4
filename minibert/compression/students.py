"""Where a student begins: with some of its teacher's layers.

Of L layers n are taken that are spread evenly from the first to the last, number round(i·(L-1)/(n-1)): of 12 for 6 these are
0, 2, 4, 7, 9 and 11, as in DistilBERT. Embeddings and heads are the teacher's; what has another shape begins fresh.

Source: Sanh et al. 2019, "DistilBERT", arXiv:1910.01108, section 3, and its code (``extract_distilbert.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minibert.config import BertConfig
from minibert.model.model import Inputs, Model
from minibert.parameters import Layout, Parameters, grown, initialise
from minibert.pretrained import families
from minibert.training.course import Course
from minibert.training.engine import predict
from minibert.training.loop import Stage
from minibert.workers import Workers

LAYER = "bert.encoder.layer."


def spread(count: int, layers: int) -> tuple[int, ...]:
    """Which of so many ``layers`` a student of ``count`` begins with."""
    return tuple(round(i * (layers - 1) / max(1, count - 1)) for i in range(count))


def chosen(asked: str | None, layers: int) -> tuple[int, ...]:
    """What ``--layers`` says of a teacher of so many: ``3`` how many, ``0,2,4`` which ones, None half of them.

    ValueError for layers that the teacher has not.
    """
    if asked is None:
        return spread(max(1, layers // 2), layers)
    try:
        numbers = [int(part) for part in asked.split(",") if part.strip()]
    except ValueError:
        numbers = []
    if not numbers:
        raise ValueError("--layers must say how many, such as 3, or which of the teacher's from 0 on, such as 0,2,4; "
                         f"got {asked!r}")
    if "," not in asked:
        check_layers(numbers[0], layers)
        return spread(numbers[0], layers)
    check_layers(len(numbers), layers)
    if foreign := [n for n in numbers if not 0 <= n < layers]:
        raise ValueError(f"--layers: the teacher's {layers} layers count from 0 to {layers - 1}, got {foreign[0]}")
    return tuple(numbers)


def check_layers(count: int, layers: int) -> None:
    """ValueError for a student that is no smaller."""
    if not 1 <= count <= layers:
        raise ValueError(f"a student has from 1 to as many layers as its teacher, which has {layers}, got {count}: ask for fewer "
                         "with --layers")


def config_of(teacher: BertConfig, layers: int, hidden: int | None = None, heads: int | None = None,
              intermediate: int | None = None) -> BertConfig:
    """A student's configuration: the teacher's, with so many layers and, where they are given, other widths.

    ValueError for a teacher whose layers share their tensors, or are not alike.
    """
    if teacher.filter_sizes:
        raise ValueError("the teacher is made of convolutions, and has no layers of which a student could have some: take a "
                         "teacher with attention")
    if teacher.layer_map is not None:
        raise ValueError("the teacher's layers share their tensors, so that none of them can be taken alone: take a teacher "
                         "whose layers each have their own")
    if teacher.heads_of_layers or teacher.intermediate_sizes:
        raise ValueError("the teacher's layers have lost heads or rows (minibert compress prune), and those of a student are all "
                         "alike: take the teacher that it was made of")
    sizes = {"hidden_size": hidden, "num_attention_heads": heads,
             "intermediate_size": intermediate or (hidden and hidden * teacher.intermediate_size // teacher.hidden_size)}
    config = teacher.replace(num_hidden_layers=layers, **{name: size for name, size in sizes.items() if size is not None})
    families.to_json(config)
    return config


def begun(layout: Layout, teacher: Parameters, layers: Sequence[int], scale: float, seed: int) -> tuple[Parameters, list[str]]:
    """A student's parameters: the teacher's where it has them in the same shape, else fresh ones; and the names of these.

    ``layers``: of each layer of the student, which one of the teacher's it begins with.
    """
    student, there, fresh = initialise(layout, scale, seed, teacher.flat.dtype), dict(teacher.items()), []
    for name, view in student.items():
        source = name
        if name.startswith(LAYER):
            number, _, rest = name.removeprefix(LAYER).partition(".")
            source = f"{LAYER}{layers[int(number)]}.{rest}"
        if source in there and there[source].shape == view.shape:
            view[...] = there[source]
        else:
            fresh.append(name)
    return student, fresh


@dataclass(frozen=True)
class Student(Model):
    """A student's model with what its recipe adds: ``alone`` is what it is without its teacher."""

    alone: Model

    def apart(self, parameters: Parameters) -> dict[str, tuple[BertConfig, Parameters]]:
        """The student alone."""
        return {"": (self.config, taken(parameters, self.alone.layout()))}

    def begun(self, student: Parameters, teacher: Parameters, seed: int) -> Parameters:
        """The parameters that a run begins with: the student's; what only comparing needs is fresh."""
        return grown(self.layout(), dict(student.items()), self.config.initializer_range, seed, student.flat.dtype)

    def beside(self, out: Path, parameters: Parameters) -> None:
        """Write what there is to know beside the model."""

    def answers(self, network: Model, parameters: Parameters) -> Callable[[Inputs], Mapping[str, Any]] | None:
        """What an engine calls its ``teacher``; None where nobody else is asked. ``network``: the teacher's."""
        return None

    def asked_at_looks(self, network: Model, parameters: Parameters, batches: Sequence[Any],
                       workers: Workers) -> tuple[float, list]:
        """A look's loss and logits. ``network``: the student alone."""
        return predict(network, parameters, batches, workers)

    def staged(self, stages: Sequence[Stage], course: Course) -> Sequence[Stage]:
        """The stages of a run on texts: those of any run."""
        return stages


def taken(parameters: Parameters, layout: Layout) -> Parameters:
    """A copy of the tensors of a layout, out of more."""
    copy, there = Parameters(layout, parameters.flat[:layout.size].copy()), dict(parameters.items())
    for name, view in copy.items():
        view[...] = there[name]
    return copy
