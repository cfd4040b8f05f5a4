"""From a CUDA source beside this file to a launched kernel.

A source is compiled when it is first needed, once for each number type and each way of loading that the sizes ask for; CuPy keeps
the result on disk. ``REAL`` is the type that arrays hold. ``WIDTH`` numbers are loaded and stored at once, 16 bytes where sizes
allow. ``PIECES`` such loads by each lane of a warp cover a row, which therefore stays in registers.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from minibert.backend import Array, get_xp
from minibert.layers.dropout import Key, of_256

REALS = {"float32": "float", "float16": "__half", "bfloat16": "__nv_bfloat16"}
OPTIONS = ("-std=c++17",)
WARP = 32


def source(name: str) -> str:
    """The text of ``NAME.cu``, after what all share; in ASCII, since CuPy writes it to a file in the encoding of the system.

    Only comments have other letters.
    """
    text = "\n".join(Path(__file__).with_name(file).read_text("utf-8") for file in ("common.cuh", f"{name}.cu"))
    return text.encode("ascii", "ignore").decode()


@cache
def _module(xp: Any, name: str, options: tuple[str, ...]) -> Any:
    return xp.RawModule(code=source(name), options=OPTIONS + options)


@cache
def _function(xp: Any, name: str, kernel: str, macros: tuple[tuple[str, Any], ...]) -> Any:
    return _module(xp, name, tuple(f"-D{key}={value}" for key, value in macros)).get_function(kernel)


def launch(x: Array, name: str, kernel: str, grid: tuple[int, ...], block: tuple[int, ...], *args: Any, shared: int = 0,
           **macros: Any) -> None:
    """Runs ``kernel`` of ``NAME.cu``, compiled for the type of ``x``, with ``shared`` floats of shared memory.

    Arguments: arrays, None for an array that is not there, int (64 bits), float (32 bits) and NumPy's own scalars.
    """
    function = _function(get_xp(x), name, kernel, (("REAL", REALS[x.dtype.name]), *macros.items()))
    function(grid, block, tuple(_argument(a) for a in args), shared_mem=4 * shared)


def _argument(a: Any) -> Any:
    if a is None:
        return np.uintp(0)
    if type(a) in (int, bool):
        return np.int64(a)
    return np.float32(a) if type(a) is float else a


def width(size: int, *arrays: Array | None) -> int:
    """Numbers to load at once from rows of ``size``: at most 16 bytes, rows a multiple of it, a warp not wider than a row."""
    there = [a for a in arrays if a is not None]
    item = there[0].dtype.itemsize
    numbers = 16 // item
    while numbers > 1 and (size % numbers or WARP * numbers > size or any(a.data.ptr % (numbers * item) for a in there)):
        numbers //= 2
    return numbers


def pieces(size: int, numbers: int) -> int:
    """Loads of ``numbers`` by each lane of a warp that cover a row of ``size``."""
    return max(1, -(-size // (WARP * numbers)))


def contiguous(*arrays: Array | None) -> list[Array | None]:
    """The arrays in row-major order without gaps, all of the first one's type: themselves where they are so already."""
    return [a if a is None or (a.flags.c_contiguous and a.dtype == arrays[0].dtype)
            else get_xp(a).ascontiguousarray(a, dtype=arrays[0].dtype) for a in arrays]


@cache
def processors(xp: Any) -> int:
    """Of the current device."""
    return xp.cuda.Device().attributes["MultiProcessorCount"]


def drawing(rate: float, key: Key | None) -> tuple:
    """Arguments of the kernels that drop: the key in four words, how many of 256 to drop, and what the rest is multiplied by."""
    if key is None or not rate:
        return (*[np.uint64(0)] * 4, np.int32(0), np.float32(1))
    dropped = of_256(rate)
    words = (np.uint64(word % 2**64) for word in key)
    return (*words, np.int32(dropped), np.float32(256 / (256 - dropped)))


def add_columns(part: Array, first: Array, second: Array | None = None) -> None:
    """``first += part[:, :n].sum(0)``, ``second += part[:, n:].sum(0)``. part (blocks, n or 2n) float32; first, second (n,)."""
    xp = get_xp(part)
    blocks, n = part.shape[0], first.size
    ready = [t is None or (t.dtype == np.float32 and t.flags.c_contiguous) for t in (first, second)]
    totals = [t if is_ready else xp.zeros(n, "float32") for t, is_ready in zip((first, second), ready)]
    launch(part, "columns", "add_columns", (-(-part.shape[1] // 32),), (32, 8), part, *totals, blocks, n, shared=256)
    for target, total in zip((first, second), totals):
        if total is not target:
            target += total
