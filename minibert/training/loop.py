"""The loop: steps, a look now and then, the best one kept, and what is written down on the way. Every training is this one.

It keeps nothing that a run's state does not hold, so that an interrupted and resumed run is the uninterrupted one, bit for bit
(on one kind of processor, with as many lanes).
"""

from __future__ import annotations

import bisect
import csv
import io
import math
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from minibert.data.randomness import TASKS, generator
from minibert.files import brief, csv_lines, decode_utf8, write_atomically
from minibert.model.model import Model
from minibert.tasks.batches import Batch, Position
from minibert.training.course import Course
from minibert.training.engine import Engine, Metrics
from minibert.training.schedules import rate

METRICS = "metrics.csv"
ROWS = 200  # of metrics.csv, about
DEVICE_LOOK = 20  # steps between looks at the loss where each look is a wait for the device
WARM_UP_STEPS, TIMED_STEPS = 3, 12  # of --minutes
LABEL = "label"  # the term of a labelled task, which has no other
COUNTED = ("step", "tokens")  # whole numbers in metrics.csv

NEEDED = ("step", "seconds", "learning_rate", "gradient_norm")  # in every line
FIGURE = re.compile(rf"{'|'.join(NEEDED)}|tokens|epoch|(.+_)?(loss|accuracy|found)|(dev|held_out)_.+")  # columns of ours

Row = dict[str, float]  # a line of metrics.csv by its columns; None: not measured
Look = Mapping[str, float]  # what a look at other examples has measured, by columns


class Task(NamedTuple):
    """What a step may read."""

    batch: Callable[[Position], tuple[list, Position]]  # the examples from a position on, and the position after them
    cut: Callable[[list], list[Batch]]  # examples -> micro-batches
    at: Callable[[float], None] | None = None  # is told before each step what share of the run is done


class Stage(NamedTuple):
    """A part of a run: each step reads one of its tasks, which is drawn by their weights, or which ``order`` says."""

    tasks: Sequence[Task]
    share: float = 1.0  # of all steps; the last stage lasts to the end
    weights: Sequence[float] = (1.0,)
    course: Course | None = None  # of a schedule of its own, for which Adam counts its steps anew; None: the run's goes on
    order: Callable[[int], int] | None = None  # step of the stage -> number of the task


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    step: int = 0  # steps done
    total: int = 0  # steps in all; 0: not known yet
    positions: tuple[tuple[int, ...], ...] = ()  # of each task of the present stage: see Position
    tokens: int = 0  # read so far
    seconds: float = 0.0  # spent so far
    loss_scale: tuple[float, ...] = ()  # of float16: see LossScale.state
    best: float | None = None  # what the best look so far was worth, the greater the better
    best_step: int = 0
    waited: int = 0  # looks since then

    def __post_init__(self) -> None:
        object.__setattr__(self, "positions", tuple(Position(*position) for position in self.positions))
        counts = {name: getattr(self, name) for name in ("step", "total", "tokens", "best_step", "waited")}
        for name, count in [*counts.items(), *(("positions", n) for position in self.positions for n in position)]:
            if not isinstance(count, int) or count < 0:
                raise ValueError(f"{name} must be a whole number from 0 on, got {brief(count)}")
        if not all(isinstance(x, (int, float)) for x in (self.seconds, self.best or 0, *self.loss_scale)):
            raise ValueError("seconds, best and loss_scale must be numbers")

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Progress:
        """What a state says; in one from before there were stages two numbers are the position."""
        found = {name: value for name, value in found.items() if name != "rows"}  # they stand in metrics.csv
        position = [found.pop(name) for name in ("epoch", "index") if name in found]
        return cls(**{"positions": [position] if position else [], **found})

    def finished(self, patience: int | None) -> bool:
        """Is the last step done, or has there been no better look for too long?"""
        return self.step >= self.total > 0 or (patience is not None and self.waited >= patience)


