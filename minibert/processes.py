"""Processes that share work; what comes of it comes in the order of what was asked.

Each is started afresh, as Windows and macOS do, so whoever starts them is a module with a main guard. It is sent the worker once.
"""

from __future__ import annotations

import atexit
import gc
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from typing import Any, TypeVar

Item, Result = TypeVar("Item"), TypeVar("Result")

AHEAD = 2  # items that wait for each process
MOST = 61  # Windows waits for no more

_worker: Callable[[Any], Any]  # of a process that was started here


@contextmanager
def mapping(worker: Callable[[Item], Result], processes: int, doing: str, advice: str, collector: bool = True
            ) -> Iterator[Callable[[Iterable[Item]], Iterator[Result]]]:
    """``map`` with this worker, by so many processes; by one: here, and then the worker need not be one that pickle takes.

    collector: False for one that leaves nothing circular; in processes of its own Python's collector then rests.
    RuntimeError where a process is ended from outside: what it was ``doing`` ("that cuts text"), and the ``advice``.
    """
    if processes == 1:
        yield partial(map, worker)
        return
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _begin, (worker, collector))
    try:
        yield partial(_mapped, pool, AHEAD * processes)
    except BrokenProcessPool:
        raise RuntimeError(f"a process {doing} was ended from outside (is there too little memory?); {advice}") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _mapped(pool: ProcessPoolExecutor, ahead: int, items: Iterable[Item]) -> Iterator[Any]:
    waiting: deque[Future] = deque()
    for item in items:
        waiting.append(pool.submit(_work, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _begin(worker: Callable[[Any], Any], collector: bool) -> None:
    global _worker
    if not collector:
        gc.disable()
        atexit.register(gc.freeze)  # nor does the end of the process look through all that it has kept
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    _worker = worker


def _work(item: Any) -> Any:
    return _worker(item)


@contextmanager
def without_collector() -> Iterator[None]:
    """Python's cyclic collector rests, where nothing is circular: it would go through all that is kept again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
