"""The loop: batches, steps, a look at held-out text now and then, and what is written down on the way.

It keeps nothing that its checkpoint does not hold, so that an interrupted and resumed run is the uninterrupted one, bit for bit
(on the same machine with the same number of threads).
"""

from __future__ import annotations

import csv
import io
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from minibert.files import csv_lines, decode_utf8, write_atomically
from minibert.tasks.batches import Batch, Position, Stream, micro_batches
from minibert.training.adamw import learning_rate
from minibert.training.checkpoint import Progress
from minibert.training.engine import Engine, Metrics
from minibert.training.options import Settings
from minibert.training.precision import LossScale

EVALUATIONS = 12  # in a run, unless the settings say otherwise
ROWS = 200  # of metrics.csv, about
DEVICE_LOOK = 20  # steps between looks at the loss where each look is a wait for the device
WARM_UP_STEPS, TIMED_STEPS = 3, 12  # of --minutes


class Row(NamedTuple):
    """A line of ``metrics.csv``: means since the line before; held-out figures where there was an evaluation."""

    step: int
    tokens: int
    seconds: float
    learning_rate: float
    gradient_norm: float
    mlm_loss: float
    mlm_accuracy: float
    nsp_loss: float | None
    nsp_accuracy: float | None
    held_out_mlm_loss: float | None = None
    held_out_mlm_accuracy: float | None = None
    held_out_nsp_loss: float | None = None
    held_out_nsp_accuracy: float | None = None


COLUMNS = Row._fields
_OPTIONAL = COLUMNS[COLUMNS.index("nsp_loss"):]  # next sentences, which not every step reads, and figures on held-out text


