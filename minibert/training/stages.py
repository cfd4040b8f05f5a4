"""The stages of a run: what its settings say of each, and of each task in it.

A stage is a table of settings that are other than the run's, with its ``share`` of the steps; so is each ``task`` of it, with its
``weight``. Recipes say which; without one there are two, ``--short-first``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from minibert.training.options import SHORT_LENGTH, Settings

SCHEDULE = ("learning_rate", "warmup", "schedule", "power")  # with a rate of its own a stage has all of these of its own


class Part(NamedTuple):
    """A stage."""

    share: float  # of all steps
    tasks: Sequence[Settings]
    weights: Sequence[float]
    course: Settings | None  # of its own schedule


def parts(settings: Settings) -> list[Part]:
    """The stages of a run. ValueError for one whose settings cannot be."""
    found = []
    for number, table in enumerate(settings.stages or short_first(settings), start=1):
        own = {name: value for name, value in table.items() if name not in ("share", "task")}
        reads = {name: value for name, value in own.items() if name not in SCHEDULE}
        tasks = table.get("task") or [{}]
        found.append(Part(
            table["share"],
            [_said(settings, {**reads, **task}, f"stage {number}") for task in tasks],
            [task.get("weight", 1.0) for task in tasks],
            _said(settings, own, f"stage {number}") if "learning_rate" in own else None))
    return found


def short_first(settings: Settings) -> Sequence[Mapping[str, Any]]:
    """Short sequences first, with as many tokens a step, and then long ones.

    Attention is spread evenly at first: each of the T tokens that it looks at counts 1/T. Among few, the neighbours of a masked
    word are noticed much sooner. The reference trained in two lengths as well (Devlin et al. 2018, appendix A.2).
    """
    length = min(SHORT_LENGTH, settings.max_length)
    short = {"max_length": length, "batch_size": settings.batch_size * settings.max_length // length, "next_sentence": False}
    return {"share": settings.short_first, **short}, {"share": 1 - settings.short_first}


def _said(settings: Settings, table: Mapping[str, Any], where: str) -> Settings:
    try:
        return replace(settings, stages=(), **{name: tuple(value) if isinstance(value, list) else value
                                               for name, value in table.items() if name != "weight"})
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from None
