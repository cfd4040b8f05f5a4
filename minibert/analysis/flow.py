"""How much of each input token is in each token after some layers, by attention alone: rollout and flow.

::

    A_l = (W_l + I) / row sums          W_l: the heads' mean; I: the residual, which carries a token past attention
    rollout   R_1 = A_1     R_l = A_l · R_{l−1}             shares are handed on: the rows of R add up to 1
    flow      the network with an edge of capacity A_l[q, k] from token q after layer l to token k before it;
              F_l[q, v] = the maximum flow from q after layer l to input v, divided by its sum over v

After the first layer both are A_1. Rows are who looks, columns who is seen, so layers are multiplied from the left. Flow asks for
each input by itself how much could come from it; an input that is seen by many paths has more than its share in the rollout.

Source: Abnar and Zuidema 2020, "Quantifying Attention Flow in Transformers"; code samiraabnar/attention_flow. Vision transformers
took it up with the maximum of the heads instead of the mean: ``heads="max"``. The maximum flow is found along shortest paths that
have room left (Edmonds and Karp 1972): L·T² of them, so this is for short texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import inside
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, Line
from minibert.analysis.inside import Question
from minibert.analysis.similarity import spearman

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "Rollout and flow rank tokens as hiding them does, raw attention of upper layers does not (Abnar and Zuidema 2020)."
PAPER = ("verb number, after layer 6 of BERT, against hiding: raw .29, rollout .71, flow .70; sentiment, against gradients: "
         ".09, .13, .14")
CONTROLS = "raw attention, and the order of the tokens' distances from the hidden one"

HEADS = ("mean", "max")


class Paths(NamedTuple):
    """Of one text of T tokens: for each layer, what each token (row) has of each input token (column). All ``(L, T, T)``."""

    tokens: list[str]
    raw: np.ndarray
    rollout: np.ndarray
    flow: np.ndarray


def mixing(attentions: np.ndarray, heads: str = "mean", residual: bool = True) -> np.ndarray:
    """Attention ``(L, A, T, T)`` of heads, or ``(L, T, T)`` -> ``(L, T, T)``: what a layer makes each token of, in shares."""
    if heads not in HEADS:
        raise ValueError(f"heads must be one of {', '.join(HEADS)}, got {heads!r}")
    if attentions.ndim not in (3, 4) or attentions.shape[-1] != attentions.shape[-2] or not attentions.size:
        raise ValueError(f"expected attention (L, A, T, T) or (L, T, T), got {attentions.shape}")
    a = attentions if attentions.ndim == 3 else attentions.mean(1) if heads == "mean" else attentions.max(1)
    if (a < 0).any() or not np.isfinite(a).all():
        raise ValueError("expected attention of numbers that are finite and not negative")
    a = a + np.eye(a.shape[-1], dtype=a.dtype) if residual else a
    sums = a.sum(-1, keepdims=True)
    if not sums.all():
        raise ValueError("there is a token that looks nowhere, not even at itself: take the residual with it")
    return a / sums


def rollout(attentions: np.ndarray, heads: str = "mean", residual: bool = True) -> np.ndarray:
    """Attention as in ``mixing`` -> ``(L, T, T)``: the shares of the inputs after each layer."""
    layers = mixing(attentions, heads, residual)
    out = [layers[0]]
    for layer in layers[1:]:
        out.append(layer @ out[-1])
    return np.stack(out)


def flow(attentions: np.ndarray, heads: str = "mean", residual: bool = True, rows: Sequence[int] | None = None) -> np.ndarray:
    """Attention as in ``mixing`` -> ``(L, T, T)``: the shares of what could flow from the inputs to each layer.

    ``rows``: only for the tokens at these positions, ``(L, len(rows), T)``.
    """
    layers = mixing(attentions, heads, residual).astype(np.float64)
    L, T, _ = layers.shape
    capacity = np.zeros(((L + 1) * T, (L + 1) * T))
    for i, layer in enumerate(layers):
        capacity[(i + 1) * T:(i + 2) * T, i * T:(i + 1) * T] = layer
    out = np.array([[[maximum_flow(capacity[:(i + 1) * T, :(i + 1) * T], i * T + q, v) for v in range(T)]
                     for q in (range(T) if rows is None else rows)] for i in range(1, L + 1)])
    return out / out.sum(-1, keepdims=True)


def maximum_flow(capacity: np.ndarray, source: int, sink: int) -> float:
    """The most that edges of ``capacity`` ``(N, N)``, from row to column, carry from one node to another."""
    room, total = capacity.copy(), 0.0
    while len(path := _shortest(room, source, sink)):
        edges, back = (path[:-1], path[1:]), (path[1:], path[:-1])
        step = room[edges].min()
        room[edges] -= step
        room[back] += step
        total += float(step)
    return total


def _shortest(room: np.ndarray, source: int, sink: int) -> np.ndarray:
    """The nodes of a shortest path whose edges all have room; none where there is no path."""
    parent = np.full(len(room), -1)
    parent[source] = source
    reached = np.array([source])
    while len(reached) and parent[sink] < 0:
        edges = room[reached] > 0
        new = np.flatnonzero(edges.any(0) & (parent < 0))
        parent[new] = reached[edges[:, new].argmax(0)]
        reached = new
    path = [sink] if parent[sink] >= 0 else []
    while path and path[-1] != source:
        path.append(int(parent[path[-1]]))
    return np.array(path[::-1], np.int64)


class Agreement(NamedTuple):
    """Spearman's correlation with what hiding a token does, for each layer ``(L,)``, the mean over ``questions``."""

    raw: np.ndarray
    rollout: np.ndarray
    flow: np.ndarray
    distance: float  # of minus the distance from the hidden token, which knows nothing of the model
    questions: int


