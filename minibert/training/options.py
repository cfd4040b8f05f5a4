"""What ``minibert train`` can be told. The fields of ``Settings`` are the options; this is the one place of their defaults."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from minibert.training.course import Course, Options, add_ranks, add_run


@dataclass(frozen=True)
class Settings(Course):
    """Everything that decides the course of a run. It is stored in the training state, and resuming reads it back."""

    recipe: str | None = None
    stages: tuple[dict[str, Any], ...] = ()  # what a recipe says of them: see training/stages.py

    corpus: tuple[str, ...] = ("python-docs",)
    layout: str = "auto"
    held_out: float = 0.05
    prepare: bool = True
    vocab: str | None = None
    vocab_size: int = 6000
    cased: bool = False
    cut: str | None = None

    init: str | None = None
    weights: str | None = None
    family: str = "bert"
    preset: str = "tiny"
    layers: int | None = None
    hidden: int | None = None
    heads: int | None = None
    intermediate: int | None = None
    activation: str | None = None
    pre_ln: bool = False
    inverted: bool = False
    initial_range: float | None = None
    generator_size: float | None = None
    generator_alone: bool = False

    max_length: int = 64
    short_first: float = 0.2
    shift_positions: bool = False
    next_sentence: bool = True
    pairs: str | None = None
    masking: str | None = None
    whole_word: bool = False
    mask_rate: tuple[float, ...] = ()  # first, last
    phrases: str | None = None
    words: tuple[str, ...] = ()
    static_masks: bool = False
    dupe_factor: int = 10

    steps: int | None = None
    learning_rate: float = 2e-3
    keep_best: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "stages", tuple(self.stages))
        for name in ("words", "mask_rate"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON and TOML have lists
        self.counts("vocab_size", "max_length", "dupe_factor", "layers", "hidden", "heads", "intermediate", "steps")
        self.need("max_length", self.max_length >= 5, "at least 5, for [CLS] a [SEP] b [SEP]")
        self.need("short_first", 0 <= self.short_first < 1, "a share of the steps, from 0 to below 1")
        self.need("initial_range", self.initial_range is None or self.initial_range > 0, "above 0")
        self.need("generator_size", self.generator_size is None or 0 < self.generator_size <= 1,
                  "a share of the discriminator's width, above 0 and at most 1")
        self.need("held_out", 0 < self.held_out < 1, "between 0 and 1")
        if self.cut is not None:
            from minibert.text.cut import Cut

            Cut(self.cut, "--cut")
        for name, known in (("pairs", PAIRS), ("masking", MASKING)):
            self.need(name, getattr(self, name) in (None, *known), f"one of {', '.join(known)}")
        self.need("words", {*self.words} <= {*WORDS}, f"some of {', '.join(WORDS)}")
        self.need("mask_rate", len(self.mask_rate) <= 2 and all(0 < rate <= 1 for rate in self.mask_rate),
                  "one or two shares, above 0 and at most 1")
        if self.steps is not None and self.minutes is not None:
            raise ValueError("--steps and --minutes both say how long to train: give one of them")

    @property
    def masks(self) -> str:
        """What is hidden, by name."""
        return self.masking or ("whole-words" if self.whole_word else "pieces")

    @property
    def lower_case(self) -> bool:
        """Whether capital letters and accents are lost: what is cut by a rule keeps them."""
        return not (self.cased or self.cut)


FAMILIES = ("bert", "roberta", "xlm-roberta", "camembert", "albert", "distilbert", "electra", "ernie", "mobilebert", "textcnn")
PUBLISHED = ("bert", "roberta", "albert", "electra", "ernie-2.0", "structbert", "nvidia")
RECIPES = (*PUBLISHED, "fast")  # the files of minibert/recipes
OF_ITSELF, NO_RECIPE = "fast", "none"  # that of a run of which nothing is said; what is said to do without
SAYS_NOTHING = ("steps", "minutes", "eval_every", "patience", "keep_best", "lanes", "micro_batch_tokens", "recompute",
                "precision", "seed")  # of text, model, task, and how the weights move
PAIRS = ("next", "order", "order-original", "order-apart", "three-ways", "distance", "reorder", "full-sentences", "doc-sentences",
         "prefix")
MASKING = ("pieces", "whole-words", "whole-words-reference", "whole-words-gaps", "whole-words-roberta", "roberta",
           "roberta-special", "ngrams", "spans", "phrases", "frequency")
WORDS = ("trigrams", "capitalisation", "token-document")
DEFAULT_STEPS = 7500
SHORT_LENGTH = 16  # tokens of a sequence in the first steps
OF_THE_MODEL = ("vocab", "vocab_size", "cased", "cut", "family", "preset", "layers", "hidden", "heads", "intermediate",
                "activation", "pre_ln", "inverted", "initial_range", "generator_size", "generator_alone")  # of --init's folder
FOR_INIT = {"learning_rate": 2e-5, "short_first": 0.0}  # defaults for a model that is trained already: see the reference's README
FOR_A_WORLD = {"next_sentence": False}  # its best possible loss is known of texts without pairs
OPTIONS = Options(Settings, {"next_sentence": "--no-next-sentence", "prepare": "--no-prepare"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``train``. Those not given are absent from the parsed arguments: their defaults are in ``Settings``."""
    add = OPTIONS.add
    add(parser.add_argument_group("recipe"), "recipe", "stages, tasks and options as a TOML file says them, or as they were "
        f"published: {', '.join(PUBLISHED)}; or fast, ours, which guesses words as well as a run without a recipe after half of "
        "its time; or none. --preset, --steps, --batch-size and --max-length scale it; whatever else is given goes before it",
        metavar="NAME|FILE", default_text="fast, where nothing is said of text, model, task and optimiser; else none")
    OPTIONS.add_negative(add_text(parser), "prepare", "read a large text whole into memory, as a small one, and prepare "
                         "nothing of it in the cache")

    model = parser.add_argument_group("model")
    add(model, "init", "go on from a trained model, with its vocabulary and its sizes; heads that it lacks start fresh. The "
        "learning rate is then 2e-05 and --short-first 0, unless given", metavar="DIR", default_text="start from random weights")
    add(model, "weights", "which file of weights, where the folder of --init holds several", metavar="FILE",
        default_text="the one that is there")
    add(model, "family", f"whose model, in the same sizes and with its kind of tokenizer: {', '.join(FAMILIES)}; of electra "
        "the discriminator, beside a small generator", choices=FAMILIES, metavar="NAME")
    add(model, "preset", "layers/width/heads: tiny 2/128/2, mini 4/256/4, small 4/512/8, medium 8/512/8, base 12/768/12, "
        "large 24/1024/16", choices=("tiny", "mini", "small", "medium", "base", "large"))
    for name in ("layers", "hidden", "heads", "intermediate"):
        add(model, name, {"layers": "number of blocks", "hidden": "width", "heads": "attention heads per block",
                          "intermediate": "width inside the feed-forward part"}[name],
            type=int, metavar="N", default_text="the preset's")
    add(model, "activation", "the GELU to use: exact, or by tanh", choices=("gelu", "gelu_new"), default_text="the family's")
    add(model, "pre_ln", "normalise before each sublayer instead of after it", action="store_true")
    add(model, "inverted", "of mobilebert its teacher, IB-BERT, whose blocks are twice as wide inside: for minibert compress "
        "mobile; transformers cannot open it", action="store_true")
    add(model, "initial_range", "size of the first random weights", type=float, metavar="STD",
        default_text="0.02 at width 768, as in the reference, and more at a smaller width")
    add(model, "generator_size", "width of electra's generator, as a share of the discriminator's", type=float, metavar="SHARE",
        default_text="0.25")
    add(model, "generator_alone", "of electra only a generator, in the sizes asked for: it guesses masked words",
        action="store_true")

    task = parser.add_argument_group("task")
    add_examples(task)
    OPTIONS.add_batches(task, "sequences")
    add(task, "short_first", f"share of the steps, the first ones, on short runs of text ({SHORT_LENGTH} tokens, no pairs): the "
        "quickest way to learn to look at neighbours", type=float, metavar="SHARE")
    add(task, "shift_positions", "sequences that are shorter than the longest begin at any position, and not at the first: what "
        "is learned from them then holds at all", action="store_true")
    add(task, "mask_rate", "share of the tokens that is hidden; of two the first is that of the first step, and the run goes in "
        "a line to the other. Of the held-out text it is 0.15 in any case", nargs="+", type=float, metavar="SHARE",
        default_text="0.15")
    add(task, "static_masks", "repeat the same masks instead of drawing new ones each epoch", action="store_true")
    add(task, "dupe_factor", "with --static-masks: how many versions of them", type=int, metavar="N")

    course = parser.add_argument_group("course")
    add(course, "steps", "how long to train", type=int, metavar="N", default_text=f"the recipe's, else {DEFAULT_STEPS}")
    OPTIONS.add_course(course, looks="the held-out text", eval_every="a twelfth of the run")
    add(course, "keep_best", "the folder's model is that of the best look at the held-out text, not the last one",
        action="store_true")

    run = add_run(parser)
    add_ranks(run)
    run.add_argument("--overfit-batch", action="store_true", help="repeat one batch until its loss is near zero, then stop")
    run.add_argument("--describe", action="store_true", help="with --recipe: show what it would do, then stop")


