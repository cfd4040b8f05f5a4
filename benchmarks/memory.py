"""What a training step takes at its peak: base with 32×128 tokens, large with 16×128; minibert and transformers.

minibert with all its workers, each with gradients of its own, and with one worker whose matrix products have all the cores; both
take micro-batches as ``train`` chooses them, then smaller ones, and then larger ones whose layers are computed again. Every
figure is the peak of a process that makes two steps and nothing else. They run one after the other: together they would not fit.

    python -m benchmarks.memory                 # large takes transformers about 16 GiB
    python -m benchmarks.memory base-32 --alone # minibert only: needs no other package
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks import common, train_step
from minibert.workers import Workers, keep_freed_memory

TOKENS, MORE = 256, 1024  # of the smaller and the larger micro-batches
FEWER, AGAIN = f", {TOKENS} tokens at a time", f", {MORE:,} tokens computed again"
COMPETITORS = ("transformers",
               *(f"minibert{workers}{tokens}" for workers in ("", ", one worker") for tokens in ("", FEWER, AGAIN)))
DEFAULT = ("base-32", "large-16")


def serve(name: str, competitor: str, threads: int) -> None:
    if competitor == "transformers":
        return train_step.serve(name, competitor, threads)
    keep_freed_memory()
    with Workers(threads, 1 if "one worker" in competitor else None) as workers:
        again = competitor.endswith(AGAIN)
        size = TOKENS if competitor.endswith(FEWER) else MORE if again else None
        common.serve(train_step.minibert_step(train_step.CASES[name], workers, size, recompute=again))


def measure(name: str, threads: int, rounds: int, competitors: Sequence[str] = COMPETITORS) -> dict[str, Any]:
    result: dict[str, Any] = {"case": name, **train_step.CASES[name]._asdict(), "seconds": {}, "peak_memory": {}}
    for competitor in competitors:
        rival = common.Rival("benchmarks.memory", name, "--threads", str(threads), "--serve", competitor)
        common.progress(f"{name}: {competitor}")
        rival.turn()  # memory comes from the system now, not in the turns that are timed
        result["seconds"][competitor] = [rival.turn() for _ in range(rounds)]
        result["peak_memory"][competitor] = rival.close()
    common.progress("")
    return result


def main() -> None:
    parser = common.arguments(__doc__.split("\n")[0])
    parser.set_defaults(rounds=1)
    parser.add_argument("cases", nargs="*", default=list(DEFAULT), metavar="CASE", help=f"of {', '.join(train_step.CASES)}")
    parser.add_argument("--alone", action="store_true", help="minibert only: needs no other package")
    parser.add_argument("--only", nargs="+", choices=COMPETITORS, default=list(COMPETITORS), metavar="NAME",
                        help="some of the competitors, beside minibert")
    parser.add_argument("--serve", choices=COMPETITORS, help=common.argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.cases) - set(train_step.CASES):
        parser.error(f"unknown case {', '.join(sorted(unknown))}; there are {', '.join(train_step.CASES)}")
    if options.serve:
        return serve(options.cases[0], options.serve, options.threads)
    chosen = [c for c in COMPETITORS[options.alone:] if c in ("minibert", *options.only)]
    if "transformers" in chosen:
        common.need("torch", "transformers")
    where = common.machine(options.threads)
    print(common.describe(where), flush=True)
    results = []
    for name in options.cases:
        results.append(measure(name, options.threads, options.rounds, chosen))
        seconds, peak = results[-1]["seconds"], results[-1]["peak_memory"]
        print(f"\n{name}: {results[-1]['preset']}, {results[-1]['batch']}×{results[-1]['tokens']} tokens\n")
        common.table(["", "GB at peak", "seconds a step", "÷ minibert"],
                     [[c, peak[c] / 1e9, common.median(seconds[c]), common.ratio(seconds[c], seconds["minibert"])]
                      for c in seconds])
        path = common.write("memory", where, results, options.json)
    print(f"\nfigures: {path}")


if __name__ == "__main__":
    main()
