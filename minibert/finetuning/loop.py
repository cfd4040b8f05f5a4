"""The loop of fine-tuning: epochs over a fixed set of examples, a look at the dev examples now and then, the best one kept.

A step's examples follow from the seed and its number alone. So the training state needs no more than the three slabs and a few
numbers, and an interrupted and resumed run is the uninterrupted one, bit for bit.
"""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from minibert.data.randomness import ORDER, generator
from minibert.files import brief, write_atomically
from minibert.finetuning.options import Settings
from minibert.pretrained import tensors
from minibert.tasks.labelled.features import Feature, micro_batches
from minibert.training import state as states
from minibert.training.adamw import learning_rate
from minibert.training.engine import Engine
from minibert.training.trainer import DEVICE_LOOK, ROWS, interruptible

STATE = states.FILE
HISTORY = "metrics.csv"
Scores = dict[str, float]
LOWER_IS_BETTER = ("mean_squared_error", "loss")


@dataclass(frozen=True)
class Progress:
    """How far a run is, and what it has seen."""

    step: int = 0
    total: int = 0
    seconds: float = 0.0
    best: float | None = None  # the score of the best look so far, greater is better
    best_step: int = 0
    waited: int = 0  # looks since then
    rows: list[dict[str, float]] = field(default_factory=list)  # of metrics.csv

    def __post_init__(self) -> None:
        for name in ("step", "total", "best_step", "waited"):
            if not isinstance(count := getattr(self, name), int) or count < 0:
                raise ValueError(f"{name} must be a whole number from 0 on, got {brief(count)}")
        for x in (self.seconds, 0 if self.best is None else self.best, *(x for row in self.rows for x in row.values())):
            if not isinstance(x, (int, float)):
                raise ValueError(f"seconds, best and rows must be numbers, got {brief(x)}")


