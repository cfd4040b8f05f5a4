"""Clusters of vectors, and what two ways of dividing the same things have in common.

::

    k-means     centres c that make Σ_n min_k ‖x_n - c_k‖² small: each example to the nearest, each centre to the mean of its own
    I(a; b)   = Σ_ij p_ij·ln(p_ij / p_i·p_j)          in nats, from how often cluster i meets label j; at most H(a) and H(b)
    NMI       = I(a; b) / mean(H(a), H(b))            the mean: arithmetic, geometric, min or max

Say which mean was taken: scikit-learn's NMI has the geometric one before 0.22 and the arithmetic one since. I from counts is too
large, by about (K - 1)(V - 1)/2N nats where nothing is shared (``bias``): compare sets of equal size, and with shuffled labels.

With a ``batch``, a round looks at so many examples drawn at random, and a centre moves to the mean of all that it has had
(Sculley 2010). Centres begin far apart: the next is drawn in proportion to the squared distance from those there are (Arthur and
Vassilvitskii 2007).
"""

from __future__ import annotations

import numpy as np

AVERAGES = ("arithmetic", "geometric", "min", "max")
ROWS = 1 << 12  # whose distances are computed at a time


def kmeans(x: np.ndarray, k: int, seed: int = 0, rounds: int = 50, batch: int | None = None) -> np.ndarray:
    """x ``(N, H)`` -> k centres ``(k, H)``. A centre that has lost all examples stays where it was."""
    if not 1 <= k <= len(x):
        raise ValueError(f"k-means makes from 1 to {len(x)} clusters of {len(x)} vectors, got {k}")
    rng = np.random.default_rng([seed, 0xC1])
    centres = _far_apart(x, k, rng)
    counts, last = np.zeros(k), None
    for _ in range(rounds):
        some = x if batch is None else x[rng.integers(0, len(x), batch)]
        own = assign(some, centres)
        if batch is None:
            if last is not None and (own == last).all():
                break
            counts, last = np.zeros(k), own
        n = np.bincount(own, minlength=k)
        counts += n
        filled = n > 0
        sums = _sums(some, own, k)[filled]
        centres[filled] += (sums - n[filled, None] * centres[filled]) / counts[filled, None]
    return centres


def assign(x: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """``(N,)`` the number of the nearest centre."""
    length = (centres * centres).sum(1)
    parts = [(length - 2 * (x[i:i + ROWS] @ centres.T)).argmin(1) for i in range(0, len(x), ROWS)]
    return np.concatenate(parts) if parts else np.zeros(0, int)


def contingency(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How often each label of a meets each of b: ``(K, V)``, of ``(N,)`` labels."""
    if len(a) != len(b) or not len(a):
        raise ValueError(f"a and b must label the same examples, at least one, got {len(a)} and {len(b)}")
    (ka, ia), (kb, ib) = (np.unique(labels, return_inverse=True) for labels in (a, b))
    return np.bincount(ia * len(kb) + ib, minlength=len(ka) * len(kb)).reshape(len(ka), len(kb))


def entropy(counts: np.ndarray) -> float:
    """Of counts, in nats."""
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum())


def information(table: np.ndarray) -> float:
    """The mutual information of a table of counts ``(K, V)``, in nats."""
    return max(0.0, entropy(table.sum(1)) + entropy(table.sum(0)) - entropy(table.ravel()))


def nmi(table: np.ndarray, average: str = "arithmetic") -> float:
    """The normalised mutual information of a table of counts, from 0 to 1; 1 where both put everything together."""
    if average not in AVERAGES:
        raise ValueError(f"average must be one of {', '.join(AVERAGES)}, got {average!r}")
    a, b = entropy(table.sum(1)), entropy(table.sum(0))
    if not a and not b:
        return 1.0
    mean = {"arithmetic": (a + b) / 2, "geometric": np.sqrt(a * b), "min": min(a, b), "max": max(a, b)}[average]
    return information(table) / float(mean) if mean else 0.0


def bias(table: np.ndarray) -> float:
    """What I of a table is too large by, to first order, where nothing is shared (Miller 1955)."""
    K, V = (int((table.sum(axis) > 0).sum()) for axis in (1, 0))
    return (K - 1) * (V - 1) / (2 * float(table.sum()))


def _far_apart(x: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    centres = np.empty((k, x.shape[1]), x.dtype)
    nearest = np.full(len(x), np.inf)
    for i in range(k):
        p = None if i == 0 or not nearest.any() else nearest / nearest.sum()
        centres[i] = x[rng.choice(len(x), p=p)]
        nearest = np.minimum(nearest, ((x - centres[i]) ** 2).sum(1, dtype=np.float64))
    return centres


def _sums(x: np.ndarray, own: np.ndarray, k: int) -> np.ndarray:
    """``(k, H)`` the sum of the examples of each cluster."""
    order = np.argsort(own, kind="stable")
    filled, starts = np.unique(own[order], return_index=True)
    sums = np.zeros((k, x.shape[1]), x.dtype)
    sums[filled] = np.add.reduceat(x[order], starts, 0)
    return sums
