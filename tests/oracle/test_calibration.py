"""Label smoothing against PyTorch's loss, the temperature against SciPy's minimiser."""

import numpy as np
import pytest

from minibert.analysis.calibration import nll, smoothed, temperature

RNG = np.random.default_rng(0)
LOGITS, LABELS = RNG.normal(size=(60, 7)) * 2, RNG.integers(0, 7, 60)
LABELS[:40] = LOGITS[:40].argmax(1)


@pytest.mark.parametrize("s", [0.0, 0.1, 0.5])
def test_smoothing(s):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.functional.cross_entropy(torch.tensor(LOGITS), torch.tensor(LABELS), label_smoothing=s).item()
    assert nll(LOGITS, smoothed(LABELS, 7, s, over="all")) == pytest.approx(theirs, rel=1e-12)


def test_temperature():
    optimize = pytest.importorskip("scipy.optimize")
    theirs = optimize.minimize_scalar(lambda T: nll(LOGITS, LABELS, T), bounds=(0.1, 10), method="bounded",
                                      options={"xatol": 1e-9})
    assert temperature(LOGITS, LABELS) == pytest.approx(theirs.x, abs=1e-6)  # a minimum is flat: its place is known to √ε
