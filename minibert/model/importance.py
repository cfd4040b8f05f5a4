"""How much the loss would change if a part of the model were closed: a head, or a row of a feed-forward part.

Both stand before an output matrix that reads x ``(B, T, n)``: of a head D numbers, of a row one. With a gate of 1 before each::

    ∂loss/∂gate = Σ_t Σ_d x[t, d]·∂loss/∂x[t, d]        d: the numbers of the head, or the one of the row

Three ways to add it up over N texts and their tokens t, each at most as large as the next::

    "batch"      Σ_batches | Σ_x ∂loss(x)/∂gate | / N             texts of a batch cancel
    "example"    Σ_x | ∂loss(x)/∂gate | / N                       equation 2 of the paper
    "token"      Σ_x Σ_t | Σ_d x[t, d]·∂loss/∂x[t, d] | / N       the paper's code: tokens do not cancel either

The loss of a text is the sum over its targets, and nothing is dropped.

Source: Michel et al. 2019, "Are Sixteen Heads Really Better than One?", arXiv:1905.10650, section 4; of rows, Molchanov et al.
2017, "Pruning Convolutional Neural Networks for Resource Efficient Inference", arXiv:1611.06440, equation 8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from minibert.backend import to_numpy, widen
from minibert.model.encoder import Layer

FORMS = ("batch", "example", "token")


class Importance(NamedTuple):
    """Of each of L layers, which may differ in size."""

    heads: list[np.ndarray]  # L of (A,)
    rows: list[np.ndarray]  # L of (I,), of the last feed-forward layer of a block

    def __add__(self, other: Importance) -> Importance:  # type: ignore[override]
        return Importance(*([a + b for a, b in zip(mine, theirs)] for mine, theirs in zip(self, other)))

    def over(self, texts: int) -> Importance:
        """The mean of so many."""
        return Importance(*([x / texts for x in part] for part in self))


def check(form: str) -> None:
    """ValueError for a form that there is not."""
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}")


def of_batch(run: Callable[[Callable[[Sequence[Layer]], list[Layer]]], Any], size: int, form: str) -> Importance:
    """Σ over the texts of one batch. ``run(wrap)``: forward and backward of it, with its layers wrapped; ``size``: D."""
    heard: dict[int, tuple] = {}

    def wrap(layers: Sequence[Layer]) -> list[Layer]:
        return [(listening(i, module), p, g) for i, (module, p, g) in enumerate(layers)]

    def listening(i: int, module: ModuleType | SimpleNamespace) -> SimpleNamespace:
        def heard_backward(*inputs: Any) -> Any:
            d = module.backward(*inputs)
            (context, dcontext), *_, (inner, dinner) = d.read
            heard[i] = _summed(context * dcontext, size, form), _summed(inner * dinner, 1, form)
            return d

        return SimpleNamespace(forward=module.forward, backward=heard_backward)

    run(wrap)
    return Importance(*map(list, zip(*(heard[i] for i in sorted(heard)))))


def _summed(x: Any, size: int, form: str) -> np.ndarray:
    """x ``(B, T, K·size)``, products of numbers and gradients -> ``(K,)``."""
    x = to_numpy(widen(x)).astype(np.float64)
    x = x.reshape(*x.shape[:2], -1, size).sum(-1)  # (B, T, K)
    if form == "token":
        return np.abs(x).sum((0, 1))
    return np.abs(x.sum(1)).sum(0) if form == "example" else np.abs(x.sum((0, 1)))
