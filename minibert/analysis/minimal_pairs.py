"""Minimal pairs: does a model find the acceptable of two sentences likelier, which differ in one place?

::

    right  ⇔  PLL(good) > PLL(bad)         strictly; PLL = Σₜ ln p(wₜ | the rest), see ``scoring``
    overall = the mean over paradigms of the share that is right

Lengths are not divided by. Chance is 1/2. The control *unigram* adds up the logarithms of how frequent words are, and so looks at
no order: where the two sentences of a pair have the same words, or words that are equally frequent, it is wrong.

Source: Warstadt et al. 2020, "BLiMP: The Benchmark of Linguistic Minimal Pairs for English", arXiv:1912.00582, sections 2 and 3;
the score of masked models: Salazar et al. 2020, arXiv:1910.14659, with the words' other pieces hidden as well by default. BERT is
not in the paper's table: the best of its models, GPT-2, has .830, a 5-gram model .612.

Verdict: *agrees* where the model beats the unigram control by 10 points or more overall, *contradicts* where it does not. BLiMP's
files need a model of English; the pairs of the generated language are of three phenomena.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import plots, scoring
from minibert.analysis import controls, inside
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, Line
from minibert.world import task_files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "A language model tells acceptable from unacceptable sentences, best where agreement decides (Warstadt et al. 2020)."
PAPER = "GPT-2 .830, 5-gram .612 on BLiMP, by the released table; no masked model"
CONTROLS = ("unigram", "random")
LEAST = 20  # pairs of a paradigm


class MinimalPairs(NamedTuple):
    """Shares of P paradigms, each a mean over its pairs."""

    paradigms: list[str]
    right: np.ndarray  # (P,)
    unigram: np.ndarray  # (P,) by the frequency of words alone
    random: np.ndarray  # (P,) by a model with random weights
    pairs: np.ndarray  # (P,)


def right(good: Sequence[float], bad: Sequence[float]) -> np.ndarray:
    """Of each pair of scores, whether the first is larger; equal ones are not right."""
    return np.asarray(good) > np.asarray(bad)


def scores(bert: Trained, texts: Sequence[str], metric: str = "whole_word") -> np.ndarray:
    """The pseudo-log-likelihood of each text, nats. ``metric``: what is hidden with a piece, see ``scoring``."""
    encodings = [bert.tokenizer.encode(text, max_length=bert.max_length) for text in texts]
    return np.array([score.total for score in scoring.score(bert, encodings, metric)])


def measure(bert: Trained, good: Sequence[str], bad: Sequence[str], paradigms: Sequence[str], corpus: Sequence[Sequence[str]],
            metric: str = "whole_word", seed: int = 0) -> MinimalPairs:
    """``paradigms``: that of each pair. ``corpus``: words of sentences, for their frequencies."""
    inside.needs_head(bert)
    if not len(good) == len(bad) == len(paradigms):
        raise ValueError(f"there are {len(good)} good texts, {len(bad)} bad ones and {len(paradigms)} paradigms; give as many of "
                         "each")
    texts = [*good, *bad]
    bags, words = controls.bag_of_words(corpus)
    frequency = np.log((bags.sum(0) + 1) / (bags.sum() + len(words) + 1))
    unseen = float(np.log(1 / (bags.sum() + len(words) + 1)))
    known = dict(zip(words, frequency))
    found = [scores(bert, texts, metric), [sum(known.get(word, unseen) for word in sorted(text.split())) for text in texts],
             scores(controls.random_weights(bert, seed), texts, metric)]
    shares, names = np.array([right(*np.split(np.asarray(x), 2)) for x in found]), np.asarray(paradigms)
    kinds, counts = np.unique(names, return_counts=True)
    if not len(names) or counts.min() < LEAST:
        raise ValueError(f"a paradigm has {counts.min() if len(names) else 0} pairs, and a share says something from {LEAST} on: "
                         "give more pairs")
    return MinimalPairs(kinds.tolist(), *np.array([[row[names == kind].mean() for kind in kinds] for row in shares]), counts)


def of(subject: Subject) -> MinimalPairs:
    """Pairs of the generated language, of its test split."""
    rows = task_files.rows(subject.need_world().language, "pairs", "test", 150 if subject.quick else 600, subject.seed)
    return measure(subject.bert, *([row[key] for row in rows] for key in ("good", "bad", "phenomenon")), subject.texts,
                   seed=subject.seed)


def lines(result: MinimalPairs) -> list[Line]:
    """Overall and by paradigm, beside the unigram control."""
    return [Line("right, mean of paradigms", float(result.right.mean()), float(result.unigram.mean()), ".83 GPT-2, .61 5-gram"),
            Line("the same with random weights", float(result.random.mean())),
            *(Line(name, *map(float, row)) for name, *row in zip(result.paradigms, result.right, result.unigram))]


def verdict(result: MinimalPairs) -> str:
    """Agrees or contradicts: see the module."""
    if len(result.paradigms) < 2:
        return CANNOT
    return AGREES if result.right.mean() >= result.unigram.mean() + 0.1 else CONTRADICTS


def plot(result: MinimalPairs) -> Figure:
    """The share that is right of each paradigm, beside the controls."""
    return plots.panels(f"Minimal pairs ({result.pairs.sum():,})",
                        plots.Bars("Which sentence is likelier?", result.paradigms,
                                   {"model": result.right, "frequency of words": result.unigram, "random weights": result.random},
                                   "share that is right"))
