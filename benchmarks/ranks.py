"""Ranks over MPI: what a step costs beside threads, whether the plan of ``info --ranks`` holds, and ranks that are killed.

    python -m benchmarks.ranks steps            # two ranks of one thread beside two threads, as many lanes, by turns
    python -m benchmarks.ranks plan             # predicted and measured steps of 1, 2 and 4 ranks
    python -m benchmarks.ranks kills --count 100

It needs mpi4py and mpiexec: pip install -e '.[mpi]'.

*steps* and *plan*: every turn is a process of its own, which takes some steps of random tokens and gives their median. *kills*: a
tiny run is made once by one process without interruption. Then it is begun again and again by 2 or 4 ranks, of which a random one
is killed (SIGKILL) after a random part of its time; each is resumed by 1, 2 or 4 ranks, perhaps killed again, and so on to its
end. After every kill what was saved must open, and no step that had been saved may be lost; at the end weights, moments and
figures are those of the uninterrupted run, byte for byte.
"""

from __future__ import annotations

import argparse
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
from pathlib import Path
from typing import Any

from benchmarks import common, kills
from benchmarks.train_step import Case, configuration, data, micro_batches, size_for
from minibert.files import read_json
from minibert.model import pretraining
from minibert.ranks import of
from minibert.training import planning
from minibert.training.engine import Engine
from minibert.workers import Workers, keep_freed_memory

MARK = "MINIBERT_KILLS"  # in the environment of the ranks of a run, so that they can be found
CASES = {"tiny": Case("tiny", 6000, 16, 64), "mini": Case("mini", 6000, 16, 64)}
BESIDE = "two threads"
WAYS = {BESIDE: (1, 2), "two ranks": (2, 1), "one rank": (1, 1)}  # ranks, and threads of each
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


def started(size: int, *argv: str, **options: Any) -> subprocess.Popen:
    """``python argv`` as one process, or as so many ranks."""
    start = [str(MPIEXEC), "-n", str(size)] if size > 1 else []
    return subprocess.Popen([*start, sys.executable, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
                            **options)


def turn(preset: str, size: int, threads: int, lanes: int, steps: int) -> dict[str, float]:
    """One process or so many ranks take some steps: seconds of one in the median, on the clock and of all cores, and what an
    exchange alone takes."""
    process = started(size, "-m", "benchmarks.ranks", "turn", preset, str(threads), str(lanes), str(steps))
    said, error = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{size} ranks of {threads} threads ended with {process.returncode}: {error[-500:]}")
    return json.loads(said.strip().splitlines()[-1])


def take(preset: str, threads: int, lanes: int, steps: int) -> None:
    """The other side of ``turn``."""
    keep_freed_memory()
    case = CASES[preset]
    with of() as ranks, Workers(threads) as workers:
        config = configuration(case)
        engine = Engine(pretraining.of(config), pretraining.initial_parameters(config), workers, lanes=lanes, ranks=ranks)
        batches = micro_batches(case, *data(case), size_for(case, lanes))
        times, busy, sent = [], [], []
        for _ in range(steps + 3):
            ranks.share(None)
            began, worked = time.perf_counter(), time.process_time()
            engine.train(batches, 1e-4)
            times.append(time.perf_counter() - began)
            busy.append(sum(ranks.share(time.process_time() - worked)))
        for _ in range(5):
            ranks.share(None)
            began = time.perf_counter()
            engine._exchange()
            ranks.gather(engine.parameters.flat, engine.strips)
            sent.append(time.perf_counter() - began)
        print(json.dumps({"step": statistics.median(times[3:]), "cpu": statistics.median(busy[3:]), "sent": min(sent)}))


def steps(rounds: int, count: int) -> list[dict[str, Any]]:
    """Two threads, two ranks of one thread, and one rank of one thread, by turns."""
    found = []
    for preset in CASES:
        ways: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
        for number in range(rounds):
            for name in list(ways)[::1 if number % 2 else -1]:
                ways[name].append(turn(preset, *WAYS[name], 2, count))
        clock, cpu = ({name: [each[what] for each in turns] for name, turns in ways.items()} for what in ("step", "cpu"))
        for name in ways:
            found.append({"preset": preset, "by": name, "ms": 1e3 * common.median(clock[name]),
                          "CPU ms": 1e3 * common.median(cpu[name]),
                          "beside two threads": common.ratio(clock[name], clock[BESIDE]),
                          "in CPU": common.ratio(cpu[name], cpu[BESIDE]), "rounds": [clock[name], cpu[name]]})
    common.table(list(found[0])[:6], [list(each.values())[:6] for each in found])
    return found


def plan(rounds: int, count: int) -> list[dict[str, Any]]:
    """Steps of 1, 2 and 4 ranks of one thread as planned from what one of them measures, and as they are."""
    found = []
    for preset in CASES:
        case, config = CASES[preset], configuration(CASES[preset])
        speeds = planning.measured(config, case.tokens, 1)
        for size in (1, 2, 4):
            turns = [turn(preset, size, 1, 4, count) for _ in range(rounds)]
            numbers = pretraining.layout(config).size
            moved = 2 * planning.BYTES * numbers * (size - 1) / size
            network = moved / min(each["sent"] for each in turns) if size > 1 else 1.0
            planned = planning.plan(config, size, network, speeds, case.batch, case.tokens)
            seconds = planned.seconds - planned.examples  # these tokens are there already
            slower = max(1.0, size / common.available_cores())  # more ranks than cores take turns
            step = common.median([each["step"] for each in turns])
            found.append({"preset": preset, "ranks": size, "planned, ms": 1e3 * seconds * slower, "measured, ms": 1e3 * step,
                          "measured/planned": step / seconds / slower})
    common.table(list(found[0]), [list(each.values()) for each in found])
    return found


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
    parser.add_argument("what", choices=("steps", "plan", "kills"))
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="turns of each (default: 5)")
    parser.add_argument("--steps", type=int, default=30, metavar="N", help="steps of a turn (default: 30)")
    parser.add_argument("--count", type=int, default=100, metavar="N", help="kills (default: 100)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the moments of kills follow from it (default: 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go, if not to benchmarks/results/")
    if sys.argv[1:2] == ["turn"]:
        preset, *numbers = sys.argv[2:]
        take(preset, *map(int, numbers))
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
    else:
        result = (steps if args.what == "steps" else plan)(args.rounds, args.steps)
    path = args.json or common.RESULTS / "ranks.json"
    before = read_json(path, dict)["results"] if path.is_file() else {}
    print(common.write("ranks", where, {**before, args.what: result}, path))
    return bool(args.what == "kills" and result["failures"])


if __name__ == "__main__":
    raise SystemExit(main())
