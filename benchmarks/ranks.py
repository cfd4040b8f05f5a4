"""Ranks over MPI: what a step costs beside threads, whether the plan of ``info --ranks`` holds, and ranks that are killed.

    python -m benchmarks.ranks steps            # two ranks of one thread beside two threads, as many lanes, by turns
    python -m benchmarks.ranks plan             # predicted and measured steps of 1, 2 and 4 ranks
    python -m benchmarks.ranks slow             # the same of 2 ranks over a slow link; Linux, as root, MPICH: see link.py
    python -m benchmarks.ranks kills --count 100

It needs mpi4py and mpiexec: pip install -e '.[mpi]'.

*steps*, *plan* and *slow*: every turn is a process of its own, or ranks of their own, which take some steps of random tokens. For
what is planned, the speeds of the machine are measured in every round anew, by as many ranks at once as then take steps. All that
take them with as many lanes must end in the same weights.

*kills*: a tiny run is made once by one process without interruption. Then it is begun again and again by 2 or 4 ranks, of which
a random one is killed (SIGKILL) after a random part of its time; each is resumed by 1, 2 or 4 ranks, perhaps killed again, and so
on to its end. After every kill what was saved must open, and no step that had been saved may be lost; at the end weights, moments
and figures are those of the uninterrupted run, byte for byte. MPICH 5.0.2 leaves a file in /dev/shm (mpich_shm_…, 1 MB a rank) of
every run that a signal or MPI_Abort has ended, which nobody takes away.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks import common, kills, link
from benchmarks.train_step import Case, configuration, data, micro_batches, size_for
from minibert.files import read_json
from minibert.model import pretraining
from minibert.ranks import of
from minibert.training import planning
from minibert.training.engine import Engine
from minibert.workers import Workers, keep_freed_memory

MARK = "MINIBERT_KILLS"  # in the environment of the ranks of a run, so that they can be found
CASES = {"tiny": Case("tiny", 6000, 16, 64), "mini": Case("mini", 6000, 16, 64), "base": Case("base", 30_522, 8)}
BESIDE = "two threads"
WAYS = {BESIDE: (1, 2), "two ranks": (2, 1), "one rank": (1, 1)}  # ranks, and threads of each
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


def started(size: int, *argv: str, before: Sequence[str] = (), **options: Any) -> subprocess.Popen:
    """``python argv`` as one process, or as so many ranks; ``before``: what each begins with."""
    start = [str(MPIEXEC), "-n", str(size)] if size > 1 else []
    return subprocess.Popen([*start, *before, sys.executable, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            encoding="utf-8", **options)


def asked(size: int, what: str, *argv: Any, **options: Any) -> Any:
    """What one process or so many ranks find, each of which runs the function of this name here."""
    process = started(size, "-m", "benchmarks.ranks", what, *map(str, argv), **options)
    said, error = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{size} ranks: {what} {argv} ended with {process.returncode}: {error[-500:]}")
    return json.loads(said.strip().splitlines()[-1])


def take(preset: str, threads: str, lanes: str, count: str) -> dict[str, Any]:
    """Seconds of a step: median and least, and of all cores; of an exchange alone. At the end weights and moments."""
    keep_freed_memory()
    case = CASES[preset]
    with of() as ranks, Workers(int(threads)) as workers:
        config = configuration(case)
        engine = Engine(pretraining.of(config), pretraining.initial_parameters(config), workers, lanes=int(lanes), ranks=ranks)
        batches = micro_batches(case, *data(case), size_for(case, int(lanes)))
        times, busy, sent = [], [], []
        for _ in range(int(count) + 2):
            ranks.share(None)
            began, worked = time.perf_counter(), time.process_time()
            engine.train(batches, 1e-4)
            times.append(time.perf_counter() - began)
            busy.append(sum(ranks.share(time.process_time() - worked)))
        weights = hashlib.sha256(engine.parameters.flat.tobytes()).hexdigest()
        for _ in range(3):
            ranks.share(None)
            began = time.perf_counter()
            engine._exchange()
            ranks.gather(engine.parameters.flat, engine.strips)
            sent.append(time.perf_counter() - began)
        moments = max(ranks.share(sum(slab.flat.nbytes for slab in engine.kept.values())))
        times, busy = times[2:], busy[2:]
        return {"step": statistics.median(times), "least": min(times), "cpu": statistics.median(busy),
                "sent": min(sent), "weights": weights, "moments": moments}


def speeds(preset: str) -> planning.Speeds:
    """Of the slowest of these ranks, all of which are at it."""
    keep_freed_memory()
    with of() as ranks:
        found = ranks.share(planning.measured(configuration(CASES[preset]), CASES[preset].tokens, 1))
        return planning.Speeds(*map(min, zip(*found)))


def same_weights(turns: Iterable[Mapping[str, Any]]) -> None:
    if len({each["weights"] for each in turns}) > 1:
        raise RuntimeError("not all of them end in the same weights")


def steps(presets: Sequence[str], rounds: int, count: int) -> list[dict[str, Any]]:
    """Two threads, two ranks of one thread, and one rank of one thread, by turns."""
    found = []
    for preset in presets:
        ways: dict[str, list[dict[str, Any]]] = {name: [] for name in WAYS}
        for number in range(rounds):
            for name in list(ways)[::1 if number % 2 else -1]:
                size, threads = WAYS[name]
                ways[name].append(asked(size, "take", preset, threads, 2, count))
        same_weights(chain.from_iterable(ways.values()))
        clock, cpu = ({name: [each[what] for each in turns] for name, turns in ways.items()} for what in ("step", "cpu"))
        for name in ways:
            found.append({"preset": preset, "by": name, "ms": 1e3 * common.median(clock[name]),
                          "CPU ms": 1e3 * common.median(cpu[name]),
                          "beside two threads": common.ratio(clock[name], clock[BESIDE]),
                          "in CPU": common.ratio(cpu[name], cpu[BESIDE]), "rounds": [clock[name], cpu[name]]})
    common.table(list(found[0])[:6], [list(each.values())[:6] for each in found])
    return found


def planned(preset: str, size: int, network: float, speeds: Sequence[float]) -> float:
    """Seconds of a step, less what its examples take: they are there already."""
    case = CASES[preset]
    plan = planning.plan(configuration(case), size, network, planning.Speeds(*speeds), case.batch, case.tokens)
    return plan.seconds - plan.examples


def plan(presets: Sequence[str], rounds: int, count: int) -> list[dict[str, Any]]:
    """Steps of 1, 2 and 4 ranks of one thread as planned, with an exchange as fast as it is between them, and as they are."""
    found = []
    for preset in presets:
        ways: dict[int, list[tuple[float, dict[str, Any]]]] = {size: [] for size in (1, 2, 4)}
        bytes_moved = {size: planning.BYTES * sum(planning.moved(configuration(CASES[preset]), size)[:2]) for size in ways}
        for _ in range(rounds):
            for size, turns in ways.items():
                now, taken = asked(size, "speeds", preset), asked(size, "take", preset, 1, 4, count)
                turns.append((planned(preset, size, bytes_moved[size] / taken["sent"] or 1.0, now), taken))
        same_weights(taken for turns in ways.values() for _, taken in turns)
        for size, turns in ways.items():
            found.append({"preset": preset, "ranks": size, **beside(turns),
                          "moments, MB a rank": turns[0][1]["moments"] / 1e6})
    common.table(list(found[0]), [list(each.values()) for each in found])
    return found


def slow(presets: Sequence[str], rounds: int, count: int, networks: Sequence[str]) -> list[dict[str, Any]]:
    """Two ranks of one thread, on this machine and over links of limited speed: as planned, and as they are."""
    found = []
    for preset in presets:
        ways: dict[str, list[tuple[float, dict[str, Any]]]] = {network: [] for network in networks}
        free = []
        for _ in range(rounds):
            now = asked(2, "speeds", preset)
            free.append(asked(2, "take", preset, 1, 2, count))
            for network, turns in ways.items():
                carried = planning.bandwidth(network)
                with link.of(carried) as before:
                    taken = asked(2, "take", preset, 1, 2, count, before=before, env={**os.environ, **link.OVER_TCP})
                turns.append((planned(preset, 2, carried, now), taken))
        same_weights([*free, *(taken for turns in ways.values() for _, taken in turns)])
        here = 1e3 * common.median([each["least"] for each in free])
        moved = planning.BYTES * sum(planning.moved(configuration(CASES[preset]), 2)[:2])
        found += [{"preset": preset, "network": network, "without it, ms": here, **beside(turns),
                   "exchange, planned": 1e3 * moved / planning.bandwidth(network),
                   "exchange, measured": 1e3 * common.median([taken["sent"] for _, taken in turns])}
                  for network, turns in ways.items()]
    common.table(list(found[0]), [list(each.values()) for each in found])
    return found


def beside(turns: Sequence[tuple[float, Mapping[str, Any]]]) -> dict[str, float]:
    """Steps as planned and as measured: the fastest of a turn, as the speeds are, in the median of the turns."""
    expected, taken = zip(*((seconds, each["least"]) for seconds, each in turns))
    return {"planned, ms": 1e3 * common.median(expected), "measured, ms": 1e3 * common.median(taken),
            "measured/planned": common.ratio(taken, expected)}


def ranks_of(mark: str) -> list[int]:
    """The processes of Python that carry a mark in their environment: Linux tells."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (path / "environ").read_bytes() and b"minibert" in (path / "cmdline").read_bytes():
                if b"mpiexec" not in (path / "cmdline").read_bytes() and b"hydra" not in (path / "cmdline").read_bytes():
                    found.append(int(path.name))
        except OSError:
            continue
    return found


