"""A fine-tuned model is a folder: that of any model, with a head for its task, the names of its classes, and how it reads files.

transformers opens it (``AutoModelForSequenceClassification.from_pretrained(folder)`` and its like), and what transformers saved
is opened here: ``config.json`` names the architecture and the classes. ``finetuning.json`` holds what it has no key for.

A model of several tasks is one folder too: transformers opens its body, the heads stand beside it under ``tasks.NAME``, and
``finetuning.json`` says of each what it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minibert import pretrained, swap
from minibert.config import BertConfig
from minibert.files import brief, read_json, write_atomically
from minibert.finetuning import models
from minibert.finetuning.options import TASKS as NAMES
from minibert.finetuning.options import Settings
from minibert.model import exits
from minibert.model.heads import branch
from minibert.parameters import Layout, Parameters, initialise
from minibert.pretrained import CONFIG, WEIGHTS, families, formats
from minibert.pretrained.folder import open_folder
from minibert.pretrained.prefixes import named
from minibert.sentence_vectors import Pooling, modules_of
from minibert.shell import command
from minibert.tasks.labelled import PROBLEM_TYPES, TASKS, asked_for, embed, name_of, of_model, of_outputs, task_of
from minibert.text import Tokenizer
from minibert.text import saved as tokenizers

READING = "finetuning.json"
BODY = embed.ARCHITECTURE  # of a model whose heads transformers does not know
_KEPT = ("task", "multi_label", "head", "text", "pair", "label", "header", "literal", "max_length", "stride", "max_query",
         "max_answer", "null_threshold", "scored", "pooling", "normalise")
_BEFORE = {"multi_label": False, "head": "linear", "literal": True, "scored": False, "pooling": None, "normalise": None}  # unsaid
_SWITCHES = ("multi_label", "head", "scored")  # which of a task's modules it is
_NAMELESS = {"span": "answer", "choice": "answer", "vectors": "pair", "similarity": "1"}  # kinds whose outputs have no names


class Model(NamedTuple):
    """A model of one task, ready to guess."""

    task: ModuleType
    config: BertConfig
    parameters: Parameters
    tokenizer: Tokenizer
    labels: list[str]
    settings: Settings  # how texts are read and cut
    notes: list[str]
    name: str = ""  # of one task of several

    def network(self, weights: np.ndarray | None = None) -> models.Model:
        """Body, head and loss. ``weights`` ``(C,)``: what each class counts."""
        kind = self.task.KIND
        alone = models.of(self.config, kind, len(self.labels), weights, dropout=self.settings.head_dropout,
                          **models.chosen(kind, self.settings))
        return models.part(alone, self.name) if self.name else alone

    @property
    def leaves_early(self) -> bool:
        """Has it branches, after which texts can leave?"""
        return branch.PATH in self.parameters.tree

    def leaving(self, speed: float) -> exits.Leaving:
        """The network, at a speed. ValueError for a model without branches, or a speed outside 0…1."""
        self.need_branches()
        return exits.leaving(self.network(), speed)

    def need_branches(self) -> None:
        """ValueError where there are none."""
        if not self.leaves_early:
            raise ValueError("--speed: this model has no branches after which a text could leave, so that all go through all "
                             f"{self.config.num_hidden_layers} layers: leave --speed out, or take one that "
                             f"{command('minibert', 'compress', 'early-exit')} made")

    @property
    def target(self) -> str:
        """What its term of the loss is called."""
        return self.name or models.TERM


class Asked(NamedTuple):
    """What a model is to learn."""

    task: ModuleType
    labels: list[str]
    settings: Settings


def begin(folder: str | os.PathLike[str], task: ModuleType, labels: list[str], settings: Settings, seed: int,
          dtype: Any = np.float32) -> Model:
    """The model of a run or a checkpoint, with a fresh head for a task; all of it fresh with ``settings.from_scratch``."""
    return begin_several(folder, {"": Asked(task, labels, settings)}, seed, dtype)[0]


def begin_several(folder: str | os.PathLike[str], tasks: Mapping[str, Asked], seed: int, dtype: Any = np.float32) -> list[Model]:
    """The same of several tasks by their names, all with the parameters of one network. Each head begins as it would alone."""
    run = next(iter(tasks.values())).settings
    loaded = pretrained.load(folder, dtype=dtype, weights=run.weights, heads=run.heads)
    loaded.tokenizer.vocab.require("fine-tuning", "[CLS]", "[SEP]")
    config = loaded.config.replace(hidden_dropout_prob=run.dropout, attention_probs_dropout_prob=run.dropout)
    limit = min(config.max_tokens, loaded.tokenizer.max_length)
    begun = []
    for name, (task, labels, settings) in tasks.items():
        wanted = settings.max_length or min(task.MAX_LENGTH, limit)
        if wanted > limit:
            raise ValueError(f"--max-length is {wanted}, but this model reads at most {limit} tokens")
        settings = _with_pooling(replace(settings, max_length=wanted), task, folder)
        begun.append(Model(task, config, loaded.parameters, loaded.tokenizer, labels, settings, [], name))
    layout = models.joined([model.network() for model in begun]).layout()
    parameters = initialise(layout, config.initializer_range, seed, dtype)
    views, there = dict(parameters.items()), dict(loaded.parameters.items())
    for model in (model for model in begun if model.name):
        for name, view in initialise(_head(model), config.initializer_range, seed, dtype).items():
            views[f"{models.PARTS}.{model.name}.{name}"][...] = view
    for name in views.keys() & there.keys() if not run.from_scratch else ():
        if name.startswith("bert."):
            views[name][...] = there[name]
    notes = list(loaded.tokenizer.notes)
    if "bert.pooler.dense.weight" in views.keys() - (there.keys() - loaded.initialised):
        notes.append(f"{folder} has no pooler: it begins fresh, like the head")
    return [model._replace(parameters=parameters, notes=notes) for model in begun]


def _head(model: Model) -> Layout:
    """The tensors of its head by their usual names."""
    head = models.head_of(model.config, model.task.KIND, len(model.labels))
    return Layout({f"{head.path}.{name}": shape for name, shape in head.module.shapes(model.config, head.outputs).items()})


def _with_pooling(settings: Settings, task: ModuleType, folder: str | os.PathLike[str]) -> Settings:
    """How the vectors of a task that makes some are made: as was said, else as the folder says, else as they are usually made."""
    if task.KIND not in models.POOLED or None not in (settings.pooling, settings.normalise):
        return settings
    told, silent = Pooling.of(folder), modules_of(Path(folder)) is None
    return replace(settings, pooling=settings.pooling or told.kind,
                   normalise=(silent or told.normalise) if settings.normalise is None else settings.normalise)


def save(folder: str | os.PathLike[str], model: Model) -> None:
    """Write a model to ``folder``, all of it or nothing."""
    unknown = _unknown(model, model.task.ARCHITECTURE)
    unknown |= {"id2label": {str(i): name for i, name in enumerate(model.labels)},
                "label2id": {name: i for i, name in enumerate(model.labels)}}
    if model.task in PROBLEM_TYPES.values():
        unknown["problem_type"] = next(name for name, task in PROBLEM_TYPES.items() if task is model.task)
    if model.task.KIND in _NAMELESS:
        del unknown["id2label"], unknown["label2id"]
    _write(folder, model, unknown, _read_as(model), _vectors_are_made(model))


def save_several(folder: str | os.PathLike[str], parts: Sequence[Model]) -> None:
    """Write the model of several tasks, which share their parameters, to ``folder``, all of it or nothing."""
    unknown = _unknown(parts[0], BODY)
    for key in ("id2label", "label2id"):
        unknown.pop(key, None)
    _write(folder, parts[0], unknown, {models.PARTS: {model.name: _read_as(model) for model in parts}}, {})


def _unknown(model: Model, architecture: str) -> dict[str, Any]:
    """Keys of ``config.json`` that no configuration has: those that were there, but for what a head meant, and the class."""
    gone = ("torch_dtype", "dtype", "num_labels", "problem_type")
    return {**{key: value for key, value in model.config.unknown.items() if key not in gone},
            "architectures": [families.architecture(model.config, architecture)]}


def _read_as(model: Model) -> dict[str, Any]:
    """What ``finetuning.json`` says of a task."""
    return {name: value for name, value in asdict(model.settings).items() if name in _KEPT} | {"labels": model.labels}


def _write(folder: str | os.PathLike[str], model: Model, unknown: dict[str, Any], reading: dict[str, Any],
           more: Mapping[str, str]) -> None:
    config = model.config.replace(unknown=unknown)
    text = families.to_json(config)
    with swap.saving(folder) as staged:
        write_atomically(staged / CONFIG, text)
        model.tokenizer.save(staged)
        write_atomically(staged / READING, json.dumps(reading, indent=2, ensure_ascii=False) + "\n")
        for name, text in more.items():
            (staged / name).parent.mkdir(exist_ok=True)
            write_atomically(staged / name, text)
        pretrained.save_weights(staged / WEIGHTS, model.parameters, names=families.names(config))


def _vectors_are_made(model: Model) -> dict[str, str]:
    """The files that say how, name -> text, where the task makes some; sentence-transformers reads them, too."""
    settings = model.settings
    pooling = Pooling(settings.pooling, settings.normalise, settings.max_length)
    return pooling.files(model.config.hidden_size) if model.task.KIND in models.POOLED else {}


def files(folder: Path) -> list[str]:
    """What a saved model consists of, by name."""
    names = (CONFIG, *tokenizers.FILES, READING, WEIGHTS, *Pooling().files(0))
    return [name for name in names if (folder / name).is_file()]


def load(folder: str | os.PathLike[str], xp: Any = np, dtype: Any = np.float32, task: str | None = None,
         weights: str | os.PathLike[str] | None = None, heads: int | None = None) -> Model:
    """Open a folder that ``save`` or transformers wrote. ``task``: what its head is for, where the folder does not say it; of a
    folder with several tasks the name of one. ``weights``, ``heads``: as for ``pretrained.load``.

    Raises FileNotFoundError where a file is missing, ValueError for a model without a head or with tensors that do not fit.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: there is no such folder; expected one that minibert finetune wrote")
    file, config, tokenizer, _ = open_folder(folder, weights=weights, heads=heads)
    reading, there = _reading(folder / READING), _heads(file, config)
    name = ""
    if parts := reading.get(models.PARTS):
        name, reading = _one_of(parts, task, folder)
    module = _said(reading) if name else _task_of(folder, config, there, reading, task)
    labels = reading.pop("labels", None) or _labels(module, config, there, folder)
    whole = _joined(config, parts) if name else models.of(config, module.KIND, len(labels))
    if not name and module.KIND == "sequence" and f"{branch.PATH}.1.weight" in there:
        whole = exits.branched(whole)
    layout = whole.layout()
    loaded = pretrained.load(folder, xp, dtype, layout, tokenizer, file, heads)
    if absent := sorted(loaded.initialised):
        raise ValueError(f"{folder} has no {' and no '.join(absent)}: this model has no head for the task yet; train one with: "
                         f"{command('minibert', 'finetune', asked_for(module)['task'], '--model', folder)} …")
    notes = loaded.notes
    if not (task or "task" in reading or of_model(config, {}) or module.KIND in models.POOLED):
        notes = [*notes, f"{folder / CONFIG} does not say what the head is for; by its tensors it is for the task "
                         f"{asked_for(module)['task']}, and --task says otherwise"]
    loaded.tokenizer.vocab.require(f"the task {asked_for(module)['task']}", "[CLS]", "[SEP]")
    limit = min(config.max_tokens, loaded.tokenizer.max_length)
    try:
        settings = Settings(**{"max_length": min(module.MAX_LENGTH, limit), **reading, **asked_for(module)})
    except (ValueError, TypeError) as error:
        raise ValueError(f"{folder / READING} is damaged ({error}); delete it, and the model is read as one of "
                         "transformers") from None
    settings = _with_pooling(settings, module, folder)
    return Model(module, config, loaded.parameters, loaded.tokenizer, labels, settings, notes, name)


