"""On a CUDA device: kernels beside the least that memory must carry, and training steps beside PyTorch.

First the card is measured: how fast it copies, and how fast it multiplies matrices in each precision. Then every fused kernel at
the sizes of a model, beside the readable pair it stands for: its share of the copy bandwidth counts each array once, which no
kernel can do without. Then whole training steps: minibert with all kernels, with readable layers only and (``--ablate``) without
each kernel in turn; PyTorch tuned by hand (fused qkv, SDPA, head on masked positions, fused AdamW, autocast), eager and compiled;
and (``--numpy``) NumPy on the CPU.

Without a device the command says so and ends with status 2.

    python -m benchmarks.gpu                              # tiny, mini and base
    python -m benchmarks.gpu base --batch 256 --precision bfloat16
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from benchmarks import common, train_step
from minibert import backend, kernels
from minibert.config import BertConfig
from minibert.kernels import products
from minibert.layers import add_norm, attention_probs, bias_gelu, cross_entropy, dropout, embedding, layernorm
from minibert.layers.dropout import Key
from minibert.model import pretraining
from minibert.training import adamw
from minibert.training.course import PRECISIONS
from minibert.training.engine import Engine
from minibert.training.precision import dtype_of
from minibert.workers import Workers

BATCH = {"tiny": 256, "mini": 256, "base": 128}  # sequences of 128 tokens
TARGET = 0.7  # of the copy bandwidth, for every kernel
GIB = 2**30
NO_GPU = 2  # exit status


class Work(NamedTuple):
    """A fused kernel, and the bytes that it cannot avoid to move."""

    name: str
    module: str  # whose twin it is
    prepare: Callable[[], Callable[[], Any]]  # gives the call to be timed; a backward, for instance, needs a forward first
    bytes: int


def works(xp: Any, config: BertConfig, rows: int, tokens: int, dtype: np.dtype) -> Iterator[Work]:
    """Every fused kernel at the sizes of a model: ``rows`` tokens in sequences of ``tokens``."""
    H, I, V, A = config.hidden_size, config.intermediate_size, config.vocab_size, config.num_attention_heads
    B, masked, item = rows // tokens, max(1, round(0.15 * rows)), dtype.itemsize
    rng = np.random.default_rng(0)
    key, rate = Key(0, 1), 0.1

    def draw(*shape: int) -> Any:
        return xp.asarray(rng.standard_normal(shape, dtype=np.float32)).astype(dtype)

    def pair(module: Any, inputs: tuple, options: dict, there: int, back: int, p: dict | None = None) -> Iterator[Work]:
        """``there`` and ``back``: numbers that forward and backward move."""
        name = module.__name__.rpartition(".")[2]
        parameters = () if p is None else (p,)
        gradients = () if p is None else ({k: xp.zeros(v.shape, np.float32) for k, v in p.items()},)
        forward = partial(module.forward, *inputs, *parameters, **options)

        def backward() -> Callable[[], Any]:
            y, cache = forward()
            return partial(module.backward, draw(*y.shape) if y.shape else 1.0, cache, *parameters, *gradients)

        yield Work(f"{name} forward", name, lambda: forward, there * item)
        yield Work(f"{name} backward", name, backward, back * item)

    norm = {"weight": draw(H), "bias": draw(H)}
    n, scores = rows * H, B * A * tokens * tokens
    yield from pair(add_norm, (draw(rows, H), draw(rows, H)), {"rate": rate, "key": key}, 3 * n, 5 * n, norm)
    yield from pair(layernorm, (draw(rows, H),), {}, 2 * n, 3 * n, norm)
    yield from pair(dropout, (draw(rows, H),), {"rate": rate, "key": key}, 2 * n, 2 * n)
    yield from pair(bias_gelu, (draw(rows, I),), {"form": config.hidden_act}, 2 * rows * I, 3 * rows * I, {"bias": draw(I)})
    yield from pair(attention_probs, (draw(B, A, tokens, tokens),), {"rate": rate, "key": key}, 2 * scores, 3 * scores)
    labels = xp.asarray(rng.integers(0, V, masked))
    yield from pair(cross_entropy, (draw(masked, V), labels), {"count": masked}, masked * V, 2 * masked * V)

    ids, de, table = xp.asarray(rng.integers(0, V, rows)), draw(rows, H), xp.zeros((V, H), np.float32)
    distinct = len(set(backend.to_numpy(ids).tolist()))
    add_rows = partial(embedding.add_rows, table, ids, de)
    yield Work("embedding gradient", "embedding", lambda: add_rows, n * item + 8 * distinct * H)

    layout = pretraining.layout(config)
    runs = adamw.runs(layout)
    slabs = [xp.zeros(layout.size, np.float32) for _ in range(4)]
    yield Work("gradient norm", "adamw", lambda: partial(adamw.norm, slabs[1], runs), 4 * layout.size)
    yield Work("AdamW", "adamw", lambda: partial(adamw.step, *slabs, runs, 1e-4, 10, adamw.DEFAULT), 32 * layout.size)


def seconds(xp: Any, call: Callable[[], Any], rounds: int = 20, warmup: int = 3) -> float:
    """Median time of one call on the device, by its own clock.

    A pass over a GiB goes first. While it runs the host prepares the call, whose own work is then all that lies between the two
    events; and it leaves nothing of the call's arrays in the cache, as the layers in between would.
    """
    other = xp.zeros(GIB // 4, np.float32)
    for _ in range(warmup):
        call()
    times = []
    for _ in range(rounds):
        begin, end = xp.cuda.Event(), xp.cuda.Event()
        other += 1
        begin.record()
        call()
        end.record()
        end.synchronize()
        times.append(xp.cuda.get_elapsed_time(begin, end) / 1e3)
    return common.median(times)


def copy_bandwidth(xp: Any) -> float:
    """Bytes a second, read and written, of a copy several times the size of any cache."""
    source = xp.zeros(GIB // 4, np.float32)
    target = xp.empty_like(source)
    return 2 * source.nbytes / seconds(xp, lambda: xp.copyto(target, source))


def matrix_peak(xp: Any, precision: str, size: int = 8192) -> float:
    """Operations a second of one large product of random matrices."""
    products.allow_tf32(xp, precision == "tf32")
    rng = np.random.default_rng(0)
    a, b = (xp.asarray(rng.standard_normal((size, size), dtype=np.float32)).astype(dtype_of(precision, xp)) for _ in range(2))
    return 2 * size**3 / seconds(xp, lambda: a @ b, rounds=5)


def kernel_table(xp: Any, config: BertConfig, rows: int, precision: str, bandwidth: float) -> list[dict[str, Any]]:
    """Every kernel and its readable pair, timed."""
    results = []
    for work in works(xp, config, rows, 128, dtype_of(precision, xp)):
        common.progress(work.name)
        fused = seconds(xp, work.prepare())
        with kernels.without():
            readable = seconds(xp, work.prepare(), rounds=5, warmup=2)
        results.append({"kernel": work.name, "floor_us": 1e6 * work.bytes / bandwidth, "fused_us": 1e6 * fused,
                        "readable_us": 1e6 * readable, "share": work.bytes / bandwidth / fused})
    common.progress("")
    return results


def minibert_step(xp: Any, case: train_step.Case, precision: str, workers: Workers,
                  without: Sequence[str] | None) -> Callable[[], Any]:
    """A training step of the whole batch at once; ``without``: see ``kernels.without``, None for all kernels."""
    config = train_step.configuration(case)
    engine = Engine(pretraining.of(config), pretraining.initial_parameters(config).to(xp), workers, precision=precision)
    batches = train_step.micro_batches(case, *train_step.data(case), size=case.batch * case.tokens if xp is not np else 512)

    def step() -> None:
        with ExitStack() as stack:
            if without is not None:
                stack.enter_context(kernels.without(*without))
            engine.train(batches, 1e-4)

    return step


def torch_step(case: train_step.Case, precision: str, compiled: bool) -> Callable[[], Any]:
    """The tuned PyTorch model on the device: autocast below float32, fused AdamW, no value read back."""
    import torch

    from benchmarks.peers import Tuned

    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.manual_seed(0)
    model = Tuned(train_step.configuration(case)).cuda()
    ids, types, positions, labels = (torch.from_numpy(a).cuda() for a in train_step.data(case))
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=1e-4, eps=1e-6, fused=True)
    half = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(precision)
    scaler = torch.amp.GradScaler("cuda", enabled=precision == "float16")
    forward = torch.compile(model) if compiled else model
    model.train()

    def step() -> None:
        optimiser.zero_grad()
        with torch.autocast("cuda", dtype=half or torch.bfloat16, enabled=half is not None):
            loss = forward(ids, types, None, positions, labels)
        scaler.scale(loss).backward()
        scaler.unscale_(optimiser)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimiser)
        scaler.update()

    return step


def alternate(xp: Any, rivals: dict[str, Callable[[], Any]], rounds: int, steps: int = 5) -> dict[str, list[float]]:
    """Seconds a step. In every round each rival makes some steps, which the host waits for at the end only.

    Whom the card has no memory for is left out, with a line that says so.
    """
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for number in range(-1, rounds):
        for name in list(times):
            common.progress(f"{name}, round {max(number + 1, 0)} of {rounds}")
            xp.cuda.Device().synchronize()
            begun = time.perf_counter()
            try:
                for _ in range(steps):
                    rivals[name]()
            except (RuntimeError, MemoryError, xp.cuda.memory.OutOfMemoryError) as error:
                left_out(name, error)
                del times[name], rivals[name]
                xp.get_default_memory_pool().free_all_blocks()
                continue
            xp.cuda.Device().synchronize()
            if number >= 0:
                times[name].append((time.perf_counter() - begun) / steps)
    common.progress("")
    return times


def left_out(name: str, error: BaseException) -> None:
    print(f"{name}: left out, {str(error).splitlines()[0]}", file=sys.stderr)


def step_table(xp: Any, case: train_step.Case, precision: str, workers: Workers, args: Any) -> list[dict[str, Any]]:
    """All competitors at one configuration and precision."""
    fused = sorted({f.__module__.rpartition(".")[2] for f in kernels.TWINS})
    makers = {"minibert": partial(minibert_step, xp, case, precision, workers, None),
              "minibert, readable layers": partial(minibert_step, xp, case, precision, workers, ())}
    if args.ablate:
        makers |= {f"minibert without {name}": partial(minibert_step, xp, case, precision, workers, (name,)) for name in fused}
    if not args.no_torch:
        makers |= {"PyTorch eager": partial(torch_step, case, precision, False),
                   "PyTorch compiled": partial(torch_step, case, precision, True)}
    rivals, results = {}, []
    for name, make in makers.items():
        try:
            rivals[name] = make()
        except (RuntimeError, MemoryError, xp.cuda.memory.OutOfMemoryError) as error:
            left_out(name, error)
    times = alternate(xp, rivals, args.rounds)
    if args.numpy and precision == "float32":
        step = minibert_step(np, case, precision, workers, None)
        step()
        begun = time.perf_counter()
        step()
        times["NumPy on the CPU"] = [time.perf_counter() - begun]
    own = common.median(times["minibert"]) if "minibert" in times else float("nan")
    for name, values in times.items():
        results.append({"competitor": name, "ms": 1e3 * common.median(values), "tokens_per_s": case.batch * case.tokens
                        / common.median(values), "over_minibert": common.median(values) / own})
    return results


def main(argv: Sequence[str] | None = None) -> int:
    parser = common.arguments("Kernels and training steps on a CUDA device.")
    parser.add_argument("presets", nargs="*", metavar="PRESET", help=f"of {', '.join(BATCH)}; all if none is given")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=["float32", "tf32", "bfloat16"])
    parser.add_argument("--batch", type=int, help="sequences of 128 tokens; by default as many as keep a large card busy")
    parser.add_argument("--ablate", action="store_true", help="also without each kernel in turn")
    parser.add_argument("--no-torch", action="store_true", help="without PyTorch")
    parser.add_argument("--numpy", action="store_true", help="also NumPy on the CPU, which takes a while")
    args = parser.parse_args(argv)
    presets = args.presets or list(BATCH)
    if unknown := set(presets) - set(BATCH):
        parser.error(f"no preset {', '.join(sorted(unknown))}; there are {', '.join(BATCH)}")
    try:
        xp, device = backend.choose("gpu")
    except RuntimeError as error:
        print(f"error: {error}. This benchmark measures a GPU and nothing else.", file=sys.stderr)
        return NO_GPU
    if not args.no_torch:
        common.need("torch")

    where = {**common.machine(args.threads), "device": device}
    print(f"{common.describe(where)}\n{device}\n")
    bandwidth = copy_bandwidth(xp)
    peaks = {precision: matrix_peak(xp, precision) for precision in args.precision}
    print(f"copies {bandwidth / 1e12:.2f} TB/s; multiplies "
          + ", ".join(f"{peak / 1e12:.0f} TFLOP/s in {precision}" for precision, peak in peaks.items()))
    results: dict[str, Any] = {"copy_bytes_per_s": bandwidth, "matrix_flops_per_s": peaks, "kernels": {}, "steps": {}}
    with Workers(args.threads) as workers:
        for preset in presets:
            case = train_step.CASES[preset]._replace(batch=args.batch or BATCH[preset])
            config = train_step.configuration(case)
            for precision in args.precision:
                if precision != "tf32":  # the kernels' numbers are float32 there
                    rows = kernel_table(xp, config, case.batch * case.tokens, precision, bandwidth)
                    results["kernels"][f"{preset} {precision}"] = rows
                    print(f"\n{preset}, {precision}, {case.batch} × {case.tokens} tokens: kernels, microseconds")
                    common.table(["kernel", "memory's floor", "fused", "share of copy", f"target {TARGET:.0%}", "readable"],
                                 [[r["kernel"], r["floor_us"], r["fused_us"], f"{r['share']:.0%}",
                                   "reached" if r["share"] >= TARGET else "missed", r["readable_us"]] for r in rows])
                rows = step_table(xp, case, precision, workers, args)
                results["steps"][f"{preset} {precision}"] = rows
                flops = sum(p.flops for p in train_step.products(case, case.batch * case.tokens))
                print(f"\n{preset}, {precision}: a training step")
                common.table(["competitor", "ms", "tokens/s", "time over minibert's", "share of matrix peak"],
                             [[r["competitor"], r["ms"], r["tokens_per_s"], r["over_minibert"],
                               f"{flops / (r['ms'] / 1e3) / peaks[precision]:.0%}"] for r in rows])
                xp.get_default_memory_pool().free_all_blocks()
                common.write("gpu", where, results, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
