"""Attention against dependencies: does a head look along the edges of the tree, how far does it look, how evenly?

Over all sentences x, with a[i, j] what word i gives word j, and joined(i, j) = 1 where one of the two is the other's head::

    alignment     Σ_x Σ_ij a[i, j]·joined(i, j) / Σ_x Σ_ij a[i, j]
    distance      Σ_x Σ_ij a[i, j]·|i − j| / Σ_x Σ_ij a[i, j]                   in words
    entropy       mean over all rows of −Σ_j a[i, j]·ln a[i, j]                 in nats, [CLS] and [SEP] among the j
    variability   Σ_x Σ_ij |a[i, j] − ā[i, j]| / (2·Σ_x Σ_ij a[i, j])           0: the same map for every sentence

Alignment and distance leave out [CLS] and [SEP], which take what a head has no use for; weights are not made up for it.
Variability is over the first ``FIRST`` places of sentences that have so many, and ā is the mean map of those.

The controls know no sentence: attention that is spread evenly, for n words aligned by 2(n−1)/n², and the share of neighbours
that are joined, which is the alignment of a head that looks at the next word.

Source: Vig and Belinkov 2019, "Analyzing the Structure of Attention in a Transformer Language Model", arXiv:1906.04284, on
GPT-2; no code is public, so the definition is the one above. ``counted`` is from their later work on proteins (Vig et al. 2020,
"BERTology Meets Biology", salesforce/provis), and is often quoted for this one: pairs whose attention is at least t count as one
each, whatever it is, and heads with too few of them are hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import controls, trees
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, UNVERIFIED, Line
from minibert.analysis.trees import Parsed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "Attention follows dependencies most in the middle layers."
PAPER = UNVERIFIED
CONTROLS = "even attention, the next word, and random weights"

FIRST = 10  # places


class Dependencies(NamedTuple):
    """All ``(L, A)``, but for the controls."""

    alignment: np.ndarray
    distance: np.ndarray
    entropy: np.ndarray
    variability: np.ndarray  # NaN where no sentence is long enough
    counted: np.ndarray  # pairs of at least ``threshold``; NaN for a head with too few
    even: float  # the alignment of even attention
    chain: float  # of a head that looks at the next word
    sentences: int
    random: Dependencies | None = None  # the same of random weights, where that was measured


def joined(heads: Sequence[int]) -> np.ndarray:
    """``(W, W)``: 1 where one of two words is the other's head."""
    edges = np.zeros((len(heads), len(heads)))
    for i, j in trees.pairs(heads):
        edges[i, j] = edges[j, i] = 1
    return edges


def entropy(a: np.ndarray) -> np.ndarray:
    """``(…, T)`` of shares -> ``(…,)`` nats."""
    return -(a * np.log(np.where(a > 0, a, 1))).sum(-1)


def variability(maps: np.ndarray) -> np.ndarray:
    """Maps of N texts ``(N, …, T, T)`` -> ``(…,)``, from 0 to 1."""
    return np.abs(maps - maps.mean(0)).sum((0, -2, -1)) / (2 * maps.sum((0, -2, -1)))


def measure(bert: Trained, sentences: Sequence[Parsed], threshold: float = 0.3, least: int = 100,
            row: str = "mean") -> Dependencies:
    """All of it, for every head. ``threshold``, ``least``: of ``counted``. ``row``: whose attention is that of a split word."""
    given = aligned = far = nats = rows = pairs = hits = 0
    first, edges, even, words, near, neighbours = [], 0, 0.0, 0, 0, 0
    for number, _, at, attention in trees.maps(bert, sentences, row):
        heads = sentences[number].heads
        a, tree, places = attention[..., at, :][..., at].astype(np.float64), joined(heads), np.arange(len(at))
        n = len(at)
        given, aligned = given + a.sum((-2, -1)), aligned + (a * tree).sum((-2, -1))
        far = far + (a * np.abs(np.subtract.outer(places, places))).sum((-2, -1))
        nats, rows = nats + entropy(attention.astype(np.float64)).sum(-1), rows + attention.shape[-1]
        strong = a >= threshold
        pairs, hits = pairs + strong.sum((-2, -1)), hits + (strong * tree).sum((-2, -1))
        if attention.shape[-1] >= FIRST:
            first.append(attention[..., :FIRST, :FIRST].astype(np.float32))
        even, words = even + tree.sum() / n, words + n
        near, neighbours = near + np.diagonal(tree, 1).sum(), neighbours + n - 1
        edges += n - 1
    if not edges:
        raise ValueError("there is no gold edge to look along: give sentences of at least two words, with their heads")
    varies = variability(np.stack(first)) if first else np.full(np.shape(given), np.nan)
    often = np.where(pairs >= least, hits / np.maximum(pairs, 1), np.nan)
    return Dependencies(aligned / given, far / given, nats / rows, varies, often, even / words, near / neighbours, len(sentences))


def of(subject: Subject) -> Dependencies:
    """All sentences with heads, and of these the same with random weights."""
    sentences = [Parsed(s.words, s.heads, s.relations or [""] * len(s.words)) for s in subject.gold("heads")]
    fresh = measure(controls.random_weights(subject.bert, subject.seed), sentences)
    return measure(subject.bert, sentences)._replace(random=fresh)


def lines(result: Dependencies) -> list[Line]:
    """Alignment, distance and entropy by layer, the mean over heads, beside random weights."""
    found = [Line("alignment of the best head; control: next word", float(result.alignment.max()), float(result.chain)),
             Line("alignment of even attention", float(result.even))]
    for name, values, control in zip(("alignment", "distance in words", "entropy in nats"), result, result.random or (None,) * 3):
        found += [Line(f"{name}, layer {i}; control: random weights", float(x.mean()), None if control is None else
                       float(control[i - 1].mean())) for i, x in enumerate(values, start=1)]
    return found


def verdict(result: Dependencies) -> str:
    """Agrees where the layer whose heads are most aligned, on average, is neither the first nor the last and is above even
    attention and every layer of random weights; else contradicts. Fewer than three layers cannot show it."""
    by_layer = result.alignment.mean(1)
    if len(by_layer) < 3:
        return CANNOT
    best = int(by_layer.argmax())
    control = max(result.even, 0 if result.random is None else result.random.alignment.mean(1).max())
    return AGREES if 0 < best < len(by_layer) - 1 and by_layer[best] > control else CONTRADICTS


def plot(result: Dependencies) -> Figure:
    """The mean and the best head of each layer."""
    layers = range(1, 1 + len(result.alignment))
    controls = {"evenly spread": [result.even] * len(layers), "next word": [result.chain] * len(layers)}
    return plots.panels(f"Attention and the tree ({result.sentences:,} sentences)",
                        plots.Lines("Along the edges of the tree", "layer", layers,
                                    {"best head": result.alignment.max(1), "mean": result.alignment.mean(1), **controls},
                                    "share of attention"),
                        plots.Lines("How far, how evenly", "layer", layers,
                                    {"distance (words)": result.distance.mean(1), "entropy (nats)": result.entropy.mean(1)},
                                    "mean over heads"))
