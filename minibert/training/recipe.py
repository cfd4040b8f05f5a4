"""Recipes: how a model was trained, or is to be, written down as a TOML file. ``minibert/recipes/`` holds published ones,
and ``fast``.

::

    [recipe]                  title, source, figures; preset: the size of model that its numbers were published for
    [options]                 options of ``train`` by their names: family = "bert"
    [[stage]]                 in their order: steps or share, and max_length, batch_size, learning_rate, warmup, schedule
    [[stage.task]]            what a step of this stage may read, drawn by weight, by its options: pairs, whole_word

A stage or a task says what is other than in ``[options]``. A stage with a learning rate has a warm-up and a decay of its own, and
Adam counts its steps anew; else one schedule goes over the whole run. How the sizes are changed: ``training/scale.py``.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

from minibert.files import brief, decode_utf8
from minibert.training.options import OPTIONS, RECIPES, add_arguments
from minibert.training.stages import SCHEDULE

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NOTHING: Mapping[str, Any] = MappingProxyType({})
FOLDER = Path(__file__).parents[1] / "recipes"
ABOUT = ("title", "source", "figures", "preset")
OF_A_STAGE = ("max_length", "batch_size", "accumulate", *SCHEDULE)
NOT_OF_A_TASK = ("short_first", "lanes", "micro_batch_tokens", "recompute")  # though they stand among its options


class Recipe(NamedTuple):
    """What a file says, by the names of settings."""

    name: str
    title: str
    source: str
    figures: str
    preset: str | None  # of the published sizes; None: its numbers are for the sizes that its options say
    options: Mapping[str, Any]
    stages: Sequence[Mapping[str, Any]]  # steps or share; settings of the stage; task: a list of tables


def read(name: str) -> Recipe:
    """One that comes with minibert, or that of a file.

    FileNotFoundError where there is neither. ValueError, with file and table, for what no recipe can say.
    """
    path = FOLDER / f"{name}.toml" if name in RECIPES else Path(name)
    if not path.is_file():
        raise FileNotFoundError(f"--recipe: there is no file {name}, and the recipes that come with minibert are "
                                f"{', '.join(RECIPES)}")
    try:
        found = tomllib.loads(decode_utf8(path.read_bytes(), path).replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: this is no TOML: {error}") from None
    _known(found, ("recipe", "options", "stage"), str(path))
    about = _table(found.get("recipe", {}), f"{path}, [recipe]")
    _known(about, ABOUT, f"{path}, [recipe]")
    for key, value in about.items():
        if not isinstance(value, str):
            raise ValueError(f"{path}, [recipe]: {key} must be text, got {brief(value)}")
    parser = _Parser()
    add_arguments(parser)
    of_a_task = OPTIONS.groups["task"].difference(OF_A_STAGE, NOT_OF_A_TASK)
    said = _said(found.get("options", {}), OPTIONS.names - {"recipe", "stages"}, parser, f"{path}, [options]")
    stages = [_stage(stage, said, of_a_task, parser, f"{path}, stage {i}")
              for i, stage in enumerate(_tables(found.get("stage", []), f"{path}: stage"), start=1)]
    if stages and "short_first" in said:
        raise ValueError(f"{path}, [options]: short_first asks for a stage, and this recipe has its own: leave it out")
    _agree(stages, path)
    return Recipe(str(name), *(about.get(key, "") for key in ABOUT[:3]), about.get("preset"), said, stages)


def _stage(table: Any, run: Mapping[str, Any], of_a_task: Collection[str], parser: _Parser, where: str) -> dict[str, Any]:
    """A stage with its tasks, one if it names none. ``run``: what the options say."""
    table = dict(_table(table, where))
    tasks = _tables(table.pop("task", [{}]), f"{where}: task")
    long = {key: table.pop(key) for key in ("steps", "share") if key in table}
    if len(long) != 1:
        raise ValueError(f"{where}: how long it is must be said once, as steps or as a share of them, got "
                         f"{' and '.join(long) or 'neither'}")
    for key, value in long.items():
        kinds = int if key == "steps" else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value < math.inf:
            raise ValueError(f"{where}: {key} must be a {'whole ' * (key == 'steps')}number above 0, got {brief(value)}")
    own = _said(table, {*of_a_task, *OF_A_STAGE}, parser, where, run)
    if "learning_rate" not in own and (without := [key for key in SCHEDULE if key in own]):
        raise ValueError(f"{where}: {without[0]} is of a schedule of its own, which needs a learning_rate: say it as "
                         f"well, or give {without[0]} in [options], for the whole run")
    return {**long, **own, "task": [_task(task, {**run, **own}, of_a_task, parser, f"{where}, task {i}")
                                    for i, task in enumerate(tasks, start=1)]}


def _task(table: Any, stage: Mapping[str, Any], of_a_task: Collection[str], parser: _Parser, where: str) -> dict[str, Any]:
    table = dict(_table(table, where))
    weight = table.pop("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < math.inf:
        raise ValueError(f"{where}: weight must be a number above 0, got {brief(weight)}")
    return {"weight": float(weight), **_said(table, of_a_task, parser, where, stage)}


def _said(table: Any, names: Collection[str], parser: _Parser, where: str, above: Mapping[str, Any] = NOTHING) -> dict[str, Any]:
    """Options as the command line would take them. ``above``: those that hold where the table says nothing else."""
    table = {key.replace("-", "_"): value for key, value in _table(table, where).items()}
    _known(table, names, where)
    found = {}
    for key, value in table.items():
        if isinstance(getattr(OPTIONS.settings, key), bool):
            if not isinstance(value, bool):
                raise ValueError(f"{where}: {key} must be true or false, got {brief(value)}")
            found[key] = value
            continue
        words = value if isinstance(value, list) else [value]
        if not words or any(isinstance(word, bool) or not isinstance(word, (str, int, float)) for word in words):
            raise ValueError(f"{where}: {key} must be a number or a text, got {brief(value)}")
        try:
            found[key] = getattr(parser.parse_args([OPTIONS.typed(key), *map(str, words)]), key)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    try:
        OPTIONS.settings(**{**above, **found})
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return found


def _agree(stages: Sequence[Mapping[str, Any]], path: Path) -> None:
    """ValueError where stages are long in two ways, or some have a schedule of their own and some have none."""
    for key, what in (("steps", "how long it is as steps or as a share"), ("learning_rate", "a learning_rate or none")):
        if len({key in stage for stage in stages}) > 1:
            raise ValueError(f"{path}: every stage must say {what} as the others do: with {key} are stages "
                             f"{', '.join(str(i) for i, stage in enumerate(stages, start=1) if key in stage)} of {len(stages)}")
    if stages and "share" in stages[0] and abs(math.fsum(stage["share"] for stage in stages) - 1) > 0.01:
        raise ValueError(f"{path}: the shares of the stages must add up to 1, got "
                         f"{' + '.join(str(stage['share']) for stage in stages)}")


def _known(table: Mapping[str, Any], names: Collection[str], where: str) -> None:
    if unknown := [key for key in table if key not in names]:
        raise ValueError(f"{where}: {brief(unknown[0])} is nothing that can be said here; what can: {', '.join(sorted(names))}")


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be a table, got {brief(value)}")
    return value


def _tables(value: Any, where: str) -> list:
    if not isinstance(value, list):
        raise ValueError(f"{where} must be tables, each under a line with two brackets, got {brief(value)}")
    return value


class _Parser(argparse.ArgumentParser):
    """The parser of the command line, whose errors are ours."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)
