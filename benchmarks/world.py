"""The generated language: how long sampling with gold takes, and the exact posteriors of what training would see of it.

Processor seconds for 1,000 texts and for 1,000,000 words, however many were made. Of the writing, which one process does and then
one a core, the clock's as well. (Windows counts those of the first process alone.)

    python -m benchmarks.world
    python -m benchmarks.world --texts 100 --words 50000
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks import common
from minibert.workers import available_cores
from minibert.world import World, saved
from minibert.world.floor import corrupt

ROOM = 62  # words of 64 tokens with [CLS] and [SEP]


def sampling(world: World, words: int, processes: int) -> tuple[float, float]:
    """Seconds of all processors, and of the clock, for so many words, as ``minibert world --out`` writes them: text, and gold in
    both forms."""
    with tempfile.TemporaryDirectory() as folder:
        before, began = common.processor_seconds(), perf_counter()
        saved.sampled(world, Path(folder), words, processes=processes)
        return common.processor_seconds() - before, perf_counter() - began


def posteriors(world: World, room: int | None, texts: int) -> float:
    """Seconds for the chosen words of so many texts, masked, replaced or kept."""
    rng = np.random.default_rng(1)
    some: Iterator[list[str]] = (text for text in world.texts(room, 1) if room is None or len(text) > 0.75 * room)
    seen = [corrupt(text, world.words, rng, single=room is None)[0] for text in islice(some, texts)]
    world.posteriors(seen[:2])  # its tables are made once
    start = process_time()
    world.posteriors(seen)
    return process_time() - start


def main() -> None:
    parser = common.arguments(__doc__.split("\n")[0])
    parser.set_defaults(rounds=1, threads=1)
    parser.add_argument("--texts", type=int, default=1000, metavar="N", help="texts of each kind (default: 1000)")
    parser.add_argument("--words", type=int, default=1_000_000, metavar="N", help="words to sample (default: 1,000,000)")
    options = parser.parse_args()
    where = common.machine(1)
    print(common.describe(where), flush=True)
    results: list[dict[str, Any]] = []
    with threadpool_limits(1):
        for size in ("small", "full"):
            world, row = World.of(size), {"size": size}
            for processes in sorted({1, available_cores()}):
                took = sampling(world, options.words, processes)
                row.update(zip((f"processor_{processes}", f"clock_{processes}"), (t * 1e6 / options.words for t in took)))
            row["single"] = posteriors(world, None, options.texts) * 1000 / options.texts
            row["packed"] = posteriors(world, ROOM, options.texts) * 1000 / options.texts
            results.append(row)
    head = [key.replace("_", ", processes: ") for key in results[0] if "_" in key]
    common.table(["world", *head, "1,000 sentences", f"1,000 texts of up to {ROOM} words"],
                 [list(row.values()) for row in results])
    print(f"\nfigures: {common.write('world', where, results, options.json)}")


if __name__ == "__main__":
    main()
