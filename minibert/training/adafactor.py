"""Adafactor over a slab: ``numerics/adafactor.py`` has the step of a tensor.

Workers and ranks share the pieces of a tensor. So the slab is walked three times: for the sums of squares of every piece, which
are added up in the order of the pieces; from g to u, with its length; and from u to the new weights. The means of rows and
columns are few numbers: every rank keeps all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from minibert.backend import Array, get_xp
from minibert.numerics import adafactor
from minibert.parameters import STATISTICS, Layout, Parameters
from minibert.training.adamw import Run
from minibert.training.lamb import unless

__all__ = ["APART", "apply", "slabs"]

APART = True
PARTS = tuple(adafactor.kept({}))


def slabs(layout: Layout) -> dict[str, Layout]:
    """Means of rows and of columns, and the squares of vectors: see ``numerics.adafactor.kept``."""
    shapes = {slot.name: slot.shape for slot in layout.slots.values() if not slot.name.endswith(STATISTICS)}
    return {part: Layout(its) for part, its in adafactor.kept(shapes).items()}


def apply(each: Callable[..., list], shares: Sequence[Sequence[Run]], p: Any, g: Any, kept: Mapping[str, Parameters], lr: float,
          number: Array | int, constants: adafactor.Adafactor, scale: Array | float | None = None,
          skip: Array | bool = False) -> None:
    """One step: see ``optimisers``. Parts of a tensor are known by its number, and by where they begin in it."""
    xp, slots = get_xp(p.flat), [*p.layout.slots.values()]
    views = [dict(kept[part].items()) for part in PARTS]
    means = {run.tensor: [its[name] for its in views if (name := slots[run.tensor].name) in its]
             for run in _active(shares)}

    def parts(table: Sequence[Run]) -> list[tuple[int, int, Array, Array]]:
        """Of every active run: the number of its tensor, where it begins in it, and its weights and gradient."""
        return [(run.tensor, run.start + p.start - slots[run.tensor].start, p.flat[run.start:run.stop],
                 g.flat[run.start:run.stop]) for run in table if run.active]

    def summed(table: Sequence[Run]) -> list[list[Array]]:
        found = []
        for tensor, start, w, dw in parts(table):
            if scale is not None:
                dw *= scale
            found.append([*adafactor.sums(dw, start, [len(mean) for mean in means[tensor]]), xp.dot(w, w)])
        return found

    def directed(table: Sequence[Run], factors: Mapping[int, Sequence[Array]]) -> list[list[Array]]:
        return [[adafactor.direct(dw, start, factors[tensor])] for tensor, start, _, dw in parts(table)]

    def moved(table: Sequence[Run], rates: Mapping[int, tuple[Array, Array]]) -> None:
        for tensor, _, w, u in parts(table):
            alpha, factor = (rate if isinstance(rate, float) else rate.astype(w.dtype) for rate in rates[tensor])
            if slots[tensor].decay:
                w *= 1 - alpha * constants.weight_decay
            u *= factor
            w -= u
            u.fill(0)

    def step() -> None:
        totals = _totals(shares, each(summed, shares))
        factors = {tensor: adafactor.follow(means[tensor], added[:-1], number, constants) for tensor, added in totals.items()}
        lengths = _totals(shares, each(directed, shares, [factors] * len(shares)))
        scales = {run.tensor: run.lr_scale for run in _active(shares)}
        rates = {tensor: adafactor.rates(totals[tensor][-1], u2, slots[tensor].stop - slots[tensor].start, lr * scales[tensor],
                                         constants, xp) for tensor, [u2] in lengths.items()}
        each(moved, shares, [rates] * len(shares), told=False)

    unless(skip, [p.flat, *(kept[part].flat for part in PARTS)], step)


def _active(shares: Sequence[Sequence[Run]]) -> list[Run]:
    return [run for table in shares for run in table if run.active]


def _totals(shares: Sequence[Sequence[Run]], found: Sequence[Sequence[list[Array]]]) -> dict[int, list[Array]]:
    """By tensor, what its pieces have found, added up in their order."""
    totals: dict[int, list[Array]] = {}
    for run, one in zip(_active(shares), (some for share in found for some in share)):
        before = totals.get(run.tensor)
        totals[run.tensor] = one if before is None else [a + b for a, b in zip(before, one)]
    return totals
