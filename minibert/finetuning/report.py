"""What came of it, written down: figures, every guess, every error, and a picture of what was taken for what."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from minibert.files import write_atomically
from minibert.tasks.labelled import name_of

ERRORS_SHOWN = 5


def predictions(task: ModuleType, examples: Sequence[Any], guesses: Sequence[Any], layers: Sequence[int] | None = None) -> str:
    """Every example with its guess, as tab-separated text. ``layers``: how many each went through, in a column of its own."""
    rows = [task.row(example, guess)[0] for example, guess in zip(examples, guesses)]
    if layers is None:
        return _tsv(task.COLUMNS, rows)
    return _tsv((*task.COLUMNS, "layer"), [(*row, layer) for row, layer in zip(rows, layers)])


def left(layers: Sequence[int], last: int) -> str:
    """After which layer how many examples left, in words."""
    counts = [sum(layer == i for layer in layers) for i in range(1, last + 1)]
    return (f"left after layer {', '.join(f'{i}: {n:,}' for i, n in enumerate(counts, 1))}; {sum(layers) / len(layers):.2f} of "
            f"{last} layers in the mean")


def errors(task: ModuleType, examples: Sequence[Any], guesses: Sequence[Any]) -> list[tuple]:
    """The rows of wrong guesses, the surest first: the ones to learn most from."""
    wrong = [row for row, right in map(task.row, examples, guesses) if right is False]
    by = task.COLUMNS.index("difference" if "difference" in task.COLUMNS else "confidence")
    return sorted(wrong, key=lambda row: -row[by])


def write(folder: str | os.PathLike[str], task: ModuleType, examples: Sequence[Any], guesses: Sequence[Any],
          labels: Sequence[str], scores: dict[str, float], extra: dict[str, Any]) -> str:
    """Write metrics.json, report.txt, predictions.tsv, errors.tsv and, with classes, confusion.png. Returns the report.

    For qa also predictions.json, from ids to answers, which official scripts read.
    """
    folder = Path(folder)
    wrong = errors(task, examples, guesses)
    lines = ["  ".join(f"{name} {value:.4f}" for name, value in scores.items()), ""]
    lines += [*task.details(examples, guesses, labels), ""]
    if wrong:
        lines.append(f"{len(wrong):,} of {len(examples):,} are not right; the surest of them (all: errors.tsv):")
        lines += [f"  {_short(row, task.COLUMNS)}" for row in wrong[:ERRORS_SHOWN]]
    report = "\n".join(lines)
    write_atomically(folder / "report.txt", report + "\n")
    write_atomically(folder / "predictions.tsv", predictions(task, examples, guesses))
    write_atomically(folder / "errors.tsv", _tsv(task.COLUMNS, wrong))
    if name_of(task) == "qa":
        answers = {example.id: guess.text for example, guess in zip(examples, guesses)}
        write_atomically(folder / "predictions.json", json.dumps(answers, indent=1, ensure_ascii=False) + "\n")
    if (picture := task.picture(examples, guesses, labels)) is not None:
        from minibert import plots  # matplotlib takes a second to import

        draw, title = ((plots.confusion, "what was taken for what") if picture[0].ndim == 2 else
                       (plots.confusion_of_each, "label by label"))
        draw(*picture, folder / "confusion.png", f"{folder.name}: {title}")
    write_atomically(folder / "metrics.json", json.dumps({"scores": scores, **extra}, indent=2, ensure_ascii=False) + "\n")
    return report


class Kept(NamedTuple):
    """Of one task of several: the score that chooses, in the model that was kept and at the task's own best look."""

    name: str
    metric: str
    score: float
    best: Mapping[str, Any]  # the row of that look


def write_several(folder: str | os.PathLike[str], tasks: Sequence[Kept], scores: dict[str, float], extra: dict[str, Any]) -> str:
    """Write report.txt and metrics.json of a run of several tasks; each has those of its own in a folder. Returns the report."""
    folder, wide = Path(folder), max(len(task.name) for task in tasks)
    lines = [f"{'':<{wide}}  {'':<12}  the model that was kept  its best look"]
    for name, metric, score, best in tasks:
        lines.append(f"{name:<{wide}}  {metric:<12}  {score:>23.4f}  {best[f'dev_{metric}']:.4f} after step {best['step']:,}")
    lines.append(f"{'mean':<{wide}}  {'':<12}  {scores['mean']:>23.4f}")
    report = "\n".join(lines)
    write_atomically(folder / "report.txt", report + "\n")
    best_steps = {task.name: task.best["step"] for task in tasks}
    write_atomically(folder / "metrics.json", json.dumps({"scores": scores, "best_steps": best_steps, **extra}, indent=2) + "\n")
    return report


def _tsv(columns: Sequence[str], rows: Sequence[tuple]) -> str:
    return "".join("\t".join(map(_cell, row)) + "\n" for row in [columns, *rows])


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else " ".join(str(value).split())


def _short(row: tuple, columns: Sequence[str]) -> str:
    """One error on one line: what it is, what was guessed, how sure, and the start of the text."""
    named = {name: _cell(value) for name, value in zip(columns, row)}
    sure = named.get("difference") or named["confidence"]
    text = " / ".join(named[name] for name in ("question", "sentence", "text", "pair") if named.get(name))
    return f"{named['label'][:60]} -> {named['guess'][:60]} ({sure})  {text[:90]}{'…' if len(text) > 90 else ''}"
