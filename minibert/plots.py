"""Pictures. Matplotlib is imported here and nowhere else in the package."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from minibert.files import replacing

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#555555"  # told apart by colour-blind eyes (Okabe and Ito)
OTHERS = ((GREEN, "s"), ("#CC79A7", "^"), ("#E69F00", "D"), ("#56B4E9", "v"), ("#000000", "P"), (GREY, "X"), ("#F0E442", "*"))
SERIES = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (GREY, "D"))
LEGEND = 60  # letters of the names above a panel in one line, each mark counted as 6


class Lines(NamedTuple):
    """A panel: curves over the same x."""

    title: str
    xlabel: str
    x: Sequence[float]
    series: Mapping[str, Sequence[float]]
    ylabel: str


class Bars(NamedTuple):
    """A panel: bars side by side for each label."""

    title: str
    labels: Sequence[str]
    series: Mapping[str, Sequence[float]]
    ylabel: str


class Points(NamedTuple):
    """A panel: named points of a plane, coloured by group."""

    title: str
    points: Any  # (N, 2)
    names: Sequence[str]
    groups: Sequence[int]  # from 1


class Grid(NamedTuple):
    """A panel: numbers of rows and columns as shades, zero in the middle."""

    title: str
    values: Any  # (rows, columns)
    rows: Sequence[str]
    columns: Sequence[str]


class Asked(NamedTuple):
    """What a run is asked besides masked words."""

    term: str  # in the names of its columns
    title: str
    classes: int | None = None  # to choose from; None: no two answers are alike


def learning_curve(rows: Sequence[Mapping[str, Any]], path: str | os.PathLike[str], ln_vocabulary: float, unigram: float,
                   title: str = "Pre-training", short_steps: int = 0, best: float | None = None,
                   tasks: Sequence[Asked] = (Asked("nsp", "next sentence", 2),), stages: Sequence[int] = ()) -> None:
    """Loss and accuracy of a run against its steps, training and held-out, with the lines that make them readable.

    Of a run that is asked more than for words and about pairs there is a third panel, with the surprise at all that.
    ``rows``: those of ``metrics.csv``, by the names of its columns.
    ``short_steps``: how many of the first steps read short runs of text; they are shaded. ``best``: the loss that nobody can
    beat, where it is known. ``tasks``: what else is asked. ``stages``: the steps after which the later stages begin.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    seen = [row for row in rows if row.get("held_out_mlm_loss") is not None]
    tasks = [task for task in tasks if _measured(seen, f"held_out_{task.term}_loss")]
    more = tasks if any(task.term != "nsp" for task in tasks) else []
    training = {"color": BLUE, "alpha": 0.6, "linewidth": 1.5, "marker": "." if len(rows) < 40 else None}
    held_out = {"linewidth": 2.4, "markersize": 6}
    figure = Figure(figsize=(17 if more else 12, 5.6), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=17, fontweight="bold")
    loss, right, *third = figure.subplots(1, 3 if more else 2)

    _guide(loss, ln_vocabulary, f"blind guessing: ln V = {ln_vocabulary:.2f}", ":", GREY)
    _guide(loss, unigram, f"guessing by frequency alone: {unigram:.2f}", "--", GREY)
    if best is not None:
        _guide(loss, best, f"nobody can do better: {best:.2f}", "-", GREEN)
    trained = _measured(rows, "mlm_loss")  # in some stages of some runs nothing is asked for words
    _curve(loss, trained, [row["mlm_loss"] for row in trained], **training)
    _curve(loss, seen, [row["held_out_mlm_loss"] for row in seen], "{:.2f}", -18, color=ORANGE, marker="o", **held_out)
    loss.set_title("Surprise at the masked words", fontsize=14)
    loss.margins(y=0.1)
    loss.set_ylabel("loss (nats per masked word)", fontsize=13)

    for classes in sorted({task.classes for task in tasks if task.classes}):
        alike = [(task.title, color) for task, (color, _) in zip(tasks, OTHERS) if task.classes == classes]
        guess = "tossing a coin" if classes == 2 else f"guessing among {classes}"
        _guide(right, 100 / classes, f"{', '.join(title for title, _ in alike)}: {guess}", ":",
               alike[0][1] if len(alike) == 1 else GREY)
    _curve(right, trained, [100 * row["mlm_accuracy"] for row in trained], label="masked words, training", **training)
    _curve(right, seen, [100 * row["held_out_mlm_accuracy"] for row in seen], "{:.0f} %", 9, color=ORANGE, marker="o",
           label="masked words, held-out text", **held_out)
    for task, (color, marker) in zip(tasks, OTHERS):
        found, accuracy = f"held_out_{task.term}_found", f"held_out_{task.term}_accuracy"
        name = found if _measured(seen, found) else accuracy
        some = _measured(seen, name)
        _curve(right, some, [100 * row[name] for row in some], "{:.0f} %", 9, color=color, marker=marker,
               label=f"{task.title}, held-out text", **held_out)
    for axes in third:
        for task, (color, marker) in zip(tasks, OTHERS):
            name = f"held_out_{task.term}_loss"
            some = _measured(seen, name)
            _curve(axes, some, [row[name] for row in some], "{:.3f}", -18, color=color, marker=marker, **held_out)
        axes.set_title("Surprise at what else is asked", fontsize=14)
        axes.margins(y=0.1)
        axes.set_ylabel("loss (nats per text, or per token)", fontsize=13)
    right.set_title("How often the first guess is right", fontsize=14)
    right.set_ylabel("right (%)", fontsize=13)
    right.set_ylim(0, 100)

    for axes in (loss, right, *third):
        if short_steps:
            end = min(short_steps, rows[-1]["step"])
            axes.axvspan(0, end, color=GREY, alpha=0.12, linewidth=0, label="short runs of text first")
        for i, step in enumerate(step for step in stages if step < rows[-1]["step"]):
            axes.axvline(step, color=GREY, linewidth=1.6, label="" if i else "a new stage")
        _by_step(axes)
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=12.5,
                  columnspacing=1.5)
    save(figure, path)


