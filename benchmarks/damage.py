"""Damaged and hostile files by the thousand: is each one refused by name, or read rightly, soon and in little memory?

    python -m benchmarks.damage                          # 600 files of each format that is read
    python -m benchmarks.damage --count 2000 --seed 7 --only npz

Every file is a whole one with something done to it: bits and bytes changed, pieces lost, repeated, added; values of its JSON
exchanged for odd ones; and, where the format has checksums, the same done inside and the checksums made right again, as somebody
who means harm would. It is read as the commands read it, in a process of its own with a deadline for each file and a bound on its
memory. What may come of it: an error of one sentence that names the file (``refused``), what was in the whole file
(``as it was``), or, in a format that cannot know, something else (``other``). What may not: another exception or the end of the
process (``crash``), no end in time (``hang``), too much memory (``memory``), or other numbers than were written, without a word,
where a checksum could tell (``wrong``). The files, and what is done to them: ``benchmarks/hostile.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import common
from benchmarks.hostile import FORMATS, Format, damaged

DEADLINE = 10.0  # seconds for one file
ROOM = 512 << 20  # bytes that reading may take
FAILURES = ("crash", "hang", "memory", "wrong")
OUTCOMES = ("refused", "as it was", "other", *FAILURES)


class Trials:
    """Whole files of some formats, and what comes of trial ``i`` of a seed."""

    def __init__(self, names: Sequence[str], seed: int, folder: Path) -> None:
        self.names, self.seed, self.folder = names, seed, folder
        self.whole: dict[str, dict[Path, bytes]] = {}
        self.truth: dict[str, Any] = {}
        for name in names:
            place = folder / name.replace(", ", "-").replace(" ", "-")
            place.mkdir(parents=True)
            files = FORMATS[name].write(place)
            self.whole[name] = {path: path.read_bytes() for path in files}
            self.truth[name] = FORMATS[name].read(place)

    def name(self, i: int) -> str:
        return self.names[i % len(self.names)]

    def harmed(self, i: int) -> tuple[Path, bytes]:
        """The file of trial ``i``, and what is done to it."""
        rng = np.random.default_rng([self.seed, i])
        kind, whole = FORMATS[self.name(i)], self.whole[self.name(i)]
        path = list(whole)[int(rng.integers(len(whole)))]
        harm = kind.harms[int(rng.integers(len(kind.harms)))]
        try:
            return path, harm(whole[path], rng)
        except (UnicodeError, json.JSONDecodeError):  # this harm is not for this file of the format
            return path, damaged(whole[path], rng)

    def run(self, i: int) -> tuple[str, str]:
        """(outcome, message) of trial ``i``."""
        name = self.name(i)
        path, data = self.harmed(i)
        path.write_bytes(data)
        try:
            return self._read(FORMATS[name], name, self.folder / path.relative_to(self.folder).parts[0])
        finally:
            path.write_bytes(self.whole[name][path])

    def _read(self, kind: Format, name: str, folder: Path) -> tuple[str, str]:
        try:
            found = kind.read(folder)
        except (ValueError, OSError) as error:
            return ("refused" if str(folder) in str(error) or any(path.name in str(error) for path in self.whole[name]) else
                    "crash"), f"{type(error).__name__}: {error}"
        except MemoryError as error:
            return "memory", str(error)
        except Exception as error:  # whatever it is: the user would see a traceback
            return "crash", f"{type(error).__name__}: {error}"
        if _equal(found, self.truth[name]):
            return "as it was", ""
        if kind.verified:
            (got, notes), (right, _) = found, self.truth[name]
            said = " ".join(notes)
            if wrong := [tensor for tensor in right if got[tensor] != right[tensor] and tensor not in said]:
                return "wrong", f"{wrong[0]} is not what was written, and nothing was said"
        return "other", ""


def _equal(a: Any, b: Any) -> bool:
    """Is it what was read of the whole file? Weights are compared without the notes."""
    if isinstance(a, tuple) and isinstance(a[0], dict) and len(a) == 2:
        return a[0] == b[0]
    return bool(a == b)


def serve(trials: Trials, start: int, stop: int, pipe: int) -> None:
    """The process that reads: a line for each trial, when it is done. Memory beyond ``ROOM`` is refused it (Linux)."""
    if sys.platform == "linux":
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:
            taken = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (taken + ROOM, taken + ROOM))
    before = common.own_peak()
    with os.fdopen(pipe, "w", encoding="utf-8") as out:
        for i in range(start, stop):
            outcome, message = trials.run(i)
            print(json.dumps([i, outcome, message[:300], common.own_peak() - before]), file=out, flush=True)


def measure(trials: Trials, count: int, deadline: float) -> dict[str, Any]:
    """Outcomes by format, failures in words, and the most memory that reading took."""
    outcomes: dict[str, Counter] = defaultdict(Counter)
    failures: list[dict[str, Any]] = []
    done, peak, began = 0, 0, time.monotonic()

    def note(i: int, outcome: str, message: str) -> None:
        outcomes[trials.name(i)][outcome] += 1
        if outcome in FAILURES:
            failures.append({"trial": i, "format": trials.name(i), "outcome": outcome, "message": message})

    while done < count:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            try:
                serve(trials, done, count, writing)
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb", buffering=0) as pipe:
            rest = b""
            while True:
                ready, _, _ = select.select([pipe], [], [], deadline)
                part = pipe.read(1 << 16) if ready else b""
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    i, outcome, message, memory = json.loads(line)
                    note(i, outcome, message)
                    done, peak = i + 1, max(peak, memory)
                left = (time.monotonic() - began) / max(done, 1) * (count - done)
                common.progress(f"{done:,} of {count:,} files, {len(failures)} failures, {left:.0f} s left")
                if not part:
                    break
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if done < count:
            note(done, "crash" if ready else "hang", "the process ended" if ready else f"no answer in {deadline:g} seconds")
            done += 1
    common.progress("")
    return {"files": count, "seed": trials.seed, "seconds": round(time.monotonic() - began, 1), "peak_bytes": peak,
            "formats": {name: dict(outcomes[name]) for name in trials.names}, "failures": failures}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, metavar="N", help="files in all (default: 600 of each format)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="what is done to which file (default: 0)")
    parser.add_argument("--only", nargs="+", choices=FORMATS, metavar="FORMAT", default=list(FORMATS), help="some formats alone")
    parser.add_argument("--deadline", type=float, default=DEADLINE, metavar="S", help="seconds for one file (default: 10)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go, if not to benchmarks/results/")
    args = parser.parse_args()
    if not hasattr(os, "fork"):
        sys.exit("error: this needs processes that can be copied (POSIX)")
    where = common.machine(1)
    print(common.describe(where))
    with tempfile.TemporaryDirectory(prefix="minibert-") as folder:
        results = measure(Trials(args.only, args.seed, Path(folder)), args.count or 600 * len(args.only), args.deadline)
    rows = [[name, *(found.get(outcome, 0) for outcome in OUTCOMES)] for name, found in results["formats"].items()]
    common.table(["format", *OUTCOMES], [*rows, ["all", *(sum(row[i] for row in rows) for i in range(1, len(OUTCOMES) + 1))]])
    print(f"{results['files']:,} files of {len(rows)} formats, seed {args.seed}, in {results['seconds']:,.0f} s; "
          f"reading took at most {results['peak_bytes'] / 1e6:.0f} MB")
    for failure in results["failures"][:20]:
        print(f"{failure['outcome']}: trial {failure['trial']}, {failure['format']}: {failure['message']}", file=sys.stderr)
    print(common.write("damage", where, results, args.json))
    return bool(results["failures"])


if __name__ == "__main__":
    raise SystemExit(main())