def add_text(parser: argparse.ArgumentParser) -> Any:
    """The text, and how it is cut into tokens. The group of these options."""
    add = OPTIONS.add
    text = add_corpus(parser)
    add(text, "vocab", "use this vocab.txt, or the tokenizer of this folder, instead of learning one", metavar="FILE",
        default_text="learn one")
    add(text, "vocab_size", "entries of the vocabulary to learn", type=int, metavar="N")
    add(text, "cased", "keep capital letters and accents", action="store_true")
    add(text, "cut", "for what is no prose (molecules, proteins, DNA; one a line): 'characters', or a regular expression for a "
        "token; capital letters are kept", metavar="REGEX", default_text="words, and pieces of words")
    return text


def add_corpus(parser: argparse.ArgumentParser) -> Any:
    """The text alone. The group of these options."""
    add = OPTIONS.add
    text = parser.add_argument_group("text")
    add(text, "corpus", "texts to learn from: files, folders, '-', or python-docs, the documentation of this Python; or what was "
        "prepared of one, or examples (see minibert prepare)",
        nargs="+", metavar="TEXT")
    add(text, "layout", "how the text is laid out: one sentence a line, or prose to be split into sentences",
        choices=("auto", "lines", "prose"))
    add(text, "held_out", "share of the documents kept aside to measure on", type=float, metavar="SHARE")
    return text


