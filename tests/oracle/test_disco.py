"""χ² of tables against SciPy."""

import numpy as np
import pytest

stats = pytest.importorskip("scipy.stats")

from minibert.analysis.disco import chi_squared  # noqa: E402


@pytest.mark.parametrize("correct", [True, False])
def test_chi_squared_of_tables(correct):
    rng = np.random.default_rng(0)
    for _ in range(200):
        table = rng.integers(1, 15, (2, 2))
        expected = stats.chi2_contingency(table, correction=correct)
        assert chi_squared(table.tolist(), correct) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-10, abs=1e-12)
