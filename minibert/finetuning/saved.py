"""A fine-tuned model is a folder: that of any model, with a head for its task, the names of its classes, and how it reads files.

transformers opens it (``AutoModelForSequenceClassification.from_pretrained(folder)`` and its like), and what transformers saved
is opened here: ``config.json`` names the architecture and the classes. ``finetuning.json`` holds what it has no key for.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minibert import pretrained, swap
from minibert.config import BertConfig
from minibert.files import brief, read_json, write_atomically
from minibert.finetuning import models
from minibert.finetuning.options import Settings
from minibert.parameters import Parameters, initialise
from minibert.pretrained import CONFIG, WEIGHTS, formats
from minibert.pretrained.families import config_path
from minibert.pretrained.folder import open_folder
from minibert.pretrained.names import canonical
from minibert.shell import command
from minibert.tasks.labelled import PROBLEM_TYPES, TASKS, asked_for, name_of, of_model, of_outputs
from minibert.text import Tokenizer

READING = "finetuning.json"
_KEPT = ("task", "text", "pair", "label", "header", "literal", "max_length", "stride", "max_query", "max_answer",
         "null_threshold")


class Model(NamedTuple):
    """A model of one task, ready to guess."""

    task: ModuleType
    config: BertConfig
    parameters: Parameters
    tokenizer: Tokenizer
    labels: list[str]
    settings: Settings  # how texts are read and cut
    notes: list[str]


def begin(folder: str | os.PathLike[str], task: ModuleType, labels: list[str], settings: Settings, seed: int,
          dtype: Any = np.float32) -> Model:
    """The model of a run or a checkpoint, with a fresh head for a task; all of it fresh with ``settings.from_scratch``."""
    loaded = pretrained.load(folder, dtype=dtype)
    loaded.tokenizer.vocab.require("fine-tuning", "[CLS]", "[SEP]")
    config = loaded.config.replace(hidden_dropout_prob=settings.dropout, attention_probs_dropout_prob=settings.dropout)
    model = models.of(config, task.KIND, len(labels))
    parameters = initialise(model.layout(), config.initializer_range, seed, dtype)
    if not settings.from_scratch:
        fresh = tuple(f"{head.path}." for head in model.heads.values())
        there = dict(loaded.parameters.items())
        for name, view in parameters.items():
            if not name.startswith(fresh):
                view[...] = there[name]
    limit = min(config.max_tokens, loaded.tokenizer.max_length)
    wanted = settings.max_length or min(task.MAX_LENGTH, limit)
    if wanted > limit:
        raise ValueError(f"--max-length is {wanted}, but this model reads at most {limit} tokens")
    notes = list(loaded.tokenizer.notes)
    if "bert.pooler.dense.weight" in loaded.initialised and models.reads(task.KIND) == "pooled":
        notes.append(f"{folder} has no pooler: it begins fresh, like the head")
    return Model(task, config, parameters, loaded.tokenizer, labels, replace(settings, max_length=wanted), notes)


def save(folder: str | os.PathLike[str], model: Model) -> None:
    """Write a model to ``folder``, all of it or nothing."""
    unknown = {key: value for key, value in model.config.unknown.items() if key not in ("torch_dtype", "dtype", "num_labels")}
    unknown |= {"architectures": [model.task.ARCHITECTURE], "id2label": {str(i): name for i, name in enumerate(model.labels)},
                "label2id": {name: i for i, name in enumerate(model.labels)}}
    unknown.pop("problem_type", None)
    if model.task in PROBLEM_TYPES.values():
        unknown["problem_type"] = next(name for name, task in PROBLEM_TYPES.items() if task is model.task)
    if model.task.KIND in ("span", "choice"):  # the names there are not those of outputs
        del unknown["id2label"], unknown["label2id"]
    reading = {name: value for name, value in asdict(model.settings).items() if name in _KEPT} | {"labels": model.labels}
    with swap.saving(folder) as staged:
        write_atomically(staged / CONFIG, model.config.replace(unknown=unknown).to_json())
        model.tokenizer.save(staged)
        write_atomically(staged / READING, json.dumps(reading, indent=2, ensure_ascii=False) + "\n")
        pretrained.save_weights(staged / WEIGHTS, model.parameters)


def load(folder: str | os.PathLike[str], xp: Any = np, dtype: Any = np.float32, task: str | None = None) -> Model:
    """Open a folder that ``save`` or transformers wrote. ``task``: what its head is for, where the folder does not say it.

    Raises FileNotFoundError where a file is missing, ValueError for a model without a head or with tensors that do not fit.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: there is no such folder; expected one that minibert finetune wrote")
    swap.settle(folder)
    config = pretrained.read_config(config_path(folder))
    reading = _reading(folder / READING)
    heads = _heads(folder)
    named = reading.pop("task", None)
    module = TASKS[task or named] if task or named else of_model(config, heads)
    if module is None:
        raise ValueError(f"{folder}: the model in this folder has no head for a task: its {CONFIG} says architectures = "
                         f"{brief(config.unknown.get('architectures'))}, and there is no tensor called classifier.weight or "
                         "qa_outputs.weight; train one with: minibert finetune TASK --model …")
    labels = reading.pop("labels", None) or _labels(module, config, heads, folder)
    if module in PROBLEM_TYPES.values() and task != "regress":
        module = _of_outputs(config, len(labels), folder, task)
    loaded = pretrained.load(folder, xp, dtype, models.of(config, module.KIND, len(labels)).layout())
    if absent := sorted(loaded.initialised):
        raise ValueError(f"{folder} has no {' and no '.join(absent)}: this model has no head for the task yet; train one with: "
                         f"{command('minibert', 'finetune', asked_for(module)['task'], '--model', folder)} …")
    notes = loaded.notes
    if not (task or named or of_model(config, {})):
        notes = [*notes, f"{folder / CONFIG} does not say what the head is for; by its tensors it is for the task "
                         f"{asked_for(module)['task']}, and --task says otherwise"]
    loaded.tokenizer.vocab.require(f"the task {asked_for(module)['task']}", "[CLS]", "[SEP]")
    limit = min(config.max_tokens, loaded.tokenizer.max_length)
    try:
        settings = Settings(**{"max_length": min(module.MAX_LENGTH, limit), **reading, **asked_for(module)})
    except (ValueError, TypeError) as error:
        raise ValueError(f"{folder / READING} is damaged ({error}); delete it, and the model is read as one of "
                         "transformers") from None
    return Model(module, config, loaded.parameters, loaded.tokenizer, labels, settings, notes)