def _task_of(folder: Path, config: BertConfig, there: Mapping[str, tuple[int, ...]], reading: Mapping[str, Any],
             task: str | None) -> ModuleType:
    """What the head of a folder of one task is for: as ``task`` says, else ``finetuning.json``, else the head itself."""
    if task not in (None, *NAMES):
        raise ValueError(f"--task must be one of {', '.join(NAMES)}, got {task!r}; {folder} is of one task, without a name")
    named = task or reading.get("task")
    module = TASKS[named] if named else of_model(config, there)
    if module is TASKS["embed"] or (module is None and modules_of(folder) is not None):
        module = TASKS["embed_scored" if reading.get("scored") else "embed"]
    if module is TASKS["classify"] and reading.get("head") == "san":
        module = TASKS["classify_san"]
    if module is None:
        raise ValueError(f"{folder}: the model in this folder has no head for a task: its {CONFIG} says architectures = "
                         f"{brief(config.unknown.get('architectures'))}, and there is no tensor called classifier.weight or "
                         "qa_outputs.weight; train one with: minibert finetune TASK --model …")
    if module in PROBLEM_TYPES.values() and task != "regress":
        module = _of_outputs(config, len(reading.get("labels") or _labels(module, config, there, folder)), folder, task)
    return module


def _said(reading: Mapping[str, Any]) -> ModuleType:
    """Which task ``finetuning.json`` means."""
    return task_of(Settings(task=reading["task"], **{switch: reading[switch] for switch in _SWITCHES}))


