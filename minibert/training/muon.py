"""Muon over a slab: ``numerics/muon.py`` has the step of a matrix.

The matrices of the layers move by Muon, all else by AdamW: embeddings, heads, biases and norms. Workers and ranks share the
pieces of a matrix, and its direction is known when all of them are done. So the slab is walked three times: from g to u; from u
to X, a whole matrix by whoever has its first piece; and from X to the new weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from minibert.backend import Array, get_xp
from minibert.numerics import adam, muon
from minibert.parameters import Parameters, Slot
from minibert.training.adamw import Run, slabs
from minibert.training.lamb import unless

__all__ = ["APART", "apply", "of_a_layer", "slabs"]  # it keeps what AdamW keeps; a matrix's v stays zero

APART = True


def of_a_layer(slot: Slot) -> bool:
    """Is it one of the matrices that Muon moves?"""
    return "encoder.layer." in slot.name and len(slot.shape) == 2


def apply(each: Callable[..., list], shares: Sequence[Sequence[Run]], p: Any, g: Any, kept: Mapping[str, Parameters], lr: float,
          number: Array | int, constants: muon.Muon, scale: Array | float | None = None, skip: Array | bool = False) -> None:
    """One step: see ``optimisers``."""
    flats = [slab.flat for slab in (p, g, kept["m"], kept["v"])]
    slots = [*p.layout.slots.values()]

    def directed(table: Sequence[Run]) -> list[tuple[int, Array]]:
        """Of every piece of a matrix: its tensor's number, and u. What is no matrix takes its step."""
        found = []
        for run, (w, dw, m, v) in parts(table):
            if scale is not None:
                dw *= scale
            if of_a_layer(slots[run.tensor]):
                muon.direction(dw, m, constants)
                found.append((run.tensor, dw))
            else:
                adam.update(w, dw, m, v, lr * run.lr_scale * constants.rest, number, run.decay, constants)
                dw.fill(0)
        return found

    def turned(table: Sequence[Run], pieces: Mapping[int, Sequence[Array]]) -> list[tuple[int, Array]]:
        """Of every matrix that begins here: its tensor's number, and X."""
        return [(run.tensor, muon.orthogonal(get_xp(p.flat).concatenate(pieces[run.tensor]).reshape(slots[run.tensor].shape)))
                for run, _ in parts(table) if run.tensor in pieces and begins(run) == 0]

    def moved(table: Sequence[Run], whole: Mapping[int, Array]) -> None:
        for run, (w, dw, *_) in parts(table):
            if run.tensor in whole:
                rate, slot = lr * run.lr_scale, slots[run.tensor]
                if run.decay:
                    w *= 1 - rate * constants.weight_decay
                w -= rate * muon.scale(slot.shape, constants) * whole[run.tensor].reshape(-1)[begins(run):][:len(w)]
                dw.fill(0)

    def parts(table: Sequence[Run]) -> list[tuple[Run, list[Array]]]:
        return [(run, [flat[run.start:run.stop] for flat in flats]) for run in table if run.active]

    def begins(run: Run) -> int:
        """Where in its tensor."""
        return run.start + p.start - slots[run.tensor].start

    def step() -> None:
        pieces: dict[int, list[Array]] = {}
        for tensor, u in (one for share in each(directed, shares) for one in share):
            pieces.setdefault(tensor, []).append(u)
        whole = dict(one for share in each(turned, shares, [pieces] * len(shares)) for one in share)
        each(moved, shares, [whole] * len(shares), told=False)

    unless(skip, (flats[0], *flats[2:]), step)
