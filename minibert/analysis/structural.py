"""Structural probes: is there a linear map after which the distances between a sentence's words are those of its tree?

::

    distance   d(i, j) = ‖B·(h_i - h_j)‖²   ≈ edges between words i and j in the tree         B: (rank, H)
    depth      ‖B·h_i‖²                      ≈ edges between word i and the root
    loss       mean over sentences of  Σ_ij |d(i, j) - edges| / n²       (of depths: Σ_i … / n)

It is not ‖B·(h_i - h_j)‖ but its square that counts edges: a tree fits into space that way and no other. With f(root) = 0 and
f(word) = f(head) + e, a new axis e for each word, ‖f(i) - f(j)‖² is the number of edges between them (``embedding``).

Measures, on test sentences: *UUAS*, the share of gold edges in the shortest tree over the predicted distances, without
punctuation; *DSpr*, Spearman's correlation of predicted and true distances of each word to all, itself included, the mean for
each sentence length, then over lengths from 5 to 50; *NSpr*, the same of depths; *root*, how often the least depth is the root's.
Punctuation counts in the loss and in both correlations. Controls: the tree in which neighbours are joined, and the place at which
roots stand most often; a model with random weights is a third: ``measure`` it as well.

As in the official code the gold tree of UUAS is the shortest over the true distances of what is left without punctuation, so
a word that hangs on punctuation gets one of its nearest; ``bridged=False`` leaves it out. Other there: every token is of the
second segment (``token_type_ids`` 1), and layer k is the output of block k+1; here layer 0 is the embeddings.

Source: Hewitt and Manning 2019, "A Structural Probe for Finding Syntax in Word Representations", code
john-hewitt/structural-probes; Coenen et al. 2019, arXiv:1906.02715 (the embedding).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import controls, probing, trees
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, UNVERIFIED, Line
from minibert.analysis.probing import Settings
from minibert.analysis.trees import Parsed
from minibert.layers import absolute_error, linear, squared_distance
from minibert.parameters import Layout, Parameters, Tree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "After a linear map, squared distances between words are those of the tree, and lengths its depths; best in the middle."
PAPER = UNVERIFIED
CONTROLS = ("chain", "place", "random")

FORMS = ("distance", "depth")
LENGTHS = (5, 50)  # of sentences that count in the correlations
OFFICIAL = Settings(1e-3, batch=20, passes=40, patience=5, shrink=0.1, gain=1e-4, decays=(0.0,))


class Cache(NamedTuple):
    to: squared_distance.Cache
    map: linear.Cache
    form: str


class Structural(NamedTuple):
    """What ``measure`` finds: of S seeds, and of L+1 hidden states, the embeddings first."""

    uuas: np.ndarray  # (S, L+1)
    dspr: np.ndarray  # (S, L+1)
    root: np.ndarray  # (S, L+1)
    nspr: np.ndarray  # (S, L+1)
    chain: float  # the control of uuas
    place: float  # the control of root
    sentences: int
    tested: int
    random: Structural | None = None  # the same of random weights, where that was measured


class Trees(NamedTuple):
    """Sentences whose words lie one behind another in a table of vectors."""

    heads: list[Sequence[int]]
    kept: list[np.ndarray]  # of each sentence, (n,) bool: no punctuation
    starts: np.ndarray  # (sentences + 1,)


class Learned(NamedTuple):
    """What ``learn`` finds."""

    maps: list[Parameters]  # L+1, of every hidden state
    uuas: list[float]  # L+1, of the test sentences
    test: list[Parsed]


def forward(h: np.ndarray, p: Tree, form: str = "distance") -> tuple[np.ndarray, Cache]:
    """Vectors h ``(B, T, H)`` -> distances ``(B, T, T)``, or depths ``(B, T)``. ``p``: weight ``(rank, H)``."""
    z, mapped = linear.forward(h, p, bias=False)
    d, to = squared_distance.forward(z, z if form == "distance" else np.zeros_like(z[:, :1]))  # the depth: from the origin
    return d if form == "distance" else d[..., 0], Cache(to, mapped, form)


def backward(dd: np.ndarray, cache: Cache, p: Tree, g: Tree) -> np.ndarray:
    """dd as what ``forward`` gave -> dh ``(B, T, H)``; adds to ``g["weight"]``."""
    dz, dother = squared_distance.backward(dd if cache.form == "distance" else dd[..., None], cache.to)
    return linear.backward(dz + dother if cache.form == "distance" else dz, cache.map, p, g)


def embedding(heads: Sequence[int], lengths: Sequence[float] | None = None) -> np.ndarray:
    """``(n, n)`` places of words, whose squared distances are those in their tree. ``lengths``: of the edge above each word."""
    lengths = np.ones(len(heads)) if lengths is None else np.asarray(lengths, float)
    f = np.zeros((len(heads), len(heads)))
    for word, above in enumerate(heads):
        at = word
        while above >= 0:
            f[word, at], at, above = np.sqrt(lengths[at]), above, heads[above]
    return f


def depths(heads: Sequence[int]) -> np.ndarray:
    """``(n,)`` edges between each word and the root."""
    return trees.distances(heads)[list(heads).index(-1)]


def fit(x: np.ndarray, corpus: Trees, train: np.ndarray, dev: np.ndarray, form: str = "distance", rank: int | None = None,
        settings: Settings = OFFICIAL, seed: int = 0) -> Parameters:
    """The map B for vectors ``(N, H)`` of words, by the sentences of these numbers."""
    truth = [trees.distances(heads) if form == "distance" else depths(heads) for heads in corpus.heads]
    sizes = np.diff(corpus.starts)
    p = Parameters.zeros(Layout({"weight": (rank or x.shape[1], x.shape[1])}), dtype=x.dtype)
    p.flat[...] = np.random.default_rng([seed, 0xB0]).uniform(-0.05, 0.05, len(p))

    def batch(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Vectors, targets, and what each counts: nothing where a sentence has ended."""
        n, T = sizes[numbers], int(sizes[numbers].max())
        shape = (len(numbers), *[T] * (2 if form == "distance" else 1))
        targets, weights = np.zeros(shape, x.dtype), np.zeros(shape, x.dtype)
        for row, (number, size) in enumerate(zip(numbers, n)):
            at = (row, *[slice(size)] * (len(shape) - 1))
            targets[at], weights[at] = truth[number], 1 / (truth[number].size * len(numbers))
        places = corpus.starts[numbers][:, None] + np.minimum(np.arange(T), n[:, None] - 1)
        return x[places], targets, weights

    def gradient(numbers: np.ndarray, p: Tree, g: Tree) -> None:
        h, targets, weights = batch(train[numbers])
        d, cache = forward(h, p, form)
        backward(absolute_error.backward(1.0, absolute_error.forward(d, targets, weights)[1]), cache, p, g)

    chunks = [batch(dev[start:start + 100]) for start in range(0, len(dev), 100)]

    def loss(p: Tree) -> float:
        return sum(float(absolute_error.forward(forward(h, p, form)[0], *rest)[0]) * len(h) for h, *rest in chunks) / len(dev)

    probing.descend(p, gradient, loss, len(train), settings, seed)
    return p


