"""Miniatures, seed by seed: what they measured, with its spread, and whether the criterion holds.

    python -m benchmarks.miniatures                 # what there is, and what was measured
    python -m benchmarks.miniatures NAME --seeds 3  # measure the seeds that are missing

A seed is a line of ``results/miniatures.jsonl``. It counts as long as the module is the one that measured it, so an interrupted
run goes on where it stopped, and a changed one is measured again.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import pkgutil
import statistics
import sys
import time
from pathlib import Path
from types import ModuleType

from benchmarks import common, miniatures

RECORDS = common.RESULTS / "miniatures.jsonl"


def main(arguments: list[str] | None = None) -> int:
    found = sorted(module.name for module in pkgutil.iter_modules(miniatures.__path__) if not module.name.startswith("_"))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.miniatures", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join(found)} (default: show all, measure none)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N - 1 (default: 3)")
    parser.add_argument("--records", type=Path, default=RECORDS, metavar="FILE", help="where the figures are kept")
    args = parser.parse_args(arguments)
    if unknown := [name for name in args.names if name not in found]:
        parser.error(f"there is no miniature {', '.join(unknown)}: choose of {', '.join(found)}")
    for name in args.names or found:
        module = importlib.import_module(f"benchmarks.miniatures.{name}")
        rows = measured(args.records, name, module)
        for seed in range(args.seeds if args.names else 0):
            if seed not in rows:
                begun = time.process_time()
                figures = module.run(seed)
                record = {"miniature": name, "source": source(module), "seed": seed, "figures": figures,
                          "cpu_seconds": round(time.process_time() - begun, 1), "where": common.machine(1)}
                common.keep(args.records, record, ("miniature", "seed"))
                print(f"{name}, seed {seed}: " + ", ".join(f"{figure} {value:.4g}" for figure, value in figures.items()),
                      flush=True)
                rows[seed] = figures
        print(table(name, module, list(rows.values())), flush=True)
    return 0


def source(module: ModuleType) -> str:
    """What the module is, in short, and miniatures that it takes something from: its figures belong to no other."""
    made = {getattr(value, "__module__", "") for value in vars(module).values()}
    others = {sys.modules[name].__file__ for name in made if name.startswith(f"{miniatures.__name__}.") and "._" not in name}
    files = [module.__file__, *sorted(others - {module.__file__})]
    return hashlib.sha256("".join(Path(file).read_text(encoding="utf-8") for file in files).encode()).hexdigest()[:12]


def measured(path: Path, name: str, module: ModuleType) -> dict[int, dict[str, float]]:
    """The figures of a miniature by seed, those that this source measured."""
    return {record["seed"]: record["figures"] for record in common.records(path)
            if (record["miniature"], record["source"]) == (name, source(module))}


def table(name: str, module: ModuleType, rows: list[dict[str, float]]) -> str:
    """A miniature in Markdown: each figure's mean over the seeds ± its standard deviation, and whether the criterion holds."""
    head = f"\n**{name}**: {module.ASKS}\n"
    if not rows:
        return f"{head}Criterion: {module.CRITERION} Not measured yet."
    lines = []
    for figure in rows[0]:
        values = [row[figure] for row in rows]
        spread = f" ± {statistics.stdev(values):.3g}" if len(values) > 1 else ""
        lines.append(f"| {figure} | {statistics.fmean(values):.4g}{spread} |")
    verdict = "holds" if module.met(rows) else "does not hold"
    seeds = f"{len(rows)} seed{'s' * (len(rows) > 1)}"
    return "\n".join([head, f"| figure | {seeds} |", "|---|---|", *lines, f"\nCriterion: {module.CRITERION} It {verdict}."])


if __name__ == "__main__":
    raise SystemExit(main())
