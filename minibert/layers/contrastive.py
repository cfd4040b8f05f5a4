"""The contrastive loss of sentence vectors: of all texts in the batch, each anchor is to be nearest to its own positive.

A row holds an anchor a, its positive p, and as many hard negatives as the data has. To an anchor the positives and negatives of
all *other* rows are negatives too, so a batch of B rows with K texts each has B·(K - 1) candidates d, and B - 1 wrong answers
come for free with every right one::

    s_nm = cos(a_n, d_m)/τ                   d = p_1 … p_B and all negatives        τ: the temperature
    loss = 1/count · Σ_n -log softmax_m(s_n)_n

that is, cross-entropy with row n's own positive, candidate n, as its class. The smaller τ is, the more the nearest wrong
candidates count beside the far ones. ``symmetric``: the positives look for their anchors as well, and the loss is the mean of::

    -log softmax_m(s_n)_n        and        -log softmax_m(s_m)_n  over the anchors m

Where a text stands in a batch twice, what is right in one row is no wrong answer in another: for an anchor, a candidate is left
out (its score is that of a masked key in attention) that is the anchor's own text again, or the positive of a row with the same
anchor. The targets say which texts are equal.

Backward, with ds from the cross-entropies and all vectors of length 1, ``s = a·dᵀ/τ``; ds is zero where a candidate is left out::

    da_n = Σ_m ds_nm·d_m/τ        dd_m = Σ_n ds_nm·a_n/τ

and from there as in ``unit``.

This loss looks at all rows at once: cut into parts it would be another one, with fewer candidates. ``TOGETHER`` says so to
whoever cuts batches. ``rows``: how many are compared with one another, one group after the other, as where the gradients of
several batches are accumulated.

Source: Henderson et al. 2017, "Efficient Natural Language Response Suggestion for Smart Reply", section 4.4; van den Oord et al.
2018, "Representation Learning with Contrastive Predictive Coding"; where no text stands twice, the same as
sentence-transformers' ``MultipleNegativesRankingLoss(scale=1/τ)`` and its symmetric form.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from minibert.backend import Array, get_xp, widen
from minibert.layers import cross_entropy, unit
from minibert.layers.softmax import MASKED

TOGETHER = True  # the examples of a step cannot be looked at one by one


class Group(NamedTuple):
    """Rows that are compared with one another."""

    unit: unit.Cache
    there: cross_entropy.Cache  # anchors among candidates
    back: cross_entropy.Cache | None  # positives among anchors


class Cache(NamedTuple):
    groups: Sequence[Group]
    temperature: float
    dtype: object


def count(targets: Array, **options: Any) -> int:
    """What targets add to the count: how many anchors there are, whatever the options."""
    return len(targets)


def forward(x: Array, targets: Array, count: int | None = None, temperature: float = 0.05, symmetric: bool = False,
            rows: int | None = None) -> tuple[Array, Cache]:
    """x ``(N, K, H)``: N rows of an anchor, its positive, and K - 2 negatives -> loss ``()``.

    ``targets`` ``(N, K)``: numbers of the texts, equal ones for equal texts; what belongs together is said by the place.
    ``count`` defaults to N. ``rows``: of a group, by default all N.
    """
    count = len(targets) if count is None else count
    wide, rows = widen(x), rows or len(x)
    losses, groups = zip(*(_group(wide[i:i + rows], targets[i:i + rows], count, temperature, symmetric)
                           for i in range(0, len(x), rows)))
    return sum(losses), Cache(groups, temperature, x.dtype)


def backward(dloss: Array | float, cache: Cache) -> Array:
    """dloss ``()`` -> dx ``(N, K, H)``."""
    groups, temperature, dtype = cache
    dx = get_xp(groups[0].unit.y).concatenate([_group_backward(dloss, group, temperature) for group in groups])
    return dx.astype(dtype, copy=False)


def _group(x: Array, texts: Array, count: int, temperature: float, symmetric: bool) -> tuple[Array, Group]:
    u, unit_cache = unit.forward(x)
    anchors, candidates = _parts(u)
    cosines = get_xp(x).where(_right_elsewhere(texts), MASKED, anchors @ candidates.T)  # (B, B·(K - 1))
    scores = cosines / temperature
    own = get_xp(x).arange(len(x))
    loss, there = cross_entropy.forward(scores, own, count)
    if not symmetric:
        return loss, Group(unit_cache, there, None)
    other, back = cross_entropy.forward(scores[:, :len(x)].T, own, count)
    return (loss + other) / 2, Group(unit_cache, there, back)


def _group_backward(dloss: Array | float, group: Group, temperature: float) -> Array:
    u = group.unit.y
    anchors, candidates = _parts(u)
    if group.back is None:
        ds = cross_entropy.backward(dloss, group.there)
    else:
        ds = cross_entropy.backward(dloss / 2, group.there)
        ds[:, :len(u)] += cross_entropy.backward(dloss / 2, group.back).T
    ds = ds / temperature
    du = get_xp(u).empty_like(u)
    du[:, 0] = ds @ candidates
    du[:, 1:] = (ds.T @ anchors).reshape(u.shape[1] - 1, *u[:, 0].shape).swapaxes(0, 1)  # (B·(K - 1), H) -> (B, K - 1, H)
    return unit.backward(du, group.unit)


def _right_elsewhere(texts: Array) -> Array:
    """Numbers of texts ``(B, K)`` -> ``(B, B·(K - 1))``: True where a candidate is no wrong answer to an anchor, nor its own."""
    anchors, candidates = _parts(texts)
    positives, xp = candidates[:len(texts)], get_xp(texts)
    same_anchor, same_text = ((numbers[:, None] == other).astype("float32")
                              for numbers, other in ((anchors, anchors), (positives, candidates)))
    right = (same_anchor @ same_text > 0) | (anchors[:, None] == candidates)
    return right & (xp.arange(len(texts))[:, None] != xp.arange(len(candidates)))


def _parts(rows: Array) -> tuple[Array, Array]:
    """Rows ``(B, K, …)`` -> anchors ``(B, …)`` and candidates ``(B·(K - 1), …)``, the positives first."""
    return rows[:, 0], rows[:, 1:].swapaxes(0, 1).reshape(-1, *rows.shape[2:])
