"""Time to a loss: what a user waits for is a trained model, not a step.

::

    python -m benchmarks.time_to_loss                           # what was measured
    python -m benchmarks.time_to_loss muon trapezoid --seeds 2  # train what is missing, plain too, by turns; then the table
    python -m benchmarks.time_to_loss muon --steps 1500         # the same for a shorter run

A candidate is a row of ``CANDIDATES``: options of ``minibert train``, over their defaults (``--recipe none``; these alone are
``plain``), and for how many of its steps. A seed holds the same documents out for all of them, and all are asked about the same
hidden words of the same pairs, those of the plain run, whatever they learn from; its target is the held-out loss with which its
plain run ends. A run counts whole, from reading the text and learning the vocabulary to the last look; up to the first look that
sees the target it counts by its share of the steps. It is a line of the records, so that an interrupted series goes on. CPU
seconds are compared in any case; the clock only where others kept less than a core busy beside every run.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from benchmarks import common
from minibert.cli import main as minibert
from minibert.training import command
from minibert.training.loop import read_rows
from minibert.training.options import DEFAULT_STEPS, Settings

HELD_OUT = command.held_out
RECORDS = common.RESULTS / "time_to_loss.jsonl"
WHICH = ("candidate", "seed", "steps", "threads")  # of the records names a run
Record = Mapping[str, Any]


class Candidate(NamedTuple):
    """How a run differs from the plain one."""

    options: tuple[str, ...] = ()
    share: float = 1.0  # of its steps


MUON = ("--optimiser", "muon", "--learning-rate", "4e-3")
CANDIDATES = {
    "plain": Candidate(),
    "rate 0.004": Candidate(("--learning-rate", "4e-3")),
    "trapezoid": Candidate(("--schedule", "trapezoid")),
    "masks 0.3": Candidate(("--mask-rate", "0.3")),
    "masks 0.3 to 0.15": Candidate(("--mask-rate", "0.3", "0.15")),
    "muon": Candidate(MUON),
    "muon, rate 0.01": Candidate(("--optimiser", "muon", "--learning-rate", "1e-2")),
    "muon, half": Candidate(MUON, 0.5),
    "muon, shifted": Candidate((*MUON, "--shift-positions"), 0.4),
    "muon, larger steps, masks 0.4": Candidate((*MUON, "--batch-size", "32", "--mask-rate", "0.4"), 0.18),
    "fast": Candidate(("--recipe", "fast"), 0.22),  # the steps that it says
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.time_to_loss", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of {'; '.join(CANDIDATES)} (default: measure none)")
    parser.add_argument("--seeds", type=int, default=2, metavar="N", help="seeds 0 to N - 1 (default: 2)")
    parser.add_argument("--steps", type=int, default=DEFAULT_STEPS, metavar="N", help=f"of 'plain' (default: {DEFAULT_STEPS})")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of every run, and as many lanes (default: 1)")
    parser.add_argument("--records", type=Path, default=RECORDS, metavar="FILE", help="where the figures are kept")
    args = parser.parse_args(arguments)
    if unknown := [name for name in args.names if name not in CANDIDATES]:
        parser.error(f"there is no candidate {', '.join(unknown)}: choose of {'; '.join(CANDIDATES)}")
    for seed in range(args.seeds if args.names else 0):
        for name in dict.fromkeys(("plain", *args.names)):
            if (name, seed) not in measured(args.records, args.steps, args.threads):
                common.keep(args.records, record := run(name, seed, args.steps, args.threads), WHICH)
                print(f"{name}, seed {seed}: {record['looks'][-1][1]:.3f} nats after {record['cpu_seconds']:.0f} CPU seconds",
                      flush=True)
    for steps, threads in sorted({(record["steps"], record["threads"]) for record in common.records(args.records)}):
        print(table(measured(args.records, steps, threads)), flush=True)
    return 0


def run(name: str, seed: int, steps: int, threads: int) -> Record:
    """Train a candidate once; what it cost, and what each of its looks saw."""
    options, share = CANDIDATES[name]
    with tempfile.TemporaryDirectory() as place:
        out, begun, cpu, watch = Path(place) / "run", time.monotonic(), time.process_time(), common.Watch()
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said), mock.patch.object(command, "held_out", asked):
            code = minibert(["train", "--recipe", "none", *options, "--steps", str(round(share * steps)), "--seed", str(seed),
                             "--lanes", str(threads), "--threads", str(threads), "--out", str(out)])
        if code:
            raise RuntimeError(f"{name}, seed {seed}: minibert train ended with {code}\n{said.getvalue()}")
        rows = read_rows(out / "metrics.csv")
        looks = [(row["step"], row["held_out_mlm_loss"]) for row in rows if row.get("held_out_mlm_loss") is not None]
        return {"candidate": name, "options": [*options], "share": share, "seed": seed, "steps": steps, "threads": threads,
                "looks": looks, "pairs_right": rows[-1].get("held_out_nsp_accuracy"),
                "cpu_seconds": round(time.process_time() - cpu, 1), "seconds": round(time.monotonic() - begun, 1),
                "beside": watch.others(), "where": common.machine(threads)}


def asked(settings: Settings, *of: Any) -> Any:
    """What a run is measured on, as the plain run with its seed is: a run's own tasks may be easier."""
    return HELD_OUT(replace(Settings(), seed=settings.seed, micro_batch_tokens=settings.micro_batch_tokens), *of)


