"""One module for each task, all with the same names in them.

::

    KIND            which head and loss (see models)           ARCHITECTURE    what transformers calls the model
    METRIC          which score chooses the best checkpoint   METRICS         all that there may be, by the data
    MAX_LENGTH      tokens of an input, unless told otherwise COLUMNS, row    what is written down for each example
    LABEL           the field of an example that is guessed   right           the guess that would be right
    read            file -> Data                              labels          training examples -> names of the classes
    classes         an example -> those of its own            encode          examples -> features for the model
    guess           logits -> a guess for each example        score           examples and guesses -> figures
    describe        what is special about the data            details         tables for the report

``read`` is told whether labels are needed: True, every example must have one that is right; None, they are taken where there are
some; False, they are not looked for. A label that is not known is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Any

from minibert.config import BertConfig
from minibert.files import brief
from minibert.tasks.labelled import choice, classify, classify_san, embed, embed_scored, multi_label, qa, rank, regress, tag

TASKS: Mapping[str, ModuleType] = MappingProxyType(
    {"classify": classify, "regress": regress, "tag": tag, "qa": qa, "choice": choice, "rank": rank, "embed": embed,
     "multi_label": multi_label, "classify_san": classify_san, "embed_scored": embed_scored})

#: Modules that a task means where a setting has a value of its own: name -> task, setting, value.
_SWITCHED: Mapping[str, tuple[str, str, Any]] = MappingProxyType({
    "multi_label": ("classify", "multi_label", True), "classify_san": ("classify", "head", "san"),
    "embed_scored": ("embed", "scored", True)})
_USUAL = MappingProxyType({"multi_label": False, "head": "linear", "scored": False})

#: What the outputs over the pooled vector mean, as ``config.json`` calls it.
PROBLEM_TYPES: Mapping[str, ModuleType] = MappingProxyType({
    "single_label_classification": classify, "regression": regress, "multi_label_classification": multi_label})


def task_of(settings: Any) -> ModuleType:
    """The module of a run: ``classify --multi-label``, ``classify --head san`` and ``embed --scored`` have one of their own."""
    on = (name for name, (task, setting, value) in _SWITCHED.items()
          if settings.task == task and getattr(settings, setting) == value)
    return TASKS[next(on, settings.task)]


def name_of(task: ModuleType) -> str:
    """What its module is called."""
    return task.__name__.rpartition(".")[2]


def asked_for(task: ModuleType) -> dict[str, Any]:
    """The settings that mean this task: the other way round from ``task_of``."""
    name, *switched = _SWITCHED.get(name_of(task), (name_of(task),))
    return {"task": name, **_USUAL, **dict([switched] if switched else [])}


def of_model(config: BertConfig, heads: Mapping[str, tuple[int, ...]]) -> ModuleType | None:
    """What the head of a model is for: by the architecture that ``config.json`` names, else by the tensors; None without one.

    ``heads``: names and shapes of the tensors. A model with a pooler, or with a hidden layer in its head, judges texts,
    one without tags words. Whose class an architecture is, a BERT's or a relative's, does not matter. One output that the
    configuration does not call the only one, and two is what goes without saying in transformers, tells how well a choice fits.
    """
    named = config.unknown.get("architectures")
    headed = [task for task in TASKS.values() if task.ARCHITECTURE != embed.ARCHITECTURE]  # vectors need no head
    by_ending = {task.ARCHITECTURE.removeprefix("Bert"): task for task in reversed(headed)}  # of a text's three the first
    for architecture in named if isinstance(named, list) else []:
        if isinstance(architecture, str) and (ending := f"For{architecture.partition('For')[2]}") in by_ending:
            return by_ending[ending]
    if "qa_outputs.weight" in heads:
        return qa
    if "classifier.weight" not in heads:
        return None
    if heads.keys().isdisjoint({"bert.pooler.dense.weight", "classifier.dense.weight"}):
        return tag
    only = any(config.unknown.get(key) for key in ("id2label", "num_labels", "problem_type"))
    return classify if only or heads["classifier.weight"][0] != 1 else choice


def of_outputs(config: BertConfig, outputs: int) -> ModuleType:
    """What so many outputs over the pooled vector mean, as in transformers: what ``problem_type`` says.

    Without one a single output is a number, and several are classes that exclude one another. ValueError for what cannot be.
    """
    problem = config.unknown.get("problem_type") or ("regression" if outputs == 1 else "single_label_classification")
    if not isinstance(problem, str) or problem not in PROBLEM_TYPES:
        raise ValueError(f"problem_type must be one of {', '.join(PROBLEM_TYPES)}, got {brief(problem)}")
    return PROBLEM_TYPES[problem]
