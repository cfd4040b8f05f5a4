"""Random arguments for every pair that has a twin: odd sizes, rows that begin anywhere, masks, ignored labels, repeated ids."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minibert.layers import add_norm, attention_probs, bias_gelu, cross_entropy, dropout, layernorm
from minibert.layers.dropout import Key
from minibert.layers.softmax import additive_mask

KEY = Key(seed=2018, step=7, micro_batch=3).at(1).at(4).at(2)
PADDING = {1: [1], 7: [7, 3], 33: [33, 20], 100: [100, 64], 128: [128, 128], 257: [257, 1]}


class Case(NamedTuple):
    module: ModuleType
    inputs: tuple
    p: dict | None
    options: dict[str, Any]


CASES: dict[str, Callable[[np.random.Generator], Case]] = {}


def case(name: str) -> Callable:
    def enter(make: Callable) -> Callable:
        CASES[name] = make
        return make

    return enter


def norm(rng: np.random.Generator, size: int, offset: int = 0) -> dict:
    """γ and β, ``offset`` numbers from where memory was allocated, as views into a slab are."""
    slab = np.concatenate([np.zeros(offset), 1 + 0.3 * rng.standard_normal(size), rng.standard_normal(size)]).astype(np.float32)
    return {"weight": slab[offset:offset + size], "bias": slab[offset + size:]}


for _rows, _size in ((1, 1), (5, 7), (37, 36), (70, 128), (9, 250), (6, 768), (3, 1030)):
    @case(f"add & norm {_rows}×{_size}")
    def _(rng, rows=_rows, size=_size):
        x, residual = rng.standard_normal((2, rows, size))
        return Case(add_norm, (x, 2 + 3 * residual), norm(rng, size, rows % 3), {"rate": 0.1, "key": KEY, "eps": 1e-12})

    @case(f"layer norm {_rows}×{_size}")
    def _(rng, rows=_rows, size=_size):
        return Case(layernorm, (1 + 2 * rng.standard_normal((1, rows, size)),), norm(rng, size, 1), {})

for _t in (1, 7, 33, 100, 128, 257):
    @case(f"attention probabilities T={_t}")
    def _(rng, t=_t):
        mask = np.arange(t) < np.array(PADDING[t] if len(PADDING[t]) == 2 else PADDING[t] * 2)[:, None]
        return Case(attention_probs, (3 * rng.standard_normal((2, 3 if t < 100 else 1, t, t)),), None,
                    {"mask": additive_mask(mask, np.float32), "rate": 0.1, "key": KEY})


@case("add & norm, nothing dropped")
def _(rng):
    x, residual = rng.standard_normal((2, 4, 5, 24))
    return Case(add_norm, (x, residual), norm(rng, 24), {})


@case("attention probabilities, a mask for each query, nothing dropped")
def _(rng):
    mask = np.tril(np.ones((9, 9)))[None] * (np.arange(9) < np.array([9, 4]).reshape(2, 1))[:, None]
    return Case(attention_probs, (rng.standard_normal((2, 2, 9, 9)),), None, {"mask": additive_mask(mask, np.float32)})


@case("attention probabilities, no mask")
def _(rng):
    return Case(attention_probs, (rng.standard_normal((2, 2, 5, 5)),), None, {"rate": 0.3, "key": KEY})


for _form in ("gelu", "gelu_new"):
    for _rows, _size in ((1, 1), (19, 37), (70, 512), (3, 3072)):
        @case(f"bias & {_form} {_rows}×{_size}")
        def _(rng, rows=_rows, size=_size, form=_form):
            return Case(bias_gelu, (3 * rng.standard_normal((rows, size)),), {"bias": rng.standard_normal(size)}, {"form": form})

for _size in (1, 31, 1000, 5000):
    @case(f"dropout of {_size}")
    def _(rng, size=_size):
        return Case(dropout, (rng.standard_normal((1, size)),), None, {"rate": 0.25, "key": KEY})

for _rows, _size in ((3, 2), (5, 37), (4, 1001), (2, 30522)):
    @case(f"cross-entropy {_rows}×{_size}")
    def _(rng, rows=_rows, size=_size):
        labels = rng.integers(0, size, rows)
        labels[1] = cross_entropy.IGNORE
        return Case(cross_entropy, (4 * rng.standard_normal((rows, size)), labels), None, {"count": 7})


@case("cross-entropy, count not given")
def _(rng):
    return Case(cross_entropy, (rng.standard_normal((4, 9)), np.array([8, cross_entropy.IGNORE, 0, 3])), None, {})
