"""What every lesson uses to show things: the quick switch, arrays and tables on the terminal, figures in ``figures/``.

The mathematics of the lessons is never here: it is imported from ``minibert``, or written out in the lesson for a reader to see.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HERE = Path(__file__).resolve().parent
FIGURES = HERE / "figures"
IN_NOTEBOOK = "ipykernel" in sys.modules
if str(HERE.parent) not in sys.path[:2]:  # a lesson is run by its path: the folder above holds the package it belongs to
    sys.path.insert(0, str(HERE.parent))  # in front: in a student's copy, that copy
QUICK = "--quick" in sys.argv[1:] or os.environ.get("MINIBERT_LESSONS_QUICK") == "1"

GUESS = "--guess" in sys.argv[1:] or os.environ.get("MINIBERT_LESSONS_GUESS") == "1"

QUICK_STAMP = "quick run: it shows no effects\nthe titles are those of a full run"

BLUE, ORANGE, GREEN, PINK, SKY, YELLOW, GREY = (  # told apart by colour-blind eyes (Okabe and Ito)
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#555555")

if hasattr(sys.stdout, "reconfigure"):  # a Windows console may not know Greek or Chinese: show what it can
    sys.stdout.reconfigure(errors="replace", encoding="utf-8" if not sys.stdout.isatty() else None)


def choose(full: Any, quick: Any) -> Any:
    """``full`` in a normal run, ``quick`` where the lesson runs with ``--quick``."""
    return quick if QUICK else full


def heading(text: str) -> None:
    """A line that says what is shown next."""
    print(f"\n--- {text}")


def show(name: str, x: Any, legend: str = "", digits: int = 3) -> None:
    """An array's name, shape and legend, then its values (shortened where they would not fit on the screen).

    ``legend``: the axes, as in ``"(B, T, H)"``.
    """
    x = np.asarray(x)
    print(f"{name}  {x.shape}" + (f" = {legend}" if legend else "") + f"  {x.dtype}")
    text = np.array2string(x, precision=digits, suppress_small=True, threshold=80, edgeitems=3, max_line_width=110)
    print("    " + text.replace("\n", "\n    "))


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Rows under their heads; numbers right-aligned, text left-aligned."""
    cells = [[f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
              for value in row] for row in rows]
    right = [all(isinstance(row[i], int | float) for row in rows) for i in range(len(head))]
    wide = [max(_width(line[i]) for line in [list(head), *cells]) for i in range(len(head))]

    def line(values: Sequence[str]) -> str:
        return "    " + "   ".join(" " * (w - _width(v)) + v if r else v + " " * (w - _width(v))
                                   for v, w, r in zip(values, wide, right)).rstrip()

    print("\n".join([line(list(head)), line(["-" * w for w in wide]), *map(line, cells)]))


def figure(width: float = 12, height: float = 5.6, title: str = "") -> Figure:
    """An empty figure with letters large enough for the last row of a lecture hall; fill it, then ``save`` it."""
    import matplotlib

    if not IN_NOTEBOOK:
        matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 15, "axes.titlesize": 16, "axes.spines.top": False, "axes.spines.right": False,
                         "lines.linewidth": 2.4, "lines.markersize": 8, "axes.prop_cycle": plt.cycler(
                             color=[BLUE, ORANGE, GREEN, PINK, SKY, YELLOW, GREY])})
    made = plt.figure(figsize=(width, height), dpi=110, layout="constrained")
    if title:
        made.suptitle(title, fontsize=18, fontweight="bold")
    return made


def save(made: Figure, name: str, measured: bool = True) -> None:
    """The figure to ``figures/NAME.png``, and on the screen where the lesson runs as a notebook.

    With ``--quick`` to ``figures/quick/NAME.png``, and stamped: its titles speak of effects that such a run does not show, and
    it never replaces a picture that does. With ``--guess`` once more, without titles and legends, to the folder ``guess`` there:
    that one is what a notebook shows. A schematic is not ``measured``: it is the same in every run.
    """
    import matplotlib.pyplot as plt

    quick = QUICK and measured
    path = (FIGURES / "quick" if quick else FIGURES) / f"{name}.png"
    if quick:
        made.text(0.5, 0.5, QUICK_STAMP, fontsize=3 * made.get_figwidth(), rotation=15, color=ORANGE, alpha=0.55, ha="center",
                  va="center", fontweight="bold", zorder=1000)
    _write(made, path)
    if GUESS and measured:
        _hide_answers(made)
        path = path.parent / "guess" / path.name
        _write(made, path)
    if IN_NOTEBOOK:
        from IPython.display import Image, display

        display(Image(filename=str(path)))
    plt.close(made)


def _write(made: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    made.savefig(path)
    print(f"picture: {path.relative_to(HERE.parent).as_posix()}")


def _hide_answers(made: Figure) -> None:
    """Takes titles and legends out of a figure, for a guess before; everything else stays where it was."""
    made.set_layout_engine("none")
    made.suptitle("")
    for axes in made.axes:
        axes.set_title("")
    for legend in [*made.legends, *filter(None, (axes.get_legend() for axes in made.axes))]:
        legend.set_visible(False)


def exercises(number: int) -> None:
    """The exercises of a lesson, and how to have the answers graded."""
    from lessons import check

    heading("Exercises")
    for position, exercise in enumerate(check.exercises(number), start=1):
        print(f"{position}. {exercise.name}{exercise.signature}   {exercise.worth}\n   "
              + exercise.question.replace("\n", "\n   "))
    print(f"\nBegin with:      python -m lessons.check {number} --start answers.py\n"
          f"Then be graded:  python -m lessons.check {number} answers.py")


def _width(text: str) -> int:
    """Columns on a terminal: Chinese characters take two."""
    import unicodedata

    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
