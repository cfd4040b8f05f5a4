"""Data-parallel workers: one thread per core, each with a BLAS of one thread.

NumPy lets go of the interpreter lock inside every operation, so that plain Python code runs on all cores at once when each core
has micro-batches of its own. Each worker then keeps its activations in its own cache, and no operation has to be split.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")

_lock = threading.Lock()
_open = 0
_limiter: Any = None


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_blas() -> str:
    """The BLAS that NumPy runs on, in a few words."""
    found = ThreadpoolController().select(user_api="blas").info()
    return ", ".join(sorted({f"{b['internal_api']} {b['version'] or ''}".strip() for b in found})) or "no controllable BLAS"


class Workers:
    """``with Workers(threads) as workers``: threads that share work, and a BLAS limited to one thread as long as any are open.

    The limit belongs to the process, so it is set once, when the first ``Workers`` opens, and lifted when the last one closes:
    overlapping limits of different owners would leave a process at one thread for good. Where no BLAS can be limited, there is
    one worker, and BLAS does as it likes.
    """

    def __init__(self, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        controllable = ThreadpoolController().select(user_api="blas").info()
        self.count = (threads or available_cores()) if controllable else 1
        self.note = "" if controllable else "no controllable BLAS was found: one worker, BLAS chooses its own threads"
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Workers:
        global _open, _limiter
        with _lock:
            if _open == 0:
                _limiter = ThreadpoolController().limit(limits=1, user_api="blas")
            _open += 1
        if self.count > 1:
            self._pool = ThreadPoolExecutor(self.count, thread_name_prefix="minibert")
        return self

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
        if self._pool is None:
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
    by page. Both settings are needed, no trimming and no separate mapping of large blocks. For commands: it holds for the whole
    process.
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return
    trim_threshold, mmap_max = -1, -4
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(mmap_max, 0)