def predictions(x: np.ndarray, p: Parameters, corpus: Trees, numbers: np.ndarray, form: str = "distance") -> list[np.ndarray]:
    """Distances ``(n, n)`` or depths ``(n,)`` of each of these sentences."""
    found = [forward(x[None, corpus.starts[i]:corpus.starts[i + 1]], p.tree, form)[0][0] for i in numbers]
    return [(d + d.T) / 2 for d in found] if form == "distance" else found  # the same both ways, to the last digit


def uuas(found: Sequence[np.ndarray], heads: Sequence[Sequence[int]], kept: Sequence[np.ndarray], bridged: bool = True) -> float:
    """Of distances of sentences."""
    edges = []
    for d, keep in zip(found, kept):
        at = np.flatnonzero(keep)
        tree = trees.spanning_tree(-d[np.ix_(at, at)]) if len(at) else []
        edges.append({(int(at[i]), int(at[j])) for i, j in tree})
    return trees.uuas(edges, [trees.gold(h, keep, bridged) for h, keep in zip(heads, kept)])


def root_accuracy(found: Sequence[np.ndarray], heads: Sequence[Sequence[int]], kept: Sequence[np.ndarray]) -> float:
    """Of depths of sentences: how often the least, without punctuation, is that of the root."""
    return float(np.mean([h[int(np.where(keep, d, np.inf).argmin())] == -1 for d, h, keep in zip(found, heads, kept)]))


