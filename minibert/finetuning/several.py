"""Several tasks in one run: what each ``--task`` says, as the settings of a run of that task alone.

::

    --task classify sst2/train.tsv sst2/dev.tsv --task regress sts-train.tsv pair=sentence2 max-length=64

A task is its kind, its files, and options of its own, ``NAME=VALUE`` as they are called on the command line. What stands there
for the whole run holds for it too. It is called what its file is called, or else ``name=…``. ``loss-weight=2``: its loss counts
twice in its steps. ``head-dropout=0.05``: its head drops so much of what it reads, and the body as ever.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from minibert.finetuning.options import MULTI, TASKS, Settings

KINDS = tuple(task for task in TASKS if task != "embed")  # which compares all texts of a step
_SPLIT = re.compile(r"(.*?)[-_. ]?(?:train|training)", re.IGNORECASE)  # what a file of training examples is called


def yes(text: str) -> bool:
    """ValueError for anything but yes and no."""
    if text not in ("yes", "no"):
        raise ValueError(f"it must be yes or no, got {text!r}")
    return text == "yes"


#: What a task may be told by itself, and how that is read.
OPTIONS: Mapping[str, Callable[[str], Any]] = MappingProxyType({
    **dict.fromkeys(("name", "train", "dev", "text", "pair", "label", "head", "class_weights", "metric"), str),
    **dict.fromkeys(("header", "multi_label", "literal"), yes),
    **dict.fromkeys(("max_length", "stride", "max_query", "max_answer"), int),
    **dict.fromkeys(("null_threshold", "loss_weight", "head_dropout"), float)})


def parts(settings: Settings) -> dict[str, Settings]:
    """The settings of each task by its name; of a run of one task its own, without a name.

    ValueError for a kind, an option or a name that cannot be, and where two tasks have one name.
    """
    if settings.task != MULTI:
        return {"": settings}
    found: dict[str, Settings] = {}
    for words in settings.tasks:
        name, part = _part(words, settings)
        if name in found:
            raise ValueError(f"--task {' '.join(words)}: there is a task {name} already, of {found[name].train}; call one of "
                             "them something else with name=…")
        found[name] = part
    return found


def _part(words: Sequence[str], settings: Settings) -> tuple[str, Settings]:
    """Name and settings of one task."""
    kind, *rest = words
    said = f"--task {' '.join(words)}"
    if kind not in KINDS:
        raise ValueError(f"{said}: a task is one of {', '.join(KINDS)}, got {kind!r}"
                         + "; it compares all texts of a step, so it is learned by itself" * (kind == "embed"))
    given, files = {}, []
    for word in rest:
        option, equals, value = word.partition("=")
        if equals and option.replace("-", "_") in OPTIONS:
            given[option.replace("-", "_")] = _read(said, option, value)
        elif equals and not Path(word).exists():
            raise ValueError(f"{said}: a task has no option {option}; it may have "
                             f"{', '.join(name.replace('_', '-') for name in OPTIONS)}")
        else:
            files.append(word)
    given |= dict(zip(("train", "dev"), files))
    if "train" not in given or len(files) > 2:
        raise ValueError(f"{said}: expected a file of training examples, and at most one of dev examples, got {len(files)} files")
    name = given.pop("name", None) or _called(Path(given["train"]))
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ValueError(f"{said}: a task is called by letters a to z, digits, - and _, got {name!r}; give it another name with "
                         "name=…")
    try:
        return name, replace(settings, task=kind, tasks=(), ratio=None, **given)
    except ValueError as error:
        raise ValueError(f"{said}: {error}") from None


def _read(said: str, option: str, value: str) -> Any:
    try:
        return OPTIONS[option.replace("-", "_")](value)
    except ValueError as error:
        raise ValueError(f"{said}: {option}: {error}") from None


def _called(file: Path) -> str:
    """``sst2`` for ``sst2/train.tsv``, ``sst2-train.tsv`` and ``sst2.tsv``."""
    split = _SPLIT.fullmatch(file.stem)
    return split[1] or file.resolve().parent.name if split else file.stem
