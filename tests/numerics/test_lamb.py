"""LAMB's step against the published programs, written down in a few lines of float64."""

import numpy as np
import pytest

from minibert.numerics import lamb
from minibert.numerics.lamb import LAMB
from minibert.training.optimisers import OPTIMISERS

rng = np.random.default_rng(0)
CASES = {"a weight": (rng.standard_normal(12), True), "a bias": (rng.standard_normal(5), False),
         "a bias of zeros": (np.zeros(5), False), "a weight of zeros": (np.zeros(4), True)}


def reference(w, gradients, decay, lr, *, correct, ratio_of, wd=0.01, b1=0.9, b2=0.999, eps=1e-6):
    """Some steps of one tensor. ``ratio_of``: has it a ratio, given whether it is decayed and by how much?"""
    m = v = 0.0
    for t, g in enumerate(gradients, start=1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        mhat, vhat = (m / (1 - b1**t), v / (1 - b2**t)) if correct else (m, v)
        u = mhat / (np.sqrt(vhat) + eps) + (wd if decay else 0.0) * w
        lengths = np.linalg.norm(w), np.linalg.norm(u)
        ratio = lengths[0] / lengths[1] if ratio_of(decay, wd) and min(lengths) > 0 else 1.0
        w = w - lr * ratio * u
    return w


PUBLISHED = {
    "lamb": {"correct": True, "ratio_of": lambda decay, wd: decay and wd != 0},
    "lamb-albert": {"correct": False, "ratio_of": lambda decay, wd: decay},
    "lamb-nvidia-tf": {"correct": True, "ratio_of": lambda decay, wd: True},
}


def steps(w, gradients, decay, lr, constants):
    w, m, v = w.copy(), np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(gradients, start=1):
        u = g.copy()
        lengths = lamb.direction(w, u, m, v, t, decay, constants)
        w -= lr * (lamb.ratio(*lengths, np) if constants.adapts(decay) else 1.0) * u
    return w


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("wd", [0.01, 0.0])
@pytest.mark.parametrize("name", PUBLISHED)
def test_four_steps_are_those_of_the_published_program(name, wd, case):
    w, decay = CASES[case]
    gradients = np.random.default_rng(1).standard_normal((4, *w.shape))
    expected = reference(w, gradients, decay, 0.02, wd=wd, **PUBLISHED[name])
    got = steps(w, gradients, decay, 0.02, OPTIMISERS[name]._replace(weight_decay=wd))
    np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-16)


def test_the_three_differ_where_they_are_said_to():
    moved = {name: [steps(w, np.random.default_rng(1).standard_normal((2, *w.shape)), decay, 0.02, OPTIMISERS[name])
                    for w, decay in (CASES["a weight"], CASES["a bias"])] for name in PUBLISHED}
    np.testing.assert_array_equal(moved["lamb"][0], moved["lamb-nvidia-tf"][0])
    assert not np.allclose(moved["lamb"][1], moved["lamb-nvidia-tf"][1])
    assert not np.allclose(moved["lamb"][1], moved["lamb-albert"][1])


def test_a_tensor_moves_by_the_rate_times_its_own_length_whatever_its_gradient():
    for scale in (1e-2, 1.0, 1e4):
        w = np.random.default_rng(2).standard_normal(50)
        moved = w - steps(w, scale * np.random.default_rng(3).standard_normal((1, 50)), True, 0.03, LAMB())
        assert np.linalg.norm(moved) == pytest.approx(0.03 * np.linalg.norm(w), rel=1e-12)


@pytest.mark.parametrize(("p2", "u2", "expected"), [(4.0, 1.0, 2.0), (0.0, 1.0, 1.0), (4.0, 0.0, 1.0), (0.0, 0.0, 1.0)])
def test_where_a_length_is_zero_the_ratio_is_one(p2, u2, expected):
    assert lamb.ratio(np.float64(p2), np.float64(u2), np) == expected
