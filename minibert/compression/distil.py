"""Distillation: a student learns from what a teacher makes of the same text, beside what the text itself says.

::

    loss = soft·T²·KL(teacher‖student)         of the softened answers, at every token or at the masked ones
         + hard·cross-entropy                  of the words that are hidden, or of the labels
         + cosine·(1 - cos)                    of the last hidden states
         + states·squared error                of hidden states, layer by layer
         + attentions·KL(teacher‖student)      of where the heads look, layer by layer; or the squared error

Each is a mean over tokens. The teacher reads what the student reads, with the same words hidden, and drops nothing. State i of a
student of n layers is compared with state ⌊i·L/n⌉ of a teacher of L. Where the student is narrower, each of its states goes
through a linear layer first, which is thrown away in the end.

Source: Sanh et al. 2019, "DistilBERT", arXiv:1910.01108, and its code (``distiller.py``), whose README has the weights 5, 2, 1
and T = 2 for one GPU; hidden states and attention as in Jiao et al. 2019, "TinyBERT", arXiv:1909.10351.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from minibert.backend import Array
from minibert.compression.options import PARTS, Settings
from minibert.compression.students import Student, chosen
from minibert.config import BertConfig
from minibert.layers import cosine_distance, kl_divergence, token_error
from minibert.layers.cross_entropy import IGNORE
from minibert.model import encoder
from minibert.model.heads import projection
from minibert.model.model import Head, Inputs, Model, Term, layers_below
from minibert.parameters import NOTHING, Parameters
from minibert.tasks.batches import Batch

ATTENTION_LOSSES = MappingProxyType({"kl": (kl_divergence, {"logits": "none"}), "mse": (token_error, {})})  # and options


class Weights(NamedTuple):
    """What each part of the loss counts; 0: it is left out."""

    soft: float = 5.0
    hard: float = 2.0
    cosine: float = 1.0
    states: float = 0.0
    attentions: float = 0.0


DEFAULT = Weights()


@dataclass(frozen=True)
class Distilled(Student):
    """A student's model with more terms: ``alone`` is what it is without its teacher, ``asked`` what each term reads of that."""

    asked: Mapping[str, str]

    def answers(self, network: Model, parameters: Parameters) -> Callable[[Inputs], Mapping[str, Any]]:
        """See ``Student``."""
        return answers(network, parameters, self.asked)


def taught(recipe: Settings, alone: Model, teacher: BertConfig, steps: int) -> Distilled:
    """The model that a recipe asks for."""
    weights = Weights(*(getattr(recipe, name) for name in PARTS))
    return of(alone, teacher, weights, temperature=recipe.temperature, attention_loss=recipe.attention_loss)


def layers(recipe: Settings, teacher: BertConfig) -> tuple[int, ...]:
    """Which of the teacher's layers a student begins with: spread evenly, or as was said."""
    return chosen(recipe.layers, teacher.num_hidden_layers)


def of(alone: Model, teacher: BertConfig, weights: Weights = DEFAULT, *, temperature: float = 2.0,
       attention_loss: str = "kl") -> Distilled:
    """The model of a student that is taught: ``alone`` and a teacher of this configuration have the head of the same name.

    ValueError where their heads cannot be compared.
    """
    config, [first, *others] = alone.config, alone.terms
    terms, heads = [first._replace(weight=weights.hard), *others], dict(alone.heads)
    asked: dict[str, str] = {}

    def add(name: str, reads: str, of_teacher: str, loss: Any, weight: float, counted: Callable[[Batch], float], **options: Any):
        if weight:
            asked[name] = of_teacher
            terms.append(Term(name, reads, loss, weight, options, counted))

    def state(reads: str) -> str:
        """The state, or a head that makes it as wide as the teacher's."""
        if config.hidden_size == teacher.hidden_size:
            return reads
        name = f"projection.{reads}"
        heads[name] = Head(projection, teacher.hidden_size, reads, name)
        return name

    add("soft", first.reads, first.reads, kl_divergence, weights.soft, rows, temperature=temperature)
    if weights.cosine:
        last = "last_hidden_state"
        add("cosine", state(last), last, cosine_distance, weights.cosine, lambda batch: batch.tokens)
    layers, below = config.num_hidden_layers, partial(matching, config.num_hidden_layers, teacher.num_hidden_layers)
    if weights.states:
        for i in range(layers + 1):
            add(f"state_{i}", state(f"hidden_states.{i}"), f"hidden_states.{below(i)}", token_error,
                weights.states / (layers + 1), lambda batch: batch.tokens * teacher.hidden_size)
    if weights.attentions:
        if config.num_attention_heads != teacher.num_attention_heads:
            raise ValueError(f"attention is compared head by head, and the teacher has {teacher.num_attention_heads} heads, the "
                             f"student {config.num_attention_heads}: give --heads {teacher.num_attention_heads}, or leave "
                             "--attentions out")
        check_heads(config, teacher, "leave --attentions out")
        loss, options = ATTENTION_LOSSES[attention_loss]
        pairs = _pairs if loss is token_error else lambda batch: batch.tokens
        for i in range(layers):
            add(f"attention_{i}", f"attentions.{i}", f"attentions.{below(i + 1) - 1}", loss, weights.attentions / layers,
                lambda batch: pairs(batch) * config.num_attention_heads, **options)
    return Distilled(config, heads, terms, alone, asked)


