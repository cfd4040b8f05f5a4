"""Do phrases of one kind lie together? Clusters of spans against the kinds of phrases that they are, layer by layer.

::

    span vector = [s; e; s*e; s - e]      s: the first piece of its first word, e: the last piece of its last word; (4H,)
    NMI of k-means clusters, as many as there are kinds, and of the kinds

Spans are the chunks of a sentence, and what stands between them: a run of words outside of any is a span of kind O, at most one
in seven of all. Clusters are made of six sevenths of the spans; the others are put into the nearest and measured. Controls: the
kinds shuffled, and a model with random weights. NMI takes the arithmetic mean of both entropies, see ``clusters``, or another.

Source: Jawahar et al. 2019, "What Does BERT Learn about the Structure of Language?", section 3, code
ganeshjawahar/interpret_bert: 3,000 chunks and 500 runs of CoNLL-2000, clusters of 3,000 spans measured on 500. Its layers begin
with the first block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import controls, probing
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, UNVERIFIED, Line
from minibert.analysis.clusters import assign, contingency, kmeans, nmi

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "Lower layers hold what kind of phrase a span is; the higher the layer, the less of it."
PAPER = UNVERIFIED
CONTROLS = ("shuffled", "random")

MOST = 3500  # spans
LEAST = 200
OUTSIDE = "O"

Span = tuple[int, int, str]  # first word, last word, kind


class Spans(NamedTuple):
    """NMI for S seeds and L+1 hidden states, the embeddings first."""

    nmi: np.ndarray  # (S, L+1)
    shuffled: np.ndarray  # (S, L+1)
    kinds: list[str]
    spans: int
    random: np.ndarray | None = None  # (S, L+1) of random weights, where that was measured


def spans_of(chunks: Sequence[str]) -> list[Span]:
    """Chunks as B-NP, I-NP, O -> the spans of a sentence, in order."""
    found: list[Span] = []
    for w, chunk in enumerate(chunks):
        kind = chunk[2:] or OUTSIDE
        if found and found[-1][2] == kind and not chunk.startswith("B-"):
            found[-1] = (found[-1][0], w, kind)
        else:
            found.append((w, w, kind))
    return found


def vectors(first: np.ndarray, last: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """States of the first and the last pieces of words ``(..., N, H)``, spans ``(M, 2)`` -> ``(..., M, 4H)``."""
    s, e = first[..., spans[:, 0], :], last[..., spans[:, 1], :]
    return np.concatenate([s, e, s * e, s - e], -1)


def measure(bert: Trained, sentences: Sequence[Sequence[str]], chunks: Sequence[Sequence[str]], most: int = MOST,
            seeds: Sequence[int] = (0,), average: str = "arithmetic") -> Spans:
    """At most so many spans, drawn by the first seed; each seed deals them out and begins the clusters."""
    starts = np.cumsum([0, *map(len, sentences)])
    every = [(starts[i] + s, starts[i] + e, kind) for i, row in enumerate(chunks) for s, e, kind in spans_of(row)]
    rng = np.random.default_rng([seeds[0], 0x5C])
    order = [every[i] for i in rng.permutation(len(every))]
    inside, outside = ([span for span in order if (span[2] == OUTSIDE) == out] for out in (False, True))
    outside = outside[:min(len(inside) // 6, most // 7)]
    chosen = inside[:most - len(outside)] + outside
    kinds, names = probing.numbered([kind for *_, kind in chosen]) if chosen else (np.zeros(0, int), [])
    if len(chosen) < LEAST or len(names) < 2:
        raise ValueError(f"{len(chosen)} spans of {len(names)} kinds are too few: clusters say something from {LEAST} spans of "
                         "two kinds on; give more sentences")
    places = np.array([span[:2] for span in chosen])
    first, last = (probing.states(bert, sentences, pieces) for pieces in ("first", "last"))
    found: list[list[tuple[float, float]]] = []
    for seed in seeds:
        rng = np.random.default_rng([seed, 0x5D])
        order = rng.permutation(len(chosen))
        test, train = np.split(order, [len(order) // 7])
        mixed = rng.permutation(kinds[test])
        found.append([])
        for s, e in zip(first, last):
            x = vectors(s, e, places)
            own = assign(x[test], kmeans(x[train], len(names), seed))
            found[-1].append(tuple(nmi(contingency(own, labels), average) for labels in (kinds[test], mixed)))
    return Spans(*np.array(found).transpose(2, 0, 1), names, len(chosen))


def of(subject: Subject) -> Spans:
    """All sentences with chunks, and the same with random weights."""
    known = subject.gold("chunks")
    words, chunks = [s.words for s in known], [s.chunks for s in known]
    seeds = probing.seeds(subject.seed, subject.quick)
    result = measure(subject.bert, words, chunks, seeds=seeds)
    untrained = controls.random_weights(subject.bert, subject.seed)
    return result._replace(random=measure(untrained, words, chunks, seeds=seeds).nmi)


def lines(result: Spans) -> list[Line]:
    """Of every layer, beside random weights; and what shuffled kinds give."""
    by_layer = zip(result.nmi.mean(0), [None] * len(result.nmi[0]) if result.random is None else result.random.mean(0))
    found = [Line(f"NMI, {probing.layer_name(i)}", float(value), control if control is None else float(control))
             for i, (value, control) in enumerate(by_layer)]
    return [*found, Line("NMI, kinds shuffled, the highest layer of all", float(result.shuffled.mean(0).max()))]


def verdict(result: Spans) -> str:
    """Of layers 1 to L: agrees where the best is in the lower half and the last is lower by .02 or more, contradicts where the
    last is the best. Between the two, and of fewer than three layers, nothing can be shown."""
    layers = result.nmi.mean(0)[1:]
    if len(layers) < 3:
        return CANNOT
    best = int(layers.argmax())
    if best < len(layers) / 2 and layers[best] - layers[-1] >= 0.02:
        return AGREES
    return CONTRADICTS if best == len(layers) - 1 else CANNOT


def plot(result: Spans) -> Figure:
    """NMI by layer, beside its controls."""
    series = {"trained": result.nmi.mean(0), "kinds shuffled": result.shuffled.mean(0)}
    if result.random is not None:
        series["random weights"] = result.random.mean(0)
    return plots.panels(f"Clusters of {result.spans:,} spans of {len(result.kinds)} kinds",
                        plots.Lines("Clusters and kinds of phrases", "layer", range(result.nmi.shape[1]), series, "NMI"))