def _joined(config: BertConfig, parts: Mapping[str, dict[str, Any]]) -> models.Model:
    """The model of all tasks of a folder."""
    return models.joined([models.part(models.of(config, _said(reading).KIND, len(reading["labels"])), name)
                          for name, reading in parts.items()])


def _one_of(parts: Mapping[str, dict[str, Any]], name: str | None, folder: Path) -> tuple[str, dict[str, Any]]:
    """One of the tasks of a folder: its name, and how it reads."""
    name = next(iter(parts)) if name is None and len(parts) == 1 else name
    if name not in parts:
        raise ValueError(f"{folder} is a model of several tasks, {', '.join(parts)}; "
                         + (f"there is no task {name}" if name else "say which one is meant with --task NAME"))
    return name, dict(parts[name])


def _heads(weights: Path, config: BertConfig) -> dict[str, tuple[int, ...]]:
    """Names, as we call them, and shapes of all tensors of a file."""
    with formats.opened(weights) as reader:
        return {name: reader.shapes[stored] for name, stored in named(reader, families.names(config)).found.items()}


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
    if task.KIND in _NAMELESS:
        return [_NAMELESS[task.KIND]]
    outputs = heads.get("classifier.weight", (2,))[0]
    names = config.unknown.get("id2label") or {str(i): f"LABEL_{i}" for i in range(outputs)}
    wanted = list(map(str, range(len(names)))) if isinstance(names, dict) else []
    if not wanted or not all(isinstance(names.get(i), str) for i in wanted):
        raise ValueError(f'{folder / CONFIG}: id2label must name the classes from 0 on: {{"0": "…", "1": "…"}}, '
                         f"got {brief(names)}")
    return [names[i] for i in wanted]


def _reading(path: Path) -> dict[str, Any]:
    """What ``finetuning.json`` says; of several tasks under ``tasks``, by their names."""
    if not path.is_file():
        return {}
    try:
        found = read_json(path, dict)
        if models.PARTS in found:
            parts = {name: _of_a_task(part) for name, part in found[models.PARTS].items()}
            for part in parts.values():
                _said(part)  # or it is none
            return {models.PARTS: parts}
        return _of_a_task(found)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}); delete it, and the model is read as one of "
                         "transformers") from None


def _of_a_task(found: Any) -> dict[str, Any]:
    reading = {**_BEFORE, **found}
    if reading["task"] not in TASKS or not isinstance(reading["labels"], list) or not all(
            isinstance(label, str) for label in reading["labels"]):
        raise ValueError("it names no task, or no classes")
    return {name: reading[name] for name in (*_KEPT, "labels")}
