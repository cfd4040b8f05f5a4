"""Multiple choice without the passage or without the question: what is a right answer worth that needs neither?

::

    whole          [CLS] passage [SEP] question option [SEP]     each option gets one number, the largest is chosen
    no passage     [CLS] question option [SEP]
    no question    [CLS] passage [SEP] option [SEP]
    option only    [CLS] option [SEP]
    shuffled       whole, the words of the passage in another order
    attack         trained on whole, tested with the words of a wrong option, and of the question, behind the passage

Each but the last is trained and tested alike: who is right without the passage has learned what options give away, not to read.
The *clean* examples are made so that passage and question are both needed: all options are names that the passage has, and
without one of the two any of k is as likely, 1/k. In the *planted* ones a wrong option ends in a word that the right one does not
have, as often as the dial of the world's own choices says (``artefacts``), here always. They show that the measure finds an
artefact where there is one.

Source: Si et al. 2019, "What does BERT Learn from Multiple-Choice Reading Comprehension Datasets?", arXiv:1910.12391: unreadable
data attack and unanswerable data training. The code that is public (NoviScl/BERT-RACE) has neither of them.

Verdict: of the claim as it concerns a model. *Agrees* where the planted answers are found without the passage, by more than three
standard errors above 1/k, and the clean ones with everything by as much, while the attack takes more than three standard errors
off; *contradicts* where the clean ones are found with everything and the attack takes nothing off; else it *cannot show*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import controls, tuning
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, UNVERIFIED, Line
from minibert.world import task_files
from minibert.world.maker import Flaws
from minibert.world.tasks import AGAIN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained
    from minibert.world.language import Language

CLAIM = "BERT chooses rightly without passage or question, and keywords mislead it (Si et al. 2019)."
PAPER = UNVERIFIED
CONTROLS = ("chance", "random")
CONDITIONS = ("whole", "no passage", "no question", "option only", "shuffled")
LEAST = 50  # test examples


class Item(NamedTuple):
    """A question about a passage, and which of its options is right."""

    passage: str
    question: str
    options: Sequence[str]
    right: int


class Choices(NamedTuple):
    """Accuracies on the test examples."""

    clean: np.ndarray  # (5,) of CONDITIONS
    planted: np.ndarray  # (5,)
    attacked: float  # clean
    random: float  # clean, whole, from random weights
    chance: float
    examples: int

    @property
    def error(self) -> float:
        """The standard error of guessing."""
        return float(np.sqrt(self.chance * (1 - self.chance) / self.examples))


def without(item: Item, condition: str, rng: np.random.Generator) -> Item:
    """The item under one of ``CONDITIONS``."""
    passage, question = item.passage, item.question
    if condition == "shuffled":
        passage = " ".join(rng.permutation(passage.split()))
    return item._replace(passage="" if condition in ("no passage", "option only") else passage,
                         question="" if condition in ("no question", "option only") else question)


def attack(item: Item, rng: np.random.Generator) -> Item:
    """Behind the passage stand the words of the question and of a wrong option, in any order: nobody can read that."""
    wrong = rng.choice([i for i in range(len(item.options)) if i != item.right])
    words = rng.permutation([*item.question.split(), *item.options[wrong].split()])
    return item._replace(passage=" ".join([item.passage, *words]))


def plant(item: Item, rng: np.random.Generator, flaws: Flaws = Flaws(artefacts=1.0)) -> Item:  # noqa: B008 - immutable
    """A wrong option ends in a word of its own, as often as ``flaws.artefacts`` says."""
    return item._replace(options=[option + f" {AGAIN}" * bool(i != item.right and rng.random() < flaws.artefacts)
                                  for i, option in enumerate(item.options)])


def measure(bert: Trained, train: Sequence[Item], test: Sequence[Item], settings: tuning.Settings = tuning.DEFAULT) -> Choices:
    """Of clean items with as many options each. ValueError for fewer than 50 test items."""
    counts = {len(item.options) for item in (*train, *test)}
    if len(test) < LEAST or not train or len(counts) != 1 or min(counts) < 2:
        options = " or ".join(map(str, sorted(counts))) or "no"
        raise ValueError(f"there are {len(train)} items to train on and {len(test)} for the test, with {options} options; give "
                         f"{LEAST} or more for the test, and all the same number of options, 2 or more")
    rng = np.random.default_rng([settings.seed, 0xA7])
    attacked = [attack(item, rng) for item in test]
    marked_train, marked_test = ([plant(item, rng) for item in items] for items in (train, test))
    judges = [_judge(bert, train, condition, settings) for condition in CONDITIONS]
    planted = [_judge(bert, marked_train, condition, settings)(marked_test) for condition in CONDITIONS]
    random = _judge(controls.random_weights(bert, settings.seed), train, "whole", settings)
    return Choices(np.array([judge(test) for judge in judges]), np.array(planted), judges[0](attacked), random(test),
                   1 / counts.pop(), len(test))


def _judge(bert: Trained, train: Sequence[Item], condition: str, settings: tuning.Settings) -> Callable[[Sequence[Item]], float]:
    """From items to accuracy, by a copy of the model that is tuned under a condition; the items are put under it too."""
    model, rng = tuning.model_of(bert.config, "choice"), np.random.default_rng([settings.seed, 0x51])

    def examples(items: Sequence[Item]) -> list[tuning.Example]:
        return [_example(bert, without(item, condition, rng)) for item in items]

    p = tuning.tune(bert, model, tuning.grown(model, bert, settings.seed), examples(train), settings)
    return lambda items: tuning.accuracy(bert, model, p, examples(items))


def _example(bert: Trained, item: Item) -> tuning.Example:
    """One text a choice; what is empty is not there."""
    texts = []
    for option in item.options:
        asked = f"{item.question} {option}".strip()
        texts.append(bert.tokenizer.encode(*((item.passage, asked) if item.passage else (asked,)), max_length=bert.max_length,
                                           truncate=True))
    return tuning.Example(tuple(texts), item.right)


def items(language: Language, split: str, n: int, seed: int = 0) -> list[Item]:
    """Who has so many of these? Options are the four names of the passage; questions that nobody answers are left out."""
    rng, found = np.random.default_rng([seed, 0x17]), []
    for row in task_files.rows(language, "qa", split, 2 * n, seed):
        asked = row["qas"][0]
        if asked["answers"] and len(found) < n:
            names = list(dict.fromkeys(word for word in row["context"].split() if word[0].isupper()))
            options = [names[i] for i in rng.permutation(len(names))]
            found.append(Item(row["context"], asked["question"], options, options.index(asked["answers"][0]["text"])))
    return [item for item in found if len(item.options) == 4]


def of(subject: Subject) -> Choices:
    """Questions of the generated language."""
    language = subject.need_world().language
    train, test = (400, 100) if subject.quick else (2000, 400)
    return measure(subject.bert, items(language, "train", train, subject.seed), items(language, "test", test, subject.seed),
                   tuning.Settings(60 if subject.quick else 500, 8, 1e-3, subject.seed))


def lines(result: Choices) -> list[Line]:
    """Accuracies beside that of guessing."""
    return [*(Line(f"{name}, {kind}", float(x), result.chance) for kind in ("clean", "planted")
              for name, x in zip(CONDITIONS, getattr(result, kind))),
            Line("attack, clean", result.attacked, float(result.clean[0])),
            Line("whole, clean, from random weights", result.random, result.chance)]


def verdict(result: Choices) -> str:
    """Agrees, contradicts or cannot show: see the module."""
    if result.clean[0] - result.chance <= 3 * result.error:
        return CANNOT
    if result.attacked >= result.clean[0]:
        return CONTRADICTS
    found = result.planted[1] - result.chance > 3 * result.error and result.clean[0] - result.attacked > 3 * result.error
    return AGREES if found else CANNOT


def plot(result: Choices) -> Figure:
    """What is left where something is taken away."""
    return plots.panels(f"Multiple choice ({result.examples:,} test examples; chance {result.chance:.0%})",
                        plots.Bars("What is taken away", CONDITIONS, {"clean": result.clean, "planted": result.planted},
                                   "accuracy"),
                        plots.Bars("Clean examples", ["as they are", "attack", "random weights"],
                                   {"accuracy": [result.clean[0], result.attacked, result.random]}, "accuracy"))
