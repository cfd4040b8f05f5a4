"""What ``minibert compress`` can be told beside what ``train`` and ``finetune`` can: a recipe, a teacher, a student."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from minibert.finetuning import options as labelled
from minibert.training import options as texts
from minibert.training.course import Course, Options, add_run

RECIPES = ("distil", "theseus", "mobile", "early-exit", "prune", "vocabulary", "quantise")
PARTS = ("soft", "hard", "cosine", "states", "attentions")  # of distil's loss
ATTENTION_LOSSES = ("kl", "mse")
ORDERS = ("example", "token", "batch", "random", "reverse")  # of heads and rows that go


@dataclass(frozen=True)
class Settings:
    """How a student is made of its teacher. It is stored in the run's folder, and resuming reads it back."""

    recipe: str = "distil"
    teacher: str = ""
    weights: str | None = None
    student: str | None = None
    layers: str | None = None
    hidden: int | None = None
    heads: float | None = None  # of distil a number, of prune a share
    intermediate: int | None = None

    soft: float = 5.0
    hard: float = 2.0
    cosine: float = 1.0
    states: float = 0.0
    attentions: float = 0.0
    temperature: float = 2.0
    masked_only: bool = False
    attention_loss: str = "kl"

    replacing: str = "linear"
    replace_rate: float = 0.3
    replaced_after: float = 0.67
    clip_all: bool = False

    transfer: float = 0.33

    feed_forward: float = 0.0
    by: str = "example"
    rounds: int = 1
    estimate: int = 1000
    keep_shape: bool = False
    gates: bool = False
    price: float = 0.01
    gate_speed: float = 1000.0
    fill: str = ""  # no option: the family of what is saved with zeros

    need, counts = Course.need, Course.counts

    def __post_init__(self) -> None:
        for name in PARTS:
            self.need(name, 0 <= getattr(self, name) < float("inf"), "a finite number from 0 on")
        self.need("recipe", self.recipe in RECIPES, f"one of {', '.join(RECIPES)}")
        self.need("temperature", 0 < self.temperature < float("inf"), "a finite number above 0")
        self.need("attention_loss", self.attention_loss in ATTENTION_LOSSES, f"one of {', '.join(ATTENTION_LOSSES)}")
        self.need("replacing", self.replacing in ("linear", "constant"), "linear or constant")
        self.need("replace_rate", 0 < self.replace_rate <= 1, "above 0, and at most 1")
        self.need("replaced_after", 0 <= self.replaced_after <= 1, "a share of the steps, from 0 to 1")
        self.need("transfer", 0 < self.transfer <= 1, "a share of the steps, above 0, and at most 1")
        self.counts("hidden", "intermediate", "rounds", "estimate")
        if self.recipe == "prune":
            for name in ("heads", "feed_forward"):
                self.need(name, 0 <= (getattr(self, name) or 0) < 1, "from 0 on and below 1: each layer keeps its last one")
            self.need("by", self.by in ORDERS, f"one of {', '.join(ORDERS)}")
            for name in ("price", "gate_speed"):
                self.need(name, 0 < getattr(self, name) < float("inf"), "a finite number above 0")
        elif self.heads is not None:
            self.need("heads", self.heads == int(self.heads), "a whole number")
            object.__setattr__(self, "heads", int(self.heads))
            self.counts("heads")
        if not any(getattr(self, name) for name in PARTS):
            raise ValueError("all parts of the loss count 0, so that nothing is learned: give one of "
                             f"{', '.join(f'--{name}' for name in PARTS)} a number above 0")


ONLY = {  # by the recipes that use them, options that no other does, and what they are for
    "distil": ("a loss against the teacher", ("hidden", "intermediate", *PARTS, "temperature",
                                              "masked_only", "attention_loss")),
    "theseus": ("modules that are replaced", ("replacing", "replace_rate", "replaced_after", "clip_all")),
    "distil mobile": ("a student that is compared with its teacher", ("student",)),
    "mobile": ("layers that learn one after the other", ("transfer",)),
    "distil prune": ("heads to count", ("heads",)),
    "prune": ("heads and rows that go", ("feed_forward", "by", "rounds", "estimate", "keep_shape", "gates", "price",
                                         "gate_speed"))}
OPTIONS = Options(Settings, {})
ALL = OPTIONS, texts.OPTIONS, labelled.OPTIONS
TEXTS = {"learning_rate": 5e-4, "short_first": 0.0}  # defaults for a student of masked words
EXAMPLES = {"early-exit": {"learning_rate": 2e-4, "epochs": 5.0, "metric": "loss"}}  # and of a recipe on labelled examples
UNLABELLED = ("early-exit",)  # recipes that need no labels
REFUSED = {  # by recipe, what it cannot do with, and why
    "theseus": {"minutes": "the rate of replacing goes by the number of steps; say it with --steps, or --epochs"},
    "mobile": {"train": "a teacher's layers are compared on texts, without labels; leave it out",
               "minutes": "the layers learn in turn by the number of steps; say it with --steps",
               "adversarial": "it follows the gradient of the word table, which rests while layers learn; leave it out",
               "freeze": "which layers learn, the recipe says; leave it out"},
    "early-exit": {"layers": "early-exit keeps all of the teacher's layers; leave it out"}}
