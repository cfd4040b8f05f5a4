"""Lanes: gradients that are added in an order which nobody's speed and no number of threads decides.

The sum of floating-point numbers depends on its order. So the micro-batches of a step are dealt to *lanes* by a fixed rule, each
lane has a gradient, and gradients are added in pairs, and in pairs of pairs::

    0 ┐
    1 ┴┐
    2 ┐│
    3 ┴┴ the gradient of the step

Whoever carries the lanes, one thread all of them or four threads one each, the same numbers are added in the same order: the
weights are the same to the last bit (on one kind of processor). Each carrier has a part of the tree, which it walks depth first.
So it needs a slab for each level, log2(its lanes) + 1, and not one for each lane. The parts are joined in the top of the tree.

A rank, which may be on another machine, has a part of the same tree, cut again for the carriers at home. Who owns which numbers
of a slab, so that sums of them arrive there, ``strips`` says, and nobody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from minibert.backend import Array
from minibert.parameters import Parameters

Plan = Any  # a range of lanes, carried by one, or a pair of plans


def halves(lanes: range) -> tuple[range, range]:
    """The two sides of the tree over these lanes: the left one has the largest power of two of them that leaves some."""
    left = 1 << (len(lanes) - 1).bit_length() - 1
    return lanes[:left], lanes[left:]


def deal(weights: Sequence[int], count: int) -> list[list[int]]:
    """The micro-batches of each lane: heaviest first, each goes down the tree to the side that has less for a lane so far.

    So both sides of every cut have about as much to do, also where there are fewer micro-batches than lanes. (``share_out`` looks
    at single lanes, and may leave a rank without any.)
    """
    dealt: list[list[int]] = [[] for _ in range(count)]
    loads = [0] * count
    for i in sorted(range(len(weights)), key=lambda i: -weights[i]):
        part = range(count)
        while len(part) > 1:
            part = min(halves(part), key=lambda half: sum(loads[half.start:half.stop]) / len(half))
        dealt[part[0]].append(i)
        loads[part[0]] += weights[i]
    return dealt


def plan(lanes: range, carriers: int) -> Plan:
    """The tree, cut for so many carriers at most."""
    if min(carriers, len(lanes)) == 1:
        return lanes
    left, right = halves(lanes)
    share = min(max(1, round(carriers * len(left) / len(lanes))), carriers - 1)
    return plan(left, share), plan(right, carriers - share)


def of_ranks(count: int, ranks: int) -> Plan:
    """The tree, cut for so many ranks. ValueError where they would not have as many lanes each."""
    found = plan(range(count), ranks)
    if len({len(part) for part in parts(found)} | {count // ranks}) > 1:
        raise ValueError(f"{ranks} ranks cannot share {count} lanes: there must be as many lanes as ranks, or 2, 4, 8 … times as "
                         f"many, so that each rank has a whole part of the tree in which they are added: --lanes {ranks}, say; a "
                         "run that goes on keeps its lanes, and needs as many ranks as can share them")
    return found


def strips(size: int, ranks: int, piece: int) -> list[range]:
    """The numbers of a slab of ``size`` that each rank owns: side by side, in whole pieces, as evenly as they go."""
    pieces = -(-size // piece)
    ends = [min(size, piece * (pieces * rank // ranks)) for rank in range(ranks + 1)]
    return [range(start, stop) for start, stop in pairwise(ends)]


def parts(plan: Plan) -> list[range]:
    """The lanes of each carrier."""
    return [plan] if isinstance(plan, range) else [part for side in plan for part in parts(side)]


def levels(lanes: range) -> int:
    """How many slabs it takes to carry these lanes."""
    if len(lanes) == 1:
        return 1
    left, right = halves(lanes)
    return max(levels(left), 1 + levels(right))


def carry(lanes: range, slabs: Sequence[Parameters], gradient: Callable[[int, Parameters], Any]) -> list[Any]:
    """``gradient(lane, slab)`` of each lane, which adds to the slab; the sum is in ``slabs[0]``, zeros in the others."""
    if len(lanes) == 1:
        return [gradient(lanes[0], slabs[0])]
    left, right = halves(lanes)
    results = carry(left, slabs, gradient) + carry(right, slabs[1:], gradient)
    _add(slabs[0].flat, slabs[1].flat)
    return results


def join(plan: Plan, slabs: Iterator[Array]) -> Array:
    """The sum of the carriers' slabs, or of the same piece of each: in the first one, with zeros in the others."""
    if isinstance(plan, range):
        return next(slabs)
    left, right = (join(side, slabs) for side in plan)
    return _add(left, right)


def _add(total: Array, other: Array) -> Array:
    total += other
    other.fill(0)
    return total
