import numpy as np
import pytest

from minibert.tasks.batches import micro_batches
from tests.model.examples import small_config
from tests.training.examples import engine, masked_examples


def test_the_average_is_the_closed_form():
    """dᵗ·p_0 + (1-d)·Σ_k d^(t-k)·p_k; what is evaluated is the average, what is trained is not."""
    config, d = small_config(), 0.8
    batches = micro_batches(masked_examples(config), 60)
    with engine(config, 2, ema=d) as e, engine(config, 2) as plain:
        seen = [e.parameters.flat.copy()]
        for _ in range(4):
            e.train(batches, 0.01)
            plain.train(batches, 0.01)
            seen.append(e.parameters.flat.copy())
        np.testing.assert_array_equal(e.parameters.flat, plain.parameters.flat)
        expected = d**4 * seen[0] + (1 - d) * sum(d ** (4 - k) * p for k, p in enumerate(seen) if k)
        np.testing.assert_allclose(e.kept["average"].flat, expected, rtol=1e-13, atol=1e-16)
        assert e.learned is e.kept["average"]
        assert plain.learned is plain.parameters
        plain.parameters.flat[...] = expected
        assert float(e.evaluate(batches).loss) == pytest.approx(float(plain.evaluate(batches).loss), rel=1e-12)
