"""NCCL over a stand-in: a CuPy whose GPU is this machine's memory, and a communicator that copies bytes between addresses."""

import ctypes
import itertools
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from minibert.ranks.alone import ALONE
from minibert.ranks.nccl import Nccl, between
from minibert.ranks.threads import together

UINT8 = 1


class OnDevice:
    """What is used of a CuPy array."""

    def __init__(self, host):
        self.host = host
        self.data = SimpleNamespace(ptr=host.ctypes.data)
        self.flags, self.nbytes, self.itemsize, self.shape = host.flags, host.nbytes, host.itemsize, host.shape

    def __setitem__(self, key, other):
        self.host[key] = other.host


class Library:
    """NCCL among the threads of this process: what a group holds is done when it ends."""

    NCCL_UINT8, available = UINT8, True

    def __init__(self, size):
        self.ids, self.groups = itertools.count(), [None] * size
        self.barrier, self.mine = threading.Barrier(size), threading.local()

    def get_unique_id(self):
        return next(self.ids)

    def groupStart(self):
        self.mine.calls = []

    def groupEnd(self):
        self.groups[self.mine.rank] = list(self.mine.calls)
        self.barrier.wait()
        for what, place, count, other in self.groups[self.mine.rank]:
            if what != "send":
                sent = "send" if what == "recv" else "bcast"
                peer = self.mine.rank if what == "recv" else other
                [source] = [call for call in self.groups[other] if call[0] == sent and call[3] == peer]
                assert source[2] == count, "both sides must mean as many bytes"
                ctypes.memmove(place, source[1], count)
        self.barrier.wait()

    def NcclCommunicator(self, size, unique, rank):
        assert size == len(self.groups)
        self.unique = getattr(self, "unique", unique)
        assert unique == self.unique, "all must have that of rank 0"
        self.mine.rank = rank

        def call(what):
            def note(place, count, kind, other, stream):
                assert (kind, stream) == (UINT8, 7)
                self.mine.calls.append((what, place, count, other))
            return note

        return SimpleNamespace(send=call("send"), recv=call("recv"), bcast=call("bcast"))


def cupy_of(size, gpus=8, used=None):
    return SimpleNamespace(cuda=SimpleNamespace(
        nccl=Library(size), get_current_stream=lambda: SimpleNamespace(ptr=7),
        runtime=SimpleNamespace(getDeviceCount=lambda: gpus),
        Device=lambda number: SimpleNamespace(use=lambda: used is None or used.append(number))))


@pytest.mark.parametrize("size", [2, 3])
def test_parts_and_strips_travel_as_bytes(size):
    used = []
    cupy = cupy_of(size, used=used)
    strips = [range(0, 4), range(4, 4), range(4, 9)][:size] if size == 3 else [range(4), range(4, 9)]

    def work(ranks):
        over, rank = between(ranks, cupy), ranks.rank
        assert isinstance(over, Nccl)
        parts = [OnDevice(np.full(to, 10.0 * rank + to, np.float32)) for to in range(size)]  # nothing for rank 0
        into = [OnDevice(np.zeros(rank, np.float32)) for _ in range(size)]
        over.exchange(parts, into)
        flat = np.full(9, -1.0)
        flat[strips[rank].start:strips[rank].stop] = rank
        over.gather(OnDevice(flat), strips)
        host = np.zeros(size)
        host[rank] = rank
        over.gather(host, [range(r, r + 1) for r in range(size)])  # what is on the host goes by the others
        with pytest.raises(ValueError, match="C-contiguous"):
            over.gather(OnDevice(np.zeros((2, 3)).T), strips)
        return [place.host.tolist() for place in into], flat.tolist(), host.tolist(), over.share(rank), over.name

    for rank, (into, flat, host, shared, name) in enumerate(together(size, work)):
        assert into == [[10.0 * sender + rank] * rank for sender in range(size)]
        assert flat == [r for r, strip in enumerate(strips) for _ in strip]
        assert host == shared == list(range(size))
        assert name == "threads of one process and NCCL"
    assert sorted(used) == list(range(size))


def test_one_gpu_for_each_rank_and_a_library():
    assert between(ALONE, cupy_of(1)) is ALONE

    def work(ranks, cupy, error, message):
        with pytest.raises(error, match=message):
            between(ranks, cupy)

    few, without = cupy_of(2, gpus=1), cupy_of(2)
    without.cuda.nccl.available = False
    together(2, lambda ranks: work(ranks, few, ValueError, "2 ranks are on this machine, and it has 1 GPUs"))
    together(2, lambda ranks: work(ranks, without, RuntimeError, "finds no NCCL"))
    assert together(2, lambda ranks: between(ranks, np) is ranks) == [True, True]
