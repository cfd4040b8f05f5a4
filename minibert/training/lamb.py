"""LAMB over a slab: ``numerics/lamb.py`` has the step of a tensor.

Workers share the pieces of a tensor, and its lengths are known when all of them are done. So the slab is walked twice: from g to
u, with the squared lengths of every piece, and, when these are added up in the order of the pieces, from u to the new weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from minibert.backend import Array, get_xp
from minibert.numerics.lamb import LAMB, direction, ratio
from minibert.parameters import Parameters
from minibert.training.adamw import Run, slabs

__all__ = ["APART", "apply", "slabs", "unless"]  # it keeps what AdamW keeps

APART = True


def apply(each: Callable[..., list], shares: Sequence[Sequence[Run]], p: Parameters, g: Parameters,
          kept: Mapping[str, Parameters], lr: float, number: Array | int, constants: LAMB,
          scale: Array | float | None = None, skip: Array | bool = False) -> None:
    """One step: see ``optimisers``."""
    flats = [slab.flat for slab in (p, g, kept["m"], kept["v"])]
    xp = get_xp(p.flat)

    def directed(table: Sequence[Run]) -> list[tuple[Array, Array]]:
        return [_directed([flat[run.start:run.stop] for flat in flats], number, run.decay, constants, scale)
                for run in table if run.active]

    def move() -> None:
        lengths = (found for share in each(directed, shares) for found in share)
        totals: dict[int, tuple[Array, Array]] = {}
        for run in (run for table in shares for run in table if run.active):
            p2, u2 = next(lengths)
            total = totals.get(run.tensor, (0.0, 0.0))
            totals[run.tensor] = total[0] + p2, total[1] + u2
        each(moved, shares, [totals] * len(shares), told=False)

    def moved(table: Sequence[Run], totals: Mapping[int, tuple[Array, Array]]) -> None:
        for run in table:
            u = g.flat[run.start:run.stop]
            if run.active:
                rate = lr * run.lr_scale
                if constants.adapts(run.decay):
                    rate = rate * ratio(*totals[run.tensor], xp).astype(u.dtype)
                u *= rate
                p.flat[run.start:run.stop] -= u
                u.fill(0)

    unless(skip, (p.flat, *flats[2:]), move)


def _directed(parts: Sequence[Array], number: Array | int, decay: bool, constants: LAMB,
              scale: Array | float | None) -> tuple[Array, Array]:
    if scale is not None:
        parts[1][...] *= scale
    return direction(*parts, number, decay, constants)


def unless(skip: Array | bool, slabs: Sequence[Array], move: Callable[[], None]) -> None:
    """``move()``, which changes the slabs; where ``skip`` () on their device is true, they are as they were. Nobody waits."""
    before = [] if skip is False else [slab.copy() for slab in slabs]
    move()
    for slab, old in zip(slabs, before):
        slab[...] = get_xp(slab).where(skip, old, slab)