def _measured(rows: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    """The rows that have this figure."""
    return [row for row in rows if row.get(name) is not None]


def tuning_curve(rows: Sequence[Mapping[str, Any]], path: str | os.PathLike[str], metric: str, best_step: int,
                 title: str) -> None:
    """Loss of a fine-tuning run on both files, and the score that chooses, with the look that was kept.

    ``rows``: those of ``metrics.csv``, by the names of its columns.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    learned, seen = ([row for row in rows if row.get(name) is not None] for name in ("loss", "dev_loss"))
    training = {"color": BLUE, "alpha": 0.6, "linewidth": 1.5, "marker": "." if len(learned) < 40 else None}
    dev = {"color": ORANGE, "linewidth": 2.4, "marker": "o", "markersize": 6}
    figure = Figure(figsize=(12, 5.6), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=17, fontweight="bold")
    loss, score = figure.subplots(1, 2)
    _curve(loss, learned, [row["loss"] for row in learned], label="training", **training)
    _curve(loss, seen, [row["dev_loss"] for row in seen], "{:.2f}", 9, label="dev examples", **dev)
    loss.set_title("Loss", fontsize=14)
    if metric == "accuracy" and learned[-1].get("accuracy") is not None:
        _curve(score, learned, [row["accuracy"] for row in learned], **training)
    _curve(score, seen, [row[f"dev_{metric}"] for row in seen], "{:.3f}", 9, **dev)
    score.set_title(metric.replace("_", " "), fontsize=14)
    for axes in (loss, score):
        axes.axvline(best_step, color=GREY, linestyle="--", linewidth=1.6, label="the model that was kept")
        axes.margins(y=0.12)
        _by_step(axes)
    figure.legend(*loss.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=12.5)
    save(figure, path)


def _by_step(axes: Any) -> None:
    """The axis of the steps, and what every curve over them has."""
    axes.set_xlabel("step", fontsize=13)
    axes.set_xlim(left=0)
    axes.locator_params(axis="x", nbins=4, integer=True)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.tick_params(labelsize=12)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def confusion(matrix: np.ndarray, labels: Sequence[str], path: str | os.PathLike[str], title: str) -> None:
    """What was taken for what: (C, C) counts as shares of each row, which is what a text or a word really is."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    C = len(labels)
    shares = matrix / matrix.sum(1, keepdims=True).clip(1)
    size = min(14.0, 4.5 + 0.55 * C)
    figure = Figure(figsize=(size + 1, size), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (i, j), n in [((i, j), matrix[i, j]) for i in range(C) for j in range(C) if matrix[i, j] and C <= 20]:
        axes.text(j, i, f"{n:,}\n{shares[i, j]:.0%}" if C <= 8 else f"{n:,}", ha="center", va="center",
                  fontsize=14 if C <= 4 else 11 if C <= 8 else 8, color="white" if shares[i, j] > 0.55 else "black")
    names = [label if len(label) <= 16 else label[:15] + "…" for label in labels]
    fontsize = 12 if C <= 20 else 7
    axes.set_xticks(range(C), names, rotation=45 if C > 4 else 0, ha="right" if C > 4 else "center", fontsize=fontsize)
    axes.set_yticks(range(C), names, fontsize=fontsize)
    axes.set_xlabel("guessed", fontsize=13)
    axes.set_ylabel("what it is", fontsize=13)
    axes.set_title(title, fontsize=14, fontweight="bold")
    figure.colorbar(image, ax=axes, shrink=0.8, format=lambda x, _: f"{x:.0%}").set_label("share of the row", fontsize=12)
    save(figure, path)


def confusion_of_each(matrix: np.ndarray, labels: Sequence[str], path: str | os.PathLike[str], title: str) -> None:
    """Of each label by itself, (C, 2, 2) counts: where it is there it was found or missed, and elsewhere it was guessed wrongly.

    The most frequent label stands on top; of more than 40 the rest is left out, and the title says so.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    order = sorted(range(len(labels)), key=lambda i: -matrix[i, 1].sum())[:40]
    found, missed, wrong = matrix[order, 1, 1], matrix[order, 1, 0], matrix[order, 0, 1]
    figure = Figure(figsize=(10, 2.5 + 0.4 * len(order)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    places = range(len(order))
    for name, start, counts, color in (("found", 0, found, BLUE), ("missed", found, missed, GREY),
                                       ("guessed where it is not", -wrong, wrong, ORANGE)):
        bars = axes.barh(places, counts, left=start, color=color, label=name)
        axes.bar_label(bars, [f"{n:,}" if n else "" for n in counts], label_type="center", fontsize=11, color="white")
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(places, [labels[i] if len(labels[i]) <= 30 else labels[i][:29] + "…" for i in order], fontsize=12)
    axes.invert_yaxis()
    axes.locator_params(axis="x", integer=True)
    axes.xaxis.set_major_formatter(lambda x, _: f"{abs(x):,.0f}")
    axes.set_xlabel("texts", fontsize=13)
    axes.set_title(title + (f" (the {len(order)} most frequent of {len(labels)} labels)" if len(order) < len(labels) else ""),
                   fontsize=14, fontweight="bold")
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=12.5)
    save(figure, path)


def by_layer(series: Mapping[str, Sequence[float]], title: str, ylabel: str, levels: Mapping[str, float] | None = None,
             bounds: tuple[float, float] | None = None) -> Figure:
    """A number of each layer, from 1, for up to three ways of measuring it.

    ``levels``: numbers to compare with. ``bounds``: the least and the most that it can be, where both are to be seen.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name, level in (levels or {}).items():
        _guide(axes, level, f"{name}: {level:.2f}", "--", GREY)
    for (name, values), color in zip(series.items(), (BLUE, ORANGE, GREEN), strict=False):
        axes.plot(range(1, len(values) + 1), values, color=color, linewidth=2.4, marker="o", markersize=6, label=name)
    figure.suptitle(title, fontsize=15, fontweight="bold")
    axes.set_xlabel("layer", fontsize=13)
    axes.set_ylabel(ylabel, fontsize=13)
    if bounds:
        axes.set_ylim(*bounds)
    axes.locator_params(axis="x", integer=True)
    axes.tick_params(labelsize=12)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=12.5)
    return figure


def layer_maps(maps: Mapping[str, np.ndarray], title: str, columns: int, of: Mapping[str, str] | None = None) -> Figure:
    """Numbers up to 1 of every pair of layers, those of one side upwards, of the other to the right: a map for each name.

    ``of``: by the name of a map, of what its pairs are, where not of layers.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = -(-len(maps) // columns)
    figure = Figure(figsize=(3.2 * columns + 1.2, 3.3 * lines + 0.8), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=15, fontweight="bold")
    every = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, (name, values) in zip(every, maps.items(), strict=False):
        image = axes.imshow(values, cmap="viridis", vmin=0, vmax=1, origin="lower")
        axes.set_title(name, fontsize=13)
        axes.set_xlabel((of or {}).get(name, "layer"), fontsize=12)
        axes.set_ylabel((of or {}).get(name, "layer"), fontsize=12)
        for which in ("x", "y"):
            axes.locator_params(axis=which, integer=True, nbins=6)
    for axes in every[len(maps):]:
        axes.set_visible(False)
    figure.colorbar(image, ax=list(every), shrink=0.8)
    return figure


def add_to_title(figure: Figure, words: str) -> None:
    """Words behind the title of a picture, in its own letters."""
    title = figure.get_suptitle()
    next(text for text in figure.texts if text.get_text() == title).set_text(title + words)


def panels(title: str, *parts: Lines | Bars | Points | Grid) -> Figure:
    """What an analysis found: up to three panels side by side, more in two columns; at most four curves or bars in each."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = len(parts) if len(parts) <= 3 else 2
    rows = -(-len(parts) // columns)
    figure = Figure(figsize=(6.5 * columns, 5.6 * rows), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=17, fontweight="bold")
    for number, part in enumerate(parts, start=1):
        axes = figure.add_subplot(rows, columns, number)
        axes.tick_params(labelsize=12)
        axes.spines[["top", "right"]].set_visible(False)
        if isinstance(part, Points):
            _points(axes, part)
        elif isinstance(part, Grid):
            _grid(axes, part)
        else:
            _series(axes, part)
    return figure


def _series(axes: Any, part: Lines | Bars) -> None:
    if len(part.series) > len(SERIES):
        raise ValueError(f"a panel has room for {len(SERIES)} series, got {len(part.series)}: {', '.join(part.series)}")
    width = 0.8 / len(part.series)
    for i, ((name, values), (color, marker)) in enumerate(zip(part.series.items(), SERIES)):
        if isinstance(part, Lines):
            axes.plot(part.x, values, label=name, color=color, marker=marker, linewidth=2.2, markersize=6)
        else:
            axes.bar([k + (i + 0.5) * width - 0.4 for k in range(len(part.labels))], values, width, label=name, color=color)
    if isinstance(part, Lines):
        axes.set_xlabel(part.xlabel, fontsize=13)
        axes.locator_params(axis="x", integer=all(x == int(x) for x in part.x))
    else:
        axes.set_xticks(range(len(part.labels)), part.labels, rotation=45, ha="right")
    columns = len(part.series) if sum(len(name) + 6 for name in part.series) <= LEGEND else 2
    axes.set_title(part.title, fontsize=14, pad=12 + 20 * -(-len(part.series) // columns))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=columns, frameon=False, fontsize=12, columnspacing=1.5)
    axes.set_ylabel(part.ylabel, fontsize=13)
    axes.set_axisbelow(True)
    axes.grid(alpha=0.25)


def _points(axes: Any, part: Points) -> None:
    least, most = min(part.groups), max(part.groups)
    for (x, y), name, group in zip(part.points, part.names, part.groups):
        axes.plot(x, y, "o", color=_shade((group - least) / max(1, most - least)), markersize=9)
        _write(axes, name, (x, y), "data", (0, 6), ha="center", fontsize=11)
    axes.set_title(part.title, fontsize=14, pad=12)
    axes.margins(0.1)
    axes.set_xticks([])
    axes.set_yticks([])


def _grid(axes: Any, part: Grid) -> None:
    most = max((abs(float(x)) for row in part.values for x in row), default=0.0) or 1.0
    axes.imshow(part.values, cmap="RdBu", vmin=-most, vmax=most, aspect="auto")
    axes.set_xticks(range(len(part.columns)), part.columns, rotation=45, ha="right")
    axes.set_yticks(range(len(part.rows)), part.rows)
    axes.set_title(part.title, fontsize=14, pad=12)


def _shade(share: float) -> Any:
    """From dark to light, for what has an order."""
    from matplotlib import colormaps

    return colormaps["viridis"](0.9 * share)


def frontier(speeds: Sequence[float], good: Sequence[float], names: Sequence[str], path: str | os.PathLike[str],
             ylabel: str) -> None:
    """Models as points: how many texts a second, and how good."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=12)
    axes.plot(speeds, good, "o", color=BLUE, markersize=10)
    axes.margins(0.2)
    axes.set_xlim(left=0)
    points = list(zip(speeds, good))
    written: list[tuple[float, float]] = []  # where names begin, in points
    for name, point, (x, y) in zip(names, points, axes.transData.transform(points) * 72 / figure.dpi):
        up = 8
        while any(abs(x - left) < 90 and abs(y + up - bottom) < 14 for left, bottom in written):
            up += 14
        written.append((x, y + up))
        axes.annotate(name, point, xytext=(8, up), textcoords="offset points", fontsize=12,
                      arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.8})
    axes.set_xlabel("texts a second", fontsize=14)
    axes.set_ylabel(ylabel, fontsize=14)
    axes.set_title("Smaller and faster, and how good", fontsize=17, fontweight="bold")
    save(figure, path)


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a picture; its format follows from the name."""
    with replacing(path) as temporary:
        figure.savefig(temporary)


def _curve(axes: Any, rows: Sequence[Any], values: Sequence[float], last: str = "", offset: int = 0, **style: Any) -> None:
    """Values against the rows' steps; with ``last``, a format, the last value is written ``offset`` points above its place."""
    axes.plot([row["step"] for row in rows], values, **style)
    if rows and last:
        _write(axes, last.format(values[-1]), (rows[-1]["step"], values[-1]), "data", (0, offset), ha="center", fontsize=13,
               fontweight="bold", color=style["color"])


def _guide(axes: Any, y: float, text: str, linestyle: str, color: str) -> None:
    """A level to compare with, named at its right end."""
    axes.axhline(y, color=color, linestyle=linestyle, linewidth=1.6, zorder=1)
    _write(axes, text, (1, y), ("axes fraction", "data"), (-2, 5), ha="right", fontsize=12, color=color)


def _write(axes: Any, text: str, at: tuple[float, float], coordinates: Any, offset: tuple[int, int], **style: Any) -> None:
    """Text with a white edge, so that it can be read on top of curves."""
    from matplotlib.patheffects import withStroke

    axes.annotate(text, at, xycoords=coordinates, xytext=offset, textcoords="offset points", zorder=5,
                  path_effects=[withStroke(linewidth=3, foreground="white")], **style)