STILL = {"theseus": ", or give --clip-all", "early-exit": ""}  # recipes whose word table has no gradient, and how it has one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``compress``. Those not given are absent from the parsed arguments: their defaults are in the settings."""
    add = OPTIONS.add
    parser.add_argument("recipe", nargs="?", choices=(*RECIPES, "report"), metavar="RECIPE",
                        help="distil: a student learns its teacher's answers and states; theseus: layer by layer a smaller "
                        "encoder takes the place of a larger one; mobile: a thin student learns what its teacher's "
                        "layers make of a text, one after the other; early-exit: a branch after each layer, by which a text "
                        "that is clear leaves (predict --speed); prune: heads, rows and layers are taken out; vocabulary: the "
                        "words that a corpus does not use are taken out, and nothing is trained; quantise: matrices in 8 bits, "
                        "in a quarter of the file; report: models beside one another")
    parser.add_argument("folders", nargs="*", metavar="DIR", help="report: folders of models, the largest first")
    models = parser.add_argument_group("models")
    add(models, "teacher", "folder of the larger model: one that guesses masked words, or with --train one that finetune wrote",
        metavar="DIR", default_text="none")
    add(models, "weights", "which file of weights of the teacher's, where its folder holds several", metavar="FILE",
        default_text="the one that is there")
    add(models, "student", "distil and mobile: folder of a model to begin with, of the same vocabulary", metavar="DIR",
        default_text="some of the teacher's layers")
    add(models, "layers", "how many layers the student has, such as 3, or which of the teacher's it begins with, from 0 on, such "
        "as 0,2,4; a number takes them evenly from first to last, and theseus its first ones", metavar="LAYERS",
        default_text="half of them")
    sizes = {"hidden": "width", "heads": "attention heads a layer", "intermediate": "width inside the feed-forward part"}
    for name, what in sizes.items():
        share = "; prune: the share of all heads that goes" * (name == "heads")
        add(models, name, f"distil: {what} of the student{share}", type=float if share else int, metavar="N",
            default_text="the teacher's")

    losses = parser.add_argument_group("distil")
    for name, what in (("soft", "the teacher's softened answers"), ("hard", "the hidden words, or the labels"),
                       ("cosine", "the angle between the last hidden states"), ("states", "hidden states, layer by layer"),
                       ("attentions", "where the heads look, layer by layer")):
        add(losses, name, f"weight of the loss of {what}; 0 leaves it out", type=float, metavar="WEIGHT")
    add(losses, "temperature", "what the logits of both are divided by before the softmax", type=float, metavar="T")
    add(losses, "masked_only", "the teacher is asked at the hidden words alone, not at every token", action="store_true")
    add(losses, "attention_loss", "kl: the divergence of the distributions; mse: their squared error",
        choices=ATTENTION_LOSSES)

    modules = parser.add_argument_group("theseus")
    add(modules, "replacing", "how the rate of replacing goes: linear, in a line to 1; constant, and then at once 1",
        choices=("linear", "constant"))
    add(modules, "replace_rate", "probability that a module is replaced in the first step", type=float, metavar="RATE")
    add(modules, "replaced_after", "share of the steps after which all modules are replaced", type=float, metavar="SHARE")
    add(modules, "clip_all", "clip by the norm over all tensors, also those that do not learn, as the reference does",
        action="store_true")

    one_by_one = parser.add_argument_group("mobile")
    add(one_by_one, "transfer", "share of the steps, the first ones, in which the layers learn one after the other", type=float,
        metavar="SHARE")

    parts = parser.add_argument_group("prune")
    add(parts, "feed_forward", "the share of all rows of the feed-forward parts that goes", type=float, metavar="SHARE")
    add(parts, "by", "which go first: the least important, their |output·gradient| added up over each text, each token or each "
        "batch before its absolute value is taken; any at random; or reverse, the most important", choices=ORDERS)
    add(parts, "rounds",
        "in so many parts, each estimated anew, and followed by learning with --steps or --epochs", type=int, metavar="N")
    add(parts, "estimate", "texts that importance is estimated on", type=int, metavar="N")
    add(parts, "keep_shape", "write zeros in their places: every tool opens the model, which is as large as before",
        action="store_true")
    add(parts, "gates", "learn which heads can go, by gates with a price, for as long as --steps or --epochs say",
        action="store_true")
    add(parts, "price", "nats for each head that is open", type=float, metavar="NATS")
    add(parts, "gate_speed", "learning rate of the gates, as a multiple of that of the weights", type=float, metavar="N")

    texts.add_corpus(parser)
    task = parser.add_argument_group("task, of texts")
    texts.add_examples(task)
    data = parser.add_argument_group("labelled examples, of a teacher that finetune wrote")
    _add_labelled(data)

    course = parser.add_argument_group("course; defaults are those of train, with --train those of finetune")
    texts.OPTIONS.add_batches(course, "sequences")
    texts.OPTIONS.add(course, "steps", "texts: how long to train", type=int, metavar="N", default_text=str(texts.DEFAULT_STEPS))
    labelled.OPTIONS.add(course, "epochs", "examples: times that they are gone through", type=float, metavar="N")
    texts.OPTIONS.add_course(course, rate="5e-4; with --train 5e-5, and 3e-4 for small models", looks="held-out examples",
                             eval_every="a twelfth of the run, or an epoch")
    labelled.OPTIONS.add(course, "seeds", "examples: train so many times, each with the next seed", type=int, metavar="N")
    add_run(parser)


