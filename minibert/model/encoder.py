"""The encoder: a list of blocks, each fed what the one before it gave.

::

    x₀ -> block₀ -> x₁ -> … -> block_{L-1} -> x_L            L blocks, L+1 hidden states

The list is the caller's: ``stack`` makes the usual one, in which layers may share their tensors, and any other list of
``(block, p, g)`` runs as well. Leave some out (early exit), repeat one, give ``NOTHING`` for g (frozen), wrap one in
``recompute``, put in a block of your own. The list travels in the cache, so that backward walks the same blocks in reverse.

Everything floating can be put in from outside and asked for its gradient: the first hidden state, the state entering any layer
(``hidden``), the attention of any layer (``attentions``), the gates of the heads (``head_mask``). Everything that comes out
takes an upstream gradient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

from minibert.backend import Array, get_xp
from minibert.config import BertConfig
from minibert.layers.attention_in_blocks import rows_of
from minibert.layers.dropout import Key
from minibert.model import blocks
from minibert.model.recompute import recompute
from minibert.parameters import Shapes, Tree, named

Layer = tuple[ModuleType, Tree, Tree]  # (a module with a block's forward and backward, its p, its g)


class Cache(NamedTuple):
    layers: Sequence[Layer]
    blocks: list  # of each block's cache
    states: list[Array]  # the L+1 hidden states
    hidden: Mapping[int, Array]
    attentions: Mapping[int, Array]
    head_mask: Array | None


class Gradients(NamedTuple):
    dx: Array  # (B, T, H) of the first hidden state
    hidden: dict[int, Array]  # of each hidden state that came from outside
    attentions: dict[int, Array]  # of each attention that came from outside
    head_mask: Array | None  # (L, A) or (L, B, A), as it was given


def shapes(config: BertConfig) -> Shapes:
    """Every tensor of the usual list, in layer order."""
    return named({f"layer.{i}": blocks.of(config).shapes(config, i) for i in sorted(set(config.uses))})


def stack(p: Tree, g: Tree, config: BertConfig) -> list[Layer]:
    """The blocks of a BERT in order. ``p`` and ``g``: the subtree ``bert.encoder``."""
    return [(blocks.of_layer(config, i), p["layer"][str(i)], g["layer"][str(i)]) for i in config.uses]


def forgetful(layers: Sequence[Layer], attentions: bool = False) -> list[Layer]:
    """The same layers, but each keeps what went in and nothing else: memory for one layer instead of L. A backward pass computes
    the rest again, see ``recompute``.

    ``attentions``: the weights are kept all the same.
    """
    def without_weights(module: Any) -> Any:
        def forward(*inputs: Any) -> tuple:
            (y, weights), cache = module.forward(*inputs)
            return (y, weights if attentions else None), cache

        return SimpleNamespace(forward=forward, backward=module.backward)

    return [(recompute(without_weights(module)), p, g) for module, p, g in layers]


def forward(x: Array, layers: Sequence[Layer], config: BertConfig, mask: Array | None = None, key: Key | None = None,
            head_mask: Array | None = None, hidden: Mapping[int, Array] | None = None,
            attentions: Mapping[int, Array] | None = None, maps: bool = False) -> tuple[tuple[list[Array], list[Array]], Cache]:
    """x ``(B, T, H)`` -> L+1 hidden states ``(B, T, H)`` and L attention weights ``(B, A, T, T)``; those of long texts are None
    but with ``maps`` or a head mask (see ``attention``).

    ``mask``: additive, ``(B, 1, 1 or T, T)``. ``head_mask``: ``(L, A)`` or ``(L, B, A)``. ``hidden[i]`` replaces the state
    entering layer i, ``attentions[i]`` the probabilities of layer i.
    """
    hidden, attentions = hidden or {}, attentions or {}
    _check(x, len(layers), config.num_attention_heads, head_mask, hidden, attentions)
    states, weights, caches = [hidden.get(0, x)], [], []
    tokens = x.shape[1]
    all_heads = get_xp(x).ones(config.num_attention_heads, x.dtype) if maps and rows_of(tokens) < tokens else None
    for i, (module, p, _) in enumerate(layers):
        gate = all_heads if head_mask is None else head_mask[i]
        (y, w), cache = module.forward(states[i], p, config, mask, key and key.at(i), gate, attentions.get(i))
        states.append(hidden.get(i + 1, y))
        weights.append(w)
        caches.append(cache)
    return (states, weights), Cache(layers, caches, states, hidden, attentions, head_mask)


def backward(dhidden: Sequence[Array | None], cache: Cache, dattentions: Sequence[Array | None] | None = None) -> Gradients:
    """Upstream gradients of the L+1 hidden states and the L attentions, None where there is none -> Gradients.

    Layers that no upstream gradient reaches cost nothing.
    """
    layers, blocks, states, hidden, attentions, head_mask = cache
    xp = get_xp(states[0])
    dattentions = dattentions or [None] * len(layers)
    given = {i: xp.zeros_like(h) for i, h in hidden.items()}
    overrides = {i: xp.zeros_like(a) for i, a in attentions.items()}
    dmask = None if head_mask is None else xp.zeros_like(head_mask)
    dx = None
    for i in reversed(range(len(states))):
        dx = add(dx, dhidden[i])  # the gradient of the state between block i-1 and block i
        if i in given and dx is not None:
            given[i], dx = dx, None
        if i == 0 or (dx is None and dattentions[i - 1] is None):
            continue
        module, p, g = layers[i - 1]
        upstream = xp.zeros_like(states[i]) if dx is None else dx
        d = module.backward(upstream, blocks[i - 1], p, g, dattentions[i - 1])
        dx = d.dx
        if head_mask is not None:
            dmask[i - 1] = d.head_mask
        if i - 1 in overrides:
            overrides[i - 1] = d.override
        del d  # and with it the gradients inside the block, before the next one makes its own
    return Gradients(xp.zeros_like(states[0]) if dx is None else dx, given, overrides, dmask)


def add(a: Array | None, b: Array | None) -> Array | None:
    """The sum of two gradients, of which either may be absent."""
    return b if a is None else a if b is None else a + b


def _check(x: Array, count: int, heads: int, head_mask: Array | None, hidden: Mapping[int, Array],
           attentions: Mapping[int, Array]) -> None:
    batch, tokens, _ = x.shape
    if head_mask is not None and head_mask.shape not in ((count, heads), (count, batch, heads)):
        raise ValueError(f"head_mask: expected shape (L, A) = ({count}, {heads}) or (L, B, A) = ({count}, {batch}, {heads}), "
                         f"got {head_mask.shape}")
    for i, h in hidden.items():
        if not 0 <= i <= count or h.shape != x.shape:
            raise ValueError(f"hidden[{i}]: expected a layer from 0 to {count} and shape (B, T, H) = {x.shape}, got {h.shape}")
    for i, a in attentions.items():
        if not 0 <= i < count or a.shape != (batch, heads, tokens, tokens):
            raise ValueError(f"attentions[{i}]: expected a layer from 0 to {count - 1} and shape (B, A, T, T) = "
                             f"({batch}, {heads}, {tokens}, {tokens}), got {a.shape}")
