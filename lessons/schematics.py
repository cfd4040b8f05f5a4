"""Boxes and arrows, for pictures of what flows where. Units are inches of the picture, from its lower left corner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import workbench as wb

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Point = tuple[float, float]


class Box(NamedTuple):
    """Where a box stands: its middle, its width and its height."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> Point:
        return self.x - self.width / 2, self.y

    @property
    def right(self) -> Point:
        return self.x + self.width / 2, self.y

    @property
    def top(self) -> Point:
        return self.x, self.y + self.height / 2

    @property
    def bottom(self) -> Point:
        return self.x, self.y - self.height / 2


def sketch(width: float, height: float, title: str) -> tuple[Figure, Axes]:
    """An empty sheet below a title."""
    made = wb.figure(width, height + 0.6, title)
    axes = made.subplots()
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return made, axes


def box(axes: Axes, x: float, y: float, text: str, colour: str = wb.GREY, width: float = 1.8, height: float = 0.7,
        size: float = 14) -> Box:
    """A rounded box around (x, y) with a text inside."""
    from matplotlib.patches import FancyBboxPatch

    axes.add_patch(FancyBboxPatch((x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0,rounding_size=0.08",
                                  facecolor=(colour, 0.16), edgecolor=colour, linewidth=2))
    axes.text(x, y, text, ha="center", va="center", fontsize=size)
    return Box(x, y, width, height)


def arrow(axes: Axes, start: Point, end: Point, text: str = "", colour: str = wb.GREY, bend: float = 0.0) -> None:
    """An arrow with a text beside its middle: above where it is level, else to its right. ``bend``: 0 is straight."""
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 2, "shrinkA": 2, "shrinkB": 2,
                                              "connectionstyle": f"arc3,rad={bend}"})
    level = abs(start[1] - end[1]) < 1e-9
    x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    axes.text(x + (0 if level else 0.1), y + (0.08 if level else 0), text, color=colour, fontsize=13,
              ha="center" if level else "left", va="bottom" if level else "center")


def chain(axes: Axes, y: float, texts: Sequence[str], colours: Sequence[str], labels: Sequence[str], width: float = 1.8,
          gap: float = 1.4, height: float = 0.9) -> list[Box]:
    """Boxes from left to right, each with an arrow to the next that carries a label."""
    boxes = [box(axes, 0.1 + width / 2 + i * (width + gap), y, text, colour, width, height)
             for i, (text, colour) in enumerate(zip(texts, colours))]
    for a, b, label in zip(boxes, boxes[1:], labels):
        arrow(axes, a.right, b.left, label)
    return boxes
