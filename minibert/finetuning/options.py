"""What ``minibert finetune`` can be told. The fields of ``Settings`` are the options; this is the one place of their defaults.

They are those of the reference: 3 epochs of batches of 32 texts, AdamW with decay 0.01, a learning rate of 5e-5 that rises over
the first tenth of the steps and then falls in a line to zero, gradients of norm 1 at most, dropout 0.1 (``run_classifier.py``,
``optimization.py``; Devlin et al. 2018, appendix A.3, tried 5e-5, 3e-5 and 2e-5). Small models learn with larger steps: up to a
hidden size of 256 it is 3e-4, the largest that Turc et al. 2019 tried for them.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from minibert.files import brief
from minibert.training.course import MOST, Course, Options, add_files, add_ranks, add_run

TASKS = ("classify", "regress", "tag", "qa", "choice", "rank", "embed")  # see minibert/tasks/labelled
MULTI = "multi"  # several of them: see parts.py
HEADS = ("linear", "san")  # of classify
POOLINGS = ("mean", "cls", "max")  # see minibert/layers/pooling.py


@dataclass(frozen=True)
class Settings(Course):
    """Everything that decides the course of a run. It is stored in the run's folder, and resuming reads it back."""

    task: str = "classify"
    tasks: tuple[tuple[str, ...], ...] = ()  # of multi: what each --task says
    ratio: float | None = None  # of multi; None: all batches of all tasks
    loss_weight: float = 1.0  # of a task of several: what its loss counts
    head_dropout: float | None = None  # of a task of several; None: that of the body
    multi_label: bool = False
    head: str = "linear"
    model: str | None = None
    weights: str | None = None
    heads: int | None = None
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
    scored: bool = False
    negative: str | None = None
    pooling: str | None = None  # None: as the model's folder says, else mean
    normalise: bool | None = None  # None: as the model's folder says, else yes
    temperature: float = 0.05
    symmetric: bool = False

    epochs: float = 3.0
    batch_size: int = 32
    dropout: float = 0.1
    class_weights: str | None = None
    metric: str | None = None
    seeds: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "tasks", tuple(map(tuple, self.tasks)))
        if not all(words and all(isinstance(word, str) for word in words) for words in self.tasks):
            raise ValueError(f"--task must be followed by a kind and a file, got {brief(self.tasks)}")
        if self.task not in (*TASKS, MULTI):
            raise ValueError(f"the task must be one of {', '.join(TASKS)} and {MULTI}, got {self.task!r}")
        if bool(self.tasks) != (self.task == MULTI):
            raise ValueError("--task: several tasks at once are learned by minibert finetune multi --task KIND FILE --task …")
        self.counts("stride", "max_query", "max_answer", "seeds", "heads")
        self.need("max_length", self.max_length is None or self.max_length >= 8, "at least 8")
        self.need("epochs", 0 < self.epochs <= MOST, f"a number above 0, and at most {MOST:,}")
        if self.multi_label and self.task != "classify":
            raise ValueError(f"--multi-label: several labels a text are for the task classify, not for {self.task}")
        self.need("head", self.head in HEADS, f"one of {', '.join(HEADS)}")
        if self.head != "linear" and (self.task != "classify" or self.multi_label):
            raise ValueError(f"--head {self.head}: it tells one of the classes of a pair, so it is for classify without "
                             "--multi-label")
        self.need("loss_weight", 0 < self.loss_weight < float("inf"), "a finite number above 0")
        self.need("head_dropout", self.head_dropout is None or 0 <= self.head_dropout < 1, "at least 0 and below 1")
        if self.head_dropout is not None and self.task == "qa":
            raise ValueError("--head-dropout: the head of qa drops nothing; leave it out")
        self.need("ratio", self.ratio is None or 0 < self.ratio <= MOST, f"a number above 0, and at most {MOST:,}")
        if self.pair is not None and self.task == "tag":
            raise ValueError("--pair: the task tag reads one text, no second one")
        if self.header is not None and self.task == "qa":
            raise ValueError("--header and --no-header: the task qa reads JSON, which has no header line")
        if self.task == "embed" and not self.scored:
            if self.label is not None:
                raise ValueError("--label: pairs that belong together need none; with --scored it is the column of their score")
            self.need("batch_size", self.batch_size > 1, "at least 2 for embed: the other pairs of a batch are the wrong answers")
        self.need("pooling", self.pooling in (None, *POOLINGS), f"one of {', '.join(POOLINGS)}")
        self.need("temperature", 0 < self.temperature < float("inf"), "a finite number above 0")
        if self.class_weights is not None and self.task not in ("classify", "tag"):
            raise ValueError(f"--class-weights: the task {self.task} has no classes")


