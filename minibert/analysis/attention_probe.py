"""Trees from all heads at once: a probe that sees attention and nothing else, or attention and which words they are.

For word j of a sentence, each other word i, and the K = 2·L·A numbers f[j, i] = (a[j, i], a[i, j]) of all heads, both ways::

    attention only         s[j, i] = w·f[j, i]
    attention and words    s[j, i] = (w + U·v_j + V·v_i)·f[j, i]       v (H,): frozen vectors of words without context
    the root               s[j, 0] = c·s[j, [CLS]] + e·s[j, [SEP]]     as if these were words, weighed by two numbers
    p(head of j is i)      softmax over the root and the other words

So a weight is how much a head, in one way, has to say about heads of words; no tree is asked for, each word chooses by itself.
The loss is the sum of −ln p over the words of a sentence, and Adam takes a step after each sentence, ``PASSES`` times over;
with attention only, whose few weights overfit little and have a long way to go, as often as makes ``STEPS``, if that is more.

UAS is the share of the words whose head is found, of sentences that the probe has not seen; punctuation, by its relation, and
nothing else is left out. Controls: the best fixed offset; the probe with words that sees, for attention, how many places i is
away (8 numbers); the attention of random weights.

Verdict, in two parts. Attention alone finds a tenth more than the best offset, and attention with words more than distances with
words, both by three standard errors. *Agrees* where both hold, *contradicts* where either fails by more than three standard
errors; else, the words being too few to tell, it *cannot show*.

Vectors of words are means of the rows of the model's own table of pieces, which has no context; the paper's are GloVe's.

Source: Clark et al. 2019, "What Does BERT Look At?", arXiv:1906.04341, section 5; code clarkkev/attention-analysis.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import collecting, controls, trees
from minibert.analysis.analyses import Line, all_of, judge, share_error
from minibert.analysis.relations import offset_hits
from minibert.analysis.trees import Parsed
from minibert.backend import Array, get_xp, to_numpy
from minibert.layers import cross_entropy
from minibert.numerics.adam import AdamW, update
from minibert.parameters import Layout, Parameters, Shapes, Tree, initialise

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "All heads together hold much of the tree: a probe of attention alone finds most heads of words."
PAPER = "UAS 61 % with attention only, 77 % with words; distances and words 58, random weights 30, right-branching 26"
CONTROLS = "distances and words; the best fixed offset; attention of random weights"

PASSES, STEPS, RATE = 5, 5000, 0.002
LEAST = 20  # sentences in each half
NEVER = -1e4  # the score of a word as its own head
REACH = 4  # places, either way, that the control tells apart


class Example(NamedTuple):
    """A sentence of W words among U units: the words, [CLS] and [SEP]."""

    features: np.ndarray  # (W, U, K)
    vectors: np.ndarray | None  # (U, H)
    at: np.ndarray  # (W,) where the words stand among the units
    heads: np.ndarray  # (W,) W for the root, which comes last
    counted: np.ndarray  # (W,) bool: no punctuation


class Cache(NamedTuple):
    features: Array  # (W, U, K)
    vectors: Array | None  # (U, H)
    at: Array  # (W,)
    weights: Array  # (K,) or (W, U, K)
    scores: Array  # (W, U) of all units


class Probed(NamedTuple):
    """UAS, shares from 0 to 1, on the sentences that were held out."""

    attention: float
    words: float  # attention and words
    distances: float  # the control: distances and words
    offset: float  # the control: the best fixed offset
    weights: np.ndarray  # (2, L, A) of the probe that sees attention only: down and up, as in ``relations``
    tested: int  # words
    random: float | None = None  # the control: attention and words of random weights, where that was measured


def shapes(features: int, width: int = 0) -> Shapes:
    """K features; vectors of words of so many numbers, or none."""
    own = {"weight": (features,), "ends": (2,)}
    return {**own, "dependent": (features, width), "head": (features, width)} if width else own


def forward(features: Array, vectors: Array | None, at: Array, p: Tree) -> tuple[Array, Cache]:
    """``(W, U, K)``, ``(U, H)`` or None, ``(W,)`` -> ``(W, W + 1)``: scores of the words and of the root as the head of each."""
    weights = p["weight"] if vectors is None else (
        p["weight"] + (vectors[at] @ p["dependent"].T)[:, None] + vectors @ p["head"].T)  # (W, U, K)
    s = (features * weights).sum(-1)  # (W, U)
    words = np.where(np.eye(len(at), dtype=bool), np.asarray(NEVER, s.dtype), s[:, at])
    return np.column_stack([words, s[:, [0, -1]] @ p["ends"]]), Cache(features, vectors, at, weights, s)


def backward(dscores: Array, cache: Cache, p: Tree, g: Tree) -> tuple[Array, Array | None]:
    """dscores ``(W, W + 1)`` -> dfeatures ``(W, U, K)``, dvectors ``(U, H)`` or None; adds to g."""
    features, vectors, at, weights, s = cache
    ds = np.zeros_like(s)
    ds[:, at] = np.where(np.eye(len(at), dtype=bool), np.zeros((), s.dtype), dscores[:, :-1])
    ds[:, [0, -1]] += dscores[:, -1:] * p["ends"]
    dweights = ds[..., None] * features
    if g:
        g["ends"] += dscores[:, -1] @ s[:, [0, -1]]
        g["weight"] += dweights.sum((0, 1))
    dvectors = None
    if vectors is not None:
        ddependent, dhead = dweights.sum(1), dweights.sum(0)  # (W, K), (U, K)
        dvectors = dhead @ p["head"]
        dvectors[at] += ddependent @ p["dependent"]
        if g:
            g["dependent"] += ddependent.T @ vectors[at]
            g["head"] += dhead.T @ vectors
    return ds[..., None] * weights, dvectors


def fit(examples: Sequence[Example], passes: int = PASSES, rate: float = RATE, seed: int = 0) -> Parameters:
    """A trained probe; with words where the examples have vectors."""
    width = 0 if examples[0].vectors is None else examples[0].vectors.shape[-1]
    p = initialise(Layout(shapes(examples[0].features.shape[-1], width)), dtype=np.float64)
    p.flat[...] = 0
    p["weight"][...] = p["ends"][...] = 1
    g, m, v = (p.zeros_like() for _ in range(3))
    rng, step = np.random.default_rng([seed, 0xA7]), 0
    for _ in range(passes):
        for i in rng.permutation(len(examples)):
            features, vectors, at, heads, _ = examples[i]
            scores, cache = forward(features, vectors, at, p.tree)
            _, loss = cross_entropy.forward(scores, heads, 1)
            backward(cross_entropy.backward(1.0, loss), cache, p.tree, g.tree)
            step += 1
            update(p.flat, g.flat, m.flat, v.flat, rate, step, False, AdamW(epsilon=1e-8))
            g.flat[...] = 0
    return p


def uas(examples: Sequence[Example], p: Tree) -> float:
    """The share of the counted words whose head has the highest score."""
    right = [(forward(x.features, x.vectors, x.at, p)[0].argmax(1) == x.heads)[x.counted] for x in examples]
    return float(np.concatenate(right).mean())


def examples(bert: Trained, sentences: Sequence[Parsed], row: str = "mean") -> list[Example]:
    """Features and vectors of all sentences, in their order."""
    table, found = bert.parameters["bert"]["embeddings"]["word_embeddings"]["weight"], {}
    for number, _, at, attention in trees.maps(bert, sentences, row):
        words, heads, relations = sentences[number]
        a = attention.reshape(-1, *attention.shape[-2:]).astype(np.float64)  # (L·A, U, U)
        features = np.concatenate([a, a.swapaxes(1, 2)]).transpose(1, 2, 0)[at]  # (W, U, 2·L·A)
        encoding = bert.tokenizer.encode(list(words), max_length=bert.max_length)
        rows = to_numpy(table[get_xp(table).asarray(encoding.ids)]).astype(np.float64)
        vectors = collecting.states_of_words(rows, collecting.starts(encoding.words), "mean")
        found[number] = Example(features, vectors, at, np.where(np.asarray(heads) < 0, len(words), heads),
                                np.array([r.partition(":")[0] != "punct" for r in relations]))
    return [found[number] for number in range(len(sentences))]


def away(x: Example) -> Example:
    """The control: instead of attention how many places away, ``REACH`` and more being one."""
    distance = np.arange(x.features.shape[1]) - x.at[:, None]
    steps = [d for d in range(-REACH, REACH + 1) if d]
    return x._replace(features=(np.clip(distance, -REACH, REACH)[..., None] == steps).astype(np.float64))


def measure(bert: Trained, sentences: Sequence[Parsed], passes: int = PASSES, seed: int = 0, row: str = "mean") -> Probed:
    """Probes learn from the even sentences and are tested on the odd ones."""
    if len(sentences) < 2 * LEAST:
        raise ValueError("a probe learns from one half of the sentences and is tested on the other, and says something from "
                         f"{LEAST} in each on: give at least {2 * LEAST}, got {len(sentences)}")
    found = examples(bert, sentences, row)
    train, test = found[::2], found[1::2]
    tested = sum(int(x.counted.sum()) for x in test)
    if not tested:
        raise ValueError("all words of the sentences that are held out are punctuation: give others")

    def score(learn: Sequence[Example], ask: Sequence[Example], steps: int = 0) -> tuple[float, Parameters]:
        p = fit(learn, max(passes, ceil(steps / len(learn))), seed=seed)
        return uas(ask, p.tree), p

    attention, p = score(*([x._replace(vectors=None) for x in half] for half in (train, test)), STEPS)
    words, _ = score(train, test)
    distances, _ = score([away(x) for x in train], [away(x) for x in test])
    learn, ask = (np.concatenate([offset_hits(np.where(x.heads == len(x.heads), -1, x.heads))[:, x.counted] for x in half], 1)
                  for half in (train, test))
    offset = ask[learn.mean(1).argmax()].mean()
    weights = p["weight"].reshape(2, bert.config.num_hidden_layers, -1)
    return Probed(attention, words, distances, float(offset), weights, tested)


def of(subject: Subject) -> Probed:
    """All sentences with heads, at most 1,000, and of these the same with random weights."""
    sentences = trees.parsed(subject, relations=False)[:1000]
    fresh = measure(controls.random_weights(subject.bert, subject.seed), sentences, seed=subject.seed)
    return measure(subject.bert, sentences, seed=subject.seed)._replace(random=fresh.words)


def lines(result: Probed) -> list[Line]:
    """UAS of both probes and of the controls."""
    return [Line("UAS, attention only; control: the best offset", result.attention, result.offset, 0.61),
            Line("UAS, attention and words; control: distances and words", result.words, result.distances, 0.77),
            Line("UAS, attention and words, random weights", result.random or float("nan"), None, 0.30)]


def verdict(result: Probed) -> str:
    """Agrees, contradicts or cannot show: see the module."""
    parts = (result.attention, result.offset, 0.1), (result.words, result.distances, 0.0)
    return all_of(*(judge(p - q, 3 * share_error(p, q, result.tested), goal) for p, q, goal in parts))


def plot(result: Probed) -> Figure:
    """UAS of the probes and of the controls, and the weights of the heads."""
    scores = {"attention": result.attention, "attention, words": result.words, "distances, words": result.distances,
              "best offset": result.offset}
    if result.random is not None:
        scores["attention, words,\nrandom weights"] = result.random
    layers, heads = result.weights.shape[1:]
    return plots.panels(f"Trees from all heads at once ({result.tested:,} words)",
                        plots.Bars("Words whose head is found", list(scores), {"UAS": list(scores.values())}, "share"),
                        plots.Grid("What each head has to say, both ways together", result.weights.sum(0),
                                   [f"layer {i + 1}" for i in range(layers)], [f"head {i + 1}" for i in range(heads)]))
