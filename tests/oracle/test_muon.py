"""Muon beside PyTorch's, which computes in bfloat16: as it comes, and in float64 once it is kept from rounding."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from minibert.numerics.muon import Muon  # noqa: E402
from tests.numerics.test_muon import every_shape, steps  # noqa: E402

if not hasattr(torch.optim, "Muon"):
    pytest.skip("this PyTorch has no Muon", allow_module_level=True)
LR = 0.02
SCALES = {"adam": "match_rms_adamw", "original": "original"}


def both(shape, scale, wd=0.1):
    """The matrix after twenty steps: ours, and theirs."""
    rng = np.random.default_rng(1)
    w, gradients = rng.standard_normal(shape), rng.standard_normal((20, *shape))
    theirs = torch.nn.Parameter(torch.tensor(w))
    optimiser = torch.optim.Muon([theirs], lr=LR, weight_decay=wd, adjust_lr_fn=SCALES[scale])
    for g in gradients:
        theirs.grad = torch.tensor(g)
        optimiser.step()
    return w, steps(w, gradients, LR, Muon(scale=scale, weight_decay=wd)), theirs.detach().numpy()


@every_shape
@pytest.mark.parametrize("scale", SCALES)
def test_torch_takes_the_same_steps(shape, scale, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda x: x.clone())
    _, ours, theirs = both(shape, scale)
    np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-13)


@every_shape
def test_in_bfloat16_it_goes_the_same_way(shape):
    w, ours, theirs = both(shape, "adam")
    assert np.linalg.norm(ours - theirs) < 0.03 * np.linalg.norm(ours - w)