DEFAULTS = Settings()
ONLY = {  # what no other task uses, and what that is
    MULTI: ("several tasks", ("ratio",)),
    "qa": ("windows and answers", ("stride", "max_query", "max_answer", "null_threshold")),
    "embed": ("vectors of texts", ("scored", "negative", "pooling", "normalise", "temperature", "symmetric"))}
COMPARED = ("negative", "temperature", "symmetric")  # of embed: what scored pairs, which are judged one by one, do without
SMALL = 256  # hidden size up to which the learning rate is that of small models
OPTIONS = Options(Settings, {"header": "--no-header", "normalise": "--no-normalise"})


def steps_an_epoch(examples: int, settings: Settings) -> int:
    """Optimiser steps that it takes to read all features once; the last one may be smaller."""
    return -(-examples // (settings.batch_size * settings.accumulate))


def total_steps(examples: int, settings: Settings) -> int:
    """Steps of the whole run."""
    return steps_of_epochs(steps_an_epoch(examples, settings), settings)


def steps_of_epochs(epoch: int, settings: Settings) -> int:
    """Steps of the whole run. ``epoch``: of one."""
    return max(1, round(epoch * settings.epochs))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``finetune``. Those not given are absent from the parsed arguments: their defaults are in ``Settings``."""
    add = OPTIONS.add
    parser.add_argument("task", nargs="?", choices=(*TASKS, MULTI), metavar="TASK",
                        help="classify: a class for a text or a pair; regress: a number; tag: a class for each word; qa: the "
                        "answer to a question in a text; choice: which of several endings fits; rank: which candidate answers a "
                        "question; embed: near vectors for texts that belong together; multi: several of them at once")
    data = parser.add_argument_group("data")
    add(data, "model", "folder of a run or of a BERT checkpoint", metavar="DIR",
        default_text="the model that comes with minibert")
    add_files(data)
    add(data, "train", "examples to learn from: TSV, CSV, JSON Lines; tag: also CoNLL, CoNLL-U; qa: SQuAD's JSON",
        metavar="FILE", default_text="none")
    add(data, "dev", "examples to measure on", metavar="FILE", default_text="a tenth of the training examples")
    data.add_argument("--task", dest="tasks", action="append", nargs="+", default=argparse.SUPPRESS,
                      metavar=("KIND", "FILE"), help="multi: one of its tasks, as often as there are tasks: classify, regress …, "
                      "examples to learn from, examples to measure on, and what is for this task alone, as name=sst2 "
                      "pair=sentence2 head=san max-length=64 loss-weight=2 head-dropout=0.05 (default: none)")
    add(data, "ratio", "multi: an epoch is one of the first task, and so many times as many batches of the others", type=float,
        metavar="R", default_text="all batches of all tasks")
    add(data, "text", "column or field of the text (tag: of the words; qa: of the context): its name, or in a table its number "
        "from 1", metavar="COLUMN", default_text="guessed and shown")
    add(data, "pair", "column of the second text (qa: of the question; choice: of what every choice begins with)",
        metavar="COLUMN", default_text="guessed and shown")
    add(data, "label", "column of the label (qa: of the answers; embed --scored: of the score)", metavar="COLUMN",
        default_text="guessed and shown")
    add(data, "multi_label", "classify: a text may have several labels, or none: a|b, or a JSON list, in the label's column",
        action="store_true")
    add(data, "head", "classify: san looks at the second text of a pair several times (a stochastic answer network)",
        choices=HEADS)
    data.add_argument("--header", action="store_true", default=argparse.SUPPRESS, help="the first line names the columns "
                      "(default: as the whole file shows)")
    data.add_argument("--no-header", dest="header", action="store_false", default=argparse.SUPPRESS, help="it does not")
    add(data, "max_length", "longest input, in tokens", type=int, metavar="T",
        default_text="128, qa: 384; or what the model reads")
    add(data, "literal", "special tokens that are written in a text, such as [SEP], are words and not those tokens",
        action="store_true")

    course = parser.add_argument_group("course")
    add(course, "epochs", "times that the examples are gone through", type=float, metavar="N")
    OPTIONS.add_batches(course, "examples")
    OPTIONS.add_course(course, rate=f"5e-5; 3e-4 for a hidden size of {SMALL} or less, or convolutions", looks="the dev examples",
                       eval_every="once an epoch")
    add(course, "class_weights", "balanced: rare classes count more; or LABEL=WEIGHT,…", metavar="WEIGHTS",
        default_text="all alike")
    add(course, "metric", "score on the dev examples that chooses the best checkpoint", metavar="NAME",
        default_text="accuracy, f1_micro, pearson, f1, mrr or spearman, as is usual for the task")
    add(course, "seeds", "train so many times, each with the next seed: mean and spread", type=int, metavar="N")
    add(course, "from_scratch", "fresh weights in the sizes of the model: what is its pre-training worth?", action="store_true")

    answers = parser.add_argument_group("qa")
    add(answers, "stride", "tokens from the start of one window to the next", type=int, metavar="N")
    add(answers, "max_query", "longest question, in tokens", type=int, metavar="N")
    add(answers, "max_answer", "longest answer, in tokens", type=int, metavar="N")
    add(answers, "null_threshold", "how much better than the best span 'no answer' must score", type=float, metavar="X")

    vectors = parser.add_argument_group("embed")
    add(vectors, "scored", "a column says, as a number, how alike the two texts are: it becomes the cosine of their vectors",
        action="store_true")
    add(vectors, "negative", "column of hard negatives, texts that look right and are not", metavar="COLUMN",
        default_text="those called so; without names the third and all that follow")
    add(vectors, "pooling", "how the vectors of the tokens become one", choices=POOLINGS,
        default_text="as the model's folder says, else mean")
    vectors.add_argument("--normalise", action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS,
                         help="will embed bring the vectors to length 1? (default: as the model's folder says, else yes)")
    add(vectors, "temperature", "what cosines are divided by: the smaller, the more the nearest wrong answers count", type=float,
        metavar="X")
    add(vectors, "symmetric", "second texts look for the first ones, too", action="store_true")

    add_ranks(add_run(parser))


def add_predict_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``predict``."""
    parser.add_argument("model", metavar="DIR", help="folder that finetune wrote, or a BERT checkpoint with a head for a task")
    parser.add_argument("file", metavar="FILE", help="examples, with labels or without")
    parser.add_argument("--task", metavar="TASK", default=None, help="what the head is for, or the name of one of several tasks "
                        "(default: the folder says it)")
    add_files(parser)
    for role in ("text", "pair", "label"):
        parser.add_argument(f"--{role}", metavar="COLUMN", default=None, help=f"column of the {role} (default: as in training)")
    parser.add_argument("--header", action=argparse.BooleanOptionalAction, default=None,
                        help="does the first line name the columns?")
    parser.add_argument("--literal", action=argparse.BooleanOptionalAction, default=None,
                        help="are special tokens that are written in a text words? (default: as in training)")
    parser.add_argument("--speed", type=float, metavar="S", default=None, help="a text leaves after the first layer that is sure "
                        "enough of it: from 0, all texts go through all layers, to 1, all leave after the first; for models of "
                        "compress early-exit (default: all layers)")
    parser.add_argument("--out", metavar="FILE", default=None, help="where to write the guesses (default: standard output)")
    parser.add_argument("--threads", type=int, metavar="N", default=None, help="cores to use (default: all)")
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where to compute (default: auto)")


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings that the arguments ask for; ValueError for values that cannot be."""
    given = OPTIONS.given(args)
    if given.get("task") is None:
        raise ValueError(f"name a task: minibert finetune {{{','.join(TASKS)}}} --train FILE")
    if given["task"] == MULTI and (foreign := [OPTIONS.typed(name) for name in ("train", "dev") if name in given]):
        raise ValueError(f"{', '.join(foreign)}: each task of {MULTI} names its own files: --task KIND TRAIN [DEV]")
    if given["task"] != MULTI and "train" not in given:
        raise ValueError("--train FILE is missing: the examples to learn from")
    if "epochs" in given and "minutes" in given:
        raise ValueError("--epochs and --minutes both say how long to train: give one of them")
    settings = Settings(**given)
    for task, (what, names) in ONLY.items():
        if foreign := [OPTIONS.typed(name, given[name]) for name in names if name in given and settings.task != task]:
            raise ValueError(f"{', '.join(foreign)}: only the task {task} has {what}; {settings.task} does without")
    if compared := [OPTIONS.typed(name) for name in COMPARED if name in given and settings.scored]:
        raise ValueError(f"{', '.join(compared)}: with --scored each pair is judged by itself, and not compared with others")
    return settings
