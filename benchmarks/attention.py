"""Attention of long texts in blocks of queries, beside the whole map: time and memory of one layer's heads, forward and backward.

One thread, float32, base's 12 heads of 64 numbers, one text; seconds of the processor by turns in one process. Memory is the most
that NumPy held (``tracemalloc``), without the results. And the peak of a training step of some layers of base with as many tokens
in one text and in texts of 512.

    python -m benchmarks.attention
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks import common
from minibert.config import BertConfig
from minibert.layers import attention_in_blocks, attention_probs
from minibert.layers.dropout import Key
from minibert.memory import masked_tokens
from minibert.model import pretraining
from minibert.model.pretraining import Inputs, Output
from minibert.numerics.products import matmul
from minibert.workers import keep_freed_memory

HEADS, SIZE = 12, 64
LENGTHS = (512, 1024, 2048)
Arrays = tuple[np.ndarray, ...]


def whole(q: np.ndarray, k: np.ndarray, v: np.ndarray, rate: float) -> tuple[np.ndarray, Callable[[np.ndarray], Arrays]]:
    """The context, and what turns its gradient into those of q, k and v."""
    probs, cache = attention_probs.forward(matmul(q, k.swapaxes(2, 3)), None, rate, Key(0))

    def backward(d: np.ndarray) -> Arrays:
        dscores = attention_probs.backward(matmul(d, v.swapaxes(2, 3)), cache)
        return matmul(dscores, k), matmul(dscores.swapaxes(2, 3), q), matmul(probs.swapaxes(2, 3), d)

    return matmul(probs, v), backward


def in_blocks(q: np.ndarray, k: np.ndarray, v: np.ndarray, rate: float) -> tuple[np.ndarray, Callable[[np.ndarray], Arrays]]:
    rows = attention_in_blocks.block_of(q.shape[2])
    context, cache = attention_in_blocks.forward(q, k, v, None, rate, Key(0), rows)
    return context, lambda d: attention_in_blocks.backward(d, cache)


WAYS = {"whole": whole, "in blocks": in_blocks}


def held(work: Callable[[], Any]) -> tuple[Any, int]:
    """What the work gives, and the most bytes that it held besides."""
    tracemalloc.start()
    found = work()
    now, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return found, most - now


def measure(tokens: int, rate: float, rounds: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    q, k, v, d = (x / np.float32(8) for x in rng.standard_normal((4, 1, HEADS, tokens, SIZE), np.float32))
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    for _ in range(rounds + 1):
        for name, way in WAYS.items():
            began = time.process_time()
            _, backward = way(q, k, v, rate)
            between = time.process_time()
            backward(d)
            seconds[name].append((between - began, time.process_time() - between))
    memory = {}
    for name, way in WAYS.items():
        tracemalloc.start()
        context, backward = way(q, k, v, rate)
        forward = tracemalloc.get_traced_memory()[1] - context.nbytes
        tracemalloc.stop()
        memory[name] = {"forward": forward, "backward": held(lambda backward=backward: backward(d))[1]}
    return {"tokens": tokens, "dropout": rate, "seconds": {name: turns[1:] for name, turns in seconds.items()}, "memory": memory}


def step(batch: int, tokens: int, layers: int) -> int:
    """Bytes that a forward and a backward pass hold at their peak, with dropout."""
    config = BertConfig.preset("base", num_hidden_layers=layers, vocab_size=8192, max_position_embeddings=max(LENGTHS))
    p, rng = pretraining.initial_parameters(config), np.random.default_rng(0)
    g = p.layout.tree(np.zeros_like(p.flat))
    ids, count = rng.integers(5, config.vocab_size, (batch, tokens)), masked_tokens(batch, tokens)
    x = Inputs(ids, np.zeros_like(ids), None, np.sort(rng.choice(ids.size, count, replace=False)),
               rng.integers(5, config.vocab_size, count), np.zeros(batch, np.int64))
    tracemalloc.start()
    _, cache = pretraining.forward(x, p, config, key=Key(0))
    pretraining.backward(Output(loss=1.0), cache, p, g)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def main() -> None:
    parser = common.arguments(__doc__.split("\n")[0])
    parser.add_argument("--layers", type=int, default=4, help="of base, in the step")
    options = parser.parse_args()
    where = common.machine(1)
    print(common.describe(where), flush=True)
    keep_freed_memory()
    with threadpool_limits(1):
        results: dict[str, Any] = {"heads": [measure(T, rate, options.rounds) for T in LENGTHS for rate in (0.0, 0.1)]}
        results["step"] = {f"{max(LENGTHS) // T} × {T}": step(max(LENGTHS) // T, T, options.layers) for T in (512, 2048)}
    rows = []
    for one in results["heads"]:
        mid = {name: [1e3 * common.median(part) for part in zip(*turns)] for name, turns in one["seconds"].items()}
        (f, b), (f2, b2) = mid.values()
        rows.append([one["tokens"], one["dropout"], f, b, f2 / f, (f2 + b2) / (f + b),
                     *(one["memory"][name][what] / 1e6 for name in WAYS for what in ("forward", "backward"))])
    common.table(["tokens", "dropout", "whole: forward, ms", "backward", "blocks ÷ whole: forward", "both",
                  "whole: forward, MB", "backward", "blocks: forward, MB", "backward"], rows)
    for name, most in results["step"].items():
        print(f"a step of {options.layers} layers of base, {name} tokens: {most / 1e6:,.0f} MB at its peak")
    print(f"\nfigures: {common.write('attention', where, results, options.json)}")


if __name__ == "__main__":
    main()
