"""The generated language: how long sampling with gold takes, and the exact posteriors of what training would see of it.

CPU seconds of one thread, not the clock's, for 1,000 texts and for 1,000,000 words, however many were made.

    python -m benchmarks.world
    python -m benchmarks.world --texts 100 --words 50000
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks import common
from minibert.world import World, saved
from minibert.world.floor import corrupt

ROOM = 62  # words of 64 tokens with [CLS] and [SEP]


def sampling(world: World, words: int) -> float:
    """Seconds for so many words, as ``minibert world --out`` writes them: text, and gold in both forms."""
    with tempfile.TemporaryDirectory() as folder:
        start = process_time()
        saved.sampled(world, Path(folder), words)
        return process_time() - start


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
            world = World.of(size)
            results.append({"size": size, "sampling": sampling(world, options.words) * 1e6 / options.words,
                            "single": posteriors(world, None, options.texts) * 1000 / options.texts,
                            "packed": posteriors(world, ROOM, options.texts) * 1000 / options.texts})
    common.table(["world", "1,000,000 words with gold", "1,000 sentences", f"1,000 texts of up to {ROOM} words"],
                 [list(row.values()) for row in results])
    print(f"\nfigures: {common.write('world', where, results, options.json)}")


if __name__ == "__main__":
    main()
