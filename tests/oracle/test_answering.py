"""The plane of an example against scikit-learn's PCA, whose signs are free."""

import numpy as np
import pytest

decomposition = pytest.importorskip("sklearn.decomposition")

from minibert.analysis.answering import components  # noqa: E402


def test_two_principal_components():
    x = np.random.default_rng(0).normal(size=(30, 8))
    expected = decomposition.PCA(2).fit_transform(x)
    np.testing.assert_allclose(np.abs(components(x)), np.abs(expected), rtol=0, atol=1e-10)
