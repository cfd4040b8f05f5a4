"""Ranks whose arrays are on GPUs: NCCL carries these, through CuPy, and the ranks' own engine all that is small or on the host.

NCCL knows no exchange of parts of different sizes, and no gathering of them. Grouped sends and receives are the one, a group of
broadcasts, one from each rank, is the other: NVIDIA's NCCL user guide, "Point-to-point communication" and "Group calls". Bytes
travel, nothing is reduced. Written against the documentation of NCCL and CuPy and tested over a stand-in: no GPU has run it yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minibert.ranks.alone import Array, Ranks, contiguous


class Nccl(Ranks):
    """``ranks``: by whom all else goes. ``cupy``: the module. ValueError where there are more ranks here than GPUs, RuntimeError
    without NCCL."""

    def __init__(self, ranks: Ranks, cupy: Any) -> None:
        self._ranks, self._cupy = ranks, cupy
        self.rank, self.size, self.local, self.place = ranks.rank, ranks.size, ranks.local, ranks.place
        self.name = f"{ranks.name} and NCCL"
        if ranks.local > (count := cupy.cuda.runtime.getDeviceCount()):
            raise ValueError(f"{ranks.local} ranks are on this machine, and it has {count} GPUs: start one rank for each GPU, or "
                             "take --device cpu")
        if not cupy.cuda.nccl.available:
            raise RuntimeError("CuPy finds no NCCL, which carries arrays between GPUs: pip install nvidia-nccl-cu12, or take "
                               "--device cpu")
        cupy.cuda.Device(ranks.place).use()
        self._nccl = cupy.cuda.nccl
        self._carrier = self._nccl.NcclCommunicator(self.size, ranks.share(self._nccl.get_unique_id())[0], self.rank)

    @property
    def cores(self) -> int:
        return self._ranks.cores

    def share(self, thing: Any) -> list[Any]:
        return self._ranks.share(thing)

    def exchange(self, parts: Sequence[Array], into: Sequence[Array]) -> None:
        if isinstance(parts[0], np.ndarray):
            self._ranks.exchange(parts, into)
            return
        contiguous(*parts, *into)
        stream = self._cupy.cuda.get_current_stream().ptr
        self._nccl.groupStart()
        for other, (part, place) in enumerate(zip(parts, into)):
            if other != self.rank and part.nbytes:
                self._carrier.send(part.data.ptr, part.nbytes, self._nccl.NCCL_UINT8, other, stream)
            if other != self.rank and place.nbytes:
                self._carrier.recv(place.data.ptr, place.nbytes, self._nccl.NCCL_UINT8, other, stream)
        self._nccl.groupEnd()
        into[self.rank][...] = parts[self.rank]

    def gather(self, flat: Array, strips: Sequence[range]) -> None:
        if isinstance(flat, np.ndarray):
            self._ranks.gather(flat, strips)
            return
        contiguous(flat)
        stream = self._cupy.cuda.get_current_stream().ptr
        self._nccl.groupStart()
        for root, strip in enumerate(strips):
            if len(strip):
                self._carrier.bcast(flat.data.ptr + strip.start * flat.itemsize, len(strip) * flat.itemsize,
                                    self._nccl.NCCL_UINT8, root, stream)
        self._nccl.groupEnd()


def between(ranks: Ranks, xp: Any) -> Ranks:
    """The ranks, with NCCL between their GPUs where ``xp`` is CuPy and there are several."""
    return ranks if ranks.size == 1 or xp is np else Nccl(ranks, xp)
