"""The U-curve: how wrong a numerical derivative is, against the step it was taken with."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np

from gradcheck.checker import EPS

STYLES = {
    "two points": ("o", "#c0392b", "two points: error ~ $h^2$ and ε/h"),
    "central": ("^", "#b9770e", "four points: error ~ $h^4$ and ε/h"),
    "complex": ("s", "#2471a3", "complex step: error ~ $h^2$"),
}
BEST = {"two points": (1 / 3, "$ε^{1/3}$"), "central": (1 / 5, "$ε^{1/5}$")}  # of h, in theory


def plot(curves: dict[str, dict[str, np.ndarray]], path: str | PathLike) -> None:
    """Draw the curves of ``gradcheck.ucurve``, one panel for each name, into an image file.

    Raises ValueError for a file type that matplotlib cannot write, OSError where the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(len(curves), 3)
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(10.5 * columns, 7.0 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for axes, (name, curve) in zip(panels, curves.items()):
        _panel(axes, name, curve)
    for axes in panels[len(curves) :]:
        axes.set_visible(False)
    figure.savefig(path, dpi=130)


def _panel(axes: Any, name: str, curve: dict[str, np.ndarray]) -> None:
    h = curve["step"]
    for method, (marker, colour, label) in STYLES.items():
        if method in curve:
            error = np.maximum(curve[method], 1e-17)  # an error of exactly zero has no logarithm
            axes.loglog(h, error, marker + "-", color=colour, linewidth=2.4, markersize=5, label=label)
    for method, (power, words) in BEST.items():
        colour = STYLES[method][1]
        axes.axvline(EPS**power, color=colour, linestyle="--", linewidth=1.8)
        axes.text(EPS**power, 3e-18, words, color=colour, fontsize=18, ha="center", va="bottom", backgroundcolor="white")
    axes.set_title(f"{name}: how exact is a measured gradient?", fontsize=21, pad=12)
    axes.set_xlabel("step h", fontsize=19)
    axes.set_ylabel("relative error", fontsize=19)
    axes.set_ylim(1e-18, 1e5)
    axes.tick_params(labelsize=16)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=17, loc="upper right", framealpha=1)