def add_examples(group: Any) -> None:
    """What goes into an example, and what is hidden of it."""
    add = OPTIONS.add
    add(group, "max_length", "longest sequence, in tokens", type=int, metavar="T")
    OPTIONS.add_negative(group, "next_sentence", "masked words only, on packed sentences instead of pairs")
    add(group, "pairs", "what goes into an example and is asked of it: next, whether b follows a or is from elsewhere; order, "
        "whether neighbours were swapped (order-original: a lone sentence gets a b from elsewhere; order-apart: by a head of its "
        "own, beside next in one recipe); three-ways, whether b is the next, the one before or from elsewhere; distance, whether "
        "b follows, is of the same document or of another; reorder, in which order up to three parts stand; nothing of "
        "full-sentences and doc-sentences, which do not cross documents; prefix, each next word of b, of which no more is seen "
        "than what stands before it (minibert generate)",
        choices=PAIRS, metavar="NAME", default_text="the family's: order of albert, else next")
    add(group, "masking", "what is hidden: pieces; whole-words, and as the reference, transformers (gaps) and RoBERTa have them; "
        "roberta, its counts (roberta-special: special tokens too); ngrams of ALBERT; spans; phrases; frequency, rare words more "
        "often", choices=MASKING, metavar="NAME", default_text="pieces")
    add(group, "whole_word", "mask whole words instead of single pieces: --masking whole-words", action="store_true")
    add(group, "phrases", "with --masking phrases: those that belong together, one a line, or a file with CoNLL's tags",
        metavar="FILE", default_text="none: words")
    add(group, "words", "what else is asked of words: trigrams, in which order three of them stood; capitalisation, whether one "
        "had a capital letter; token-document, whether it occurs elsewhere in its document", nargs="+", choices=WORDS,
        metavar="NAME", default_text="nothing")


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings that the arguments ask for; ValueError for values that cannot be."""
    given = OPTIONS.given(args)
    if "corpus" in given:
        given["corpus"] = tuple(given["corpus"])
    if "init" in given:
        if twice := [OPTIONS.typed(name) for name in OF_THE_MODEL if name in given]:
            raise ValueError(f"--init takes vocabulary and sizes of the model in its folder, so {', '.join(twice)} cannot be "
                             "given as well")
        given = {**FOR_INIT, **given}
    elif "weights" in given:
        raise ValueError("--weights: which file of the folder that --init names; give --init DIR with it")
    if "corpus" in given and "pairs" not in given:
        from minibert.data.corpora import WORLDS  # not to read it for --help

        given = {**FOR_A_WORLD, **given} if {*WORLDS}.intersection(given["corpus"]) else given
    if "dupe_factor" in given and "static_masks" not in given:
        raise ValueError("--dupe-factor: how many versions of masks that stay the same; give --static-masks with it")
    if "pairs" in given and not given.get("next_sentence", True):
        raise ValueError("--pairs says what is asked of a pair, and --no-next-sentence asks for none: give one of them")
    if "masking" in given and "whole_word" in given:
        raise ValueError("--whole-word is --masking whole-words, and --masking says what is hidden as well: give one of them")
    if "phrases" in given and given.get("masking") != "phrases":
        raise ValueError("--phrases: what --masking phrases hides whole; give it with it")
    if "vocab_size" in given and "vocab" in given:
        raise ValueError("--vocab-size is for a vocabulary that is learned here, and --vocab names one: give one of them")
    if "generator_size" in given and "generator_alone" in given:
        raise ValueError("--generator-size is for a generator beside a discriminator, and --generator-alone asks for no "
                         "discriminator: give one of them")
    return Settings(**given)
