"""Ranks that are threads of one process: what is said of ranks can be tried and tested without MPI.

Everybody lays down what the others need, waits until all have done so, takes its own, and waits until all have taken theirs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from minibert.ranks.alone import Array, Lost, Ranks, contiguous


class _Table:
    """Where ranks lay things down."""

    def __init__(self, size: int) -> None:
        self.things: list[Any] = [None] * size
        self.barrier = threading.Barrier(size)


class Threads(Ranks):
    """One of them. ``moved``: bytes of arrays that came here from others."""

    name = "threads of one process"

    def __init__(self, rank: int, table: _Table) -> None:
        self.rank, self.size, self.local, self._table = rank, len(table.things), len(table.things), table
        self.place, self.moved = rank, 0

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is not None:
            self._table.barrier.abort()

    def share(self, thing: Any) -> list[Any]:
        self._table.things[self.rank] = thing
        self._wait()
        found = list(self._table.things)
        self._wait()
        return found

    def exchange(self, parts: Sequence[Array], into: Sequence[Array]) -> None:
        contiguous(*parts, *into)
        self._table.things[self.rank] = parts
        self._wait()
        for rank, others in enumerate(self._table.things):
            self._copy(into[rank], others[self.rank], rank)
        self._wait()

    def gather(self, flat: Array, strips: Sequence[range]) -> None:
        contiguous(flat)
        self._table.things[self.rank] = flat
        self._wait()
        for rank, strip in enumerate(strips):
            if rank != self.rank:
                self._copy(flat[strip.start:strip.stop], self._table.things[rank][strip.start:strip.stop], rank)
        self._wait()

    def _copy(self, to: Array, part: Array, rank: int) -> None:
        if to.shape != part.shape:
            raise ValueError(f"rank {rank} sends {part.shape} to rank {self.rank}, which expects {to.shape}")
        to[...] = part
        if rank != self.rank:
            self.moved += part.nbytes

    def _wait(self) -> None:
        try:
            self._table.barrier.wait()
        except threading.BrokenBarrierError:
            raise Lost("another rank has ended, and the run with it") from None


def together(size: int, work: Callable[[Threads], Any]) -> list[Any]:
    """``work(rank)`` of so many ranks side by side; what each returns. The first error that is not of a lost rank is raised."""
    table = _Table(size)

    def one(rank: int) -> Any:
        with Threads(rank, table) as ranks:
            return work(ranks)

    with ThreadPoolExecutor(size) as pool:
        ended = [pool.submit(one, rank) for rank in range(size)]
        errors = [error for error in (each.exception() for each in ended) if error]
        for error in sorted(errors, key=lambda error: isinstance(error, Lost)):
            raise error
        return [each.result() for each in ended]