def check_heads(student: BertConfig, teacher: BertConfig, instead: str) -> None:
    """ValueError where attention cannot be compared, for some heads are gone."""
    if student.heads_of_layers or teacher.heads_of_layers:
        raise ValueError("attention is compared head by head, and some heads are gone from the teacher or the student: "
                         f"{instead}")


def matching(layers: int, of_teacher: int, state: int) -> int:
    """The teacher's state that a student's is compared with: the first with the first, the last with the last."""
    return round(state * of_teacher / layers)


def answers(model: Model, parameters: Parameters, asked: Mapping[str, str]) -> Callable[[Inputs], dict[str, Any]]:
    """What an engine calls its ``teacher``: from a micro-batch to the targets of the terms that are ``asked``.

    ``model``: the teacher's, with the heads that are read. Nothing is dropped, and no gradient comes here.
    """
    wanted = {name: head for name, head in model.heads.items() if name in asked.values()}
    model = Model(model.config, wanted, ())
    looks = any(reads.startswith("attentions") for reads in asked.values())
    whole = wanted or {"last_hidden_state", "pooled"} & {*asked.values()}
    top = None if whole else max(map(layers_below, asked.values()), default=0)  # nobody reads what is above

    def teacher(x: Inputs) -> dict[str, Any]:
        layers = encoder.forgetful(encoder.stack(parameters["bert"]["encoder"], NOTHING, model.config)[:top], looks)
        out, _ = model.forward(x._replace(targets={}), parameters.tree, layers=layers, maps=looks)
        real = None if x.attention_mask is None else _tokens(x.attention_mask)[:, :, None]  # (B, T, 1)
        shaped = {"attentions": None if real is None else real[:, None]}  # (B, 1, T, 1)
        found = {}
        for name, reads in asked.items():
            y = model.read(out, reads)
            found[name] = y if reads in wanted else (y, shaped.get(reads.partition(".")[0], real))
        return found

    return teacher


def everywhere(batch: Batch) -> Batch:
    """The batch with all its tokens asked for, where only some were; the word behind the others is no target."""
    if batch.positions is None or "mlm" not in batch.targets:
        return batch
    words = np.full(batch.ids.size, IGNORE)
    words[batch.positions] = batch.targets["mlm"]
    real = np.arange(batch.ids.size) if batch.attention_mask is None else np.flatnonzero(_tokens(batch.attention_mask))
    return batch._replace(positions=real, targets={**batch.targets, "mlm": words[real]})


def rows(batch: Batch) -> int:
    """Rows of logits: of the tokens that are asked for, or of texts."""
    return len(batch.ids) if batch.positions is None else len(batch.positions)


def _pairs(batch: Batch) -> int:
    """Pairs of tokens that see one another."""
    mask = batch.attention_mask
    if mask is None:
        return batch.ids.size * batch.ids.shape[1]
    return int(mask.sum() if mask.ndim == 3 else (mask.sum(1) ** 2).sum())


def _tokens(mask: Array) -> Array:
    """Which tokens are real ``(B, T)``, by a mask of tokens or one of pairs of them, where each sees itself."""
    return mask if mask.ndim == 2 else mask.diagonal(axis1=1, axis2=2)
