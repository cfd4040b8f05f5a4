"""The estimators of maximal explainable variance against the two of scikit-learn that the official code calls."""

import numpy as np
import pytest

from minibert.analysis.contextual import explained

decomposition = pytest.importorskip("sklearn.decomposition")


@pytest.mark.parametrize("shift", [0.0, 0.3, 2.0])
def test_pca_and_truncated_svd(shift):
    x = np.random.default_rng(0).normal(size=(30, 12)) * np.arange(1, 13) + 12 * shift
    found = explained(x)
    truncated = decomposition.TruncatedSVD(11, algorithm="arpack", random_state=0).fit(x)
    assert found.centred == pytest.approx(decomposition.PCA(1, svd_solver="full").fit(x).explained_variance_ratio_[0], rel=1e-10)
    assert found.projected == pytest.approx(truncated.explained_variance_ratio_[0], rel=1e-10)
    assert found.uncentred == pytest.approx(truncated.singular_values_[0] ** 2 / (x * x).sum(), rel=1e-10)
