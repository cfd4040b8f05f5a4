"""The U-curve: how wrong a numerical derivative is, against the step it was taken with."""

from __future__ import annotations

from os import PathLike

import numpy as np

from gradcheck.checker import STEP


def plot(curves: dict[str, dict[str, np.ndarray]], path: str | PathLike) -> None:
    """Draw the curves of ``gradcheck.ucurve``, one panel for each name, into an image file.

    Raises ValueError for a file type that matplotlib cannot write, OSError where the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(len(curves), 3)
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(max(9.0, 7.0 * columns), 6.0 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, curve) in zip(figure.subplots(rows, columns, squeeze=False).flat, curves.items()):
        _panel(axes, name, curve)
    for axes in figure.axes[len(curves) :]:
        axes.set_visible(False)
    figure.savefig(path, dpi=150)


def _panel(axes, name: str, curve: dict[str, np.ndarray]) -> None:
    h, floor = curve["step"], 1e-17  # an error of exactly zero has no logarithm
    central = np.maximum(curve["central"], floor)
    axes.loglog(h, central, "o-", color="#c0392b", linewidth=2.5, markersize=4, label="central differences")
    if "complex" in curve:
        steady = np.maximum(curve["complex"], floor)
        axes.loglog(h, steady, "s-", color="#2471a3", linewidth=2.5, markersize=4, label="complex step")
    axes.axvline(STEP["central"], color="0.35", linestyle="--", linewidth=1.8)
    axes.annotate(
        "ε$^{1/3}$ ≈ 6·10$^{-6}$",
        (STEP["central"], 0.02),
        xycoords=("data", "axes fraction"),
        xytext=(-8, 0),
        textcoords="offset points",
        ha="right",
        fontsize=15,
        color="0.25",
    )
    best = np.argmin(central)
    axes.plot(h[best], central[best], "o", color="#c0392b", markersize=11, markerfacecolor="none", markeredgewidth=2.5)
    axes.annotate(
        f"best: {central[best]:.0e}",
        (h[best], central[best]),
        xytext=(-14, 26),
        textcoords="offset points",
        ha="right",
        fontsize=15,
        color="#c0392b",
    )
    falling, rising = (h < 1e-8) & (h > 1e-14), h > 1e-3
    for where, words, side in ((falling, "rounding: ε/h", "left"), (rising, "truncation: h²", "right")):
        if where.any():
            i = np.flatnonzero(where)[where.sum() // 2]
            axes.annotate(
                words,
                (h[i], central[i]),
                xytext=(12 if side == "left" else -14, 14),
                textcoords="offset points",
                ha=side,
                fontsize=15,
                color="#c0392b",
            )
    axes.set_title(f"{name}: which step measures a gradient best?", fontsize=19, pad=12)
    axes.set_xlabel("step h", fontsize=17)
    axes.set_ylabel("relative error of the measured gradient", fontsize=17)
    axes.set_ylim(1e-17, 30)
    axes.tick_params(labelsize=14)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=15, loc="upper left")
