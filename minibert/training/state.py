"""``training_state.safetensors``: one file that suffices to go on with a run exactly.

It holds slabs in full precision (the weights, what the optimiser keeps, such as Adam's two moments, and the average of the
weights where there is one) and, as one JSON string, everything else. There is no state of a random generator in it: whatever is
random follows from the seed and the counters. The file is written whole or not at all.

A slab is a row of numbers. Which tensor begins where is written beside it: with two heads in another order the row would be as
long as before, and their weights would change places in silence.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from minibert.backend import to_numpy
from minibert.files import brief, parse_json
from minibert.parameters import Layout, Parameters
from minibert.pretrained import tensors
from minibert.training.engine import Engine
from minibert.training.loop import Progress
from minibert.training.optimisers import kept_by, name_of

FILE = "training_state.safetensors"
VERSION = 1  # of what is written here; files from before it was counted have none
WEIGHTS = "parameters"


def write(folder: str | os.PathLike[str], kind: str, state: dict[str, Any], parameters: Parameters,
          kept: Mapping[str, Parameters], optimiser: str = "adamw") -> None:
    """Write the state of a run: ``state`` under the name ``kind``, the weights, and what is kept beside them.

    ``optimiser``: as ``optimisers.name_of`` calls it.
    """
    about = {"version": VERSION, "layout": parameters.layout.describe(), "optimiser": optimiser, **state}
    tensors.write(Path(folder) / FILE, {name: to_numpy(slab.flat) for name, slab in {WEIGHTS: parameters, **kept}.items()},
                  {kind: json.dumps(about, ensure_ascii=False)})


def read(file: tensors.Reader, kind: str) -> dict[str, Any]:
    """What was written as ``state``. KeyError, TypeError or ValueError where that is nothing of this kind."""
    state = parse_json(file.metadata[kind], "its state", dict)
    if (version := state.pop("version", 0)) > VERSION:
        raise ValueError(f"{file.path}: this training state is of version {version}, and up to {VERSION} is read here: go on "
                         "with the later minibert that wrote it")
    return state


def read_slabs(file: tensors.Reader, state: dict[str, Any], layout: Layout, optimiser: Any, ema: float | None
               ) -> tuple[Parameters, dict[str, Parameters]]:
    """The weights, and what is kept beside them by ``optimiser`` (its constants) and for ``ema``.

    ``state``: as ``read`` gives it; the layout and the optimiser, which files of before do not name, are taken out of it.
    ValueError where the file holds something else.
    """
    found, written = state.pop("layout", None), state.pop("optimiser", "adamw")
    if not (found is None or (isinstance(found, list) and all(map(_is_slot, found)))):
        raise ValueError(f"{file.path}: its layout must be a list of names and shapes, got {brief(found)}")
    expected, changed = layout.describe(), "; the model or the classes have changed since the run began"
    for ours, theirs in zip_longest(expected, expected if found is None else found):
        if ours != theirs:
            raise ValueError(f"{file.path}: where this model has {_slot(ours)}, its numbers are {_slot(theirs)}{changed}")
    if (name := name_of(optimiser)) != written:
        raise ValueError(f"{file.path}: what it keeps is for the optimiser {brief(written)}, and this run learns with {name}: go "
                         "on with the one that the run began with")
    layouts = {WEIGHTS: layout, **kept_by(optimiser, layout, ema)}
    for name, its in layouts.items():
        if file.shapes.get(name) != (its.size,):
            raise ValueError(f"{file.path}: expected {name} of shape ({its.size},), found {file.shapes.get(name)}{changed}")
    slabs = {name: Parameters(its, np.array(file[name])) for name, its in layouts.items()}
    return slabs.pop(WEIGHTS), slabs


def restore(file: tensors.Reader, kind: str, engine: Engine) -> Progress:
    """Put the weights of a run, and what is kept beside them, into an engine of its model. How far the run is.

    KeyError, TypeError, AttributeError or ValueError for a file that does not fit.
    """
    found = read(file, kind)
    parameters, kept = read_slabs(file, found, engine.parameters.layout, engine.optimiser, engine.ema)
    progress = Progress.of(found.get("progress", found))
    engine.parameters = parameters.to(engine.xp)
    engine.keep(kept)
    engine.resume(progress.step, progress.loss_scale)
    return progress


def _is_slot(slot: Any) -> bool:
    return isinstance(slot, list) and list(map(type, slot)) == [str, list] and all(type(n) is int for n in slot[1])


def _slot(slot: Sequence | None) -> str:
    return "no tensor" if slot is None else f"{slot[0]:.200} {brief(tuple(slot[1]))}"
