"""How many products of numbers a model computes, counted by the code that runs: its weights are arrays that keep a tally.

::

    a ``(…, n, k)`` times b ``(…, k, m)``    n·k·m multiplications for each of the leading indices, and as many additions

What else a model does, norms, softmax and the like, is a small part of its arithmetic and is not counted.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minibert.parameters import Parameters


class Counted(np.ndarray):
    """An array, and so is whatever is computed from it. Each of its matrix products adds to ``tally[0]``."""

    tally: list[int]

    def __array_finalize__(self, source: Any) -> None:
        self.tally = getattr(source, "tally", [0])

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: tuple = (), **options: Any) -> Any:
        plain = [_plain(x) for x in inputs]
        if out:
            options["out"] = tuple(map(_plain, out))
        y = getattr(ufunc, method)(*plain, **{name: _plain(value) for name, value in options.items()})
        if ufunc is np.matmul and plain[1].ndim > 1:  # not the sums of rows, which are products with ones
            self.tally[0] += y.size * plain[0].shape[-1]
        if out:
            return out[0]
        if not isinstance(y, np.ndarray):
            return y
        y = y.view(Counted)
        y.tally = self.tally
        return y


def counting(parameters: Parameters) -> tuple[Parameters, list[int]]:
    """The parameters as arrays that count, and the tally: a list of one number. For one thread."""
    flat = parameters.flat.view(Counted)
    return Parameters(parameters.layout, flat), flat.tally


def _plain(x: Any) -> Any:
    return x.view(np.ndarray) if isinstance(x, Counted) else x
