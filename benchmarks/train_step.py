"""One training step, side by side: minibert, transformers' ``BertForMaskedLM``, and PyTorch tuned by hand.

The same tokens, the same configuration with dropout 0.1, the same number of threads. Every competitor lives in a process of its
own, as it would run alone; within one run they take turns. *floor* is the matrix products of minibert's step alone, at the very
shapes, on all threads. Floor over step is the share of the roofline that the step reaches. *PyTorch's floor* is as many products
made by PyTorch, a whole batch at a time as its step makes them: how much of a difference is the BLAS, and how much what is around
it? Peak memory is that of a competitor's process.

minibert's commands ask glibc to keep freed memory. PyTorch gains from that too, so that it is measured both ways: as it comes,
and ``+keep`` with the same settings.

    python -m benchmarks.train_step                       # all configurations
    python -m benchmarks.train_step tiny mini --rounds 15
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks import common
from minibert.config import BertConfig
from minibert.model import pretraining
from minibert.pretrained import families
from minibert.tasks.batches import Batch
from minibert.tasks.examples import IGNORE
from minibert.training.engine import Engine
from minibert.workers import Workers, keep_freed_memory, micro_batch_tokens


class Case(NamedTuple):
    preset: str
    vocabulary: int
    batch: int
    tokens: int = 128
    family: str = "bert"  # relatives are compared with transformers' model for masked words alone


CASES = {
    "tiny": Case("tiny", 30_522, 32),
    "mini": Case("mini", 30_522, 32),
    "mini-8k": Case("mini", 8_192, 32),
    "base": Case("base", 30_522, 8),
    "base-32": Case("base", 30_522, 32),
    "large-16": Case("large", 30_522, 16),
    "albert-base": Case("base", 30_000, 8, family="albert"),
    "distilbert-base": Case("base", 30_522, 8, family="distilbert"),
}
DEFAULT = ("tiny", "mini", "mini-8k", "base")


def configuration(case: Case) -> BertConfig:
    return families.preset(case.family, case.preset, vocab_size=case.vocabulary, hidden_dropout_prob=0.1,
                           attention_probs_dropout_prob=0.1)


def data(case: Case, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Random ids and types ``(B, T)``; positions and labels of 15 % of the tokens, as many in every sequence."""
    rng = np.random.default_rng(seed)
    B, T = case.batch, case.tokens
    masked = round(0.15 * T)
    ids = rng.integers(5, case.vocabulary, (B, T))
    places = np.sort(np.stack([rng.permutation(T)[:masked] for _ in range(B)]), axis=1)
    positions = (places + T * np.arange(B)[:, None]).reshape(-1)
    return ids, np.zeros_like(ids), positions, rng.integers(5, case.vocabulary, positions.size)


def size_for(case: Case, workers: int) -> int:
    """Tokens of a micro-batch, as ``minibert train`` chooses them."""
    return micro_batch_tokens(configuration(case).hidden_size, case.batch * case.tokens, workers)