def correlation(found: Sequence[np.ndarray], truth: Sequence[np.ndarray], lengths: tuple[int, int] = LENGTHS) -> float:
    """DSpr of distances, NSpr of depths: Spearman's of each row, the mean of a length, then of lengths. Equal numbers give 0."""
    by_length = defaultdict(list)
    for d, t in zip(found, truth):
        if lengths[0] <= len(d) <= lengths[1]:
            a, b = (ranks - ranks.mean(-1, keepdims=True) for ranks in (_ranks(np.atleast_2d(d)), _ranks(np.atleast_2d(t))))
            norm = np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
            by_length[len(d)] += ((a * b).sum(-1) / np.where(norm, norm, 1)).tolist()
    if not by_length:
        raise ValueError(f"no test sentence has from {lengths[0]} to {lengths[1]} words, which the correlations are taken over")
    return float(np.mean([np.mean(rows) for rows in by_length.values()]))


def corpus_of(sentences: Sequence[Parsed]) -> Trees:
    """ValueError for what is no tree."""
    for number, sentence in enumerate(sentences):
        trees.root_of(number, *sentence)
    kept = [np.array([relation.partition(":")[0] != "punct" for relation in sentence.relations]) for sentence in sentences]
    return Trees([sentence.heads for sentence in sentences], kept, np.cumsum([0, *(len(s.words) for s in sentences)]))


def measure(bert: Trained, sentences: Sequence[Parsed], rank: int | None = None, seeds: Sequence[int] = (0, 1, 2),
            bridged: bool = True, settings: Settings = OFFICIAL) -> Structural:
    """Both probes on every layer, once for each seed, which also deals the sentences out. Words are the mean of their pieces."""
    corpus = corpus_of(sentences)
    x = probing.states(bert, [sentence.words for sentence in sentences])
    found, chains, places = [], [], []
    for seed in seeds:
        train, dev, test = probing.split(np.arange(len(sentences)), seed)
        if len(test) < probing.LEAST:
            raise ValueError(f"{len(test)} test sentences are too few: a share says something from {probing.LEAST} on; give "
                             f"{5 * probing.LEAST} sentences")
        heads, kept = [corpus.heads[i] for i in test], [corpus.kept[i] for i in test]
        chains.append(uuas([_chain(len(h)) for h in heads], heads, kept, bridged))
        often = Counter(list(corpus.heads[i]).index(-1) for i in train).most_common(1)[0][0]
        places.append(np.mean([len(h) > often and h[often] == -1 for h in heads]))
        rows = []
        for layer in x:
            d, depth = (predictions(layer, fit(layer, corpus, train, dev, form, rank, settings, seed), corpus, test, form)
                        for form in FORMS)
            rows.append((uuas(d, heads, kept, bridged), correlation(d, [trees.distances(h) for h in heads]),
                         root_accuracy(depth, heads, kept), correlation(depth, [depths(h) for h in heads])))
        found.append(rows)
    chain, place = float(np.mean(chains)), float(np.mean(places))
    return Structural(*np.array(found).transpose(2, 0, 1), chain, place, len(sentences), len(test))


def learn(bert: Trained, sentences: Sequence[Parsed], rank: int | None = None, seed: int = 0, settings: Settings = OFFICIAL
          ) -> Learned:
    """The map for distances of every layer, learned once, to look at the trees of other sentences."""
    corpus, x = corpus_of(sentences), probing.states(bert, [sentence.words for sentence in sentences])
    train, dev, test = probing.split(np.arange(len(sentences)), seed)
    maps = [fit(layer, corpus, train, dev, "distance", rank, settings, seed) for layer in x]
    heads, kept = [corpus.heads[i] for i in test], [corpus.kept[i] for i in test]
    shares = [uuas(predictions(layer, p, corpus, test), heads, kept) for layer, p in zip(x, maps)]
    return Learned(maps, shares, [sentences[i] for i in test])


