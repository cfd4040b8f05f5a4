"""What ``minibert train`` can be told. The fields of ``Settings`` are the options; this is the one place of their defaults."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from typing import Any

MOST = 2**31 - 1  # of any number of things
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")  # what they mean: training/precision.py


@dataclass(frozen=True)
class Settings:
    """Everything that decides the course of a run. It is stored in the training state, and resuming reads it back."""

    corpus: tuple[str, ...] = ("python-docs",)
    layout: str = "auto"
    held_out: float = 0.05
    vocab: str | None = None
    vocab_size: int = 6000
    cased: bool = False
    cut: str | None = None

    init: str | None = None
    preset: str = "tiny"
    layers: int | None = None
    hidden: int | None = None
    heads: int | None = None
    intermediate: int | None = None
    activation: str = "gelu"
    pre_ln: bool = False
    dropout: float = 0.0
    initial_range: float | None = None

    max_length: int = 64
    batch_size: int = 16
    short_first: float = 0.2
    accumulate: int = 1
    micro_batch_tokens: int | None = None  # None: chosen by the command when a run begins
    next_sentence: bool = True
    whole_word: bool = False
    static_masks: bool = False
    dupe_factor: int = 10

    steps: int | None = None
    minutes: float | None = None
    learning_rate: float = 2e-3
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0
    bias_correction: bool = True
    eval_every: int | None = None
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        def need(name: str, right: bool, what: str) -> None:
            if not right:
                raise ValueError(f"--{name.replace('_', '-')} must be {what}, got {getattr(self, name)!r}")

        for name in ("vocab_size", "max_length", "batch_size", "accumulate", "dupe_factor", "layers", "hidden", "heads",
                     "intermediate", "steps", "eval_every", "micro_batch_tokens"):
            count = 1 if getattr(self, name) is None else getattr(self, name)
            need(name, count >= 1, "at least 1")
            need(name, count <= MOST, f"at most {MOST:,}")
        need("max_length", self.max_length >= 5, "at least 5, for [CLS] a [SEP] b [SEP]")
        need("minutes", self.minutes is None or 0 < self.minutes <= MOST, f"a number above 0, and at most {MOST:,}")
        need("learning_rate", 0 < self.learning_rate < float("inf"), "a finite number above 0")
        need("short_first", 0 <= self.short_first < 1, "a share of the steps, from 0 to below 1")
        need("initial_range", self.initial_range is None or self.initial_range > 0, "above 0")
        need("warmup", 0 <= self.warmup < 1, "a share of the steps, from 0 to below 1")
        need("dropout", 0 <= self.dropout < 1, "from 0 to below 1")
        need("weight_decay", self.weight_decay >= 0, "at least 0")
        need("clip", self.clip >= 0, "at least 0 (0 switches clipping off)")
        need("held_out", 0 < self.held_out < 1, "between 0 and 1")
        need("seed", 0 <= self.seed < 2**63, "a whole number from 0 to 2**63 - 1")
        if self.cut is not None:
            from minibert.text.cut import Cut

            Cut(self.cut, "--cut")
        if self.steps is not None and self.minutes is not None:
            raise ValueError("--steps and --minutes both say how long to train: give one of them")


    @property
    def lower_case(self) -> bool:
        """Whether capital letters and accents are lost: what is cut by a rule keeps them."""
        return not (self.cased or self.cut)


DEFAULT_STEPS = 7500
SHORT_LENGTH = 16  # tokens of a sequence in the first steps
DEFAULTS = Settings()
NAMES = tuple(f.name for f in fields(Settings))
OF_THE_MODEL = ("vocab", "vocab_size", "cased", "cut", "preset", "layers", "hidden", "heads", "intermediate", "activation",
                "pre_ln", "initial_range")  # what --init takes from its folder
FOR_INIT = {"learning_rate": 2e-5, "short_first": 0.0}  # defaults for a model that is trained already: see the reference's README
_NEGATIVE = {"next_sentence": "--no-next-sentence", "bias_correction": "--no-bias-correction"}  # on unless switched off


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``train``. Those not given are absent from the parsed arguments: their defaults are in ``Settings``."""
    text = parser.add_argument_group("text")
    _add(text, "corpus", "texts to learn from: files, folders, '-', or python-docs, the documentation of this Python",
         nargs="+", metavar="TEXT")
    _add(text, "layout", "how the text is laid out: one sentence a line, or prose to be split into sentences",
         choices=("auto", "lines", "prose"))
    _add(text, "held_out", "share of the documents kept aside to measure on", type=float, metavar="SHARE")
    _add(text, "vocab", "use this vocab.txt instead of learning one", metavar="FILE", default_text="learn one")
    _add(text, "vocab_size", "entries of the vocabulary to learn", type=int, metavar="N")
    _add(text, "cased", "keep capital letters and accents", action="store_true")
    _add(text, "cut", "for what is no prose (molecules, proteins, DNA; one a line): 'characters', or a regular expression for a "
         "token; capital letters are kept", metavar="REGEX", default_text="words, and pieces of words")

    model = parser.add_argument_group("model")
    _add(model, "init", "go on from a trained model, with its vocabulary and its sizes; heads that it lacks start fresh. The "
         "learning rate is then 2e-05 and --short-first 0, unless given", metavar="DIR", default_text="start from random weights")
    _add(model, "preset", "layers/width/heads: tiny 2/128/2, mini 4/256/4, small 4/512/8, medium 8/512/8, base 12/768/12, "
         "large 24/1024/16", choices=("tiny", "mini", "small", "medium", "base", "large"))
    for name in ("layers", "hidden", "heads", "intermediate"):
        _add(model, name, {"layers": "number of blocks", "hidden": "width", "heads": "attention heads per block",
                           "intermediate": "width inside the feed-forward part"}[name],
             type=int, metavar="N", default_text="the preset's")
    _add(model, "activation", "the GELU to use: exact, or by tanh", choices=("gelu", "gelu_new"))
    _add(model, "pre_ln", "normalise before each sublayer instead of after it", action="store_true")
    _add(model, "dropout", "share of numbers dropped while training; the reference drops 0.1, against learning by heart",
         type=float, metavar="RATE")
    _add(model, "initial_range", "size of the first random weights", type=float, metavar="STD",
         default_text="0.02 at width 768, as in the reference, and more at a smaller width")

    task = parser.add_argument_group("task")
    _add(task, "max_length", "longest sequence, in tokens", type=int, metavar="T")
    _add(task, "batch_size", "sequences a step", type=int, metavar="B")
    _add(task, "short_first", f"share of the steps, the first ones, on short runs of text ({SHORT_LENGTH} tokens, no pairs): the "
         "quickest way to learn to look at neighbours", type=float, metavar="SHARE")
    _add(task, "accumulate", "batches whose gradients are summed for one step", type=int, metavar="N")
    _add(task, "micro_batch_tokens", "tokens that a core or GPU works on at a time: for speed; large GPUs want many",
         type=int, metavar="N", default_text="512 or more on a core, by width and batch; 8,192 on a GPU")
    _add_negative(task, "next_sentence", "masked words only, on packed sentences instead of pairs")
    _add(task, "whole_word", "mask whole words instead of single pieces", action="store_true")
    _add(task, "static_masks", "repeat the same masks instead of drawing new ones each epoch", action="store_true")
    _add(task, "dupe_factor", "with --static-masks: how many versions of them", type=int, metavar="N")

    course = parser.add_argument_group("course")
    _add(course, "steps", "how long to train", type=int, metavar="N", default_text=str(DEFAULT_STEPS))
    _add(course, "minutes", "how long to train: times the first steps and fixes the number of steps then", type=float,
         metavar="M", default_text="by steps")
    _add(course, "learning_rate", "peak, reached after the warm-up and then falling in a line to zero", type=float, metavar="LR")
    _add(course, "warmup", "share of the steps in which the learning rate rises", type=float, metavar="SHARE")
    _add(course, "weight_decay", "of AdamW; none on biases and norms", type=float, metavar="RATE")
    _add(course, "clip", "largest norm of a step's gradient; 0: no limit", type=float, metavar="NORM")
    _add_negative(course, "bias_correction", "Adam as in the reference implementation, without it")
    _add(course, "eval_every", "steps between looks at the held-out text, each of which saves", type=int, metavar="N",
         default_text="a twelfth of the run")
    _add(course, "precision", "numbers to compute with on a GPU; weights and moments are float32 in any case", choices=PRECISIONS)
    _add(course, "seed", "everything random follows from it", type=int, metavar="N")

    run = parser.add_argument_group("run")
    run.add_argument("--out", metavar="DIR", default=None,
                     help="folder of the run; must not exist yet (default: runs/ and the time)")
    run.add_argument("--resume", metavar="RUN", default=None,
                     help="go on with an interrupted run, exactly as if it had never stopped")
    run.add_argument("--overfit-batch", action="store_true", help="repeat one batch until its loss is near zero, then stop")
    run.add_argument("--profile", action="store_true", help="show where the time of a step goes, then stop")
    run.add_argument("--threads", type=int, metavar="N", default=None, help="cores to use (default: all)")
    run.add_argument("--workers", type=int, metavar="N", default=None,
                     help="micro-batches at a time, each with gradients of its own; what cores are left help with their products "
                          "(default: one a core, fewer where memory is short)")
    run.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where to compute (default: auto)")


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings that the arguments ask for; ValueError for values that cannot be."""
    given = {name: value for name, value in vars(args).items() if name in NAMES}
    if "corpus" in given:
        given["corpus"] = tuple(given["corpus"])
    if "init" in given:
        if twice := [_typed(name) for name in OF_THE_MODEL if name in given]:
            raise ValueError(f"--init takes vocabulary and sizes of the model in its folder, so {', '.join(twice)} cannot be "
                             "given as well")
        given = {**FOR_INIT, **given}
    return Settings(**given)


def given_options(args: argparse.Namespace) -> list[str]:
    """The options of ``Settings`` that were given, as they are typed."""
    return [_typed(name) for name in vars(args) if name in NAMES]


def _typed(name: str) -> str:
    return _NEGATIVE.get(name) or "--" + name.replace("_", "-")


def _add(group: Any, name: str, text: str, default_text: str | None = None, **options: Any) -> None:
    default = getattr(DEFAULTS, name)
    if options.get("action") != "store_true":
        shown = default_text or (" ".join(default) if isinstance(default, tuple) else default)
        text += f" (default: {shown})"
    group.add_argument("--" + name.replace("_", "-"), default=argparse.SUPPRESS, help=text, **options)


def _add_negative(group: Any, name: str, text: str) -> None:
    """An option that switches off what is on by default."""
    group.add_argument(_NEGATIVE[name], dest=name, action="store_false", default=argparse.SUPPRESS, help=text)
