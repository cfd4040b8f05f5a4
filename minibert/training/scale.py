"""A recipe in the sizes of a run.

The stages keep their shares of the steps, and the proportions of their lengths and batches; a warm-up is a share of the steps
already. Learning rates are multiplied by

::

    √(tokens' / tokens) · √(steps / steps') · width / width'        tokens: of a step of the last stage; ': of this run

The first two are how the best step of stochastic gradient descent goes in the worst case: with the root of the batch, as the
noise falls, and against the root of the number of steps (Bubeck 2015, section 6.2, arXiv 1405.4980). The third keeps what a step
of Adam does to the activations alike in any width (Yang et al. 2022, arXiv 2203.03466). They are rules of thumb: --learning-rate
says another.

A published recipe names the model that its numbers are for, and runs in the sizes that the options have by default unless others
are given; one that names none runs in its own. With --minutes nobody knows the steps yet, and the rates stay.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from minibert.pretrained import families
from minibert.training import options
from minibert.training.options import DEFAULT_STEPS, NO_RECIPE, OF_ITSELF, OF_THE_MODEL, OPTIONS, SAYS_NOTHING, Settings
from minibert.training.recipe import Recipe, read
from minibert.training.stages import parts

GIVES_WAY = {  # what an option of the command line makes void in a recipe
    "init": OF_THE_MODEL, "minutes": ("steps",), "vocab": ("vocab_size",), "generator_alone": ("generator_size",),
    "next_sentence": ("pairs",), "optimiser": ("beta2", "bias_correction")}
SIZES = ("preset", "steps", "batch_size", "max_length")
DIVIDED = (*SIZES, "accumulate", "hidden")
SCALED = {*SIZES, "learning_rate"}  # what an option of the command line changes in a recipe in proportion


class Sizes(NamedTuple):
    preset: str
    width: int
    steps: int
    batch_size: int  # of the last stage
    accumulate: int
    max_length: int  # of the longest stage

    @property
    def tokens(self) -> int:
        """Of a step."""
        return self.batch_size * self.accumulate * self.max_length

    def said(self, minutes: float | None = None) -> str:
        """In words. ``minutes``: what the number of steps follows from."""
        long = f"{self.steps:,} steps" if minutes is None else f"as many steps as fit into {minutes:g} minutes, each"
        return (f"{self.preset}, {long} of {self.batch_size * self.accumulate:,} sequences of up to "
                f"{self.max_length} tokens")


def told(args: argparse.Namespace) -> tuple[Settings, list[str]]:
    """The settings that the arguments ask for, scaled where there is a recipe, and what is to be said of it: nothing of none.

    What is given on the command line goes before what the recipe says. ValueError for values that cannot be.
    """
    given = OPTIONS.given(args)
    name = given.pop("recipe", None)
    more = [OPTIONS.typed(key, value) for key, value in given.items() if key not in SAYS_NOTHING]
    used = name if name is not None else NO_RECIPE if more else OF_ITSELF
    if used == NO_RECIPE:
        return options.settings_of(argparse.Namespace(**given)), _without(given, more) if name is None else []
    Settings(**{key: given[key] for key in DIVIDED if key in given})  # no steps are refused before anything is divided by them
    recipe = read(used)
    with named(name):
        said, lines = _scaled(recipe, given)
        settings = options.settings_of(argparse.Namespace(**{**said, **given, "recipe": recipe.name}))
        return settings, [*lines, *_stages(settings)]


def _without(given: Collection[str], more: Sequence[str]) -> list[str]:
    """What is said of a run that only an option keeps from the recipe of its text and its model."""
    other = OPTIONS.groups["text"] | OPTIONS.groups["model"]
    return [] if other.intersection(given) else [f"No recipe, as {more[0]} is given: all else is as the options' defaults say"]


@contextmanager
def named(recipe: str | None) -> Iterator[None]:
    """A ValueError names the recipe, where there is one: what is wrong may be what it says."""
    try:
        yield
    except ValueError as error:
        if recipe in (None, NO_RECIPE):
            raise
        raise ValueError(f"--recipe {recipe}: {error}") from None


def _scaled(recipe: Recipe, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What the recipe says for a run of which this is given, and how it came to it."""
    void = {name for key, lost in GIVES_WAY.items() if key in given for name in lost}
    said = {name: value for name, value in recipe.options.items() if name not in void}
    stages = _beaten(recipe.stages, given, void)
    written, run = _sizes(recipe, given)
    source = f" ({recipe.source})" if recipe.source else ""
    lines = [f"Recipe {recipe.title or recipe.name}{source}", *recipe.figures.splitlines(),
             f"{'published' if recipe.preset else 'written'} for: {written.said()}",
             f"this run:      {run.said(given.get('minutes'))}"]
    factor = 1.0
    if run != written:
        shares = {"tokens a step": math.sqrt(run.tokens / written.tokens), "steps": math.sqrt(written.steps / run.steps),
                  "width": written.width / run.width}
        factor = math.prod(shares.values())
        rules = " · ".join(f"{value:.3g} for {name}" for name, value in shares.items() if value != 1)
        if "learning_rate" not in given:
            lines.append(f"learning rates: times {rules}")
    if "minutes" in given:
        lines.append(f"learning rates: as for {run.steps:,} steps, whatever fits into the time")
    rates = [stage["learning_rate"] for stage in stages if "learning_rate" in stage]
    if "learning_rate" in given and rates:
        factor = given["learning_rate"] / max(rates)
        lines.append(f"learning rates: times {factor:.3g}, as --learning-rate says")
    for table in (said, *stages):
        if "learning_rate" in table:
            table["learning_rate"] = float(f"{factor * table['learning_rate']:.3g}")
    for stage in stages:
        for name, least in (("batch_size", 1), ("max_length", 5)):
            if name in stage:
                stage[name] = max(least, round(stage[name] * getattr(run, name) / getattr(written, name)))
        stage["share"] = stage.pop("steps", 0) / written.steps or stage["share"]
    if words := _words({name: given.get(name, value) for name, value in said.items()}, SIZES):
        lines.append(f"options: {words}")
    if "minutes" not in given:
        said["steps"] = run.steps
    return {**said, "batch_size": run.batch_size, "max_length": run.max_length, "stages": tuple(stages)}, lines