def steps_an_epoch(examples: int, settings: Settings) -> int:
    """Optimiser steps that it takes to read all features once; the last one may be smaller."""
    return -(-examples // (settings.batch_size * settings.accumulate))


def total_steps(examples: int, settings: Settings) -> int:
    """Steps of the whole run."""
    return max(1, round(steps_an_epoch(examples, settings) * settings.epochs))


def examples_of(step: int, count: int, settings: Settings, seed: int) -> np.ndarray:
    """Which of ``count`` features step ``step`` (from 0) reads: a part of the epoch's permutation."""
    epoch, i = divmod(step, steps_an_epoch(count, settings))
    size = settings.batch_size * settings.accumulate
    return generator(seed, ORDER, epoch).permutation(count)[i * size:(i + 1) * size]


class Loop:
    """``run()`` trains until the last step, until no look was better for a while, or until somebody interrupts it.

    ``evaluate()`` scores the dev examples; ``keep()`` is called when the model is the best so far, ``save(progress)`` after every
    look and when interrupted.
    """

    def __init__(self, engine: Engine, features: Sequence[Feature], settings: Settings, metric: str, progress: Progress,
                 evaluate: Callable[[], Scores], keep: Callable[[], None], save: Callable[[Progress], None],
                 say: Callable[[str], None], pad_id: int = 0) -> None:
        self.engine, self.features, self.settings, self.metric, self.progress = engine, features, settings, metric, progress
        self.evaluate, self.keep, self.save, self.say, self.pad_id = evaluate, keep, save, say, pad_id
        self.epoch_steps = steps_an_epoch(len(features), settings)
        self._since: list[tuple[Any, Any]] = []  # loss and norm of the steps that no row holds yet

    def run(self) -> bool:
        """Train. True when done, False when interrupted (and saved)."""
        every = self.settings.eval_every or self.epoch_steps
        started = time.monotonic() - self.progress.seconds
        with interruptible() as interrupted, tqdm(
                total=self.progress.total, initial=self.progress.step, unit="step", disable=None, dynamic_ncols=True) as bar:
            while not self.finished and not interrupted():
                self._step()
                self.progress = replace(self.progress, seconds=time.monotonic() - started)
                step, total = self.progress.step, self.progress.total
                look = step % every == 0 or step == total
                write = look or step % max(1, total // ROWS) == 0
                if self.engine.on_cpu or write or step % DEVICE_LOOK == 0:
                    self._check()
                    bar.set_postfix_str(f"loss {np.mean([float(loss) for loss, _ in self._since[-20:]]):.3f}", refresh=False)
                bar.update()
                if write:
                    self._write_row(self._look() if look else {})
                if look:
                    with bar.external_write_mode():
                        self.say(self.line())
                    self.save(self.progress)
            if not self.finished and self.progress.step % every:
                if self._since:
                    self._write_row({})
                self.save(self.progress)
        return self.finished

    @property
    def finished(self) -> bool:
        """Is the last step done, or has there been no better look for too long?"""
        patience = self.settings.patience
        return self.progress.step >= self.progress.total or (patience is not None and self.progress.waited >= patience)

    def _step(self) -> None:
        chosen = examples_of(self.progress.step, len(self.features), self.settings, self.engine.seed)
        batches = micro_batches([self.features[i] for i in chosen], self.settings.micro_batch_tokens, pad_id=self.pad_id)
        metrics, norm = self.engine.train(batches, self.learning_rate(self.progress.step + 1))
        self._since.append((metrics.loss, norm))
        self.progress = replace(self.progress, step=self.progress.step + 1)

    def learning_rate(self, step: int) -> float:
        """Of step ``step``, counted from 1."""
        total = self.progress.total
        return learning_rate(step, self.settings.learning_rate, round(self.settings.warmup * total), total)

    def _check(self) -> None:
        loss, norm = map(float, self._since[-1])
        if not np.isfinite([loss, norm]).all():
            raise FloatingPointError(f"step {self.progress.step}: the loss is {loss}, the gradient's norm {norm}; "
                                     "try a smaller --learning-rate")

    def _look(self) -> Scores:
        """Score the dev examples; keep the model where it is the best so far."""
        scores = self.evaluate()
        value = better(scores, self.metric)
        if self.progress.best is None or value > self.progress.best:
            self.keep()
            self.progress = replace(self.progress, best=value, best_step=self.progress.step, waited=0)
        else:
            self.progress = replace(self.progress, waited=self.progress.waited + 1)
        return scores

    def _write_row(self, scores: Scores) -> None:
        losses = [float(loss) for loss, _ in self._since]
        step, seconds = self.progress.step, round(self.progress.seconds, 1)
        row = {"step": step, "epoch": step / self.epoch_steps, "seconds": seconds,
               "learning_rate": self.learning_rate(step), "gradient_norm": float(self._since[-1][1]),
               "loss": float(np.mean(losses)), **{f"dev_{name}": value for name, value in scores.items()}}
        self.progress = replace(self.progress, rows=[*self.progress.rows, row])
        self._since.clear()

    def line(self) -> str:
        """The last row, in words."""
        row = self.progress.rows[-1]
        scores = "  ".join(f"{name.removeprefix('dev_')} {value:.4f}" for name, value in row.items() if name.startswith("dev_"))
        best = "  (best so far)" if self.progress.best_step == row["step"] else ""
        return f"epoch {row['epoch']:.1f}  step {row['step']:,}  loss {row['loss']:.4f}  |  dev: {scores}{best}"


def better(scores: Scores, metric: str) -> float:
    """The score that chooses between two models, the greater the better."""
    return -scores[metric] if metric in LOWER_IS_BETTER else scores[metric]


def write_history(path: str | os.PathLike[str], rows: Sequence[dict[str, float]]) -> None:
    """``metrics.csv``; an empty cell is a figure that was not measured there."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([f"{row[name]:.6g}" if isinstance(row.get(name), float) else row.get(name, "") for name in columns]
                     for row in rows)
    write_atomically(path, text.getvalue())


def save_state(folder: str | os.PathLike[str], engine: Engine, progress: Progress) -> None:
    """Write what it takes to go on exactly: weights, moments, counters."""
    states.write(folder, "finetuning", asdict(progress), (engine.parameters, engine.m, engine.v))


def read_state(folder: str | os.PathLike[str], engine: Engine) -> Progress:
    """Put the weights and moments of an interrupted run into the engine. ValueError for a file that does not fit it."""
    with tensors.opened(Path(folder) / STATE) as file:
        try:
            found = states.read(file, "finetuning")
            layout = found.pop("layout", None)
            progress = Progress(**found)
            slabs = states.read_slabs(file, engine.parameters.layout, layout)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{file.path}: this is no training state of a fine-tuning run ({type(error).__name__}: {error}); "
                             "a run of minibert train goes on with: minibert train --resume") from None
        engine.parameters, engine.m, engine.v = (slab.to(engine.xp) for slab in slabs)
    engine.step = progress.step
    return progress
