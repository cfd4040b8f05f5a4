"""Data-parallel workers: one thread per core, each with a BLAS of one thread.

NumPy lets go of the interpreter lock inside every operation, so that plain Python code runs on all cores at once when each core
has micro-batches of its own. Each worker then keeps its activations in its own cache, and no operation has to be split.

Every worker needs gradients of its own, as large as the model. Where memory does not hold that many, there are fewer workers, and
the matrix products of each have several cores.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")

MOST_THREADS = 4096

_lock = threading.Lock()
_open = 0
_limiter: Any = None


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _blas() -> ThreadpoolController:
    """The BLAS of this process, found once: to look through all loaded libraries takes as long as a layer of a short text."""
    import numpy  # noqa: F401  brings the BLAS that is meant

    return ThreadpoolController().select(user_api="blas")


def describe_blas() -> str:
    """The BLAS that NumPy runs on, and the processor that its kernels are for, in a few words."""
    found = _blas().info()
    names = {f"{b['internal_api']} {b['version'] or ''}".strip() + (f" for {b['architecture']}" if b.get("architecture") else "")
             for b in found}
    return ", ".join(sorted(names)) or "no controllable BLAS"


def total_memory() -> int | None:
    """Bytes of memory that this process may use: the machine's, or its container's. None where nobody says."""
    if sys.platform == "win32":
        status = (ctypes.c_ulonglong * 8)(64)  # MEMORYSTATUSEX: its own length and a percentage, then the total
        return status[1] if ctypes.windll.kernel32.GlobalMemoryStatusEx(status) else None
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            return min(total, int(file.read()))
    except (OSError, ValueError):  # no such file, or "max"
        return total


def that_fit(threads: int, need: Callable[[int], int], memory: int | None) -> int:
    """The most workers, from ``threads`` down to one, whose ``need(workers)`` bytes fit into four fifths of ``memory``."""
    return next((n for n in range(min(threads, MOST_THREADS), 1, -1) if memory is None or need(n) <= 0.8 * memory), 1)


DEVICE_TOKENS = 8192  # of a micro-batch on a GPU, unless the settings say otherwise


def micro_batch_tokens(hidden: int, step_tokens: int, workers: int) -> int:
    """Tokens of a micro-batch on the CPU: 512, and more where the model is narrow and a step has enough for every worker; fewer,
    but not below 128, where some workers would have none.

    Between two operations a thread may have to wait for the interpreter's lock. An operation on 512 rows of a narrow model is so
    short that this shows; a quarter of a million numbers hide it (a step of tiny gains 12 %, of mini 2 to 8 %). More fall out of
    the cache. One worker takes 2 to 18 % longer by 128 or 256 tokens at a time than by 512: less than a second one saves.
    """
    return min(max(512, 2**18 // hidden), max(128, step_tokens // workers))


class Workers:
    """``with Workers(threads) as workers``: threads that share work, and a BLAS limited to its share as long as any are open.

    ``threads``: cores to use, by default all. ``count``: how many of them are workers in their own right, by default each; the
    matrix products of a worker then have ``threads // count`` threads.

    The limit belongs to the process, so it is set once, when the first ``Workers`` opens, and lifted when the last one closes:
    overlapping limits of different owners would leave a process at one thread for good. Where no BLAS can be limited, there is
    one worker, and BLAS does as it likes.
    """

    def __init__(self, threads: int | None = None, count: int | None = None) -> None:
        for name, number in (("threads", threads), ("workers", count)):
            if number is not None and not 1 <= number <= MOST_THREADS:
                bound = "at least 1" if number < 1 else f"at most {MOST_THREADS:,}"
                raise ValueError(f"{name} must be {bound}, got {number}")
        controllable = _blas().info()
        self.threads = threads or available_cores()
        self.count = min(count or self.threads, self.threads) if controllable else 1
        self.note = "" if controllable else "no controllable BLAS was found: one worker, BLAS chooses its own threads"
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Workers:
        global _open, _limiter
        with _lock:
            if _open == 0:
                _limiter = _blas().limit(limits=self.threads // self.count)
            _open += 1
        if self.threads > 1 and not self.note:
            self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="minibert")
        return self

    def __str__(self) -> str:
        cores = self.threads // self.count
        return f"{self.count} worker{'s' * (self.count > 1)}" + (f" of {cores} cores" if cores > 1 and not self.note else "")

    def __exit__(self, *_: object) -> None:
        global _open
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        with _lock:
            _open -= 1
            if _open == 0:
                _limiter.restore_original_limits()

    def map(self, function: Callable[..., Any], *arguments: Sequence[Any]) -> list[Any]:
        """``[function(*a) for a in zip(*arguments)]``, the calls spread over the workers. The first error is raised."""
        if self._pool is None or len(arguments[0]) == 1:  # one call, a device's for example, stays in its thread
            return [function(*a) for a in zip(*arguments)]
        return list(self._pool.map(function, *arguments))


def share_out(items: Sequence[Item], weights: Sequence[int], workers: int) -> list[list[Item]]:
    """Items to workers by a fixed rule: in order of weight, heaviest first, each to the worker with the least so far."""
    shares: list[list[Item]] = [[] for _ in range(workers)]
    loads = [0] * workers
    for i in sorted(range(len(items)), key=lambda i: -weights[i]):
        worker = loads.index(min(loads))
        shares[worker].append(items[i])
        loads[worker] += weights[i]
    return shares


def keep_freed_memory() -> None:
    """Ask glibc to keep the memory of freed arrays instead of handing it back to the system at once. Nothing elsewhere.

    A training step frees and allocates the same large arrays again and again. By default each comes fresh from the kernel, page
    by page. All three settings are needed: no trimming; no separate mapping of large blocks; and one arena for all threads, since
    what the arena of a worker holds is unmapped whenever it has become free (25,000 page faults a step of mini: 3 to 5 % of it).
    For commands: it holds for the whole process.
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return
    trim_threshold, mmap_max, arena_max = -1, -4, -8
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(mmap_max, 0)
    mallopt(arena_max, 1)