class Trainer:
    """``run()`` trains until the last step, or until somebody interrupts it.

    The first ``settings.short_first`` of the steps read ``short``, the others ``stream``, each from its beginning.
    ``settings.micro_batch_tokens`` is a number, not None. ``save(progress)`` is called at every evaluation and when the run is
    interrupted, ``say(line)`` at every evaluation.
    """

    def __init__(self, engine: Engine, stream: Stream, short: Stream, held_out: Sequence[Batch], settings: Settings,
                 progress: Progress, metrics: Path, save: Callable[[Progress], None], say: Callable[[str], None]) -> None:
        self.engine, self.stream, self.short, self.held_out, self.settings = engine, stream, short, held_out, settings
        self.progress, self.metrics, self.save, self.say = progress, metrics, save, say
        self.rows = read_rows(metrics, progress.step) if progress.step else []
        self._since: list[tuple[Metrics, Any]] = []  # steps that no row holds yet

    def run(self) -> bool:
        """Train. True when the last step is done, False when interrupted (and saved)."""
        with interruptible() as interrupted:
            if not self.progress.total:
                self._fix_total()
            started = time.monotonic() - self.progress.seconds
            with tqdm(total=self.progress.total, initial=self.progress.step, unit="step", disable=None, dynamic_ncols=True,
                      smoothing=0.05) as bar:
                while self.progress.step < self.progress.total and not interrupted():
                    self._step()
                    self.progress = replace(self.progress, seconds=time.monotonic() - started)
                    step, total = self.progress.step, self.progress.total
                    evaluate = step % self._eval_every == 0 or step == total
                    write = evaluate or step % max(1, total // ROWS) == 0
                    if self.engine.on_cpu or step % DEVICE_LOOK == 0 or write:
                        self._look()
                        bar.set_postfix_str(self._postfix(), refresh=False)
                    bar.update()
                    if write:
                        self._write_row(self._evaluate() if evaluate else None)
                    if evaluate:
                        with bar.external_write_mode():
                            self.say(self.line())
                        self.save(self.progress)
            done = self.progress.step >= self.progress.total
            if not done:
                if self._since:
                    self._look()
                    self._write_row(None)
                self.save(self.progress)
        return done

    @property
    def evaluated(self) -> bool:
        """Whether the last step was followed by an evaluation."""
        return bool(self.rows) and self.rows[-1].step == self.progress.step and self.rows[-1].held_out_mlm_loss is not None

    @property
    def _eval_every(self) -> int:
        return self.settings.eval_every or max(1, -(-self.progress.total // EVALUATIONS))

    @property
    def short_steps(self) -> int:
        """How many of the first steps read short runs of text."""
        return round(self.settings.short_first * self.progress.total)

    def _step(self) -> None:
        """One step: examples, micro-batches, gradients, weights."""
        stream = self.short if self.progress.step < self.short_steps else self.stream
        position = Position() if self.progress.step == self.short_steps else Position(self.progress.epoch, self.progress.index)
        examples = []
        for _ in range(self.settings.accumulate):
            more, position = stream.batch(position)
            examples += more
        batches = micro_batches(examples, self.settings.micro_batch_tokens, pad_id=stream.tokenizer.vocab.pad_id)
        metrics, norm = self.engine.train(batches, self._learning_rate(self.progress.step + 1))
        self._since.append((metrics, norm))
        self.progress = replace(self.progress, step=self.progress.step + 1, epoch=position.epoch, index=position.index,
                                tokens=self.progress.tokens + metrics.tokens)

    def _learning_rate(self, step: int) -> float:
        total = self.progress.total
        return learning_rate(step, self.settings.learning_rate, round(self.settings.warmup * total), total)

    def _fix_total(self) -> None:
        """``--minutes``: time some steps, then fix the number of steps once. The timed steps leave no trace."""
        kept = [slab.flat.copy() for slab in (self.engine.parameters, self.engine.m, self.engine.v)]
        before = self.progress
        self.progress = replace(before, total=WARM_UP_STEPS + TIMED_STEPS)
        begun = time.monotonic()
        for i in range(WARM_UP_STEPS + TIMED_STEPS):
            if i == WARM_UP_STEPS:
                self._look()  # a device works on behind our back: reading a number waits for it
                timed = time.monotonic()
            self._step()
        self._look()
        per_step = (time.monotonic() - timed) / TIMED_STEPS
        self._evaluate()
        evaluation = time.monotonic() - timed - per_step * TIMED_STEPS
        left = self.settings.minutes * 60 - before.seconds - (time.monotonic() - begun) - evaluation * (EVALUATIONS + 1)
        total = max(1, int(left / per_step))
        for slab, flat in zip((self.engine.parameters, self.engine.m, self.engine.v), kept):
            slab.flat[...] = flat
        self.engine.step = 0
        if self.engine.loss_scale is not None:
            self.engine.loss_scale = LossScale(self.engine.xp)
        self._since.clear()
        self.progress = replace(before, total=total, seconds=before.seconds + time.monotonic() - begun)
        self.say(f"{per_step * 1e3:.0f} ms a step: {total:,} steps fit into {self.settings.minutes:g} minutes")

    def _evaluate(self) -> Metrics:
        """The figures of the held-out text. They must be finite: what is saved next would be of no use."""
        metrics = self.engine.evaluate(self.held_out)
        if not np.isfinite(float(metrics.loss)):
            step = self.progress.step
            raise FloatingPointError(
                f"after step {step}: the loss of the held-out text is {metrics.loss}, the last gradient's norm "
                f"{float(self._since[-1][1]):.3g}, the learning rate {self._learning_rate(step):.3g}")
        return metrics

    def _look(self) -> None:
        """Read the figures of the steps since the last row; stop on one that is not finite."""
        loss, norm = float(self._since[-1][0].loss), float(self._since[-1][1])
        if not np.isfinite([loss, norm]).all():
            step = self.progress.step
            raise FloatingPointError(f"step {step}: the loss is {loss}, the gradient's norm {norm}, "
                                     f"the learning rate {self._learning_rate(step):.3g}")

    def _write_row(self, held_out: Metrics | None) -> None:
        steps = [m for m, _ in self._since]
        paired = [m for m in steps if m.counts["nsp"]]  # the first steps read runs of text that have none
        row = Row(
            self.progress.step, self.progress.tokens, round(self.progress.seconds, 1),
            self._learning_rate(self.progress.step), float(self._since[-1][1]), *_means(steps, "mlm"), *_means(paired, "nsp"))
        if held_out is not None:
            row = row._replace(held_out_mlm_loss=float(held_out.mlm_loss), held_out_mlm_accuracy=held_out.mlm_accuracy)
            if held_out.counts["nsp"]:
                row = row._replace(held_out_nsp_loss=float(held_out.nsp_loss), held_out_nsp_accuracy=held_out.nsp_accuracy)
        self.rows.append(row)
        self._since.clear()
        write_rows(self.metrics, self.rows)

    def _postfix(self) -> str:
        steps = [m for m, _ in self._since[-20:]]
        masked, nsp = (_means([m for m in steps if m.counts[term]], term)[1] for term in ("mlm", "nsp"))
        pairs = "" if nsp is None else f"next {nsp:.0%}, "
        speed = self.progress.tokens / max(self.progress.seconds, 1e-9)
        return f"loss {np.mean([float(m.loss) for m in steps]):.2f}, masked {masked or 0:.0%}, {pairs}{speed / 1e3:.1f}k tokens/s"

    def line(self) -> str:
        """The last row that has held-out figures, in words."""
        row = [row for row in self.rows if row.held_out_mlm_loss is not None][-1]
        width = len(f"{self.progress.total:,}")
        pairs = "" if row.held_out_nsp_accuracy is None else f"  next {row.held_out_nsp_accuracy:5.1%}"
        return (f"step {row.step:{width},}  loss {row.mlm_loss + (row.nsp_loss or 0):.3f}  |  held-out: "
                f"masked {row.held_out_mlm_loss:.3f} nats, {row.held_out_mlm_accuracy:5.1%} right{pairs}")


def _means(steps: Sequence[Metrics], term: str) -> tuple[float | None, float | None]:
    """Loss and accuracy of a term over some steps; None where there are none."""
    if not steps:
        return None, None
    correct, count = (sum(float(getattr(m, of)[term]) for m in steps) for of in ("correct", "counts"))
    return sum(float(m.losses[term]) for m in steps) / len(steps), correct / max(1, count)


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """``metrics.csv``; an empty cell is a figure that was not measured there."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(["" if value is None else f"{value:.6g}" if isinstance(value, float) else value for value in row]
                     for row in rows)
    write_atomically(path, text.getvalue())


def read_rows(path: Path, last_step: int | None = None) -> list[Row]:
    """The rows of a ``metrics.csv``, those up to ``last_step``; none where there is no such file.

    Columns are found by their names, whatever others there are. ValueError, with the line, for a file that is no such table.
    """
    if not path.is_file():
        return []
    head, *lines = csv_lines(decode_utf8(path.read_bytes(), path), path) or [(1, [])]
    if absent := [name for name in COLUMNS if name not in head[1]]:
        raise ValueError(f"{path} has no column {', '.join(absent)}: expected the figures of a run of minibert train")
    if twice := [name for name in COLUMNS if head[1].count(name) > 1]:
        raise ValueError(f"{path} has the column {', '.join(twice)} twice; which one is meant?")
    rows = [_row(path, line, dict(zip(head[1], cells))) for line, cells in lines]
    return [row for row in rows if last_step is None or row.step <= last_step]


def _row(path: Path, line: int, cells: dict[str, str]) -> Row:
    """One line; a figure that was not measured is an empty cell."""
    try:
        return Row(**{name: int(cells[name]) if name in ("step", "tokens") else
                      None if not cells[name] and name in _OPTIONAL else float(cells[name]) for name in COLUMNS})
    except (ValueError, KeyError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ValueError(f"{path}, line {line}: these are not the figures of a run ({reason}); take the line out") from None


@contextmanager
def interruptible() -> Any:
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
