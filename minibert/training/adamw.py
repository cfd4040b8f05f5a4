"""AdamW over a slab: Adam's step, with weight decay beside it instead of inside it.

::

    m ← β₁·m + (1-β₁)·g             running mean of the gradient
    v ← β₂·v + (1-β₂)·g²            running mean of its square
    m̂ = m/(1-β₁ᵗ)   v̂ = v/(1-β₂ᵗ)   both started at zero: early means are too small by these factors
    p ← p - lr·(m̂/(√v̂ + ε) + λ·p)

Dividing by √v̂ gives every number a step of about lr, however large its gradient. The decay λ·p does not pass through that
division; biases and norms have none. The reference leaves the correction of m and v out (``optimization.py``); so does
``bias_correction=False``. Its β₂ = 0.999 then makes the first steps larger: (1-β₁)/√(1-β₂) is 3.2.

The slab is walked by *runs*: stretches of neighbouring tensors that are treated alike. Inactive runs (frozen layers, heads that
this step did not use) get no step, no decay, no moments, and no share of the gradient's norm.

Source: Kingma and Ba 2014, "Adam", algorithm 1; Loshchilov and Hutter 2017, "Decoupled Weight Decay Regularization", algorithm 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from minibert.backend import Array, get_xp
from minibert.kernels import twin
from minibert.parameters import Layout


class AdamW(NamedTuple):
    """The constants. The learning rate comes with every step."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-6
    weight_decay: float = 0.01
    bias_correction: bool = True


DEFAULT = AdamW()


class Run(NamedTuple):
    """A stretch of the slab."""

    start: int
    stop: int
    decay: bool
    lr_scale: float = 1.0
    active: bool = True


def runs(layout: Layout, active: Callable[[str], bool] = lambda name: True,
         lr_scale: Callable[[str], float] = lambda name: 1.0) -> list[Run]:
    """The slab as a short table: neighbouring tensors with the same decay, scale and activity are one run."""
    table: list[Run] = []
    for slot in layout.slots.values():
        run = Run(slot.start, slot.stop, slot.decay, lr_scale(slot.name), active(slot.name))
        if table and table[-1][2:] == run[2:]:
            run = run._replace(start=table.pop().start)
        table.append(run)
    return table


def pieces(table: Iterable[Run], size: int) -> list[Run]:
    """The active runs cut into pieces of at most ``size`` numbers: what a core's cache holds, or a worker's share."""
    return [run._replace(start=start, stop=min(start + size, run.stop))
            for run in table if run.active for start in range(run.start, run.stop, size)]


def update(p: Array, g: Array, m: Array, v: Array, lr: Array | float, step: int, decay: bool, constants: AdamW) -> None:
    """One step of the numbers in ``p``, ``(n,)`` like the gradient ``g`` and the moments ``m`` and ``v``; ``step`` counts from 1.

    p, m and v change in place; g is used as scratch space and holds nothing afterwards.
    """
    xp = get_xp(p)
    beta1, beta2, epsilon, weight_decay, bias_correction = constants
    correction1 = 1 - beta1**step if bias_correction else 1.0
    correction2 = 1 - beta2**step if bias_correction else 1.0
    m += (1 - beta1) * (g - m)
    g *= g
    g -= v
    g *= 1 - beta2
    v += g
    if decay:
        p *= 1 - lr * weight_decay
    xp.sqrt(v, out=g)
    g *= correction2**-0.5
    g += epsilon
    xp.divide(m, g, out=g)
    g *= lr / correction1
    p -= g


@twin
def norm(g: Array, table: Sequence[Run]) -> Array:
    """‖g‖ over the active runs of a gradient slab ``(N,)``, as a number () where the slab is."""
    return sum(get_xp(g).dot(part, part) for part in (g[run.start:run.stop] for run in table if run.active)) ** 0.5


@twin
def step(p: Array, g: Array, m: Array, v: Array, table: Sequence[Run], lr: float, number: Array | int, constants: AdamW,
         scale: Array | float | None = None, skip: Array | bool = False) -> None:
    """``update`` of all active runs of whole slabs ``(N,)``; their g is zero afterwards.

    ``scale``: what the gradient is multiplied by first. ``skip``: let p, m and v be as they are, because g is of no use.
    """
    for run in table:
        if run.active:
            parts = [slab[run.start:run.stop] for slab in (p, g, m, v)]
            if not skip:
                if scale is not None:
                    parts[1] *= scale
                update(*parts, lr * run.lr_scale, number, run.decay, constants)
            parts[1].fill(0)


def learning_rate(step: int, peak: float, warmup: int, total: int) -> float:
    """Linear warm-up to ``peak`` over ``warmup`` steps, then linear decay that would reach zero after step ``total``.

    ``step`` counts from 1. Source: reference ``optimization.py``, ``create_optimizer``.
    """
    if step <= warmup:
        return peak * step / warmup
    return peak * max(0.0, (total - step + 1) / (total - warmup + 1))
