"""What both kinds of runs, of texts and of labelled examples, make of a recipe; and what of it they refuse."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

import numpy as np

from minibert.compression import distil, early_exit, mobile, pruned, students, theseus
from minibert.compression.options import Settings
from minibert.config import BertConfig
from minibert.files import write_atomically
from minibert.model.model import Model
from minibert.parameters import Parameters
from minibert.text.tokenizer import Tokenizer
from minibert.training.checkpoint import COMPRESSION

#: A name of ``options.RECIPES`` -> a module with ``taught``, the model that an engine trains, ``layers``, which of the teacher's
#: a student begins with, and ``config_of`` where a student is of other shapes. Recipes that are not here train nothing.
MODULES = MappingProxyType({"distil": distil, "theseus": theseus, "mobile": mobile, "early-exit": early_exit,
                            "prune": pruned})


def taught(recipe: Settings, network: Model, teacher: BertConfig, steps: int) -> students.Student:
    """A student's network, with what its recipe adds. ``steps``: of the run."""
    return MODULES[recipe.recipe].taught(recipe, network, teacher, steps)


def layers_of(recipe: Settings, teacher: BertConfig) -> tuple[int, ...]:
    """Which of the teacher's layers a student begins with."""
    return MODULES[recipe.recipe].layers(recipe, teacher)


def config_of(recipe: Settings, teacher: BertConfig, layers: int) -> BertConfig:
    """The configuration of a student of so many layers."""
    if own := getattr(MODULES[recipe.recipe], "config_of", None):
        return own(recipe, teacher, layers)
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
    if dropout and (recipe.recipe == "mobile" or (recipe.recipe == "distil" and recipe.attentions)):
        what = "--attentions" if recipe.recipe == "distil" else "the recipe mobile"
        raise ValueError(f"{what} compares where heads look, and dropout makes holes there: give --dropout 0")


def write(out: Path, recipe: Settings, teacher: Parameters, of_texts: bool) -> None:
    """What resuming needs to know of the teacher."""
    write_atomically(out / COMPRESSION, json.dumps({"recipe": asdict(recipe), "teacher_sha256": sha256(teacher),
                                                    "of_texts": of_texts}, indent=2) + "\n")


def sha256(parameters: Parameters) -> str:
    """The fingerprint of a teacher: of its numbers, whatever file they come from."""
    return hashlib.sha256(np.ascontiguousarray(parameters.flat)).hexdigest()
