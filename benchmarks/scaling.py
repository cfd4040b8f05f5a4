"""How time and memory of a training step grow: with length, batch, vocabulary, layers and threads. A picture of each.

One quantity grows, the others stay. For each curve the exponent e of ``time ~ quantity^e`` is printed, over the whole range and
over its last doubling: 1 is proportional, 2 is the square, 0 does not matter. Each point is a process of its own.

    python -m benchmarks.scaling                  # all five
    python -m benchmarks.scaling length threads
"""

from __future__ import annotations

from math import log
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import common, train_step
from benchmarks.train_step import Case
from minibert.workers import Workers, available_cores, keep_freed_memory


class Point(NamedTuple):
    """A training step of the preset mini, but for its number of layers."""

    length: int = 128
    batch: int = 32
    vocabulary: int = 8192
    layers: int = 4
    threads: int = 0


class Curve(NamedTuple):
    values: list[int]
    expected: str


CURVES = {
    "length": Curve([32, 64, 128, 256, 512],
                    "The tokens grow with it, and attention looks at every pair of them: T·H² and T²·H. With H = 256 the square "
                    "takes over late. The batch has as many sequences at every length."),
    "batch": Curve([4, 8, 16, 32, 64], "Every sequence costs the same. The first four fit into one micro-batch, which one worker "
                                       "computes while the others wait; from there on it is proportional. Memory stops growing "
                                       "once each worker has a full micro-batch."),
    "vocabulary": Curve([2048, 4096, 8192, 16384, 32768], "The head's products and the optimiser grow with V, the layers do not: "
                                                          "the exponent rises as the head outgrows them."),
    "layers": Curve([1, 2, 4, 8, 16], "Each layer adds the same; what does not grow is the head and the embeddings."),
    "threads": Curve([1, 2, 4, 8, 16, 32, 64], "-1 would be twice as fast on twice the threads. What keeps it from that: the "
                     "interpreter lock between operations, one memory for all, the optimiser's and the sum's passes over it."),
}


def point(name: str, value: int, threads: int) -> Point:
    return Point(threads=threads)._replace(**{name: value})


def serve(at: Point) -> None:
    keep_freed_memory()
    case = Case("mini", at.vocabulary, at.batch, at.length)
    config = train_step.configuration(case).replace(num_hidden_layers=at.layers)
    with Workers(at.threads) as workers:
        common.serve(train_step.minibert_step(case, workers, config=config))


def measure(name: str, threads: int, rounds: int) -> dict[str, Any]:
    values = [v for v in CURVES[name].values if name != "threads" or v <= available_cores()]
    rivals = {str(v): common.Rival("benchmarks.scaling", "--serve", *map(str, point(name, v, threads))) for v in values}
    seconds = common.alternate(rivals, rounds, warmup=1)
    times = [common.median(seconds[str(v)]) for v in values]
    return {"quantity": name, "values": values, "seconds": times, "peak_memory": [rivals[str(v)].close() for v in values]}


def exponent(values: list[int], seconds: list[float]) -> float:
    """Of the line through the first and the last point, both on logarithmic axes."""
    return log(seconds[-1] / seconds[0]) / log(values[-1] / values[0])


def plot(results: list[dict[str, Any]], folder: Path) -> Path:
    """One panel a quantity: time and memory, each against a line of exponent 1."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    from minibert.plots import BLUE, GREY, ORANGE

    figure = Figure(figsize=(4.6 * min(3, len(results)), 4.6 * -(-len(results) // 3) + 0.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle("How a training step grows", fontsize=17, fontweight="bold")
    columns = min(3, len(results))
    panels = list(figure.subplots(-(-len(results) // columns), columns, squeeze=False).flat)
    for axes, result in zip(panels, results):
        values, seconds = result["values"], [1e3 * s for s in result["seconds"]]
        sign = -1 if result["quantity"] == "threads" else 1
        axes.loglog(values, [seconds[0] * (v / values[0]) ** sign for v in values], "--", color=GREY, label=f"exponent {sign}")
        axes.loglog(values, seconds, "o-", color=BLUE, linewidth=2.4, label="time, ms")
        axes.loglog(values, [m / 2**20 for m in result["peak_memory"]], "s-", color=ORANGE, linewidth=2.4, label="memory, MiB")
        axes.set_xticks(values, [f"{v:,}" for v in values])
        axes.minorticks_off()
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlabel(result["quantity"], fontsize=14)
        if len(values) > 1:
            axes.set_title(f"time ~ {result['quantity']}^{exponent(values, result['seconds']):.2f}", fontsize=14)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=11)
    for axes in panels[len(results):]:
        axes.remove()
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "scaling.png")
    return folder / "scaling.png"


def main() -> None:
    parser = common.arguments(__doc__.split("\n")[0])
    parser.add_argument("quantities", nargs="*", default=list(CURVES), metavar="QUANTITY", help=f"of {', '.join(CURVES)}")
    parser.add_argument("--serve", nargs=len(Point._fields), type=int, help=common.argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(Point(*options.serve))
    if unknown := set(options.quantities) - set(CURVES):
        parser.error(f"unknown quantity {', '.join(sorted(unknown))}; there are {', '.join(CURVES)}")
    where = common.machine(options.threads)
    print(common.describe(where), flush=True)
    results = []
    for name in options.quantities:
        result = measure(name, options.threads, options.rounds)
        values, seconds = result["values"], result["seconds"]
        results.append(result)
        print(f"\n{name}: " + (f"time ~ {name}^{exponent(values, seconds):.2f}, over the last doubling "
                               f"{exponent(values[-2:], seconds[-2:]):.2f}" if len(values) > 1 else "one core: one point"))
        print(CURVES[name].expected + "\n")
        common.table([name, "ms a step", "MiB at peak"],
                     [[f"{v:,}", 1e3 * s, m / 2**20] for v, s, m in zip(values, seconds, result["peak_memory"])])
        path = common.write("scaling", where, results, options.json)
    print(f"\nfigures: {path}\npicture: {plot(results, path.parent)}")


if __name__ == "__main__":
    main()
