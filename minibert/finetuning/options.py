"""What ``minibert finetune`` can be told. The fields of ``Settings`` are the options; this is the one place of their defaults.

They are those of the reference: 3 epochs of batches of 32 texts, AdamW with decay 0.01, a learning rate of 5e-5 that rises over
the first tenth of the steps and then falls in a line to zero, gradients of norm 1 at most, dropout 0.1 (``run_classifier.py``,
``optimization.py``; Devlin et al. 2018, appendix A.3, tried 5e-5, 3e-5 and 2e-5). Small models learn with larger steps: up to a
hidden size of 256 it is 3e-4, the largest that Turc et al. 2019 tried for them.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from typing import Any

from minibert.training.options import MOST

TASKS = ("classify", "regress", "tag", "qa", "choice")  # see minibert/tasks/labelled


@dataclass(frozen=True)
class Settings:
    """Everything that decides the course of a run. It is stored in the training state, and resuming reads it back."""

    task: str = "classify"
    multi_label: bool = False
    model: str | None = None
    train: str = ""
    dev: str | None = None
    from_scratch: bool = False

    text: str | None = None
    pair: str | None = None
    label: str | None = None
    header: bool | None = None
    max_length: int | None = None
    literal: bool = False
    stride: int = 128
    max_query: int = 64
    max_answer: int = 30
    null_threshold: float = 0.0

    epochs: float = 3.0
    batch_size: int = 32
    accumulate: int = 1
    learning_rate: float | None = None
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0
    bias_correction: bool = True
    dropout: float = 0.1
    freeze: int | None = None
    layer_decay: float = 1.0
    class_weights: str | None = None
    metric: str | None = None
    eval_every: int | None = None
    patience: int | None = None
    seed: int = 0
    seeds: int = 1
    micro_batch_tokens: int | None = None  # None: chosen by the device

    def __post_init__(self) -> None:
        def need(name: str, right: bool, what: str) -> None:
            if not right:
                raise ValueError(f"--{name.replace('_', '-')} must be {what}, got {getattr(self, name)!r}")

        if self.task not in TASKS:
            raise ValueError(f"the task must be one of {', '.join(TASKS)}, got {self.task!r}")
        for name in ("batch_size", "accumulate", "stride", "max_query", "max_answer", "seeds", "eval_every", "patience",
                     "micro_batch_tokens"):
            count = 1 if getattr(self, name) is None else getattr(self, name)
            need(name, count >= 1, "at least 1")
            need(name, count <= MOST, f"at most {MOST:,}")
        need("max_length", self.max_length is None or self.max_length >= 8, "at least 8")
        need("epochs", 0 < self.epochs <= MOST, f"a number above 0, and at most {MOST:,}")
        need("learning_rate", self.learning_rate is None or 0 < self.learning_rate < float("inf"), "a finite number above 0")
        need("warmup", 0 <= self.warmup < 1, "a share of the steps, from 0 to below 1")
        need("dropout", 0 <= self.dropout < 1, "from 0 to below 1")
        need("weight_decay", self.weight_decay >= 0, "at least 0")
        need("clip", self.clip >= 0, "at least 0 (0 switches clipping off)")
        need("layer_decay", 0 < self.layer_decay <= 1, "above 0, and at most 1 (which switches it off)")
        need("seed", 0 <= self.seed < 2**63, "a whole number from 0 to 2**63 - 1")
        if self.multi_label and self.task != "classify":
            raise ValueError(f"--multi-label: several labels a text are for the task classify, not for {self.task}")
        if self.pair is not None and self.task == "tag":
            raise ValueError("--pair: the task tag reads one text, no second one")
        if self.header is not None and self.task == "qa":
            raise ValueError("--header and --no-header: the task qa reads JSON, which has no header line")
        if self.class_weights is not None and self.task not in ("classify", "tag"):
            raise ValueError(f"--class-weights: the task {self.task} has no classes")


DEFAULTS = Settings()
NAMES = tuple(f.name for f in fields(Settings))
QA = ("stride", "max_query", "max_answer", "null_threshold")  # what no other task uses
SMALL = 256  # hidden size up to which the learning rate is that of small models
_SWITCHED = {"bias_correction": "--no-bias-correction", "header": "--no-header"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``finetune``. Those not given are absent from the parsed arguments: their defaults are in ``Settings``."""
    parser.add_argument("task", nargs="?", choices=TASKS, metavar="TASK",
                        help="classify: a class for a text or a pair; regress: a number; tag: a class for each word; qa: the "
                        "answer to a question in a text; choice: which of several endings fits")
    data = parser.add_argument_group("data")
    _add(data, "model", "folder of a run or of a BERT checkpoint", metavar="DIR",
         default_text="the model that comes with minibert")
    _add(data, "train", "examples to learn from: TSV, CSV, JSON Lines; tag: also CoNLL, CoNLL-U; qa: SQuAD's JSON",
         metavar="FILE", default_text="none")
    _add(data, "dev", "examples to measure on", metavar="FILE", default_text="a tenth of the training examples")
    _add(data, "text", "column or field of the text (tag: of the words; qa: of the context): its name, or in a table its number "
         "from 1", metavar="COLUMN", default_text="guessed and shown")
    _add(data, "pair", "column of the second text (qa: of the question; choice: of what every choice begins with)",
         metavar="COLUMN", default_text="guessed and shown")
    _add(data, "label", "column of the label (qa: of the answers)", metavar="COLUMN", default_text="guessed and shown")
    _add(data, "multi_label", "classify: a text may have several labels, or none: a|b, or a JSON list, in the label's column",
         action="store_true")
    data.add_argument("--header", action="store_true", default=argparse.SUPPRESS, help="the first line names the columns "
                      "(default: as the whole file shows)")
    data.add_argument("--no-header", dest="header", action="store_false", default=argparse.SUPPRESS, help="it does not")
    _add(data, "max_length", "longest input, in tokens", type=int, metavar="T",
         default_text="128, qa: 384; or what the model reads")
    _add(data, "literal", "special tokens that are written in a text, such as [SEP], are words and not those tokens",
         action="store_true")

    course = parser.add_argument_group("course")
    _add(course, "epochs", "times that the examples are gone through", type=float, metavar="N")
    _add(course, "batch_size", "examples a step", type=int, metavar="B")
    _add(course, "accumulate", "batches whose gradients are summed for one step", type=int, metavar="N")
    _add(course, "learning_rate", "peak, reached after the warm-up and then falling in a line to zero", type=float, metavar="LR",
         default_text=f"5e-5, and 3e-4 for models of hidden size {SMALL} or less")
    _add(course, "warmup", "share of the steps in which the learning rate rises", type=float, metavar="SHARE")
    _add(course, "weight_decay", "of AdamW; none on biases and norms", type=float, metavar="RATE")
    _add(course, "clip", "largest norm of a step's gradient; 0: no limit", type=float, metavar="NORM")
    course.add_argument("--no-bias-correction", dest="bias_correction", action="store_false", default=argparse.SUPPRESS,
                        help="Adam as in the reference implementation, without it")
    _add(course, "dropout", "share of numbers dropped while training", type=float, metavar="RATE")
    _add(course, "freeze", "leave the embeddings and the lowest N layers as they are (0: the embeddings alone)", type=int,
         metavar="N", default_text="all learns")
    _add(course, "layer_decay", "learning rate of each layer, as a share of that of the layer above", type=float, metavar="SHARE")
    _add(course, "class_weights", "balanced: rare classes count more; or LABEL=WEIGHT,…", metavar="WEIGHTS",
         default_text="all alike")
    _add(course, "metric", "score on the dev examples that chooses the best checkpoint", metavar="NAME",
         default_text="accuracy, f1_micro, pearson or f1, as is usual for the task")
    _add(course, "eval_every", "steps between looks at the dev examples", type=int, metavar="N", default_text="once an epoch")
    _add(course, "patience", "stop after so many looks without a better score", type=int, metavar="N",
         default_text="go on to the end")
    _add(course, "seed", "everything random follows from it", type=int, metavar="N")
    _add(course, "seeds", "train so many times, each with the next seed: mean and spread", type=int, metavar="N")
    _add(course, "from_scratch", "fresh weights in the sizes of the model: what is its pre-training worth?", action="store_true")
    _add(course, "micro_batch_tokens", "tokens that a core or GPU works on at a time in a step: for speed", type=int, metavar="N",
         default_text="512, on a GPU 8,192")

    answers = parser.add_argument_group("qa")
    _add(answers, "stride", "tokens from the start of one window to the next", type=int, metavar="N")
    _add(answers, "max_query", "longest question, in tokens", type=int, metavar="N")
    _add(answers, "max_answer", "longest answer, in tokens", type=int, metavar="N")
    _add(answers, "null_threshold", "how much better than the best span 'no answer' must score", type=float, metavar="X")

    run = parser.add_argument_group("run")
    run.add_argument("--out", metavar="DIR", default=None,
                     help="folder of the result; must not exist yet (default: runs/ and the time)")
    run.add_argument("--resume", metavar="DIR", default=None,
                     help="go on with an interrupted run, exactly as if it had never stopped")
    run.add_argument("--threads", type=int, metavar="N", default=None, help="cores to use (default: all)")
    run.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where to compute (default: auto)")


