"""Hard concrete gates: the closed forms against draws."""

import numpy as np
import pytest

from minibert.layers import hard_concrete


@pytest.mark.parametrize("a", [-2.0, -0.3, 0.1, 1.0, 2.5])
def test_the_chances_are_those_of_draws(a):
    u = (np.arange(400_000) + 0.5) / 400_000  # evenly, so that nothing is left to luck
    (gates, opened), _ = hard_concrete.forward(np.full(u.shape, a), u)
    assert (gates > 0).mean() == pytest.approx(opened[0], abs=1e-5)
    full = 1 / (1 + np.exp(-(a - 0.33 * np.log(1.1 / 0.1))))
    assert (gates == 1).mean() == pytest.approx(full, abs=1e-5)
    assert hard_concrete.decided(np.array([a]))[0] == ((gates == 1).mean() > (gates == 0).mean())
    assert gates.min() >= 0
    assert gates.max() <= 1


def test_without_a_draw_it_is_not_divided_by_the_temperature():
    (gates, _), _ = hard_concrete.forward(np.array([-4.0, 0.0, 1.0, 4.0]))
    np.testing.assert_allclose(gates, [0, 0.5, 1.2 / (1 + np.exp(-1)) - 0.1, 1], rtol=0, atol=1e-15)


def test_the_two_ends_are_alike():
    a = np.linspace(-5, 5, 11)
    np.testing.assert_allclose(1 - hard_concrete.forward(a)[0][0], hard_concrete.forward(-a)[0][0], rtol=0, atol=1e-15)
    assert hard_concrete.decided(np.array([-0.01, 0.01])).tolist() == [0, 1]
