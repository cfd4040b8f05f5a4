"""Specialised heads: which have a job that can be named, and do these do the work?

Of each head, over the words of all sentences and the tokens that they look at, [SEP] left out::

    confidence     the mean of max_j a[i, j]
    positional     the largest share of words whose maximum stands at one relative place d           at least NINETY: a job
    syntactic      by how much it finds a relation better than the best offset does, see relations   at least TEN points: a job
    rare           the share of words whose maximum is the sentence's least frequent word            at least HALF: a job
    relevance      its share of its layer in the logits of hidden words, see ``relevance``

The paper looks for such heads among those that matter, and finds that the others can go. How often a word occurs is counted in
the sentences themselves; of equally rare words one is as good as another.

Source: Voita et al. 2019, "Analyzing Multi-Head Self-Attention", arXiv:1905.09418, sections 4 and 5; code
lena-voita/the-story-of-heads. For rare words the paper names no threshold (its head points to the rarest in 66 %), half is ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import controls, inside, masked, relations, relevance, trees
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, Line
from minibert.analysis.trees import Parsed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "A few heads with a job that can be named, by place, by relation or for rare words, do most of the work."
PAPER = "the heads that matter look at one place (90 % of the time), follow a relation or look at the rarest word (66 %)"
CONTROLS = "random weights; the least frequent word by chance"

JOBS = ("positional", "syntactic", "rare")
NINETY, TEN, HALF = 0.9, 0.1, 0.5


class Specialised(NamedTuple):
    """All ``(L, A)``, but where said."""

    confidence: np.ndarray
    positional: np.ndarray
    place: np.ndarray  # which, from minus to plus
    syntactic: np.ndarray  # the largest margin of any relation, from the way and half that ``relations`` has
    relation: list[list[str]]  # of which
    rare: np.ndarray
    chance: float  # of the rarest word
    relevance: np.ndarray | None  # None where the model has no masked-word head
    random: float | None = None  # the share of heads with a job that random weights have, where that was measured

    @property
    def jobs(self) -> np.ndarray:
        """``(3, L, A)`` bool, by ``JOBS``."""
        return np.stack([self.positional >= NINETY, self.syntactic >= TEN, self.rare >= HALF])


def places(a: np.ndarray) -> np.ndarray:
    """Attention between words ``(…, W, W)`` -> ``(…, 2W−1)``: how many have their maximum at each place, from −(W−1) on."""
    W = a.shape[-1]
    away = a.argmax(-1) - np.arange(W) + W - 1
    return (away[..., None] == np.arange(2 * W - 1)).sum(-2)


def measure(bert: Trained, sentences: Sequence[Parsed], least: int = 20, row: str = "mean", seed: int = 0) -> Specialised:
    """What each head does. ``least``, ``row``: see ``relations``."""
    often = Counter(word for sentence in sentences for word in sentence.words)
    longest = max(len(sentence.words) for sentence in sentences)
    sure = rare = 0
    at_place, words, chance = np.zeros(0), 0, 0.0
    for number, _, at, attention in trees.maps(bert, sentences, row):
        a = attention[..., at, :-1]  # from words, to all but the last [SEP]
        between, W = attention[..., at, :][..., at], len(at)
        counts = np.array([often[word] for word in sentences[number].words])
        rarest = counts == counts.min()
        sure, words = sure + a.max(-1).sum(-1), words + W
        rare = rare + rarest[between.argmax(-1)].sum(-1)
        chance += W * rarest.mean()
        here = places(between)
        at_place = at_place if len(at_place) else np.zeros((*here.shape[:-1], 2 * longest - 1))
        at_place[..., longest - W:longest + W - 1] += here
    found = relations.measure(bert, sentences, least, row)
    margins = found.recall.max(0) - found.best_offset  # (L, A, R)
    names = [[found.relations[r] for r in layer] for layer in margins.argmax(-1)]
    heard = _relevance(bert, sentences, seed) if inside.has_head(bert) else None
    return Specialised(sure / words, at_place.max(-1) / words, at_place.argmax(-1) - longest + 1, margins.max(-1), names,
                       rare / words, chance / words, heard)


def of(subject: Subject) -> Specialised:
    """All sentences with heads and relations, of at least two words, and the same with random weights."""
    sentences = trees.parsed(subject)
    fresh = measure(controls.random_weights(subject.bert, subject.seed), sentences, seed=subject.seed)
    return measure(subject.bert, sentences, seed=subject.seed)._replace(random=float(fresh.jobs.any(0).mean()))


def lines(result: Specialised) -> list[Line]:
    """How many heads have each job, which is the best at it, and what those with a job are worth."""
    def name(values: np.ndarray) -> tuple[int, int]:
        layer, head = np.unravel_index(values.argmax(), values.shape)
        return int(layer), int(head)

    jobs, found = result.jobs, []
    for job, values, mine in zip(JOBS, (result.positional, result.syntactic, result.rare), jobs):
        i, j = name(values)
        what = {"positional": f", place {result.place[i, j]:+d}", "syntactic": f", {result.relation[i][j]}", "rare": ""}[job]
        found.append(Line(f"{job}: {int(mine.sum())} of {mine.size} heads; the best, {i + 1}.{j + 1}{what}", float(values[i, j]),
                          *((result.chance, 0.66) if job == "rare" else ())))
    found.append(Line("heads with a job, share", float(jobs.any(0).mean()), result.random))
    if result.relevance is not None:
        some = jobs.any(0)
        shares = [float(result.relevance[mask].mean()) if mask.any() else float("nan") for mask in (some, ~some)]
        found.append(Line("relevance of a head with a job; control: without", *shares))
    return found


def verdict(result: Specialised) -> str:
    """Agrees where at most half of the heads have a job and these have, on average, more relevance than the others; else
    contradicts. Fewer than ten heads, heads that all have a job, or none, and a model that cannot guess words cannot show it."""
    some = result.jobs.any(0)
    if result.relevance is None or some.size < 10 or some.all() or not some.any():
        return CANNOT
    few = some.mean() <= 0.5
    return AGREES if few and result.relevance[some].mean() > result.relevance[~some].mean() else CONTRADICTS


def plot(result: Specialised) -> Figure:
    """How strongly each head has each job, and how sure and how heard it is."""
    A = result.confidence.shape[1]
    heads = [f"{i // A + 1}.{i % A + 1}" for i in range(result.confidence.size)]
    jobs = {"one place": result.positional.ravel(), "a relation, above the offset": result.syntactic.ravel(),
            "the rarest word": result.rare.ravel()}
    weight = {"confidence": result.confidence.ravel()}
    if result.relevance is not None:
        weight["relevance, share of its layer"] = result.relevance.ravel()
    return plots.panels("Specialised heads (layer.head)", plots.Bars("Their jobs", heads, jobs, "share of the words"),
                        plots.Bars("How sure, and how much comes through", heads, weight, "share"))


def _relevance(bert: Trained, sentences: Sequence[Parsed], seed: int) -> np.ndarray:
    corpus = masked.batches(bert, [list(sentence.words) for sentence in sentences], seed=seed)
    sizes = [len(batch.texts) for batch in corpus]
    return np.average([relevance.shares(relevance.relevance(bert, batch)) for batch in corpus], 0, sizes)