def measured(path: Path, steps: int, threads: int) -> dict[tuple[str, int], Record]:
    """The runs of a length by candidate and seed, those with today's options."""
    return {(record["candidate"], record["seed"]): record for record in common.records(path)
            if (record["steps"], record["threads"]) == (steps, threads)
            and (found := CANDIDATES.get(record["candidate"])) and [*found] == [tuple(record["options"]), record["share"]]}


def reached(record: Record, target: float) -> int | None:
    """The step of the first look that saw the target; None: none did."""
    return next((step for step, loss in record["looks"] if loss <= target), None)


def table(runs: Mapping[tuple[str, int], Record]) -> str:
    """In Markdown: what each candidate ends with, and what it costs to reach its seed's target, beside plain."""
    plains = {seed: record for (name, seed), record in runs.items() if name == "plain"}
    lines = []
    for name in CANDIDATES:
        mine = {seed: runs[name, seed] for seed in plains if (name, seed) in runs}
        if mine:
            lines.append(_row(name, list(mine.values()), [plains[seed] for seed in mine]))
    if not lines:
        return "Nothing of this length has a plain run yet: name a candidate."
    first = next(iter(plains.values()))
    busy = [record for record in runs.values() if record["beside"] is None or record["beside"] >= common.QUIET]
    said = "The clock has no say: others kept a core busy beside the runs, or that is unknown.\n" * bool(busy)
    return (f"\n{common.describe(first['where'])}\n{first['steps']:,} steps of plain; targets "
            f"{_spread([record['looks'][-1][1] for record in plains.values()], '.3f')}\n{said}\n"
            "| candidate | seeds | steps | nats at its end | above its target | pairs right | steps to the target | "
            f"CPU seconds to it | plain's CPU ÷ its | plain's clock ÷ its |\n{'|---' * 10}|\n" + "\n".join(lines))


def _row(name: str, mine: Sequence[Record], plains: Sequence[Record]) -> str:
    targets = [record["looks"][-1][1] for record in plains]
    ends = [record["looks"][-1] for record in mine]
    found = [reached(record, target) for record, target in zip(mine, targets)]
    pairs = [record.get("pairs_right") for record in mine]
    cells = [name, str(len(mine)), f"{ends[0][0]:,}", _spread([loss for _, loss in ends], ".3f"),
             _spread([loss - target for (_, loss), target in zip(ends, targets)], "+.3f"),
             "-" if None in pairs else _spread(pairs, ".1%")]
    if None in found:
        cells += [f"{len(found) - found.count(None)} of {len(found)} get there", *["-"] * 3]
    else:
        shares = [step / end for step, (end, _) in zip(found, ends)]
        cost = {key: [record[key] * share for record, share in zip(mine, shares)] for key in ("cpu_seconds", "seconds")}
        gain = {key: [plain[key] / own for plain, own in zip(plains, cost[key])] for key in cost}
        quiet = all(record["beside"] is not None and record["beside"] <= 1 for record in (*mine, *plains))
        cells += [_spread(found, ",.0f"), _spread(cost["cpu_seconds"], ",.0f"), _spread(gain["cpu_seconds"], ".2f"),
                  _spread(gain["seconds"], ".2f") if quiet else "-"]
    return f"| {' | '.join(cells)} |"


def _spread(values: Sequence[float], form: str) -> str:
    """The mean, and the standard deviation where there is one."""
    mean = format(statistics.fmean(values), form)
    return f"{mean} ± {format(statistics.stdev(values), form.lstrip('+'))}" if len(values) > 1 else mean


if __name__ == "__main__":
    raise SystemExit(main())
