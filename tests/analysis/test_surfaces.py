"""Surfaces of a loss that is known everywhere, and a small run of everything."""

import numpy as np
import pytest

from minibert.analysis import surfaces
from minibert.analysis.tuning import Example, Settings
from minibert.api import Bert
from minibert.parameters import Layout, Parameters
from tests import tiny_model

RNG = np.random.default_rng


def three(n=6, dtype=np.float64):
    layout = Layout({"weight": (n,)})
    return [Parameters(layout, x.astype(dtype)) for x in RNG(0).normal(size=(3, n))]


def test_a_quadratic_surface_in_closed_form():
    start, one, two = three()
    A = RNG(1).normal(size=(6, 6))
    A = A @ A.T
    a, b = np.linspace(-1, 2, 5), np.linspace(0, 1, 3)
    found = surfaces.surface(lambda p: p.flat @ A @ p.flat, start, one, two, a, b)
    d1, d2 = one.flat - start.flat, two.flat - start.flat
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            s = start.flat
            linear, mixed = x * (s @ A @ d1) + y * (s @ A @ d2), x * y * (d1 @ A @ d2)
            expected = s @ A @ s + 2 * linear + x * x * (d1 @ A @ d1) + 2 * mixed + y * y * (d2 @ A @ d2)
            assert found[i, j] == pytest.approx(expected, abs=1e-10)


def test_the_surface_goes_through_its_three_points_bit_for_bit():
    start, one, two = three(1000, np.float32)
    for (a, b), end in {(0, 0): start, (1, 0): one, (0, 1): two}.items():
        np.testing.assert_array_equal(surfaces.between(start, one, two, a, b).flat, end.flat)


def test_projection_finds_what_lies_in_the_plane():
    start, one, two = (p.flat for p in three())
    points = RNG(2).normal(size=(7, 2))
    inside = start + points @ np.stack([one - start, two - start])
    normal = np.linalg.svd(np.stack([one - start, two - start]))[2][-1]
    np.testing.assert_allclose(surfaces.project(inside + 3 * normal, start, one, two), points, rtol=0, atol=1e-10)
    with pytest.raises(ValueError, match="same direction"):
        surfaces.project(inside, start, one, 2 * one - start)


def test_the_width_of_a_parabola():
    """loss = 0.4·(a − 1)²: 0.1 above the least at 1 ± 0.5."""
    a = np.linspace(-1, 3, 41)
    assert surfaces.width(a, 0.4 * (a - 1) ** 2) == pytest.approx(1, abs=1e-12)
    assert surfaces.width(a, np.abs(a - 1)) == pytest.approx(0.2, abs=1e-12)
    assert surfaces.width(a, np.zeros(41)) == 4  # as far as we look


@pytest.fixture
def bert():
    return Bert(*tiny_model.make())


def test_rollback_puts_one_layer_back(bert):
    end = Parameters(bert.parameters.layout, bert.parameters.flat + 1)
    for layer, name in enumerate(("bert.embeddings.", "bert.encoder.layer.0.", "bert.encoder.layer.1.")):
        old, found = dict(bert.parameters.items()), dict(surfaces.rollback(bert.parameters, end, layer).items())
        back = {tensor for tensor in found if np.array_equal(found[tensor], old[tensor])}
        assert back == {tensor for tensor in found if tensor.startswith(name)}
    with pytest.raises(ValueError, match="there is no layer 3"):
        surfaces.rollback(bert.parameters, end, 3)


def test_everything_once(bert):
    rng, examples = RNG(0), []
    for i in range(60):
        letters = [*rng.choice([*"abcd"], 3), "xy"[i % 2]]
        examples.append(Example((bert.tokenizer.encode(" ".join(letters)),), i % 2))
    found = surfaces.measure(bert, examples[:40], examples[40:], Settings(steps=30, batch=8, learning_rate=3e-3), points=3)
    assert found.surface.shape == (3, 3)
    assert found.path.shape == (31, 2)
    np.testing.assert_allclose(found.path[[0, -1]], [[0, 0], [1, 0]], rtol=0, atol=1e-6)
    assert found.loss == found.curve[found.a == 1]
    assert len(found.rolled_back) == 3
    assert surfaces.verdict(found) in ("agrees", "contradicts", "cannot show at this size")
    assert len(surfaces.lines(found)) == 6
    assert len(surfaces.plot(found).axes) == 3
    with pytest.raises(ValueError, match="5 dev examples"):
        surfaces.measure(bert, examples, examples[:5])
