"""A student of a teacher that guesses masked words: it learns from texts, as ``minibert train`` does."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minibert.compression import distil, recipes, students
from minibert.compression.options import Settings, of_texts
from minibert.config import BertConfig
from minibert.model import pretraining
from minibert.model.model import Model
from minibert.parameters import Parameters
from minibert.pretrained import folder
from minibert.pretrained.folder import Loaded
from minibert.text.vocabulary import SPECIAL
from minibert.training import checkpoint, command, prepared
from minibert.training.command import Way
from minibert.training.objectives import fitting, model_of
from minibert.training.options import DEFAULT_STEPS
from minibert.training.options import Settings as Course
from minibert.training.runs import clear, new_folder
from minibert.training.start import Start

STATE = checkpoint.FILE  # there is a run to go on with


def begin(args: argparse.Namespace, recipe: Settings, out: Path | None = None) -> int:
    """A run in a folder of its own, by default a new one."""
    teacher = teacher_of(recipe)
    settings = of_texts(args, teacher.max_length)
    recipes.check_dropout(recipe, settings.dropout)
    config, parameters, notes = _student(recipe, teacher, settings)
    if settings.max_length > (longest := min(teacher.max_length, config.max_tokens)):
        raise ValueError(f"--max-length is {settings.max_length}, but teacher and student read at most {longest} tokens: ask for "
                         "no more")
    settings, way = fitting(config, settings), way_of(recipe, teacher)
    settings = prepared.settled(settings, config, args)
    whole = way.model(config, settings)
    parameters = whole.begun(parameters, teacher.parameters, settings.seed)
    out = out or new_folder(args.out, checkpoint.FILE)
    try:
        recipes.write(out, recipe, teacher.parameters, of_texts=True)
        return command.begin(args, settings, Start(config, teacher.tokenizer, parameters, notes), out, way)
    except BaseException:
        clear(out)
        raise


def resume(args: argparse.Namespace, out: Path, recipe: Settings, teacher: Loaded) -> int:
    """Go on with a run."""
    return command.resume(out, args, way_of(recipe, teacher))


def teacher_of(recipe: Settings) -> Loaded:
    """The teacher; ValueError for one that does not guess words."""
    teacher = folder.load(recipe.teacher, layout=pretraining.layout, weights=recipe.weights)
    if "mlm" not in teacher.config.objectives or any(name.startswith("cls.predictions.") for name in teacher.initialised):
        raise ValueError(f"--teacher: the model in {recipe.teacher} has no head that guesses masked words: take one that has, or "
                         "name the examples that it was fine-tuned on with --train FILE")
    teacher.tokenizer.vocab.require("training", *SPECIAL)
    return teacher


def way_of(recipe: Settings, teacher: Loaded) -> Way:
    """What a run trains in the place of a model alone."""
    def model(config: BertConfig, settings: Course) -> Model:
        return recipes.taught(recipe, model_of(config, settings), teacher.config, settings.steps or DEFAULT_STEPS)

    def answers(whole: students.Student, xp: Any) -> Callable | None:
        return whole.answers(pretraining.of(teacher.config), teacher.parameters.to(xp))

    def beside(out: Path, whole: students.Student, parameters: Parameters) -> None:
        whole.beside(out, parameters)

    way = Way("compress", model, answers, staged=lambda whole, stages, settings: whole.staged(stages, settings), beside=beside)
    everywhere = recipe.recipe == "distil" and recipe.soft and not recipe.masked_only
    return way._replace(asked=distil.everywhere) if everywhere else way


def _student(recipe: Settings, teacher: Loaded, settings: Course) -> tuple[BertConfig, Parameters, list[str]]:
    dropout = {"hidden_dropout_prob": settings.dropout, "attention_probs_dropout_prob": settings.dropout}
    if recipe.student:
        student = folder.load(recipe.student, layout=pretraining.layout)
        recipes.check_student(recipe, student.config, student.tokenizer, teacher.config, teacher.tokenizer)
        return student.config.replace(**dropout), student.parameters, [f"the student is in {recipe.student}", *student.notes]
    layers = recipes.layers_of(recipe, teacher.config)
    config = recipes.config_of(recipe, teacher.config, len(layers)).replace(**dropout)
    parameters, fresh = students.begun(pretraining.layout(config), teacher.parameters, layers, config.initializer_range,
                                       settings.seed)
    return config, parameters, [recipes.said(recipe, layers, fresh, parameters)]
