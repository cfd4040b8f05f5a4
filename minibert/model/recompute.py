"""Recomputation: keep a block's inputs instead of its activations, and run forward again when backward needs them.

One more forward pass buys the memory of all that lies between. Nothing random stands in the way: the same key drops the same
numbers.

Example::

    layers = [(recompute(block), p, g) for block, p, g in encoder.stack(p["bert"]["encoder"], g["bert"]["encoder"], config)]
    output, cache = pretraining.forward(inputs, p, config, key=key, layers=layers)

Source: Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost".
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple


class Cache(NamedTuple):
    inputs: tuple  # forward's arguments
    options: dict[str, Any]


def recompute(pair: Any) -> SimpleNamespace:
    """A pair with the same contract as ``pair`` (a module with ``forward`` and ``backward``), whose cache is its inputs."""

    def forward(*inputs: Any, **options: Any) -> tuple[Any, Cache]:
        return pair.forward(*inputs, **options)[0], Cache(inputs, options)

    def backward(dy: Any, cache: Cache, *args: Any, **kwargs: Any) -> Any:
        inner = pair.forward(*cache.inputs, **cache.options)[1]
        return pair.backward(dy, inner, *args, **kwargs)

    return SimpleNamespace(forward=forward, backward=backward)
