"""A student of a teacher that was fine-tuned: it learns from labelled examples, as ``minibert finetune`` does."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from minibert.compression import recipes, students
from minibert.compression.options import EXAMPLES, UNLABELLED, Settings, of_labelled
from minibert.finetuning import command, saved
from minibert.finetuning.command import Way
from minibert.finetuning.material import Materials, read_all
from minibert.finetuning.options import DEFAULTS
from minibert.finetuning.options import Settings as Course
from minibert.model.model import Model
from minibert.parameters import Parameters
from minibert.tasks.labelled import name_of
from minibert.tasks.labelled.common import Data, with_labels
from minibert.tasks.labelled.features import micro_batches
from minibert.training.engine import predict, tokens_at_a_time
from minibert.training.runs import Taught, new_folder
from minibert.workers import Workers

STATE = command.SETTINGS  # there is a run to go on with
OTHERS = ("text", "pair", "label", "header", "weights", "heads")  # of the teacher's examples, and of the folder it began with


def begin(args: argparse.Namespace, recipe: Settings, out: Path | None = None) -> int:
    """A run in a folder of its own, by default a new one."""
    if recipe.masked_only:
        raise ValueError("--masked-only: only for texts, and --train names labelled examples; leave it out")
    teacher = teacher_of(recipe)
    settings = settings_of(args, recipe, teacher)
    recipes.check_dropout(recipe, settings.dropout)
    way = way_of(recipe, teacher)
    materials = way.read(settings)
    out = out or new_folder(args.out, command.SETTINGS)
    try:
        recipes.write(out, recipe, teacher.parameters, of_texts=False)
        return command.begin(out, settings, materials, args, way)
    except BaseException:
        command.forget(out)
        raise


def resume(args: argparse.Namespace, out: Path, recipe: Settings, teacher: saved.Model) -> int:
    """Go on with a run."""
    return command.resume(out, args, way_of(recipe, teacher))


def settings_of(args: argparse.Namespace, recipe: Settings, teacher: saved.Model) -> Course:
    """Those of a run: what the teacher's were, unless the arguments say otherwise."""
    told = {name: value for name, value in asdict(teacher.settings).items()
            if name == "task" or (value != getattr(DEFAULTS, name) and name not in OTHERS)}
    return of_labelled(args, **{**told, **EXAMPLES.get(recipe.recipe, {}), "model": recipe.teacher})


def teacher_of(recipe: Settings) -> saved.Model:
    """The teacher; ValueError for one without a head for a task, or one that the recipe cannot ask."""
    teacher = saved.load(recipe.teacher, weights=recipe.weights)
    if recipe.recipe == "distil" and recipe.soft and teacher.task.KIND != "sequence":
        raise ValueError("--soft: answers are softened where each text has one of several classes, and the teacher's task is "
                         f"{name_of(teacher.task)}: give --soft 0")
    if recipe.recipe == "early-exit" and teacher.task.KIND != "sequence":
        raise ValueError("a text leaves early where it is clear which of several classes it has, and the teacher's task is "
                         f"{name_of(teacher.task)}: take a model that classifies")
    return teacher


def answered(teacher: saved.Model, task: ModuleType, data: Data) -> Data:
    """The examples that have labels; where none has one, all of them with what the teacher says in its place."""
    if any(example.label is not None for example in data.examples):
        return with_labels(task, data)
    features, _ = task.encode(data.examples, teacher.tokenizer, teacher.labels, teacher.settings)
    with Workers() as workers:
        batches = micro_batches(features, tokens_at_a_time(np), pad_id=teacher.tokenizer.vocab.pad_id)
        _, logits = predict(teacher.network(), teacher.parameters, batches, workers)
    guesses = task.guess(logits, features, data.examples, teacher.labels, teacher.settings)
    return data._replace(examples=[example._replace(label=guess.label) for example, guess in zip(data.examples, guesses)],
                         notes=[*data.notes, "no example has a label: scores are against what the teacher says"])


def way_of(recipe: Settings, teacher: saved.Model) -> Way:
    """What a run reads and trains in the place of a model alone."""
    def read(settings: Course) -> Materials:
        material = read_all(settings, partial(answered, teacher) if recipe.recipe in UNLABELLED else None)[""]
        labels = command.called(teacher, material.train)
        examples = (*material.train.examples, *material.dev.examples)
        if unknown := sorted({name for example in examples for name in command.unknown(teacher.task, example, labels)}):
            raise ValueError(f"{settings.train}: the teacher does not know the label {unknown[0]!r}; it knows "
                             f"{', '.join(labels)}")
        return {"": material._replace(labels=labels)}

    def start(_: str, asked: Mapping[str, saved.Asked], seed: int) -> list[saved.Model]:
        [(task, labels, settings)] = asked.values()
        if recipe.student:
            student = saved.begin(recipe.student, task, labels, settings, seed)
            recipes.check_student(recipe, student.config, student.tokenizer, teacher.config, teacher.tokenizer)
            return [student]
        limit = min(teacher.config.max_tokens, teacher.tokenizer.max_length)
        if settings.max_length > limit:
            raise ValueError(f"--max-length is {settings.max_length}, but the teacher reads at most {limit} tokens")
        layers = recipes.layers_of(recipe, teacher.config)
        config = recipes.config_of(recipe, teacher.config, len(layers)).replace(
            hidden_dropout_prob=settings.dropout, attention_probs_dropout_prob=settings.dropout)
        layout = replace(teacher.network(), config=config).layout()
        parameters, fresh = students.begun(layout, teacher.parameters, layers, config.initializer_range, seed)
        return [saved.Model(task, config, parameters, teacher.tokenizer, labels, settings,
                            [*teacher.notes, recipes.said(recipe, layers, fresh, parameters)])]

    def taught(student: saved.Model, network: Model, steps: int, seed: int, xp: Any) -> Taught:
        whole = recipes.taught(recipe, network, teacher.config, steps)
        parameters = whole.begun(student.parameters, teacher.parameters, seed)
        return Taught(whole, parameters, whole.answers(teacher.network(), teacher.parameters.to(xp)), whole.asked_at_looks)

    def beside(out: Path, whole: students.Student, parameters: Parameters) -> None:
        whole.beside(out, parameters)

    return Way("compress", read, start, taught, beside)
