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

from minibert import pretrained
from minibert.config import BertConfig
from minibert.files import write_atomically
from minibert.finetuning import models
from minibert.finetuning.options import Settings
from minibert.finetuning.tasks import TASKS, name_of, of_architecture
from minibert.parameters import Parameters, initialise
from minibert.pretrained import CONFIG, WEIGHTS
from minibert.pretrained.families import config_path
from minibert.text import Tokenizer

READING = "finetuning.json"
_KEPT = ("task", "text", "pair", "label", "header", "max_length", "stride", "max_query", "max_answer", "null_threshold")


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
    config = loaded.config.replace(hidden_dropout_prob=settings.dropout, attention_probs_dropout_prob=settings.dropout)
    layout = models.of(config, task.KIND, len(labels)).layout()
    parameters = initialise(layout, config.initializer_range, seed, dtype)
    if not settings.from_scratch:
        fresh = {name for name, _ in parameters.items() if name.startswith(("classifier.", "qa_outputs."))}
        there = dict(loaded.parameters.items())
        for name, view in parameters.items():
            if name not in fresh:
                view[...] = there[name]
    limit = min(config.max_tokens, loaded.tokenizer.max_length)
    wanted = settings.max_length or min(task.MAX_LENGTH, limit)
    if wanted > limit:
        raise ValueError(f"--max-length is {wanted}, but this model reads at most {limit} tokens")
    notes = []
    if "bert.pooler.dense.weight" in loaded.initialised and task.KIND in ("sequence", "choice"):
        notes.append(f"{folder} has no pooler: it begins fresh, like the head")
    return Model(task, config, parameters, loaded.tokenizer, labels, replace(settings, max_length=wanted), notes)


def save(folder: str | os.PathLike[str], model: Model) -> None:
    """Write a model to ``folder``, every file whole or not at all, the weights last."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    unknown = {key: value for key, value in model.config.unknown.items() if key not in ("torch_dtype", "dtype", "num_labels")}
    unknown |= {"architectures": [model.task.ARCHITECTURE], "id2label": {str(i): name for i, name in enumerate(model.labels)},
                "label2id": {name: i for i, name in enumerate(model.labels)}}
    unknown.pop("problem_type", None)
    if model.task.KIND == "sequence":
        unknown["problem_type"] = "regression" if name_of(model.task) == "regress" else "single_label_classification"
    if model.task.KIND in ("span", "choice"):  # the names there are not those of outputs
        del unknown["id2label"], unknown["label2id"]
    write_atomically(folder / CONFIG, model.config.replace(unknown=unknown).to_json())
    model.tokenizer.save(folder)
    reading = {name: value for name, value in asdict(model.settings).items() if name in _KEPT} | {"labels": model.labels}
    write_atomically(folder / READING, json.dumps(reading, indent=2, ensure_ascii=False) + "\n")
    pretrained.save_weights(folder / WEIGHTS, model.parameters)


def load(folder: str | os.PathLike[str], xp: Any = np, dtype: Any = np.float32, task: str | None = None) -> Model:
    """Open a folder that ``save`` or transformers wrote. ``task``: what its head is for, where the folder does not say it.

    Raises FileNotFoundError where a file is missing, ValueError for a model without a head or with tensors that do not fit.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: there is no such folder; expected one that minibert finetune wrote")
    config = pretrained.read_config(config_path(folder))
    reading = _reading(folder / READING)
    name = task or reading.pop("task", None) or of_architecture(config.unknown.get("architectures"))
    if name == "classify" and task is None and config.unknown.get("problem_type") == "regression":
        name = "regress"
    module = TASKS[name]
    labels = reading.pop("labels", None) or _labels(module, config, folder)
    loaded = pretrained.load(folder, xp, dtype, models.of(config, module.KIND, len(labels)).layout())
    if absent := sorted(loaded.initialised):
        raise ValueError(f"{folder} has no {' and no '.join(absent)}: this model has no head for the task yet; train one with: "
                         f"minibert finetune {name} --model {folder} …")
    limit = min(config.max_tokens, loaded.tokenizer.max_length)
    settings = Settings(**{"max_length": min(module.MAX_LENGTH, limit), **reading, "task": name})
    return Model(module, config, loaded.parameters, loaded.tokenizer, labels, settings, loaded.notes)


def _labels(task: ModuleType, config: BertConfig, folder: Path) -> list[str]:
    """The names of the outputs of a model that transformers saved; where it names none there are two, its default."""
    if task.KIND in ("span", "choice"):
        return ["answer"]
    names = config.unknown.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    try:
        return [str(names[str(i)]) for i in range(len(names))]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder / CONFIG}: id2label must name the classes 0 to {len(names) - 1}; {error} is missing") from None


def _reading(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        reading = json.loads(path.read_text(encoding="utf-8"))
        return {name: reading[name] for name in (*_KEPT, "labels")}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}); delete it, and the model is read as one of "
                         "transformers") from None
