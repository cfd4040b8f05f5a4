"""AdamW over a slab: ``numerics/adam.py`` has the step, which takes any stretch of numbers.

The slab is walked by *runs*: stretches of neighbouring tensors that are treated alike. Biases and norms have no decay. Inactive
runs (frozen layers, heads that this step did not use) get no step, no decay, no moments, and no share of the gradient's norm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from minibert.backend import Array, get_xp
from minibert.kernels import twin
from minibert.numerics.adam import DEFAULT, AdamW, update
from minibert.parameters import Layout, Parameters

__all__ = ["APART", "DEFAULT", "AdamW", "Run", "apply", "learning_rate", "norm", "pieces", "runs", "slabs", "step", "update"]

APART = False


class Run(NamedTuple):
    """A stretch of the slab."""

    start: int
    stop: int
    decay: bool
    lr_scale: float = 1.0
    active: bool = True
    tensor: int = 0  # its number, where tensors are told apart


def runs(layout: Layout, active: Callable[[str], bool] = lambda name: True,
         lr_scale: Callable[[str], float] = lambda name: 1.0, apart: bool = False) -> list[Run]:
    """The slab as a short table: neighbouring tensors with the same decay, scale and activity are one run.

    ``apart``: each tensor is a run by itself, for those who treat it as a whole.
    """
    table: list[Run] = []
    for i, slot in enumerate(layout.slots.values()):
        run = Run(slot.start, slot.stop, slot.decay, lr_scale(slot.name), active(slot.name), i if apart else 0)
        if table and table[-1][2:] == run[2:]:
            run = run._replace(start=table.pop().start)
        table.append(run)
    return table


def pieces(table: Iterable[Run], size: int) -> list[Run]:
    """The active runs cut at every multiple of ``size`` in the slab: what a core's cache holds, or a worker's share."""
    return [run._replace(start=max(start, run.start), stop=min(start + size, run.stop))
            for run in table if run.active for start in range(run.start - run.start % size, run.stop, size)]


def within(table: Iterable[Run], strip: range) -> list[Run]:
    """What of the runs lies in a strip of the slab."""
    cut = (run._replace(start=max(run.start, strip.start), stop=min(run.stop, strip.stop)) for run in table)
    return [run for run in cut if run.start < run.stop]


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


def slabs(layout: Layout) -> dict[str, Layout]:
    """What AdamW keeps: two moments of every number."""
    return {"m": layout, "v": layout}


def apply(each: Callable[..., list], shares: Sequence[Sequence[Run]], p: Parameters, g: Parameters,
          kept: Mapping[str, Parameters], lr: float, number: Array | int, constants: AdamW,
          scale: Array | float | None = None, skip: Array | bool = False) -> None:
    """One step: see ``optimisers``. Every number moves by itself, so no piece waits for another."""
    m, v = kept["m"].flat, kept["v"].flat
    each(lambda table: step(p.flat, g.flat, m, v, table, lr, number, constants, scale, skip), shares, told=False)


def learning_rate(step: int, peak: float, warmup: int, total: int) -> float:
    """Linear warm-up to ``peak`` over ``warmup`` steps, then linear decay that would reach zero after step ``total``.

    ``step`` counts from 1. Source: reference ``optimization.py``, ``create_optimizer``.
    """
    if step <= warmup:
        return peak * step / warmup
    return peak * max(0.0, (total - step + 1) / (total - warmup + 1))
