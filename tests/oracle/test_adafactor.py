"""Adafactor beside transformers' and PyTorch's, in float64."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
optimization = pytest.importorskip("transformers.optimization")

from minibert.numerics.adafactor import Adafactor  # noqa: E402
from tests.numerics.test_adafactor import SHAPES, steps  # noqa: E402

LR = 0.02
every_shape = pytest.mark.parametrize("shape", [shape for shape in SHAPES.values() if len(shape) < 3], ids=str)


def both(shape, optimiser, constants, size=1.0, decay=False):
    """The tensor after ten steps: ours, and that of a torch optimiser of it."""
    rng = np.random.default_rng(1)
    w, gradients = rng.standard_normal(shape), size * rng.standard_normal((10, *shape))
    theirs = torch.nn.Parameter(torch.tensor(w))
    steps_with = optimiser([theirs])
    for g in gradients:
        theirs.grad = torch.tensor(g)
        steps_with.step()
    return steps(w, gradients, LR, constants, decay), theirs.detach().numpy()


@every_shape
@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("wd", [0.0, 0.1])
def test_transformers_takes_the_same_steps(shape, scaled, wd):
    def optimiser(parameters):
        return optimization.Adafactor(parameters, lr=LR, scale_parameter=scaled, relative_step=False, weight_decay=wd)

    ours, theirs = both(shape, optimiser, Adafactor(scaled=scaled, weight_decay=wd), decay=True)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)


@every_shape
def test_torch_takes_the_same_where_its_rules_do_not_matter(shape):
    """Always scaled, the rate below 1/√t, no decay, and squares far above ε₁."""
    ours, theirs = both(shape, lambda parameters: torch.optim.Adafactor(parameters, lr=LR, weight_decay=0.0), Adafactor())
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)


def test_torch_parts_from_it_by_its_decay():
    ours, theirs = both((7, 4), lambda parameters: torch.optim.Adafactor(parameters, lr=LR, weight_decay=0.1),
                        Adafactor(weight_decay=0.1), decay=True)
    assert np.abs(ours - theirs).max() > 1e-4
