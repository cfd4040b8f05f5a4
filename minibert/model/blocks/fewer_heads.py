"""A block that has lost some of its heads. Seen from outside it has them all: those that are gone look nowhere, and give nothing.

::

    head_mask, override, dweights      (…, A, …) -> (…, K, …)      those of the K heads that are left
    weights, and the gradients         (…, K, …) -> (…, A, …)      0 where a head is gone

So a head keeps its number, and whoever reads attention, closes heads or asks for the gradient of their gates need not know. What
is computed is as large as what is left: the matrices of queries, keys and values have K·D rows, that of the output K·D columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

from minibert.backend import Array, get_xp


def of(block: ModuleType, kept: Sequence[int], heads: int) -> SimpleNamespace:
    """A pair with the contract of ``block``, with the ``kept`` of so many ``heads``; its cache is that of the block."""

    def own(x: Array | None, axis: int) -> Array | None:
        return x if x is None else get_xp(x).take(x, get_xp(x).asarray(kept), axis)

    def all_of(x: Array | None, axis: int) -> Array | None:
        if x is None:
            return None
        whole = get_xp(x).zeros((*x.shape[:axis], heads, *x.shape[axis:][1:]), x.dtype)
        whole[(..., list(kept), *[slice(None)] * (-axis - 1))] = x
        return whole

    def forward(x: Array, p: Any, config: Any, mask: Array | None = None, key: Any = None, head_mask: Array | None = None,
                override: Array | None = None) -> tuple[tuple[Array, Array], Any]:
        (y, weights), cache = block.forward(x, p, config, mask, key, own(head_mask, -1), own(override, -3))
        return (y, all_of(weights, -3)), cache

    def backward(dy: Array, cache: Any, p: Any, g: Any, dweights: Array | None = None) -> Any:
        d = block.backward(dy, cache, p, g, own(dweights, -3))
        return d._replace(head_mask=all_of(d.head_mask, -1), override=all_of(d.override, -3))

    return SimpleNamespace(forward=forward, backward=backward)