def _heads(folder: Path) -> dict[str, tuple[int, ...]]:
    """Names, as we call them, and shapes of all tensors of a folder."""
    weights, _, _ = open_folder(folder)
    with formats.opened(weights) as reader:
        return {canonical(name): shape for name, shape in reader.shapes.items()}


def _of_outputs(config: BertConfig, outputs: int, folder: Path, task: str | None) -> ModuleType:
    """What the outputs over the pooled vector mean; ValueError where that contradicts their number or the ``task`` asked for."""
    try:
        module = of_outputs(config, outputs)
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG}: {error}") from None
    if task == "classify" and name_of(module) == "regress":
        module = TASKS["classify"]
    if outputs == 1 and name_of(module) == "classify":
        raise ValueError(f"{folder}: the head has one output, so there are no classes to choose between; it is a number "
                         "(--task regress) or how well a choice fits (--task choice)")
    return module


def _labels(task: ModuleType, config: BertConfig, heads: dict[str, tuple[int, ...]], folder: Path) -> list[str]:
    """The names of the outputs of a model that transformers saved; where it names none they have numbers, as there."""
    if task.KIND in ("span", "choice"):
        return ["answer"]
    outputs = heads.get("classifier.weight", (2,))[0]
    names = config.unknown.get("id2label") or {str(i): f"LABEL_{i}" for i in range(outputs)}
    wanted = list(map(str, range(len(names)))) if isinstance(names, dict) else []
    if not wanted or not all(isinstance(names.get(i), str) for i in wanted):
        raise ValueError(f'{folder / CONFIG}: id2label must name the classes from 0 on: {{"0": "…", "1": "…"}}, '
                         f"got {brief(names)}")
    return [names[i] for i in wanted]


def _reading(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        reading = {"literal": True, **read_json(path, dict)}  # so it was before there was a choice
        if reading["task"] not in TASKS or not isinstance(reading["labels"], list) or not all(
                isinstance(label, str) for label in reading["labels"]):
            raise ValueError("it names no task, or no classes")
        return {name: reading[name] for name in (*_KEPT, "labels")}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}); delete it, and the model is read as one of "
                         "transformers") from None