class Loop:
    """``run()`` trains until the last step, until no look was better for ``course.patience`` looks, or until it is interrupted.

    The stages follow one another. ``course.micro_batch_tokens`` is a number, not None. ``every(total)``: steps between looks.
    ``look()`` measures, ``worth(look)`` says which of two is better (None: nobody asks), ``keep()`` is called at the best
    so far; ``save(progress)`` after every look and when the run is interrupted; ``line(loop)``: what is said of a look. Of
    several ranks each runs this loop, and the first one writes.
    ``metrics``: the file of the rows. ``epoch``: steps of an epoch, where the rows are to say which one it is.
    """

    def __init__(self, engine: Engine, stages: Sequence[Stage], course: Course, progress: Progress, metrics: Path, *,
                 every: Callable[[int], int], look: Callable[[], Look], save: Callable[[Progress], None],
                 line: Callable[[Loop], str], say: Callable[[str], None], worth: Callable[[Look], float] | None = None,
                 keep: Callable[[], None] = lambda: None, epoch: int | None = None) -> None:
        self.engine, self.stages, self.course, self.progress, self.metrics = engine, stages, course, progress, metrics
        self.ranks = engine.ranks
        self.look, self.save, self.line, self.say, self.worth, self.keep, self.epoch = look, save, line, say, worth, keep, epoch
        self._every = every
        self.rows = read_rows(metrics, progress.step) if progress.step else []
        if progress.step:
            at = self.stage(progress.step - 1)
            engine.origin = self.begins(at) if stages[at].course else 0
        self._since: list[tuple[Metrics, Any]] = []  # steps that no row holds yet

    def run(self) -> bool:
        """Train. True when done, False when interrupted (and saved)."""
        with interruptible() as interrupted:
            if not self.progress.total:
                self._fix_total()
            started = time.monotonic() - self.progress.seconds
            with tqdm(total=self.progress.total, initial=self.progress.step, unit="step", dynamic_ncols=True, smoothing=0.05,
                      disable=None if self.ranks.first else True) as bar:
                while not self.finished and not any(self.ranks.share(interrupted())):
                    self._step()
                    self.progress = replace(self.progress, seconds=time.monotonic() - started)
                    step, total = self.progress.step, self.progress.total
                    look = step % self.every == 0 or step == total
                    write = look or step % max(1, total // ROWS) == 0
                    if self.engine.on_cpu or step % DEVICE_LOOK == 0 or write:
                        self._check()
                        bar.set_postfix_str(self._postfix(), refresh=False)
                    bar.update()
                    if write:
                        self._write_row(self._look() if look else {})
                    if look:
                        with bar.external_write_mode():
                            self.say(self.line(self))
                        self._save()
            if not self.finished:
                if self._since:
                    self._check()
                    self._write_row({})
                self._save()
        return self.finished

    def _save(self) -> None:
        if self.engine.loss_scale is not None:
            self.progress = replace(self.progress, loss_scale=self.engine.loss_scale.state())
        self.save(self.progress)

    @property
    def finished(self) -> bool:
        """Is there nothing left to do?"""
        return self.progress.finished(self.course.patience)

    @property
    def every(self) -> int:
        """Steps between two looks."""
        return self.course.eval_every or self._every(self.progress.total)

    @property
    def looked(self) -> bool:
        """Whether the last step was followed by a look."""
        return bool(self.rows) and self.rows[-1]["step"] == self.progress.step and (
            self.progress.step % self.every == 0 or self.progress.step == self.progress.total)

    def begins(self, stage: int) -> int:
        """How many steps come before a stage."""
        return round(sum(stage.share for stage in self.stages[:stage]) * self.progress.total)

    def stage(self, step: int) -> int:
        """The number of the stage in which this many steps are done."""
        return max(i for i in range(len(self.stages)) if self.begins(i) <= step)

    def _enter(self, at: int) -> list[Position]:
        """Begin a stage. Where each of its tasks begins: where the stage before read the same text it goes on in it."""
        step, stage = self.progress.step, self.stages[at]
        if stage.course:
            self.engine.restart()
        before = [task.batch for task in self.stages[self.stage(step - 1)].tasks] if step else []
        left = dict(zip(before, self.progress.positions))
        return [left.get(task.batch, Position()) for task in stage.tasks]

    def _step(self) -> None:
        """One step: examples, micro-batches, gradients, weights."""
        step = self.progress.step
        at = self.stage(step)
        stage, positions = self.stages[at], list(self.progress.positions)
        if step == self.begins(at):
            positions = self._enter(at)
        number = stage.order(step - self.begins(at)) if stage.order else draw(stage.weights, self.engine.seed, step)
        task = stage.tasks[number]
        if task.at:
            task.at(step / self.progress.total)
        examples, positions[number] = task.batch(positions[number])
        metrics, norm = self.engine.train(task.cut(examples), self.learning_rate(step + 1))
        self._since.append((metrics, norm))
        self.progress = replace(self.progress, step=step + 1, positions=tuple(positions),
                                tokens=self.progress.tokens + metrics.tokens)

    def learning_rate(self, step: int) -> float:
        """Of step ``step``, counted from 1: by the schedule of the run, or of its stage."""
        total, course = self.progress.total, self.course
        at = self.stage(step - 1)
        if own := self.stages[at].course:
            course, first = own, self.begins(at)
            step, total = step - first, (self.begins(at + 1) if at + 1 < len(self.stages) else total) - first
        return rate(course, step, total)

    def _fix_total(self) -> None:
        """``--minutes``: time some steps, then fix the number of steps once. The timed steps leave no trace."""
        engine, before, begun = self.engine, self.progress, time.monotonic()
        slabs = [engine.parameters, *engine.kept.values()]
        kept = [slab.flat.copy() for slab in slabs]
        scale = engine.loss_scale and engine.loss_scale.state()
        self.progress = replace(before, total=WARM_UP_STEPS + TIMED_STEPS)
        for i in range(WARM_UP_STEPS + TIMED_STEPS):
            if i == WARM_UP_STEPS:
                self._check()  # a device works on behind our back: reading a number waits for it
                timed = time.monotonic()
            self._step()
        self._check()
        per_step = (time.monotonic() - timed) / TIMED_STEPS
        self._measure()
        per_look = time.monotonic() - timed - per_step * TIMED_STEPS
        left = self.course.minutes * 60 - before.seconds - (time.monotonic() - begun)

        def takes(total: int) -> float:
            return per_step * total + per_look * (1 + -(-total // (self.course.eval_every or self._every(total))))

        total = max(1, bisect.bisect_right(range(1, max(1, int(left / per_step)) + 1), left, key=takes))
        total = self.ranks.share(total)[0]
        for slab, flat in zip(slabs, kept):
            slab.flat[...] = flat
        engine.resume(0, scale or ())
        self._since.clear()
        self.progress = replace(before, total=total, seconds=before.seconds + time.monotonic() - begun)
        self.say(f"{per_step * 1e3:.0f} ms a step: {total:,} steps fit into {self.course.minutes:g} minutes")

    def _check(self) -> None:
        """Read the figures of the last step; stop on one that is not finite."""
        loss, norm = float(self._since[-1][0].loss), float(self._since[-1][1])
        if not np.isfinite([loss, norm]).all():
            raise FloatingPointError(f"step {self.progress.step}: the loss is {loss}, the gradient's norm {norm}, "
                                     f"the learning rate {self.learning_rate(self.progress.step):.3g}")

    def _measure(self) -> Look:
        """A look. Its losses must be finite: what is saved next would be of no use."""
        found = self.look()
        for name, value in found.items():
            if name.endswith("loss") and value is not None and not np.isfinite(value):
                step = self.progress.step
                raise FloatingPointError(f"after step {step}: {name} is {value}, the last gradient's norm "
                                         f"{float(self._since[-1][1]):.3g}, the learning rate {self.learning_rate(step):.3g}")
        return found

    def _look(self) -> Look:
        """Measure, and keep what is the best so far."""
        found = self._measure()
        if self.worth is not None:
            value = self.worth(found)
            if self.progress.best is None or value > self.progress.best:
                self.keep()
                self.progress = replace(self.progress, best=value, best_step=self.progress.step, waited=0)
            else:
                self.progress = replace(self.progress, waited=self.progress.waited + 1)
        return found

    def _write_row(self, look: Look) -> None:
        step = self.progress.step
        row = {"step": step, "tokens": self.progress.tokens, "seconds": round(self.progress.seconds, 1)}
        if self.epoch:
            row["epoch"] = step / self.epoch
        row |= {"learning_rate": self.learning_rate(step), "gradient_norm": float(self._since[-1][1])}
        self.rows.append(row | figures(self.engine.model, [metrics for metrics, _ in self._since]) | dict(look))
        self._since.clear()
        if self.ranks.first:
            write_rows(self.metrics, self.rows)

    def _postfix(self) -> str:
        steps = [metrics for metrics, _ in self._since[-20:]]
        right = [f"{name.replace('_', ' ')} {value:.0%}, " for name, value in figures(self.engine.model, steps).items()
                 if name.endswith("accuracy") and value is not None]
        speed = self.progress.tokens / max(self.progress.seconds, 1e-9)
        return f"loss {np.mean([float(m.loss) for m in steps]):.3f}, {''.join(right)}{speed / 1e3:.1f}k tokens/s"


def draw(weights: Sequence[float], seed: int, step: int) -> int:
    """Which task a step reads."""
    if len(weights) == 1:
        return 0
    return int(generator(seed, TASKS, step).choice(len(weights), p=np.array(weights) / math.fsum(weights)))


def figures(model: Model, steps: Sequence[Metrics]) -> dict[str, float | None]:
    """Means over some steps: the loss of each term and, where it knows right from wrong, its accuracy. None: it had no targets.

    By the names of the columns of ``metrics.csv``: ``mlm_loss``, ``mlm_accuracy``; of a labelled task ``loss``, ``accuracy``.
    """
    found: dict[str, float | None] = {}
    for term in model.terms:
        prefix = "" if term.name == LABEL else f"{term.name}_"
        some = [m for m in steps if m.counts[term.name]]  # some steps read texts that have none
        found[f"{prefix}loss"] = sum(float(m.losses[term.name]) for m in some) / len(some) if some else None
        if hasattr(term.loss, "correct") and term.reads in model.heads:
            count = sum(m.counts[term.name] for m in some)
            found[f"{prefix}accuracy"] = sum(float(m.correct[term.name]) for m in some) / count if some else None
    for name, (part, whole) in model.SHARES.items():
        counts = [(float(m.correct.get(part, 0)), float(m.correct.get(whole, 0))) for m in steps]
        found[name] = sum(some for some, _ in counts) / total if (total := sum(every for _, every in counts)) else None
    return found


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """``metrics.csv``; an empty cell is a figure that was not measured there."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([f"{x:.6g}" if isinstance(x := row.get(name), float) else x for name in columns] for row in rows)
    write_atomically(path, text.getvalue())


def read_rows(path: Path, last_step: int | None = None, needed: Sequence[str] = NEEDED) -> list[Row]:
    """The rows of a ``metrics.csv``, those up to ``last_step``; none where there is no such file.

    Columns are found by their names, whatever others there are. ValueError, with the line, for a file that is no such table or
    has not all columns that are ``needed``.
    """
    if not path.is_file():
        return []
    head, *lines = csv_lines(decode_utf8(path.read_bytes(), path), path) or [(1, [])]
    if absent := [name for name in needed if name not in head[1]]:
        raise ValueError(f"{path} has no column {', '.join(absent)}: expected the figures of a run of minibert")
    if twice := sorted({name for name in head[1] if head[1].count(name) > 1}):
        raise ValueError(f"{path} has the column {', '.join(twice)} twice; which one is meant?")
    rows = [_row(path, line, head[1], cells) for line, cells in lines]
    return [row for row in rows if last_step is None or row["step"] <= last_step]


def _row(path: Path, line: int, columns: Sequence[str], cells: Sequence[str]) -> Row:
    """One line; a figure that was not measured is an empty cell."""
    try:
        found = {name: int(cell) if name in COUNTED else float(cell) if cell or name in NEEDED else None
                 for name, cell in zip(columns, cells) if FIGURE.fullmatch(name)}
        if absent := [name for name in columns if FIGURE.fullmatch(name) and name not in found]:
            raise ValueError(f"{', '.join(absent)}: missing")
        return found
    except ValueError as error:
        raise ValueError(f"{path}, line {line}: these are not the figures of a run ({error}); take the line out") from None


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C is noted, so that the step can end; the second one acts as usual."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    noted = []

    def note(*_: object) -> None:
        noted.append(True)
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(noted)
    finally:
        signal.signal(signal.SIGINT, previous)