def _sizes(recipe: Recipe, given: Mapping[str, Any]) -> tuple[Sizes, Sizes]:
    """Those that the numbers of the recipe are for, and those of the run."""
    *_, last = recipe.stages or [{}]
    said = {name: recipe.options.get(name, getattr(Settings, name))
            for name in ("family", "preset", "hidden", "batch_size", "accumulate", "max_length")}
    said["steps"] = sum(stage.get("steps", 0) for stage in recipe.stages) or recipe.options.get("steps", DEFAULT_STEPS)
    said |= {name: last[name] for name in ("batch_size", "accumulate") if name in last}
    said["max_length"] = max(stage.get("max_length", said["max_length"]) for stage in recipe.stages or [{}])
    run = dict(said)
    if recipe.preset:
        said["preset"] = recipe.preset
        run |= {name: getattr(Settings, name) for name in ("preset", "batch_size", "max_length")} | {"steps": DEFAULT_STEPS}
    run |= {name: given[name] for name in run if name in given}

    def sizes(of: Mapping[str, Any]) -> Sizes:
        width = of["hidden"] or families.preset(of["family"], of["preset"]).hidden_size
        return Sizes(of["preset"], width, *(of[name] for name in Sizes._fields[2:]))

    return sizes(said), sizes(run)


def _beaten(stages: Sequence[Mapping[str, Any]], given: Mapping[str, Any], void: Collection[str]) -> list[dict[str, Any]]:
    """The stages without what an option of the command line says instead, or makes void; tasks that are alike then are one.
    ValueError where they do not agree in what is given."""
    def left(table: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in table.items() if name == "steps" or name not in void}

    found = [{**left(stage), "task": [left(task) for task in stage["task"]]} for stage in stages]
    if found and "short_first" in given:
        raise ValueError("--short-first asks for a stage, and the recipe has its own: leave it out")
    for name in sorted(given.keys() - SCALED):
        tables = [table for stage in found for table in (stage, *stage["task"]) if name in table]
        if len({table.pop(name) for table in tables}) > 1:
            raise ValueError(f"{OPTIONS.typed(name, given[name])}: its stages differ in that: leave it out, or write a recipe of "
                             "your own")
    for stage in found:
        stage["task"] = _merged(stage["task"])
    return found


def _merged(tasks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Tasks that say the same as one of them, with the sum of their weights."""
    found: list[dict[str, Any]] = []
    for task in tasks:
        same = next((other for other in found if {**other, "weight": task["weight"]} == task), None)
        if same is None:
            found.append(dict(task))
        else:
            same["weight"] += task["weight"]
    return found


def _stages(settings: Settings) -> list[str]:
    """A line for each stage, and where there are several for each of its tasks."""
    lines = []
    for number, (table, part) in enumerate(zip(settings.stages, parts(settings)), start=1):
        count = round(part.share * settings.steps) if settings.steps else 0
        long = f"{count:,} step{'s' * (count != 1)}" if settings.steps else f"{part.share:.1%} of the steps"
        lines.append(f"stage {number}: {long}, {_words(table, ('share', 'task'))}".removesuffix(", "))
        for task, weight in zip(table["task"], part.weights):
            if (words := _words(task, ("weight",))) or len(part.tasks) > 1:
                lines.append(f"  {weight / sum(part.weights):.0%} of its steps: {words or 'as the options say'}")
    return lines


def _words(table: Mapping[str, Any], without: Collection[str]) -> str:
    return ", ".join(f"{name} {' '.join(map(str, value)) if isinstance(value, (list, tuple)) else value}"
                     for name, value in table.items() if name not in without)