def paths(bert: Trained, text: str, heads: str = "mean") -> Paths:
    """The paths through a model that reads a text. What is too long for it loses its end."""
    question = inside.ask(bert, text)
    attentions = inside.attention(bert, question)
    return Paths(question.tokens, mixing(attentions, heads, residual=False), rollout(attentions, heads), flow(attentions, heads))


def effects(bert: Trained, question: Question, others: Sequence[int]) -> np.ndarray:
    """How much the probability of the hidden word changes where one of the tokens ``others`` is hidden as well."""
    def probability(ids: np.ndarray) -> float:
        return inside.guesses(bert, question._replace(ids=ids), 1)[0].probability

    mask = bert.tokenizer.vocab.mask_id
    alone = [np.where(np.arange(len(question.ids)) == t, mask, question.ids) for t in others]
    return np.abs(np.array([probability(ids) for ids in alone]) - probability(question.ids))


def _ranked(x: np.ndarray, effect: np.ndarray) -> float:
    """Spearman's correlation; 0 where a map says the same of all tokens and so ranks none."""
    return 0.0 if np.ptp(x) == 0 else spearman(x, effect)


def measure(bert: Trained, questions: Sequence[Question], heads: str = "mean") -> Agreement:
    """Does what reaches the hidden word's token rank the others as hiding them does? Each question hides one known word.

    The added tokens are left out, since nothing can stand in for them. ValueError where fewer than three others are left.
    """
    if not questions:
        raise ValueError("there are no questions to measure flow on: give at least one")
    found = []
    for i, question in enumerate(questions):
        if len(question.masked) != 1 or question.truth[0] is None:
            raise ValueError(f"questions[{i}]: expected one hidden word that is known, got {len(question.masked)} hidden ones")
        [row] = question.masked
        others = [t for t, added in enumerate(question.added) if not added and t != row]
        if len(others) < 3:
            raise ValueError(f"questions[{i}]: a correlation needs at least 3 other tokens, got {len(others)}")
        a, effect = inside.attention(bert, question), effects(bert, question, others)
        maps = (mixing(a, heads, residual=False)[:, row], rollout(a, heads)[:, row], flow(a, heads, rows=[row])[:, 0])
        found.append((*([_ranked(x[others], effect) for x in layers] for layers in maps),
                      spearman(-np.abs(np.array(others) - row), effect)))
    raw, rolled, flowed, distance = (np.mean(x, axis=0) for x in zip(*found))
    return Agreement(raw, rolled, flowed, float(distance), len(questions))


def of(subject: Subject) -> Agreement:
    """In sentences of 4 to 14 tokens, each once, one is hidden, drawn by the seed; 40 where it is to be quick, else 200."""
    inside.needs_head(subject.bert)
    rng, questions = np.random.default_rng([subject.seed, 0xF1]), []
    texts = [sentence.text for sentence in subject.different]
    for k in rng.permutation(len(texts)):
        question = inside.ask(subject.bert, texts[k])
        words = [t for t, added in enumerate(question.added) if not added]
        if 4 <= len(words) <= 14:
            questions.append(inside.ask(subject.bert, texts[k], hide=[int(rng.choice(words))]))
        if len(questions) == (40 if subject.quick else 200):
            break
    if len(questions) < 20:
        raise ValueError(f"{subject.data} has {len(questions)} different sentences of 4 to 14 tokens, and a mean correlation "
                         "says something from 20 on: give more text")
    return measure(subject.bert, questions)


def lines(result: Agreement) -> list[Line]:
    """Of the last layer."""
    paper = {"raw attention": ".29", "rollout": ".71", "flow": ".70"}
    values = {"raw attention": result.raw, "rollout": result.rollout, "flow": result.flow}
    return [Line(f"{name}, last layer: correlation with hiding", float(x[-1]), result.distance, paper[name])
            for name, x in values.items()]


def verdict(result: Agreement) -> str:
    """After the last layer: agrees where rollout and flow both correlate more than raw attention by .05, contradicts where
    neither correlates more. Between these, and for a model of one layer, where all are the same, it cannot be shown."""
    gains = [x[-1] - result.raw[-1] for x in (result.rollout, result.flow)]
    if len(result.raw) > 1 and min(gains) > 0.05:
        return AGREES
    return CONTRADICTS if len(result.raw) > 1 and max(gains) <= 0 else CANNOT


def plot(result: Agreement) -> Figure:
    """The agreement of each layer."""
    return plots.by_layer({"raw attention": result.raw, "rollout": result.rollout, "flow": result.flow},
                          f"What reaches a hidden word, and what matters to it ({result.questions:,} texts)",
                          "Spearman's correlation with hiding a token", {"nearness alone": result.distance})
