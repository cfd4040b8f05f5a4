"""Trees against networkx, which is told every edge: a matrix would lose those of weight zero."""

import numpy as np
import pytest

from minibert.analysis.trees import arborescence, spanning_tree

networkx = pytest.importorskip("networkx")


def test_arborescences():
    rng = np.random.default_rng(0)
    for trial in range(150):
        n = 2 + trial % 11
        scores, root = rng.random((n, n)), trial % n
        graph = networkx.DiGraph()
        graph.add_weighted_edges_from((u, v, scores[v, u]) for u in range(n) for v in range(n) if u != v != root)
        theirs = networkx.maximum_spanning_arborescence(graph)
        assert {(h, v) for v, h in enumerate(arborescence(scores, root)) if h >= 0} == set(theirs.edges)


@pytest.mark.parametrize("repeated", [False, True])
def test_spanning_trees(repeated):
    rng = np.random.default_rng(0)
    for trial in range(100):
        n = 2 + trial % 12
        x = rng.normal(size=(n, 3))
        x[-1] = x[0] if repeated else x[-1]
        distance = ((x[:, None] - x) ** 2).sum(-1)
        graph = networkx.Graph()
        graph.add_weighted_edges_from((i, j, distance[i, j]) for j in range(n) for i in range(j))
        theirs = networkx.minimum_spanning_tree(graph)
        ours = spanning_tree(-distance)
        assert len(ours) == theirs.number_of_edges() == n - 1
        assert sum(distance[e] for e in ours) == pytest.approx(theirs.size(weight="weight"), rel=1e-12)
        if not repeated:  # else two trees are as short
            assert set(ours) == {tuple(sorted(e)) for e in theirs.edges}
