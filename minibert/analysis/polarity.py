"""Polarity items by five methods: does a model know where *any*, *ever* and *yet* may stand, and do methods agree on it?

Sentences come in paradigms of eight (see ``world.polarity``): licensor or none, in scope or outside, polarity item or none; three
of the eight are not acceptable. ::

    boolean          fine-tuned to tell acceptable from not; one environment is held out          Matthews' correlation, MCC
    absolute pairs   the same model, both sentences of a minimal pair judged rightly              share
    gradient pairs   P(acceptable) of the good one is the larger                                  share
    cloze            p(word) at the one place where they differ, as a masked word                 share
    probing          a linear probe of [CLS], not tuned: is there a licensor, an item, a scope?   accuracy

A minimal pair has two sentences of one paradigm of which one is acceptable, and which differ in exactly one of the three. A
cloze pair is one whose sentences are equally long and differ in one token. Chance is 0 for MCC, 1/4 and 1/2 for pairs, 1/2 for
cloze.

Source: Warstadt et al. 2019, "Investigating BERT's Knowledge of Language: Five Analysis Methods with NPIs", arXiv:1909.02597;
pairs as in its code (``get_acceptablity_minimal_pairs.py``), which drops groups of fewer than 50 and has nine environments of
English.

Verdict: *agrees* where gradient pairs and cloze are both above 3/4 of the way from chance to 1 while the five methods' shares
(absolute, gradient, cloze) lie 10 points or more apart; *contradicts* where one of these is no better than chance + 5 points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import batched, plots, scoring
from minibert.analysis import controls, inside, probing, tuning
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, UNVERIFIED, Line
from minibert.backend import to_numpy
from minibert.layers import softmax
from minibert.tasks.labelled import metrics
from minibert.world import polarity
from minibert.world.polarity import Item

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained
    from minibert.text import Encoding

CLAIM = "BERT knows much about polarity items, and five methods say five things of how much (Warstadt et al. 2019)."
PAPER = UNVERIFIED
CONTROLS = ("boolean_words", "boolean_random", "probing_majority")
FACTORS = ("licensor", "scope", "polarity")


class Polarity(NamedTuple):
    """What the five methods find, of E environments that are held out one after the other."""

    environments: list[str]
    boolean: np.ndarray  # (E,) MCC on the environment that is held out
    boolean_words: np.ndarray  # (E,) the same of a linear classifier of bags of words
    boolean_random: np.ndarray  # (E,) the same tuned from random weights
    absolute: np.ndarray  # (E,) share of its minimal pairs of which both are judged rightly
    gradient: np.ndarray  # (E,) share of which the good one is judged likelier to be acceptable
    cloze: float  # share of cloze pairs
    cloze_random: float
    pairs: int
    cloze_pairs: int
    probing: np.ndarray  # (3, L+1) accuracy for each of FACTORS
    probing_majority: np.ndarray  # (3,) of guessing what is more frequent


def mcc(truth: Sequence[bool], guess: Sequence[bool]) -> float:
    """Matthews' correlation of two columns of yes and no; 0 where one of them is all the same."""
    return metrics.matthews(metrics.confusion(truth, guess, (False, True)))


def minimal(items: Sequence[Item]) -> Iterator[tuple[Item, Item]]:
    """Minimal pairs (good, bad) within the paradigms of a list in which these stand together."""
    for _, group in groupby(items, key=lambda item: item.paradigm):
        these = list(group)
        yield from ((good, bad) for good in these for bad in these if good.acceptable and not bad.acceptable
                    and sum(getattr(good, name) != getattr(bad, name) for name in FACTORS) == 1)


def one_place(bert: Trained, good: str, bad: str) -> tuple[Encoding, int, int, int] | None:
    """A good text, the place of the one token in which it differs from the bad one, and both tokens; None where none or several
    do."""
    a, b = (bert.tokenizer.encode(text, max_length=bert.max_length) for text in (good, bad))
    places = [t for t, (x, y) in enumerate(zip(a.ids, b.ids)) if x != y]
    return (a, places[0], a.ids[places[0]], b.ids[places[0]]) if len(a.ids) == len(b.ids) and len(places) == 1 else None


def cloze(bert: Trained, pairs: Sequence[tuple[Encoding, int, int, int]]) -> np.ndarray:
    """Of each cloze pair, whether the masked word is likelier the good one."""
    found = np.zeros(len(pairs), bool)

    def work(numbers: np.ndarray) -> None:
        texts, at, good, bad = zip(*(pairs[i] for i in numbers))
        ids, types, real = bert.tokenizer.batch(texts)
        ids[np.arange(len(at)), at] = bert.tokenizer.vocab.mask_id
        mask = None if real.all() else real
        p = [scoring._log_probabilities(bert, ids, types, mask, np.array(at), np.array(word)) for word in (good, bad)]
        found[numbers] = p[0] > p[1]

    batched.each(bert, [len(pair[0].ids) for pair in pairs], work)
    return found