def killed(count: int, seed: int, folder: Path) -> dict[str, Any]:
    """``count`` kills of single ranks: what they hit, and what went wrong."""
    command, rng, found, failures = kills.commands(folder)["train"], random.Random(seed), Counter(), []
    begin = [*command.begin, "--lanes", "4"]

    def go(size: int, arguments: list[str], seconds: float | None = None) -> int | None:
        mark = f"{os.getpid()}-{found['starts']}"
        found["starts"] += 1
        process = started(size, "-m", "minibert", "train", *arguments, *kills.HERE, env={**os.environ, MARK: mark})
        hit = False
        try:
            _, said = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            if pids := ranks_of(mark):
                os.kill(rng.choice(pids), signal.SIGKILL)
                hit = True
            _, said = process.communicate()
        if process.returncode and not hit:
            print(said[-2000:], file=sys.stderr)
        return None if hit and process.returncode else process.returncode

    straight, began = folder / "straight" / "run", time.monotonic()
    if go(1, [*begin, "--out", str(straight)]):
        raise RuntimeError("a run of one process does not work here at all")
    whole = (time.monotonic() - began) * 1.5
    while found["kills"] < count:
        run, saved = folder / str(found["runs"]) / "run", 0
        found["runs"] += 1
        for start in range(100):
            resumed = (run / "training_state.safetensors").is_file()
            if not resumed:
                shutil.rmtree(run, ignore_errors=True)  # as the message about it says
            size = rng.choice((1, 2, 4)) if resumed else rng.choice((2, 4))
            spared = found["kills"] >= count or start > 3
            code = go(size, ["--resume", str(run)] if resumed else [*begin, "--out", str(run)],
                      None if spared else rng.uniform(0, whole * max(1, size / common.available_cores())))
            if code is not None:
                found["finished"] += code == 0
                if not code:
                    for place in (run, straight):  # drawn from what metrics.csv says in six digits, once it is resumed
                        (place / "loss.png").write_bytes(b"picture")
                if code or (what := kills.difference(run, straight)):
                    failures.append(f"run {found['runs']}, start {start + 1}: {f'status {code}' if code else what}")
                break
            found["kills"] += 1
            found["before anything was saved"] += not resumed
            try:
                step = command.step(run) if (run / "training_state.safetensors").is_file() else 0
                if step < saved:
                    failures.append(f"run {found['runs']}: step {saved} had been saved, found step {step}")
                saved = step
                if (run / "model.safetensors").is_file():
                    command.load(run)
            except (OSError, ValueError) as error:
                failures.append(f"run {found['runs']}: what had been saved does not open: {error}")
        shutil.rmtree(run.parent, ignore_errors=True)
        print(f"{found['kills']} of {count} kills, {found['finished']} runs finished, {len(failures)} failures",
              *failures[-1:], file=sys.stderr, flush=True)
    return {"seed": seed, **found, "failures": failures}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("steps", "plan", "slow", "kills"))
    parser.add_argument("--presets", nargs="+", choices=CASES, default=["tiny", "mini"], help="models (default: tiny mini)")
    parser.add_argument("--network", nargs="+", default=["50Mb/s", "200Mb/s"], metavar="SPEED", help="of the slow links "
                        "(default: 50Mb/s 200Mb/s)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="turns of each (default: 5)")
    parser.add_argument("--steps", type=int, default=30, metavar="N", help="steps of a turn (default: 30)")
    parser.add_argument("--count", type=int, default=100, metavar="N", help="kills (default: 100)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the moments of kills follow from it (default: 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go, if not to benchmarks/results/")
    if sys.argv[1:2] in (["take"], ["speeds"]):
        print(json.dumps({"take": take, "speeds": speeds}[sys.argv[1]](*sys.argv[2:])))
        return 0
    args = parser.parse_args()
    common.need("mpi4py")
    if MPIEXEC is None:
        sys.exit("error: there is no mpiexec on the path: pip install -e '.[mpi]'")
    where = common.machine(1)
    print(common.describe(where), f"load {os.getloadavg()[0]:.1f}", sep="\n")
    if args.what == "kills":
        with tempfile.TemporaryDirectory(prefix="minibert-") as folder:
            result = killed(args.count, args.seed, Path(folder))
        print(json.dumps(result, indent=1))
    elif args.what == "slow":
        result = slow(args.presets, args.rounds, args.steps, args.network)
    else:
        result = (steps if args.what == "steps" else plan)(args.presets, args.rounds, args.steps)
    path = args.json or common.RESULTS / "ranks.json"
    before = read_json(path, dict)["results"] if path.is_file() else {}
    print(common.write("ranks", where, {**before, args.what: result}, path))
    return bool(args.what == "kills" and result["failures"])


if __name__ == "__main__":
    raise SystemExit(main())
