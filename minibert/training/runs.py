"""What every command that trains does around the loop: a folder, a log, an engine, a profile, a word when it goes wrong."""

from __future__ import annotations

import datetime
import hashlib
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from minibert import __version__
from minibert.backend import Array
from minibert.model.model import Inputs, Model
from minibert.parameters import Parameters
from minibert.ranks import ALONE, Ranks
from minibert.shell import command
from minibert.tasks.batches import Position
from minibert.training import adversarial, checkpoint, lanes, profile
from minibert.training.course import Course
from minibert.training.engine import Engine, predict
from minibert.training.loop import Task
from minibert.training.optimisers import constants_of
from minibert.workers import DEVICE_TOKENS, Workers, describe_blas, micro_batch_tokens

Say = Callable[[str], None]
Settings = TypeVar("Settings", bound=Course)
PROFILED_STEPS = 20


class Taught(NamedTuple):
    """A model with what it is taught by (``compression``): what an engine trains in the place of the model alone."""

    model: Model  # its ``apart`` is the model alone
    parameters: Parameters
    teacher: Callable[[Inputs], Mapping[str, Array]] | None = None  # see Engine
    asked: Callable[..., tuple[float, list]] = predict  # a look's loss and logits, of the arguments of ``engine.predict``


def settled(course: Settings, hidden: int, max_length: int, workers: int, xp: Any = np, ranks: int = 1) -> Settings:
    """The settings with lanes, and tokens of a micro-batch, where none were asked for. A run keeps them when it is resumed.

    ``hidden``: the width of the model; the cut depends on the lanes and not on who carries them. ``workers``: of each rank.
    """
    count = lanes_of(course, workers, xp, ranks)
    step = course.batch_size * course.accumulate * max_length
    tokens = course.micro_batch_tokens or (micro_batch_tokens(hidden, step, count) if xp is np else DEVICE_TOKENS)
    return replace(course, lanes=count, micro_batch_tokens=tokens)


def lanes_of(course: Course, workers: int, xp: Any = np, ranks: int = 1) -> int:
    """As many as were asked for, else one a worker; of several ranks each has as many as can be shared (``lanes.of_ranks``)."""
    each = 1 if xp is not np else workers if ranks == 1 else 1 << workers.bit_length() - 1
    return course.lanes or ranks * each


def shared(course: Course, ranks: Ranks, sequences: int) -> None:
    """ValueError where ranks cannot share a step: its lanes, or its ``sequences``."""
    lanes.of_ranks(course.lanes or ranks.size, ranks.size)
    if sequences < ranks.size:
        raise ValueError(f"a step has {sequences} sequences, and there are {ranks.size} ranks, which need at least one each: "
                         "give a larger --batch-size, or start fewer ranks")


def alike(ranks: Ranks, course: Course, parameters: Parameters, **texts: str) -> None:
    """ValueError, by name, where ranks would not train the same: before the first step. ``texts``: what identifies them."""
    if ranks.size > 1:
        weights = hashlib.sha256(np.ascontiguousarray(parameters.flat)).hexdigest()
        options = {f"--{name.replace('_', '-')}": value for name, value in asdict(course).items()}
        ranks.agree({**options, **texts, "the sha256 of the first weights": weights})


def engine_of(model: Model, parameters: Parameters, workers: Workers, course: Course, seed: int | None = None,
              teacher: Callable[[Inputs], Mapping[str, Array]] | None = None, ranks: Ranks = ALONE) -> Engine:
    """The engine that a course asks for."""
    return Engine(model, parameters, workers, constants_of(course), course.clip or None, course.seed if seed is None else seed,
                  course.precision, freeze=course.freeze, layer_decay=course.layer_decay, lanes=course.lanes, ema=course.ema,
                  adversary=adversarial.of(course, model), teacher=teacher, ranks=ranks, recompute=course.recompute)