def add_predict_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``predict``."""
    parser.add_argument("model", metavar="DIR", help="folder that finetune wrote, or a BERT checkpoint with a head for a task")
    parser.add_argument("file", metavar="FILE", help="examples, with labels or without")
    parser.add_argument("--task", choices=TASKS, default=None, help="what the head is for (default: the folder says it)")
    for role in ("text", "pair", "label"):
        parser.add_argument(f"--{role}", metavar="COLUMN", default=None, help=f"column of the {role} (default: as in training)")
    parser.add_argument("--header", action=argparse.BooleanOptionalAction, default=None,
                        help="does the first line name the columns?")
    parser.add_argument("--literal", action=argparse.BooleanOptionalAction, default=None,
                        help="are special tokens that are written in a text words? (default: as in training)")
    parser.add_argument("--out", metavar="FILE", default=None, help="where to write the guesses (default: standard output)")
    parser.add_argument("--threads", type=int, metavar="N", default=None, help="cores to use (default: all)")
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where to compute (default: auto)")


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings that the arguments ask for; ValueError for values that cannot be."""
    given = {name: value for name, value in vars(args).items() if name in NAMES}
    if given.get("task") is None:
        raise ValueError(f"name a task: minibert finetune {{{','.join(TASKS)}}} --train FILE")
    if "train" not in given:
        raise ValueError("--train FILE is missing: the examples to learn from")
    settings = Settings(**given)
    if of_qa := [f"--{name.replace('_', '-')}" for name in QA if name in given and settings.task != "qa"]:
        raise ValueError(f"{', '.join(of_qa)}: only the task qa has windows and answers; {settings.task} does without")
    return settings


def given_options(args: argparse.Namespace) -> list[str]:
    """The options of ``Settings`` that were given, as they are typed."""
    return [_SWITCHED.get(name, "--" + name.replace("_", "-")) if value is False else "--" + name.replace("_", "-")
            for name, value in vars(args).items() if name in NAMES and (name, value) != ("task", None)]


def _add(group: Any, name: str, text: str, default_text: str | None = None, **options: Any) -> None:
    if options.get("action") != "store_true":
        text += f" (default: {default_text or getattr(DEFAULTS, name)})"
    group.add_argument("--" + name.replace("_", "-"), default=argparse.SUPPRESS, help=text, **options)