def micro_batches(case: Case, ids: np.ndarray, types: np.ndarray, positions: np.ndarray, labels: np.ndarray,
                  size: int) -> list[Batch]:
    """The same tokens as ``size`` tokens at a time."""
    rows, per_row = max(1, size // case.tokens), len(positions) // case.batch
    return [Batch(ids[i:i + rows], types[i:i + rows], None,
                  {"mlm": labels[i * per_row:(i + rows) * per_row], "nsp": np.full(len(ids[i:i + rows]), IGNORE)},
                  positions[i * per_row:(i + rows) * per_row] - i * case.tokens)
            for i in range(0, case.batch, rows)]


def minibert_step(case: Case, workers: Workers, size: int | None = None, lr: float = 1e-4,
                  config: BertConfig | None = None, recompute: bool = False) -> Callable[[], Any]:
    config = config or configuration(case)
    engine = Engine(pretraining.of(config), pretraining.initial_parameters(config), workers, recompute=recompute)
    batches = micro_batches(case, *data(case), size or size_for(case, workers.count))
    return lambda: engine.train(batches, lr)


class Product(NamedTuple):
    """``times`` products ``(batch) × (m, k)·(k, n)`` of a micro-batch."""

    m: int
    k: int
    n: int
    batch: int
    times: int

    @property
    def flops(self) -> int:
        return 2 * self.m * self.k * self.n * self.batch * self.times


def products(case: Case, size: int) -> list[Product]:
    """The matrix products of a micro-batch of ``size`` tokens: each of the forward pass has two in the backward pass."""
    c, T = configuration(case), case.tokens
    B = max(1, min(size // T, case.batch))
    N, M, H, I, L, A = B * T, B * round(0.15 * T), c.hidden_size, c.intermediate_size, c.num_hidden_layers, c.num_attention_heads
    D, E = H // A, c.embedding_width

    def linear(rows: int, inputs: int, outputs: int, times: int) -> list[Product]:
        shapes = (rows, inputs, outputs), (rows, outputs, inputs), (outputs, rows, inputs)
        return [Product(*shape, 1, times) for shape in shapes]

    attention = [Product(T, D, T, B * A, 2 * L), Product(T, T, D, B * A, 4 * L)]  # q·kᵀ, dw; w·v, dv, dq, dk
    return [*linear(N, H, H, 4 * L), *linear(N, H, I, L), *linear(N, I, H, L), *attention, *linear(M, H, E, 1),
            *linear(M, E, case.vocabulary, 1), *(linear(N, E, H, 1) if E < H else [])]


def floor(case: Case, workers: Workers, size: int | None = None) -> Callable[[], Any]:
    """The products of a whole step and nothing else, shared out over the threads."""
    rng = np.random.default_rng(0)
    size = size or size_for(case, workers.count)
    table = products(case, size)
    count = _micro_batches(case, size)

    def operands(_: int) -> list[tuple[Product, np.ndarray, np.ndarray, np.ndarray]]:
        def draw(*shape: int) -> np.ndarray:
            return rng.standard_normal(shape, dtype=np.float32)

        return [(p, draw(p.batch, p.m, p.k), draw(p.batch, p.k, p.n), np.empty((p.batch, p.m, p.n), np.float32)) for p in table]

    own = [operands(i) for i in range(workers.count)]

    def work(worker: int) -> None:
        for _ in range(worker, count, workers.count):
            for p, a, b, out in own[worker]:
                for _ in range(p.times):
                    if p.batch == 1:
                        np.matmul(a[0], b[0], out=out[0])
                    else:
                        np.matmul(a, b, out=out)

    return lambda: workers.map(work, range(workers.count))


def _micro_batches(case: Case, size: int) -> int:
    return -(-case.batch // max(1, min(size // case.tokens, case.batch)))


def _flops(case: Case, size: int) -> int:
    return _micro_batches(case, size) * sum(p.flops for p in products(case, size))


COMPETITORS = ("transformers", "transformers+keep", "tuned", "tuned+keep", "PyTorch's floor", "minibert", "floor")


def measure(name: str, threads: int, rounds: int, competitors: Sequence[str] = COMPETITORS) -> dict[str, Any]:
    """Seconds of every turn of each competitor, peak bytes of each, and the operations of the floor."""
    if CASES[name].family != "bert":
        competitors = [c for c in competitors if c.startswith("transformers") or c in ("minibert", "floor")]
    rivals = {c: common.Rival("benchmarks.train_step", name, "--threads", str(threads), "--serve", c.removesuffix("+keep"),
                              environment=common.KEEP if c.endswith("+keep") else None) for c in competitors}
    seconds = common.alternate(rivals, rounds)
    size = size_for(CASES[name], threads)
    return {"case": name, **CASES[name]._asdict(), "flops": _flops(CASES[name], size), "micro_batch_tokens": size,
            "seconds": seconds, "peak_memory": {c: rival.close() for c, rival in rivals.items()}}


def serve(name: str, competitor: str, threads: int) -> None:
    """Be that competitor."""
    case = CASES[name]
    if competitor in ("minibert", "floor"):
        keep_freed_memory()
        with Workers(threads) as workers:
            common.serve((minibert_step if competitor == "minibert" else floor)(case, workers))
    else:
        import torch

        from benchmarks import peers

        torch.set_num_threads(threads)
        if competitor == "PyTorch's floor":
            return common.serve(peers.floor(products(case, case.batch * case.tokens)))
        common.serve(getattr(peers, f"{competitor}_step")(configuration(case), *data(case)))


def report(result: dict[str, Any]) -> None:
    """A table of one configuration."""
    seconds, own = result["seconds"], result["seconds"]["minibert"]
    speed = result["flops"] / common.median(seconds["floor"])
    print(f"\n{result['case']}: {result['preset']}, vocabulary {result['vocabulary']:,}, {result['batch']}×{result['tokens']} "
          f"tokens, {result['micro_batch_tokens']:,} a micro-batch; the floor runs at {speed / 1e9:.0f} GF/s\n")
    common.table(["", "ms a step", "÷ minibert", "of roofline", "GiB at peak"],
                 [[c, 1e3 * common.median(seconds[c]), common.ratio(seconds[c], own),
                   f"{common.ratio(seconds['floor'], seconds[c]):.0%}", result["peak_memory"][c] / 2**30] for c in seconds])


def main() -> None:
    parser = common.arguments(__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="*", default=list(DEFAULT), metavar="CASE", help=f"of {', '.join(CASES)}")
    parser.add_argument("--alone", action="store_true", help="minibert and the floor only: needs no other package")
    parser.add_argument("--serve", choices=COMPETITORS, help=common.argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"unknown case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    if options.serve:
        return serve(options.cases[0], options.serve, options.threads)
    if not options.alone:
        common.need("torch", "transformers")

    where = common.machine(options.threads)
    print(common.describe(where), flush=True)
    competitors = list(COMPETITORS[-2:] if options.alone else COMPETITORS)
    if sys.platform != "linux":
        competitors = [c for c in competitors if not c.endswith("+keep")]
    results = []
    for name in options.cases:
        results.append(measure(name, options.threads, options.rounds, competitors))
        report(results[-1])
        path = common.write("train_step", where, results, options.json)
    print(f"\nfigures: {path}")


if __name__ == "__main__":
    main()