def measure(bert: Trained, items: Sequence[Item], settings: tuning.Settings = tuning.DEFAULT, seed: int = 0) -> Polarity:
    """Of sentences in paradigms. ValueError for fewer than two environments, or fewer than ten paradigms of one."""
    environments = sorted({item.environment for item in items})
    each = min(len({item.paradigm for item in items if item.environment == name}) for name in environments) if items else 0
    if len(environments) < 2 or each < 10:
        raise ValueError(f"there are {len(environments)} environments, with {each} paradigms or more of each; a correlation on "
                         "one that is held out needs two environments, and ten paradigms of each")
    inside.needs_head(bert)
    fresh = controls.random_weights(bert, seed)
    rows = []
    for name in environments:
        train = [item for item in items if item.environment != name]
        test = [item for item in items if item.environment == name]
        truth, pairs = [item.acceptable for item in test], list(minimal(test))
        judge, untrained = _judge(bert, train, settings), _judge(fresh, train, settings)
        p = dict(zip(test, judge(test)))
        good, bad = (np.array([p[pair[i]] for pair in pairs]) for i in range(2))
        rows.append((mcc(truth, judge(test) > 0.5), mcc(truth, _by_words(train, test, seed)), mcc(truth, untrained(test) > 0.5),
                     ((good > 0.5) & (bad <= 0.5)).mean(), (good > bad).mean()))
    pairs = list(minimal(items))
    blanks = [blank for pair in pairs if (blank := one_place(bert, *(item.text for item in pair)))]
    known, majority = _probing(bert, items, seed)
    return Polarity(environments, *np.array(rows).T, *(float(cloze(model, blanks).mean()) for model in (bert, fresh)), len(pairs),
                    len(blanks), known, majority)


def _judge(bert: Trained, train: Sequence[Item], settings: tuning.Settings) -> Callable[[Sequence[Item]], np.ndarray]:
    """From items to P(acceptable), by a copy of the model that is tuned on other items."""
    model = tuning.model_of(bert.config, "class")
    p = tuning.tune(bert, model, tuning.grown(model, bert, settings.seed), _examples(bert, train), settings)
    return lambda items: softmax.forward(np.stack(tuning.predict(bert, model, p, _examples(bert, items))[1]))[0][:, 1]


def _examples(bert: Trained, items: Sequence[Item]) -> list[tuning.Example]:
    return [tuning.Example((bert.tokenizer.encode(item.text, max_length=bert.max_length),), int(item.acceptable))
            for item in items]


def _by_words(train: Sequence[Item], test: Sequence[Item], seed: int) -> np.ndarray:
    """Acceptable or not, by which words there are."""
    x, words = controls.bag_of_words([item.text.split() for item in train])
    y = np.array([item.acceptable for item in train], int)
    cut = 8 * (len(train) // 40) or 8  # whole paradigms choose
    probe = probing.fit(x[cut:], y[cut:], x[:cut], y[:cut], seed=seed)
    return probe.logits(controls.bag_of_words([item.text.split() for item in test], words)[0]).argmax(1) == 1


def _probing(bert: Trained, items: Sequence[Item], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Accuracies ``(3, L+1)`` of linear probes of [CLS] for each factor; no paradigm is in two parts."""
    x: list[np.ndarray] = [np.empty(0)] * len(items)
    encodings = [bert.tokenizer.encode(item.text, max_length=bert.max_length) for item in items]

    def work(numbers: np.ndarray) -> None:
        states = np.stack([to_numpy(h)[:, 0] for h in batched.answer(bert, [encodings[i] for i in numbers]).hidden_states], 1)
        for i, state in zip(numbers, states):
            x[i] = state

    batched.each(bert, [len(encoding.ids) for encoding in encodings], work)
    stacked, parts = np.stack(x, 1), probing.split(np.array([item.paradigm for item in items]), seed)
    labels = [np.array([getattr(item, name) for item in items], int) for name in FACTORS]
    return (np.array([probing.accuracies(stacked, y, parts, seed=seed) for y in labels]),
            np.array([probing.majority(y, parts) for y in labels]))


def of(subject: Subject) -> Polarity:
    """Paradigms of the generated language."""
    language = subject.need_world().language
    steps = 150 if subject.quick else 400
    return measure(subject.bert, polarity.paradigms(language, 25 if subject.quick else 100, subject.seed),
                   tuning.Settings(steps, seed=subject.seed), subject.seed)


def lines(result: Polarity) -> list[Line]:
    """The five methods beside what each is read against."""
    mean = {name: float(getattr(result, name).mean()) for name in ("boolean", "boolean_words", "boolean_random", "absolute",
                                                                   "gradient")}
    return [Line("1 boolean, MCC, environment held out", mean["boolean"], mean["boolean_words"]),
            Line("  the same tuned from random weights", mean["boolean_random"], mean["boolean_words"]),
            Line("2 minimal pairs, both judged rightly", mean["absolute"], 0.25),
            Line("3 minimal pairs, P(good) > P(bad)", mean["gradient"], 0.5),
            Line("4 cloze, p(good) > p(bad)", result.cloze, result.cloze_random),
            *(Line(f"5 probing {name}, best layer", float(row.max()), float(base))
              for name, row, base in zip(FACTORS, result.probing, result.probing_majority))]


def verdict(result: Polarity) -> str:
    """Agrees, contradicts or cannot show: see the module."""
    shares = [float(result.absolute.mean()), float(result.gradient.mean()), result.cloze]
    if min(shares[1:]) <= 0.55:
        return CONTRADICTS
    return AGREES if min(shares[1:]) > 0.875 and max(shares) - min(shares) >= 0.1 else CANNOT


def plot(result: Polarity) -> Figure:
    """The held-out environments by three methods, and what probes find in each layer."""
    return plots.panels(f"Polarity items by five methods (cloze: {result.cloze:.0%} of {result.cloze_pairs:,})",
                        plots.Bars("An environment held out", result.environments,
                                   {"boolean (MCC)": result.boolean, "both right": result.absolute, "P(good) > P(bad)":
                                    result.gradient, "words (MCC)": result.boolean_words}, "MCC, or share of pairs"),
                        plots.Lines("A probe of [CLS]", "layer (0: embeddings)", range(result.probing.shape[1]),
                                    dict(zip(FACTORS, result.probing)), "accuracy"))
