"""Attention flow against the maximum flows of networkx."""

import numpy as np
import pytest

nx = pytest.importorskip("networkx")

from minibert.analysis import flow  # noqa: E402


def test_every_flow_of_a_layered_network():
    a = np.random.default_rng(4).random((3, 4, 4)) ** 3
    layers = flow.mixing(a)
    graph = nx.DiGraph()
    graph.add_weighted_edges_from([((i + 1, q), (i, k), layers[i, q, k]) for i in range(3) for q in range(4) for k in range(4)],
                                  weight="capacity")
    for i, found in enumerate(flow.flow(a)):
        theirs = np.array([[nx.maximum_flow_value(graph, (i + 1, q), (0, v)) for v in range(4)] for q in range(4)])
        np.testing.assert_allclose(found, theirs / theirs.sum(-1, keepdims=True), rtol=0, atol=1e-12)
