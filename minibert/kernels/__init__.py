"""CUDA twins of readable pairs: the same names, the same signatures, one pass over memory.

A pair is written readably first, in ``layers`` or ``training``, and marked with ``twin``. Where its array lives on a device
that compiles CUDA, and holds float32, float16 or bfloat16, the function of the same name in the module of the same name in this
package runs in its place. ``forward`` chooses; the choice travels in the cache, whose type says who made it;
``backward`` obeys it.

No twin is ever required. Without one, with ``without(…)``, in float64 or on a CPU, the readable function runs. It is always there
as ``forward.__wrapped__``.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from minibert.backend import get_xp

Function = TypeVar("Function", bound=Callable)

TWINS: list[Callable] = []  # every function that has one
DTYPES = ("float32", "float16", "bfloat16")

_without: set[str] = set()


def twin(readable: Function) -> Function:
    """Marks a function of ``minibert.….NAME`` that has a twin in ``minibert.kernels.NAME``."""
    module, name = readable.__module__.rpartition(".")[2], readable.__name__
    home = f"{__name__}.{module}"

    def kernel() -> Callable:
        return getattr(importlib.import_module(home), name)

    if name == "backward":
        @functools.wraps(readable)
        def choose(*args: Any, **options: Any) -> Any:
            cache = args[1] if len(args) > 1 else options["cache"]
            return (kernel() if type(cache).__module__ == home else readable)(*args, **options)
    else:
        @functools.wraps(readable)
        def choose(*args: Any, **options: Any) -> Any:
            x = args[0] if args else next(iter(options.values()))
            if type(x) is np.ndarray or module in _without or not _compiles(x):
                return readable(*args, **options)
            return kernel()(*args, **options)

    TWINS.append(choose)
    return choose  # type: ignore[return-value]


def _compiles(x: Any) -> bool:
    return hasattr(get_xp(x), "RawModule") and x.dtype.name in DTYPES


@contextmanager
def without(*modules: str) -> Iterator[None]:
    """The readable functions of these modules in place of their twins, of all if none is named: to compare them."""
    known = {f.__module__.rpartition(".")[2] for f in TWINS}
    if unknown := set(modules) - known:
        raise ValueError(f"no twins in {', '.join(sorted(unknown))}; there are some of {', '.join(sorted(known))}")
    added = set(modules or known) - _without
    _without.update(added)
    try:
        yield
    finally:
        _without.difference_update(added)
