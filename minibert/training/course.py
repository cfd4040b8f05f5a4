"""How a model learns, whatever it is that it learns: the options that every training command has, and what checks them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from minibert.ranks import KINDS

MOST = 2**31 - 1  # of any number of things
OPTIMISERS = ("adamw", "lamb", "lamb-albert", "lamb-nvidia-tf", "adafactor", "adafactor-unscaled",
              "muon", "muon-original")  # training/optimisers.py
ADVERSARIES = ("fgm", "fgm-only", "virtual")  # what they are: training/adversarial.py
SCHEDULES = ("linear", "polynomial", "square-root", "constant", "plateau", "inverse-square-root", "trapezoid",
             "trapezoid-square-root")  # training/schedules.py
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")  # what they mean: training/precision.py


@dataclass(frozen=True)
class Course:
    """What decides the course of a run. It is stored with the run, and resuming reads it back."""

    batch_size: int = 16
    accumulate: int = 1
    micro_batch_tokens: int | None = None  # None: chosen by the command when a run begins
    recompute: bool = False
    lanes: int | None = None  # None: as many as there are workers when a run begins

    minutes: float | None = None
    optimiser: str = "adamw"
    beta2: float = 0.999
    learning_rate: float | None = None
    warmup: float = 0.1
    schedule: str = "linear"
    power: float = 1.0
    ema: float | None = None
    adversarial: str | None = None
    adversarial_norm: float | None = None  # None: as usual for its kind
    weight_decay: float = 0.01
    clip: float = 1.0
    bias_correction: bool = True
    dropout: float = 0.0
    freeze: int | None = None
    layer_decay: float = 1.0
    eval_every: int | None = None
    patience: int | None = None
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        self.counts("batch_size", "accumulate", "micro_batch_tokens", "lanes", "eval_every", "patience")
        self.need("minutes", self.minutes is None or 0 < self.minutes <= MOST, f"a number above 0, and at most {MOST:,}")
        self.need("learning_rate", self.learning_rate is None or 0 < self.learning_rate < float("inf"), "a finite number above 0")
        self.need("warmup", 0 <= self.warmup < 1, "a share of the steps, from 0 to below 1")
        self.need("optimiser", self.optimiser in OPTIMISERS, f"one of {', '.join(OPTIMISERS)}")
        self.need("schedule", self.schedule in SCHEDULES, f"one of {', '.join(SCHEDULES)}")
        self.need("beta2", 0 <= self.beta2 < 1, "from 0 to below 1")
        self.need("power", 0 < self.power < float("inf"), "a finite number above 0")
        self.need("ema", self.ema is None or 0 < self.ema < 1, "between 0 and 1")
        self.need("adversarial", self.adversarial in (None, *ADVERSARIES), f"one of {', '.join(ADVERSARIES)}")
        self.need("adversarial_norm", self.adversarial_norm is None or 0 < self.adversarial_norm < float("inf"),
                  "a finite number above 0")
        if self.adversarial_norm is not None and self.adversarial is None:
            raise ValueError("--adversarial-norm: how far --adversarial moves the word table; give --adversarial KIND with it")
        if self.adversarial is not None and self.freeze is not None:
            raise ValueError("--adversarial follows the gradient of the word table, and --freeze leaves it without one: give one "
                             "of them")
        if self.power != 1 and self.schedule != "polynomial":
            raise ValueError(f"--power is for --schedule polynomial, and this one is {self.schedule}: leave it out")
        if self.factored and (self.beta2 != Course.beta2 or not self.bias_correction):
            raise ValueError(f"--optimiser {self.optimiser} forgets by the number of the step: --beta2 and --no-bias-correction "
                             "mean nothing to it, so leave them out")
        self.need("dropout", 0 <= self.dropout < 1, "from 0 to below 1")
        self.need("weight_decay", self.weight_decay >= 0, "at least 0")
        self.need("clip", self.clip >= 0, "at least 0 (0 switches clipping off)")
        self.need("layer_decay", 0 < self.layer_decay <= 1, "above 0, and at most 1 (which switches it off)")
        self.need("seed", 0 <= self.seed < 2**63, "a whole number from 0 to 2**63 - 1")

    @property
    def factored(self) -> bool:
        """Does the optimiser keep rows and columns and no moments?"""
        return self.optimiser.startswith("adafactor")

    def need(self, name: str, right: bool, what: str) -> None:
        """ValueError for an option that is not what it must be."""
        if not right:
            raise ValueError(f"--{name.replace('_', '-')} must be {what}, got {getattr(self, name)!r}")

    def counts(self, *names: str) -> None:
        """ValueError for a number of things that cannot be; None is one that nobody gave."""
        for name in names:
            count = 1 if getattr(self, name) is None else getattr(self, name)
            self.need(name, count >= 1, "at least 1")
            self.need(name, count <= MOST, f"at most {MOST:,}")


class Options:
    """A settings class as options of a command line. Those not given are absent from the parsed arguments, so that the class
    is the one place of their defaults.

    ``negative``: what the options are called that switch off what is on by default.
    """

    def __init__(self, settings: type[Course], negative: Mapping[str, str]) -> None:
        self.settings, self.negative = settings, {"bias_correction": "--no-bias-correction", **negative}
        self.names = frozenset(field.name for field in fields(settings))
        self.groups: dict[str, set[str]] = {}  # of the options that were added, by the titles of their groups

    def add(self, group: Any, name: str, text: str, default_text: str | None = None, **options: Any) -> None:
        default = getattr(self.settings, name)
        self.groups.setdefault(group.title, set()).add(name)
        if options.get("action") != "store_true":
            text += f" (default: {default_text or (' '.join(default) if isinstance(default, tuple) else default)})"
        group.add_argument("--" + name.replace("_", "-"), default=argparse.SUPPRESS, help=text, **options)

    def add_negative(self, group: Any, name: str, text: str) -> None:
        """An option that switches off what is on by default."""
        self.groups.setdefault(group.title, set()).add(name)
        group.add_argument(self.negative[name], dest=name, action="store_false", default=argparse.SUPPRESS, help=text)

    def given(self, args: argparse.Namespace) -> dict[str, Any]:
        """The settings that were given."""
        return {name: value for name, value in vars(args).items() if name in self.names and value is not None}

    def typed(self, name: str, value: Any = None) -> str:
        """How it is typed that a setting has this value."""
        return self.negative[name] if value is False and name in self.negative else "--" + name.replace("_", "-")

    def add_batches(self, group: Any, what: str) -> None:
        """How large a step is. ``what``: the examples, by name."""
        self.add(group, "batch_size", f"{what} a step", type=int, metavar="B")
        self.add(group, "accumulate", "batches whose gradients are summed for one step", type=int, metavar="N")
        self.add(group, "micro_batch_tokens", "tokens that a core or GPU works on at a time: for speed; fewer take less memory, "
                 "large GPUs want many", type=int, metavar="N",
                 default_text="some 512 on a core, by width, batch and cores; 8,192 on a GPU")
        self.add(group, "recompute", "layers keep only what goes in, and compute the rest again in the backward pass: the same "
                 "numbers, less memory, more time; with it larger --micro-batch-tokens pay", action="store_true")
        self.add(group, "lanes", "parts of a step whose gradients are added in a fixed order: as many lanes, the same bytes of "
                 "weights, whatever the number of threads", type=int, metavar="N", default_text="one a worker")

    def add_course(self, group: Any, *, rate: str | None = None, looks: str, eval_every: str) -> None:
        """How the weights move, and when somebody looks. ``looks``: at what."""
        self.add(group, "minutes", "how long to train: times the first steps and fixes the number of steps then", type=float,
                 metavar="M", default_text="by steps")
        self.add(group, "optimiser", "adamw; or for large batches lamb, as NVIDIA published it for PyTorch, lamb-albert (no bias "
                 "correction) or lamb-nvidia-tf (a trust ratio for biases and norms as well); or to save memory adafactor, whose "
                 "rate is a share of a tensor's size (1e-2, say), or adafactor-unscaled; or muon, for the "
                 "matrices of the layers (AdamW has the rest, and its rate serves), or muon-original (2e-2, say)",
                 choices=OPTIMISERS, metavar="NAME")
        self.add(group, "beta2", "how long the optimiser remembers squared gradients", type=float, metavar="SHARE")
        self.add(group, "learning_rate", "peak, reached after the warm-up", type=float, metavar="LR", default_text=rate)
        self.add(group, "warmup", "share of the steps in which the learning rate rises", type=float, metavar="SHARE")
        self.add(group, "schedule", "how it goes on then: in a line to zero; as a power of the share of steps that is left, "
                 "which jumps down after the warm-up (square-root: power 0.5); constant; plateau, to 0.9 of the peak; as "
                 "1/√step, at most the peak (inverse-square-root); or constant and, in the last fifth of the steps, to zero in a "
                 "line (trapezoid) or soon steeply (trapezoid-square-root)", choices=SCHEDULES, metavar="NAME")
        self.add(group, "power", "of --schedule polynomial", type=float, metavar="P")
        self.add(group, "ema", "keep a moving average of the weights, each step's counting so much less than the next one's "
                 "(0.999, say): it is what is measured and saved", type=float, metavar="DECAY", default_text="no average")
        self.add(group, "adversarial", "learn beside the word table, where the loss is greater: fgm, the gradient there added to "
                 "the usual one; fgm-only, that gradient alone; virtual, where the guesses change most, to guess there as here",
                 choices=ADVERSARIES, default_text="no")
        self.add(group, "adversarial_norm", "how far beside it", type=float, metavar="NORM", default_text="0.5, virtual: 1")
        self.add(group, "weight_decay", "of the optimiser; none on biases and norms", type=float, metavar="RATE")
        self.add(group, "clip", "largest norm of a step's gradient; 0: no limit", type=float, metavar="NORM")
        self.add_negative(group, "bias_correction", "Adam as in the reference implementation, without it")
        self.add(group, "dropout", "share of numbers dropped while training; the reference drops 0.1, against learning by heart",
                 type=float, metavar="RATE")
        self.add(group, "freeze", "leave the embeddings and the lowest N layers as they are (0: the embeddings alone)", type=int,
                 metavar="N", default_text="all learns")
        self.add(group, "layer_decay", "learning rate of each layer, as a share of that of the layer above", type=float,
                 metavar="SHARE")
        self.add(group, "eval_every", f"steps between looks at {looks}, each of which saves", type=int, metavar="N",
                 default_text=eval_every)
        self.add(group, "patience", "stop after so many looks without a better one", type=int, metavar="N",
                 default_text="go on to the end")
        self.add(group, "precision", "numbers to compute with on a GPU; weights and moments are float32 in any case",
                 choices=PRECISIONS)
        self.add(group, "seed", "everything random follows from it", type=int, metavar="N")


def add_files(parser: Any, heads: bool = True) -> None:
    """The options of a command that opens a folder, for what the folder leaves open. ``heads``: also how many it has."""
    parser.add_argument("--weights", metavar="FILE", help="which file of weights, where the folder holds several")
    if heads:
        parser.add_argument("--heads", type=int, metavar="N", help="attention heads of the model, where the folder has no "
                            "config.json (default: a head for every 64 numbers of the hidden size)")


def add_run(parser: argparse.ArgumentParser) -> Any:
    """Where a run is and what it runs on: no settings of it. The group of these options."""
    run = parser.add_argument_group("run")
    run.add_argument("--out", metavar="DIR", default=None,
                     help="folder of the run; must not exist yet (default: runs/ and the time)")
    run.add_argument("--resume", metavar="RUN", default=None,
                     help="go on with an interrupted run, exactly as if it had never stopped")
    run.add_argument("--profile", action="store_true", help="show where the time of a step goes, then stop")
    run.add_argument("--threads", type=int, metavar="N", default=None, help="cores to use (default: all)")
    run.add_argument("--workers", type=int, metavar="N", default=None,
                     help="micro-batches at a time, each with gradients of its own; what cores are left help with their products "
                          "(default: one a core, fewer where memory is short)")
    run.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where to compute (default: auto)")
    return run


def add_ranks(group: Any) -> None:
    """With whom a process works."""
    group.add_argument("--ranks", choices=KINDS, default="auto", help="with whom this process works: mpi, with all that mpiexec "
                       "has started; alone; auto, by what mpiexec leaves in the environment (default: auto)")


def alone(options: Options, args: argparse.Namespace, others: Sequence[str] = ("out", "profile")) -> None:
    """ValueError where something stands beside ``--resume`` that a run knows by itself. ``others``: options of no settings."""
    if given := [options.typed(*setting) for setting in options.given(args).items()]:
        raise ValueError(f"--resume takes its settings from the run, so {', '.join(given)} cannot be given as well; "
                         "only --threads, --workers and --device can")
    if any(getattr(args, name) for name in others):
        *first, last = [f"--{name.replace('_', '-')}" for name in others]
        raise ValueError(f"--resume goes on in the run's own folder; {', '.join(first)} and {last} cannot be given with it")
