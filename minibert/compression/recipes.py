"""What both kinds of runs, of texts and of labelled examples, make of a recipe; and what of it they refuse."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from minibert.compression import distil, students, theseus
from minibert.compression.options import PARTS, Settings
from minibert.config import BertConfig
from minibert.files import write_atomically
from minibert.model.model import Model
from minibert.parameters import Parameters, grown
from minibert.text.tokenizer import Tokenizer
from minibert.training.checkpoint import COMPRESSION


def taught(recipe: Settings, network: Model, teacher: BertConfig, steps: int) -> Model:
    """A student's network, with what its recipe adds. ``steps``: of the run."""
    if recipe.recipe == "distil":
        weights = distil.Weights(*(getattr(recipe, name) for name in PARTS))
        return distil.of(network, teacher, weights, temperature=recipe.temperature, attention_loss=recipe.attention_loss)
    schedule = theseus.Schedule(recipe.replace_rate, round(recipe.replaced_after * steps), recipe.replacing == "linear")
    return theseus.of(network, teacher, schedule, recipe.clip_all)


def answers(whole: Model, network: Model, parameters: Parameters, xp: Any) -> Callable | None:
    """What a teacher is asked in each micro-batch; None where its layers are part of the model."""
    return distil.answers(network, parameters.to(xp), whole.asked) if isinstance(whole, distil.Distilled) else None


def begun(whole: Model, student: Parameters, teacher: Parameters, seed: int) -> Parameters:
    """The parameters that a run begins with: the student's, or both encoders; what only comparing needs is fresh."""
    if isinstance(whole, theseus.Theseus):
        return theseus.begun(whole, teacher)
    return grown(whole.layout(), dict(student.items()), whole.config.initializer_range, seed, student.flat.dtype)


def layers_of(recipe: Settings, teacher: BertConfig) -> tuple[int, ...]:
    """Which of the teacher's layers a student begins with: spread evenly, of theseus the first ones."""
    layers = students.chosen(recipe.layers, teacher.num_hidden_layers)
    if recipe.recipe == "distil":
        return layers
    first = tuple(range(len(layers)))
    if recipe.layers and "," in recipe.layers and layers != first:
        raise ValueError(f"--layers: theseus begins with the teacher's first layers; say only how many, such as {len(layers)}")
    return first


def config_of(recipe: Settings, teacher: BertConfig, layers: int) -> BertConfig:
    """The configuration of a student of so many layers."""
    return students.config_of(teacher, layers, recipe.hidden, recipe.heads, recipe.intermediate)


def said(recipe: Settings, layers: Sequence[int], fresh: Sequence[str], parameters: Parameters) -> str:
    """How a student begins, in words."""
    text = (f"the teacher is in {recipe.teacher}; the student's layers begin with its {', '.join(map(str, layers))}, counted "
            "from 0")
    return text + (f"; {len(fresh)} of {len(parameters.layout.slots)} tensors begin fresh: the teacher's have another shape"
                   if fresh else "")


def check_student(recipe: Settings, config: BertConfig, tokenizer: Tokenizer, teacher: BertConfig,
                  of_teacher: Tokenizer) -> None:
    """ValueError for a student that cannot learn from its teacher."""
    if tokenizer.vocab.tokens != of_teacher.vocab.tokens or config.vocab_size != teacher.vocab_size:
        raise ValueError(f"--student: the vocabulary of the model in {recipe.student} ({len(tokenizer.vocab):,} tokens) is not "
                         f"that of its teacher ({len(of_teacher.vocab):,}), so that their answers cannot be compared: take a "
                         "student with the same one")
    if config.num_hidden_layers > teacher.num_hidden_layers:
        raise ValueError(f"--student: the model in {recipe.student} has {config.num_hidden_layers} layers, and its teacher "
                         f"{teacher.num_hidden_layers}: take one that has no more")


def check_dropout(recipe: Settings, dropout: float) -> None:
    """ValueError where attention is compared that has holes."""
    if recipe.recipe == "distil" and recipe.attentions and dropout:
        raise ValueError("--attentions compares where heads look, and dropout makes holes there: give --dropout 0")


def write(out: Path, recipe: Settings, teacher: Parameters, of_texts: bool) -> None:
    """What resuming needs to know of the teacher."""
    write_atomically(out / COMPRESSION, json.dumps({"recipe": asdict(recipe), "teacher_sha256": sha256(teacher),
                                                    "of_texts": of_texts}, indent=2) + "\n")


def sha256(parameters: Parameters) -> str:
    """The fingerprint of a teacher: of its numbers, whatever file they come from."""
    return hashlib.sha256(np.ascontiguousarray(parameters.flat)).hexdigest()