def profiled(engine: Engine, task: Task, learning_rate: float, count: int | None) -> str:
    """Time some steps, and where they go. ValueError on a GPU."""
    if not engine.on_cpu:
        raise ValueError("--profile reads the clock around every layer, and a GPU works on behind it: give --device cpu")
    count, position, watch = count or PROFILED_STEPS, Position(), profile.Profile()

    def step() -> int:
        nonlocal position
        began = time.perf_counter()
        examples, position = task.batch(position)
        parts = task.cut(examples)
        read = time.perf_counter()
        engine.gather(parts)
        summed = time.perf_counter()
        engine.apply(learning_rate)
        watch.add("data", "data", read - began)
        watch.add("optimiser", "optimiser", time.perf_counter() - summed)
        return sum(part.tokens for part in parts)

    def timed() -> tuple[int, float]:
        began = time.perf_counter()
        return sum(step() for _ in range(count)), time.perf_counter() - began

    for _ in range(3):  # the first steps meet empty caches
        step()
    tokens, took = timed()
    watch = profile.Profile()
    with watch.watching():
        _, watched = timed()
    return (f"\n{count} steps: {1e3 * took / count:.1f} ms a step, {tokens / took:,.0f} tokens/s, {engine.workers}; "
            f"{1e3 * watched / count:.1f} ms while every layer is timed.\n"
            "Milliseconds below add up over the workers, who run side by side; data and optimiser are as the clock shows.\n\n"
            + profile.report(watch, count))


def head(say: Say, course: Course, workers: Workers, device: str, ranks: Ranks = ALONE) -> None:
    """What a run needs to be understood later."""
    if ranks.size > 1:
        device = f"{ranks.size} ranks, {ranks.local} of them here, by {ranks.name}; each on {device}"
    say(f"minibert {__version__}, Python {platform.python_version()}, NumPy {np.__version__}, {describe_blas()}, "
        f"{platform.system()} {platform.machine()}\n"
        f"device: {device}, {course.precision}, {workers}, seed {course.seed}, "
        f"{datetime.datetime.now():%Y-%m-%d %H:%M}")
    if workers.note:
        say(workers.note)


@contextmanager
def explained(folder: Path, more: str = "") -> Iterator[None]:
    """A figure that is not finite ends the run with a word on what is left, and on what to do: ``more``, too."""
    try:
        yield
    except FloatingPointError as error:
        saved = folder / checkpoint.FILE
        good = f"the last good state is in {saved}" if saved.is_file() else "nothing had been saved yet"
        raise FloatingPointError(f"{error}. Training has stopped; {good}. Begin again with a smaller "
                                 f"--learning-rate{more}") from None


def new_folder(out: str | None, state: str) -> Path:
    """Make the folder of a run, or take an empty one. ``state``: the file without which a run cannot be resumed."""
    path = Path(out) if out else Path("runs") / f"{datetime.datetime.now():%Y-%m-%d-%H%M%S}"
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        way = (f", or go on with it: {command('--resume', path)}" if (path / state).is_file() else
               ", or delete it: a run ended there before anything was saved" if (path / checkpoint.LOG).is_file() else "")
        raise FileExistsError(f"the run folder {path} exists already; choose another --out{way}")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(error.errno, f"the run folder {path} cannot be made: {error.strerror}; choose another --out") from None
    return path


def clear(out: Path) -> None:
    """Take away the folder of a run that ended before anything was saved, so that the next try can have its name."""
    if not (out / checkpoint.FILE).exists():
        with suppress(OSError):
            for name in (checkpoint.LOG, checkpoint.COMPRESSION):
                (out / name).unlink(missing_ok=True)
            out.rmdir()  # not where something else is in it


def log_to(path: Path, ranks: Ranks = ALONE) -> Say:
    """A ``print`` that also appends to the run's log; silence but at the first rank."""

    def say(text: str) -> None:
        if not ranks.first:
            return
        print(text, flush=True)
        with open(path, "a", encoding="utf-8") as file:
            file.write(text + "\n")

    return say
