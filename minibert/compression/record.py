"""``pruning.json``: beside a model that has lost parts, what was important in it, what is left, and whose family it was of.

Its keys are those of ``prune.described``, or with gates of ``Gated.beside``. Here it is read, printed and drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minibert.compression import cutting
from minibert.files import read_json
from minibert.pretrained import families

FILE, PICTURE = "pruning.json", "pruning.png"


def family_of(folder: Path) -> str:
    """The family that the model in a folder was of before anything went."""
    path, config = folder / FILE, families.config_path(folder)
    if path.is_file():
        return read_json(path, dict)["model_type"]
    found = families.read_config(config).model_type if config.is_file() else "bert"
    return "bert" if found == cutting.FAMILY else found


def shown(folder: Path) -> int:
    """What the record in a folder says, printed and drawn. The exit code."""
    found = read_json(folder / FILE, dict)
    print(table(found))
    draw(folder, found)
    return 0


def table(found: Mapping[str, Any]) -> str:
    """Importance head by head, × where it goes and · where it had gone before."""
    heads, kept = found["heads"]["importance"], found["heads"]["kept"]

    def cell(value: float | None, stays: bool) -> str:
        return f"{'·':>11} " if value is None else f"{value:11.3g}{' ' if stays else '×'}"

    how = f"importance by {found['by']}, on {found['texts']:,} texts" if "texts" in found else "how likely the gate is open"
    lines = [f"Heads, {how}; × goes, · had gone before"]
    lines += [f"layer {number:<3}" + "".join(cell(value, head in own) for head, value in enumerate(row))
              for number, row, own in zip(found["layers"], heads, kept)]
    if found["rows"]:
        lines += ["rows left  " + ", ".join(f"{len(part['kept']):,} of {len(part['importance']):,}" for part in found["rows"])]
    return "\n".join(lines)


def draw(folder: Path, found: Mapping[str, Any]) -> None:
    """The same as a picture."""
    from minibert import plots  # matplotlib takes a second to import

    heads, kept = found["heads"]["importance"], found["heads"]["kept"]
    values = np.array([[0.0 if value is None else value for value in row] for row in heads])
    there = np.array([[head in own for head in range(values.shape[1])] for own in kept], float)
    names = [f"layer {i}" for i in found["layers"]], [f"head {i}" for i in range(values.shape[1])]
    plots.panels(f"Which heads can go? (by {found['by']})", plots.Grid("Importance", values, *names),
                 plots.Grid("What is left", there, *names)).savefig(folder / PICTURE)
