"""``training_state.safetensors``: one file that suffices to go on with a run exactly.

It holds three slabs (the weights and the two moments of Adam, in full precision) and, as one JSON string, everything else. There
is no state of a random generator in it: whatever is random follows from the seed and the counters. The file is written whole or
not at all.

A slab is a row of numbers. Which tensor begins where is written beside it: with two heads in another order the row would be as
long as before, and their weights would change places in silence.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
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

FILE = "training_state.safetensors"
VERSION = 1  # of what is written here; files from before it was counted have none
SLABS = ("parameters", "m", "v")


def write(folder: str | os.PathLike[str], kind: str, state: dict[str, Any], slabs: Sequence[Parameters]) -> None:
    """Write the state of a run: ``state`` under the name ``kind``, and the slabs, which share a layout."""
    about = {"version": VERSION, "layout": slabs[0].layout.describe(), **state}
    tensors.write(Path(folder) / FILE, {name: to_numpy(slab.flat) for name, slab in zip(SLABS, slabs)},
                  {kind: json.dumps(about, ensure_ascii=False)})


def read(file: tensors.Reader, kind: str) -> dict[str, Any]:
    """What was written as ``state``. KeyError, TypeError or ValueError where that is nothing of this kind."""
    state = parse_json(file.metadata[kind], "its state", dict)
    if (version := state.pop("version", 0)) > VERSION:
        raise ValueError(f"{file.path}: this training state is of version {version}, and up to {VERSION} is read here: go on "
                         "with the later minibert that wrote it")
    return state


def read_slabs(file: tensors.Reader, layout: Layout, found: Sequence | None) -> list[Parameters]:
    """The three slabs. ``found``: the layout that the file names, None in files of before. ValueError where it is another one."""
    if not (found is None or (isinstance(found, list) and all(map(_is_slot, found)))):
        raise ValueError(f"{file.path}: its layout must be a list of names and shapes, got {brief(found)}")
    expected, changed = layout.describe(), "; the model or the classes have changed since the run began"
    for ours, theirs in zip_longest(expected, expected if found is None else found):
        if ours != theirs:
            raise ValueError(f"{file.path}: where this model has {_slot(ours)}, its numbers are {_slot(theirs)}{changed}")
    for name in SLABS:
        if file.shapes.get(name) != (layout.size,):
            raise ValueError(f"{file.path}: expected {name} of shape ({layout.size},), found {file.shapes.get(name)}{changed}")
    return [Parameters(layout, np.array(file[name])) for name in SLABS]


def restore(file: tensors.Reader, kind: str, engine: Engine) -> Progress:
    """Put the weights and moments of a run into an engine of its model. How far the run is.

    KeyError, TypeError, AttributeError or ValueError for a file that does not fit.
    """
    found = read(file, kind)
    layout = found.pop("layout", None)
    progress = Progress.of(found.get("progress", found))
    slabs = read_slabs(file, engine.parameters.layout, layout)
    engine.parameters, engine.m, engine.v = (slab.to(engine.xp) for slab in slabs)
    engine.resume(progress.step, progress.loss_scale)
    return progress


def _is_slot(slot: Any) -> bool:
    return isinstance(slot, list) and list(map(type, slot)) == [str, list] and all(type(n) is int for n in slot[1])


def _slot(slot: Sequence | None) -> str:
    return "no tensor" if slot is None else f"{slot[0]:.200} {brief(tuple(slot[1]))}"