def _add_labelled(group: Any) -> None:
    add = labelled.OPTIONS.add
    add(group, "train", "examples to learn from, as finetune reads them; early-exit needs no labels", metavar="FILE",
        default_text="none")
    add(group, "dev", "examples to measure on", metavar="FILE", default_text="a tenth of the training examples")
    for role in ("text", "pair", "label"):
        add(group, role, f"column of the {role}", metavar="COLUMN", default_text="guessed and shown")
    add(group, "metric", "score on the dev examples that chooses the best look", metavar="NAME", default_text="the task's")


def recipe_of(args: argparse.Namespace) -> Settings:
    """The recipe that the arguments ask for; ValueError for values that cannot be."""
    given = OPTIONS.given(args)
    if args.folders:
        raise ValueError(f"{args.folders[0]}: only report takes folders without an option; name the teacher's with --teacher")
    if "recipe" not in given:
        raise ValueError(f"name a recipe: minibert compress {{{','.join(RECIPES)}}} --teacher DIR")
    if not given.get("teacher"):
        raise ValueError("--teacher DIR is missing: the folder of the model to make a smaller one of")
    settings = Settings(**given)
    for recipes, (what, names) in ONLY.items():
        if settings.recipe not in recipes.split():
            refuse(args, names, f"only the recipe {recipes.replace(' ', ' or ')} has {what}; {settings.recipe} does without")
    if settings.recipe in UNLABELLED and not hasattr(args, "train"):
        raise ValueError("--train FILE is missing: texts from which branches learn what the teacher makes of them")
    for name, why in REFUSED.get(settings.recipe, {}).items():
        refuse(args, (name,), why)
    if settings.recipe in STILL and not settings.clip_all and hasattr(args, "adversarial"):
        raise ValueError(f"--adversarial follows the gradient of the word table, and {settings.recipe} leaves it without one: "
                         f"leave it out{STILL[settings.recipe]}")
    if settings.recipe in ("vocabulary", "quantise"):
        needed = {"recipe", "teacher", "weights", *(("corpus", "layout") if settings.recipe == "vocabulary" else ())}
        heeded(args, needed, f"the recipe {settings.recipe} trains nothing; give it --teacher and --out"
               + ", --corpus and --layout" * (settings.recipe == "vocabulary"))
        if not args.out:
            raise ValueError("--out DIR is missing: the folder to write the smaller model to")
        if settings.recipe == "vocabulary" and not hasattr(args, "corpus"):
            raise ValueError("--corpus TEXT is missing: the texts whose words are to be kept")
    if settings.student and (twice := [OPTIONS.typed(name) for name in ("layers", "hidden", "heads", "intermediate")
                                       if name in given]):
        raise ValueError(f"--student takes the sizes of the model in its folder, so {', '.join(twice)} cannot be given as well")
    return settings


def refuse(args: argparse.Namespace, names: Collection[str], why: str) -> None:
    """ValueError where settings of these names are given."""
    if given := [part.typed(name, value) for part in ALL for name, value in part.given(args).items() if name in names]:
        raise ValueError(f"{', '.join(dict.fromkeys(given))}: {why}")


def heeded(args: argparse.Namespace, heard: Collection[str], why: str) -> None:
    """ValueError where other settings are given than those that are heard."""
    refuse(args, frozenset().union(*(part.names for part in ALL)).difference(heard), why)


def of_texts(args: argparse.Namespace, longest: int) -> texts.Settings:
    """The settings of a run on texts, of so many tokens at most; ValueError where some are for labelled examples."""
    given = {"max_length": min(texts.Settings.max_length, longest), **_given(args, texts.OPTIONS)}
    refuse(args, labelled.OPTIONS.names - texts.OPTIONS.names - OPTIONS.names,
           "only for labelled examples, which --train names; leave it out")
    return texts.settings_of(argparse.Namespace(**{**TEXTS, **given}))


def of_labelled(args: argparse.Namespace, **of_teacher: Any) -> labelled.Settings:
    """The settings of a run on labelled examples, of which the teacher says some; ValueError where others are for texts."""
    refuse(args, texts.OPTIONS.names - labelled.OPTIONS.names - OPTIONS.names,
           "only for texts, and --train names labelled examples; leave it out")
    return labelled.settings_of(argparse.Namespace(**{**of_teacher, **_given(args, labelled.OPTIONS)}))


def _given(args: argparse.Namespace, options: Options) -> dict[str, Any]:
    return {name: value for name, value in options.given(args).items() if name not in OPTIONS.names}
