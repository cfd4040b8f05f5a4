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

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert.analysis import inside

if TYPE_CHECKING:
    from minibert.pretrained import Trained

CLAIM = "Rollout and flow rank tokens as hiding them does, raw attention of upper layers does not (Abnar and Zuidema 2020)"
CONTROLS = "raw attention"

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


def flow(attentions: np.ndarray, heads: str = "mean", residual: bool = True) -> np.ndarray:
    """Attention as in ``mixing`` -> ``(L, T, T)``: the shares of what could flow from the inputs to each layer."""
    layers = mixing(attentions, heads, residual).astype(np.float64)
    L, T, _ = layers.shape
    capacity = np.zeros(((L + 1) * T, (L + 1) * T))
    for i, layer in enumerate(layers):
        capacity[(i + 1) * T:(i + 2) * T, i * T:(i + 1) * T] = layer
    out = np.array([[[maximum_flow(capacity[:(i + 1) * T, :(i + 1) * T], i * T + q, v) for v in range(T)] for q in range(T)]
                    for i in range(1, L + 1)])
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


def measure(bert: Trained, text: str, heads: str = "mean") -> Paths:
    """The paths through a model that reads a text. What is too long for it loses its end."""
    question = inside.ask(bert, text)
    attentions = inside.attention(bert, question)
    return Paths(question.tokens, mixing(attentions, heads, residual=False), rollout(attentions, heads), flow(attentions, heads))
