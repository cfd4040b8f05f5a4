"""One process alone, and what every engine of ranks offers.

No engine adds anything up. A library's reduction promises no order, and the sum of floating-point numbers depends on it. So
numbers travel as they are, and who receives them adds them in the order of the lanes.

Only C-contiguous arrays travel: a library takes memory as it lies, and an array that lies otherwise would arrive as other numbers
without an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Array = Any


class Lost(RuntimeError):
    """Another rank has gone."""


class Ranks:
    """This rank among all: ``rank`` of ``size``, and of the ``local`` ones on this machine number ``place``. Every rank calls the
    same, in the same order.

    As a context it ends for all ranks together: see ``mpi``.
    """

    rank, size, local, place, name = 0, 1, 1, 0, ""

    def __enter__(self) -> Ranks:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def share(self, thing: Any) -> list[Any]:
        """Something small of every rank, in their order. Nobody goes on before all are there."""
        return [thing]

    def exchange(self, parts: Sequence[Array], into: Sequence[Array]) -> None:
        """``parts[r]`` ``(n_r,)`` goes to rank r; what rank r sends here comes into ``into[r]`` ``(n,)``. Nothing overlaps."""
        into[0][...] = parts[0]

    def gather(self, flat: Array, strips: Sequence[range]) -> None:
        """Everybody's ``flat`` ``(N,)`` gets the numbers ``strips[r]`` of rank r's; the strips lie side by side, from 0 to N."""

    @property
    def cores(self) -> int:
        """Cores of this machine for this rank."""
        from minibert.workers import available_cores

        return max(1, available_cores() // self.local)

    def threads(self, asked: int | None) -> int | None:
        """Cores to use: as many as were asked for, else this rank's share; None, all, for one process."""
        return self.cores if asked is None and self.size > 1 else asked

    @property
    def first(self) -> bool:
        """Is this the one that speaks and writes?"""
        return self.rank == 0

    def at_first(self, function: Callable[[], Any]) -> Any:
        """What the function returns at rank 0, where alone it is called; its error is everybody's."""
        found = error = None
        if self.first:
            try:
                found = function()
            except (ValueError, OSError, RuntimeError) as caught:
                error = caught
        found, error = self.share((found, error))[0]
        if error is not None:
            raise error
        return found

    def agree(self, facts: Mapping[str, Any]) -> None:
        """ValueError, with its name, for a fact that is another one at some rank than at rank 0."""
        told = [{name: str(fact) for name, fact in each.items()} for each in self.share(dict(facts))]
        for rank, each in enumerate(told):
            for name in dict.fromkeys([*told[0], *each]):
                here, there = (some.get(name, "not there") for some in (told[0], each))
                if here != there:
                    raise ValueError(f"the ranks must agree before the first step: {name} is {here:.200} at rank 0 and "
                                     f"{there:.200} at rank {rank}; start all of them with the same program, texts and options")


ALONE = Ranks()


def contiguous(*arrays: Array) -> None:
    """ValueError for an array that does not lie in memory as its numbers are counted."""
    for array in arrays:
        if not array.flags.c_contiguous:
            raise ValueError(f"an array of shape {array.shape} that is sent to other ranks must be C-contiguous, and this one is "
                             "not: send a copy")
