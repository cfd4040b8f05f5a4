"""Knowledge transfer of MobileBERT: a thin student learns layer by layer what its teacher's layers make of a text, then to guess.

::

    transfer, layer l alone:   loss = 1/L·(100·error of x̂ + 5000·(Δμ)² + 5·|Δv|)      of the states after it, see ``feature_map``
                                    + 1/L·KL(teacher‖student)                          of where its heads look
    then all:                  loss = ½·KL(teacher‖student) + ½·cross-entropy + that of pairs          of the hidden words

Each layer has an equal part of the first steps, a ``Stage``. In it the layer learns at three times the rate, those below at 0.3
times, those above not at all, and neither do embeddings and heads, which begin as the teacher's; nothing above the layer is
computed. The rate rises over a tenth of each part and falls to nine tenths of its peak (``plateau``), and Adam counts anew.

The student has the teacher's width and its heads, so that states and attention are compared as they are. Inside, its blocks are a
quarter as wide, with four feed-forward layers and no norms. In the paper the teacher is IB-BERT, whose blocks are twice as wide
inside (``minibert train --family mobilebert --inverted``; transformers cannot open it). Any other that guesses words will do.
State i of n layers is compared with state ⌊i·L/n⌉ of L.

Source: Sun et al. 2020, "MobileBERT", arXiv:2004.02984, sections 3.3 to 3.5, and its code (google-research ``mobilebert``), which
has a third of its steps for the transfer and trains with LAMB. Its losses are cross-entropies, which differ from divergences by
what has no slope; states and attention count padding there, and of means and variances see ``feature_map``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minibert.compression import distil, students
from minibert.compression.options import Settings
from minibert.compression.students import LAYER, Student
from minibert.config import BertConfig
from minibert.layers import feature_map, kl_divergence
from minibert.layers.dropout import Key
from minibert.model import bert, encoder, model
from minibert.model.model import Inputs, Model, Output, Term
from minibert.parameters import Parameters, Tree
from minibert.pretrained import families
from minibert.tasks.batches import Batch
from minibert.training.course import Course
from minibert.training.loop import Stage, Task

FASTER, SLOWER = 3.0, 0.3  # rates of a layer in its own part, and after it
SOFT = 0.5  # of the loss at the hidden words; the rest is what stands there


@dataclass(frozen=True)
class Transferred(Student):
    """A student's model with terms for each of its layers: ``asked`` is what each term reads of the teacher."""

    asked: Mapping[str, str]
    share: float  # of the steps, for the transfer

    def learning(self, names: Collection[str]) -> int | None:
        """Which layer learns, where these terms are; None where all do."""
        if any(term.name in names for term in self.alone.terms):
            return None
        return next((i for i in range(self.config.num_hidden_layers) if f"feature_map_{i}" in names), None)

    def forward(self, x: Inputs, p: Tree, *, key: Key | None = None, counts: Mapping[str, float] | None = None,
                read: Collection[str] = (), **opened: Any) -> tuple[Output, model.Cache]:
        """See ``Model``. Nothing above the layer that learns is computed."""
        if (top := self.learning(x.targets)) is not None:
            opened = {"layers": lambda p, g: encoder.stack(p, g, self.config)[:top + 1], **opened}
        return super().forward(x, p, key=key, counts=counts, read=read, **opened)

    def backward(self, d: Output, cache: model.Cache, p: Tree, g: Tree, frozen: int | None = None) -> bert.Gradients:
        """See ``Model``. The embeddings learn with the heads."""
        return super().backward(d, cache, p, g, 0 if g and self.learning(cache.terms) is not None else frozen)

    def idle(self, present: Collection[str]) -> tuple[str, ...]:
        """See ``Model``."""
        return (*super().idle(present), *(() if self.learning(present) is None else ("bert.embeddings.",)))

    def rate(self, name: str, present: Collection[str]) -> float:
        """See ``Model``."""
        if (top := self.learning(present)) is None:
            return 1.0
        return FASTER if name.startswith(f"{LAYER}{top}.") else SLOWER

    def answers(self, network: Model, parameters: Parameters) -> Callable[[Inputs], Mapping[str, Any]]:
        """See ``Student``. In each part only what it compares is computed."""
        parts = {None: ["soft"], **{i: _terms(i) for i in range(self.config.num_hidden_layers)}}
        teachers = {part: distil.answers(network, parameters, {name: self.asked[name] for name in names})
                    for part, names in parts.items()}
        return lambda x: teachers[self.learning(x.targets)](x)

    def staged(self, stages: Sequence[Stage], course: Course) -> list[Stage]:
        """A stage for each layer, on what the last stage of the run reads, and then the run's."""
        own = replace(course, schedule="plateau", power=1.0, warmup=0.1)
        count, read = self.config.num_hidden_layers, stages[-1]
        first = [Stage([_of_layer(task, i) for task in read.tasks], self.share / count, read.weights, own) for i in range(count)]
        return first + [stage._replace(share=stage.share * (1 - self.share), course=stage.course or course)
                        for stage in stages if stage.share and self.share < 1]