def tree(bert: Trained, learned: Learned, words: Sequence[str], layer: int) -> list[trees.Edge]:
    """The edges (i, j), i < j, that a layer's map finds among words, without punctuation."""
    x = probing.states(bert, [list(words)])[layer]
    d = forward(x[None], learned.maps[layer].tree)[0][0]
    at = [i for i, word in enumerate(words) if any(map(str.isalnum, word))]
    return [(at[i], at[j]) for i, j in trees.spanning_tree(-(d + d.T)[np.ix_(at, at)])] if at else []


def of(subject: Subject) -> Structural:
    """By maps of rank 64 at most; the same with random weights, of one seed."""
    sentences = trees.parsed(subject)
    rank, seeds = min(64, subject.bert.config.hidden_size), probing.seeds(subject.seed, subject.quick)
    untrained = controls.random_weights(subject.bert, subject.seed)
    result = measure(subject.bert, sentences, rank, seeds)
    return result._replace(random=measure(untrained, sentences, rank, seeds[:1]))


def lines(result: Structural) -> list[Line]:
    """Of every layer the trees found, beside those of random weights; of the best layer the rest; the controls."""
    best, other = int(result.uuas.mean(0).argmax()), result.random
    found = [Line(f"UUAS, {probing.layer_name(i)}", float(value), None if other is None else float(other.uuas.mean(0)[i]))
             for i, value in enumerate(result.uuas.mean(0))]
    for name, field in (("DSpr", "dspr"), ("root found", "root"), ("NSpr", "nspr")):
        value, than = (None if r is None else float(getattr(r, field).mean(0)[best]) for r in (result, other))
        found.append(Line(f"{name}, {probing.layer_name(best)}", value, than))
    return [*found, Line("UUAS, neighbours joined", result.chain), Line("root found, at the most frequent place", result.place)]


def verdict(result: Structural) -> str:
    """Of UUAS: agrees where the best layer is above the embeddings, the chain and the best of random weights by .05 or more, and
    is not the last; contradicts where it is no better than one of these; else nothing can be shown."""
    layers = result.uuas.mean(0)
    rivals = [layers[0], result.chain, *([] if result.random is None else [result.random.uuas.mean(0).max()])]
    gain = layers.max() - max(rivals)
    if gain <= 0:
        return CONTRADICTS
    return AGREES if gain >= 0.05 and layers[-1] < layers.max() else CANNOT


def plot(result: Structural) -> Figure:
    """UUAS and roots by layer, each beside its controls."""
    panels, layers = [], range(result.uuas.shape[1])
    for title, name, level, fixed in (("Distance: edges found", "uuas", "neighbours joined", result.chain),
                                      ("Depth: roots found", "root", "most frequent place", result.place)):
        series = {"trained": getattr(result, name).mean(0)}
        if result.random is not None:
            series["random weights"] = getattr(result.random, name).mean(0)
        panels.append(plots.Lines(title, "layer", layers, series | {level: [fixed] * len(layers)}, name.replace("uuas", "UUAS")))
    return plots.panels(f"Structural probes: {result.sentences:,} sentences, {result.tested:,} of them for the test", *panels)


def _chain(n: int) -> np.ndarray:
    """Distances along the sentence."""
    return np.abs(np.arange(n)[:, None] - np.arange(n))


def _ranks(x: np.ndarray) -> np.ndarray:
    """Ranks of the numbers of each row; those that are equal but for rounding share the mean of theirs."""
    x = np.round(x / (np.abs(x).max() or 1), 9)
    below, same = (x[:, None] < x[:, :, None]).sum(-1), (x[:, None] == x[:, :, None]).sum(-1)
    return below + (same + 1) / 2
