"""The exercises of lesson 30, trees in vectors, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lessons.check import Wrong, close, exercise, expect
from minibert.analysis import structural, trees


def _heads(n: int, rng: np.random.Generator) -> list[int]:
    """A random tree of n words, whose root may stand anywhere."""
    order, heads = rng.permutation(n), [-1] * n
    for i in range(1, n):
        heads[order[i]] = int(order[rng.integers(0, i)])
    return heads


@exercise("(heads)", look="Toy numbers", level="medium")
def edges_between(answer: Callable[..., Any]) -> None:
    """How many edges lie between every two words of a tree, as an array (N, N). heads: the place of each word's head, -1 for the
    root."""
    rng = np.random.default_rng(301)
    for heads in ([-1], [1, -1], [1, 2, -1, 4, 2], _heads(9, rng)):
        got = np.asarray(answer(list(heads)))
        expect(got.shape == (len(heads),) * 2, f"heads {heads}: expected the shape {(len(heads),) * 2}, got {got.shape}")
        expect((np.diag(got) == 0).all(), f"heads {heads}: no edge lies between a word and itself")
        close(got, trees.distances(heads), f"heads {heads}", 1e-12)


@exercise("(heads)", look="The equation", level="medium")
def vectors_of_tree(answer: Callable[..., Any]) -> None:
    """Vectors of the words of a tree, as rows, whose squared distances are the edges between them; that of the root is 0. They
    may have as many numbers as you like."""
    rng = np.random.default_rng(302)
    for heads in ([-1], [1, -1], [-1, 0, 0, 0], _heads(8, rng)):
        f = np.asarray(answer(list(heads)), float)
        expect(f.ndim == 2 and len(f) == len(heads), f"heads {heads}: expected {len(heads)} rows, got the shape {f.shape}")
        expect(not f[heads.index(-1)].any(), f"heads {heads}: the root's vector is not 0")
        squares = ((f[:, None] - f) ** 2).sum(-1)
        if len(heads) > 2 and np.allclose(np.sqrt(squares), (trees.distances(heads) > 0)):
            raise Wrong("every word has an axis, but not those of the words above it: f(word) = f(head) + e")
        close(squares, trees.distances(heads), f"heads {heads}: the squared distances", 1e-9)


@exercise("(x, weight)", look="Vectorised, and the library's own", level="easy")
def probe_distances(answer: Callable[..., Any]) -> None:
    """The probe's squared distances (N, N) of vectors x (N, H), seen through weight (rank, H)."""
    rng = np.random.default_rng(303)
    for rank in (1, 4):
        x, weight = rng.standard_normal((5, 7)), rng.standard_normal((rank, 7))
        right = structural.forward(x[None], {"weight": weight})[0][0]
        got = np.asarray(answer(x.copy(), weight.copy()))
        if got.shape == right.shape and np.allclose(got**2, right):
            raise Wrong("the square of the distance counts edges: leave the root out")
        close(got, right, f"rank {rank}", 1e-9)


@exercise("(distances)", look="From distances back to a tree", level="hard")
def join(answer: Callable[..., Any]) -> None:
    """The minimum spanning tree of distances (N, N), which are the same both ways and all different: the set of its edges (i, j),
    i < j."""
    rng = np.random.default_rng(304)
    for n in (1, 2, 5, 12):
        distances = rng.uniform(0.1, 3, (n, n))
        distances = (distances + distances.T) / 2
        got = {(int(i), int(j)) for i, j in answer(distances.copy())}
        expect(len(got) == n - 1, f"a tree over {n} words has {n - 1} edges, got {len(got)}")
        expect(all(i < j for i, j in got), "the smaller place first: (i, j) with i < j")
        right = set(trees.spanning_tree(-distances))
        length, least = (sum(distances[edge] for edge in edges) for edges in (got, right))
        expect(got == right, f"{n} words: your edges are {length:.3f} long, a tree of {least:.3f} joins all")


@exercise("(found, gold)", look="From distances back to a tree", level="easy")
def uuas_of(answer: Callable[..., Any]) -> None:
    """UUAS over sentences: found and gold are lists with a set of edges (i, j) for each. Counted over all edges, not the mean of
    the sentences' shares."""
    gold = [{(0, 1), (1, 2), (2, 3)}, {(0, 1)}, set()]
    found = [{(0, 1), (0, 2), (2, 3)}, {(0, 1)}, set()]
    got = answer(found, gold)
    if got is not None and np.isclose(got, (2 / 3 + 1) / 2):
        raise Wrong("this is the mean over sentences: a short one would count as much as a long one")
    close(got, 3 / 4, "3 of 4 edges are found", 1e-12)
    close(answer([{(0, 2)}], [{(0, 1)}]), 0, "none is found", 1e-12)
