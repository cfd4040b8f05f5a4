"""Search by embedding and by one head against scikit-learn's neighbours by the cosine."""

import numpy as np
import pytest

neighbors = pytest.importorskip("sklearn.neighbors")

from minibert.analysis.contexts import Index, best  # noqa: E402


def test_the_nearest_are_those_of_the_cosine():
    rng = np.random.default_rng(0)
    index = Index(rng.normal(size=(2, 200, 8)), rng.normal(size=(1, 200, 3, 4)), np.zeros((200, 2), int), np.ones((1, 3, 200, 1)))
    for x, scores in ((index.states[1], lambda i: index.by_state(1, index.states[1, i])),
                      (index.contexts[0, :, 2], lambda i: index.by_heads(0, index.contexts[0, i], [2]))):
        expected = neighbors.NearestNeighbors(n_neighbors=10, metric="cosine").fit(x).kneighbors(x, return_distance=False)
        for i in range(0, 200, 20):
            assert best(scores(i)).tolist() == expected[i].tolist()