def _of_layer(task: Task, layer: int) -> Task:
    """The task, asked for nothing but what this layer makes of a text."""
    targets = {name: np.empty(0) for name in _terms(layer)}  # the teacher says what they are
    return task._replace(cut=lambda examples: [batch._replace(targets=targets) for batch in task.cut(examples)])


def _terms(layer: int) -> tuple[str, str]:
    return f"feature_map_{layer}", f"attention_{layer}"


def of(alone: Model, teacher: BertConfig, share: float) -> Transferred:
    """The model of a student that is taught so. ``alone``: the student's own. ValueError where nothing can be compared."""
    config, [first, *others] = alone.config, alone.terms
    for key, option in (("hidden_size", "states"), ("num_attention_heads", "heads")):
        if getattr(config, key) != getattr(teacher, key):
            raise ValueError(f"--student: {option} are compared as they are, so {key} must be {getattr(teacher, key)}, as the "
                             f"teacher's, got {getattr(config, key)}: take another student, or leave --student out")
    distil.check_heads(config, teacher, "take others")
    L, A = config.num_hidden_layers, config.num_attention_heads
    terms, asked = [first._replace(weight=1 - SOFT), *others], {"soft": first.reads}
    terms.append(Term("soft", first.reads, kl_divergence, SOFT, counted=_counted(distil.rows, first.name)))
    for i in range(L):
        state = distil.matching(L, teacher.num_hidden_layers, i + 1)
        states, attention = _terms(i)
        terms.append(Term(states, f"hidden_states.{i + 1}", feature_map, 1 / L,
                          counted=_counted(lambda batch: batch.tokens, states)))
        terms.append(Term(attention, f"attentions.{i}", kl_divergence, 1 / L, {"logits": "none"},
                          _counted(lambda batch: batch.tokens * A, attention)))
        asked |= {states: f"hidden_states.{state}", attention: f"attentions.{state - 1}"}
    return Transferred(config, alone.heads, terms, alone, asked, share)


def _counted(count: Callable[[Batch], float], beside: str) -> Callable[[Batch], float]:
    """The count of a term whose target is the teacher's: where a batch has the target ``beside``."""
    return lambda batch: count(batch) if beside in batch.targets else 0


def taught(recipe: Settings, alone: Model, teacher: BertConfig, steps: int) -> Transferred:
    """The model that a recipe asks for."""
    return of(alone, teacher, recipe.transfer)


def layers(recipe: Settings, teacher: BertConfig) -> tuple[int, ...]:
    """As many as the teacher has, unless told otherwise."""
    return students.chosen(recipe.layers or str(teacher.num_hidden_layers), teacher.num_hidden_layers)


def config_of(recipe: Settings, teacher: BertConfig, layers: int) -> BertConfig:
    """A student of so many layers: the teacher's embeddings and heads, and the blocks of MobileBERT.

    It is one of MobileBERT's family where a file of that can say it, else one with keys of our own.
    """
    H = teacher.hidden_size
    config = students.config_of(teacher, layers).replace(
        norm_first=False, norm="no_norm", bottleneck_size=H // 4, intermediate_size=H, ffn_count=4, attention_reads="shared",
        hidden_act="relu", unknown={})
    for kind in ("mobilebert", "minibert"):
        found = config.replace(model_type=kind)
        try:
            families.to_json(found)
            return found
        except ValueError as error:
            refused = error
    raise refused
