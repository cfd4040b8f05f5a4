"""The embedding gradient: rows of equal id summed in a fixed order, without a word to the host. How: ``embedding.cu``."""

from __future__ import annotations

from math import isqrt

import numpy as np

from minibert.backend import Array, get_xp
from minibert.kernels import DTYPES
from minibert.kernels.cuda import REALS, WARP, contiguous, launch, pieces, width
from minibert.layers import embedding as readable

THREADS = 128  # a block
CHUNK = 256  # places a block, at most


def add_rows(table: Array, ids: Array, rows: Array) -> None:
    """As ``layers.embedding.add_rows``; rows of another type than a kernel knows, or a table with gaps, are left to it."""
    if not ids.size:
        return
    if rows.dtype.name not in DTYPES or not table.flags.c_contiguous:
        readable.add_rows.__wrapped__(table, ids, rows)
        return
    xp = get_xp(rows)
    (ids,), (rows,) = contiguous(ids.astype(np.int64, copy=False)), contiguous(rows)
    order = ids.argsort(kind="stable").astype(np.int64, copy=False)
    places, columns = rows.shape
    chunk = min(CHUNK, max(16, isqrt(places)))  # as many places in a chunk as there are chunks: both are walked through in turn
    chunks = -(-places // chunk)
    part = xp.empty((chunks, 2, columns), "float32")
    wide = width(columns, rows)
    threads = min(THREADS, WARP * pieces(columns, wide))
    grid, macros = (chunks, -(-columns // (wide * threads))), {"WIDTH": wide, "TABLE": REALS[table.dtype.name]}
    launch(rows, "embedding", "add_segments", grid, (threads,), table, ids, order, rows, part, places, chunk, columns,
           shared=4 * chunk, **macros)
    if chunks > 1:
        launch(rows, "embedding", "join_segments", grid, (threads,), table, ids, order, part, places, chunk, columns, **macros)
