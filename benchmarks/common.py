"""What every benchmark shares: turns that alternate, the machine in words, a table, a JSON file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TextIO

from minibert.files import write_atomically
from minibert.workers import available_cores, describe_blas

PACKAGES = ("numpy", "torch", "transformers", "tokenizers", "onnxruntime", "openvino", "cupy-cuda12x")
KEEP = {"MALLOC_TRIM_THRESHOLD_": str(2**31 - 1), "MALLOC_MMAP_MAX_": "0", "MALLOC_ARENA_MAX": "1"}  # as keep_freed_memory does
QUIET = 1.0  # cores that others may keep busy while a clock is read
RESULTS = Path(__file__).resolve().parent / "results"


def arguments(description: str, **extra: Any) -> argparse.ArgumentParser:
    """A parser with what all commands have: ``--threads``, ``--rounds``, ``--json``."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter, **extra)
    parser.add_argument("--threads", type=int, default=available_cores(), help="threads, the same for every competitor")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each competitor; the median counts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go, if not to benchmarks/results/")
    return parser


def machine(threads: int) -> dict[str, Any]:
    """Where the figures were measured."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"date": date.today().isoformat(), "cpu": _cpu(), "cores": available_cores(), "threads": threads, "memory": _memory(),
            "system": f"{platform.system()} {platform.machine()}", "python": platform.python_version(), "blas": describe_blas(),
            **packages}


def describe(where: Mapping[str, Any]) -> str:
    """The same in two lines."""
    packages = [f"{name} {where[name]}" for name in PACKAGES if name in where]
    return (f"{where['cpu']}, {where['threads']} of {where['cores']} cores, {where['memory']}, {where['system']}, "
            f"{where['date']}\nPython {where['python']}, {', '.join(packages)}, {where['blas']}")


class Watch:
    """What other processes do from now on. Clocks are compared where they keep less than ``QUIET`` cores busy."""

    def __init__(self) -> None:
        self.began, self.busy, self.own = time.monotonic(), _busy(), processor_seconds()

    def others(self) -> float | None:
        """Cores that others kept busy so far, as a mean; None where the system does not count them (it is Linux that does)."""
        if self.busy is None:
            return None
        return max(0.0, (_busy() - self.busy - (processor_seconds() - self.own)) / max(1e-9, time.monotonic() - self.began))

    def verdict(self) -> str:
        """Whether times on the clock count."""
        others = self.others()
        if others is not None and others < QUIET:
            return f"Other processes kept {others:.2f} cores busy meanwhile."
        what = "what other processes did is unknown here" if others is None else f"other processes kept {others:.1f} cores busy"
        return (f"No verdict by the clock: {what}, and less than {QUIET:g} was asked. Run this again on "
                "an idle machine; processor time counts in any case.")


def _busy() -> float | None:
    """Seconds that all cores together have worked since the machine started."""
    if sys.platform != "linux":
        return None
    with open("/proc/stat", encoding="utf-8") as lines:
        user, nice, system, *_ = map(int, next(lines).split()[1:])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def processor_seconds() -> float:
    """Of this process, and of those that it has started and that have ended (Windows does not count these)."""
    return sum(os.times()[:4])


class Rival:
    """A competitor in a process of its own, as it would run alone: its threads, its allocator, its memory.

    The process is ``python -m module options`` and calls ``serve``. ``environment`` is added to this process's own.
    """

    def __init__(self, module: str, *options: str, environment: Mapping[str, str] | None = None) -> None:
        self.name = " ".join([module, *options])
        self.process = subprocess.Popen([sys.executable, "-m", module, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, encoding="utf-8", env={**os.environ, **(environment or {})})
        self.peak_before = int(self._answer())  # bytes, with all that it imports and before its first turn

    def turn(self, kind: int = 0) -> float:
        """Seconds of one turn of a kind. ``.cpu``: of the processor in that turn, ``.cpu_in_all``: since the process began."""
        seconds, self.cpu, self.cpu_in_all = map(float, self._ask(str(kind)).split())
        return seconds

    def close(self) -> int:
        """Ends the process; the most memory it has held, in bytes (0 where that cannot be told)."""
        peak = int(self._ask("end"))
        self.process.wait()
        return peak

    def _ask(self, what: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended early, with status {self.process.wait()}")
        return line


def serve(*turns: Callable[[], Any]) -> None:
    """The other side of ``Rival``: one turn, of the kind that it names, for every line that arrives."""
    print(own_peak(), flush=True)
    for line in sys.stdin:
        if line.strip() == "end":
            print(own_peak(), flush=True)
            return
        began, before = time.perf_counter(), time.process_time()
        turns[int(line)]()
        print(time.perf_counter() - began, time.process_time() - before, time.process_time(), flush=True)


def alternate(rivals: Mapping[str, Rival], rounds: int, warmup: int = 2, kind: int = 0,
              cpu: bool = False) -> dict[str, list[float]]:
    """Seconds of each turn of a kind. Every round gives each rival one turn, beginning with another one each time.

    A slow minute of the machine then hits all alike. ``cpu``: seconds of the processor, which on a machine that others use
    still say something.
    """
    names = list(rivals)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-warmup, rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            time.sleep(0.03)  # threads of the turn before stop spinning meanwhile
            took = rivals[name].turn(kind)
            if number >= 0:
                seconds[name].append(rivals[name].cpu if cpu else took)
        progress(f"round {max(number + 1, 0)} of {rounds}")
    progress("")
    return seconds


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def ratio(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    """The median of the ratios round by round: both sides of each were measured within the same moment."""
    return statistics.median(a / b for a, b in zip(numerator, denominator))


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], file: TextIO | None = None) -> None:
    """Columns under their heads, numbers to the right: readable as it is, and as Markdown."""
    cells = [[_cell(value) for value in row] for row in rows]
    text = [all(isinstance(row[i], str) for row in rows) for i in range(len(head))]
    wide = [max(len(line[i]) for line in [list(head), *cells]) for i in range(len(head))]

    def line(values: Sequence[str]) -> str:
        return "| " + " | ".join(v.ljust(w) if t else v.rjust(w) for v, w, t in zip(values, wide, text)) + " |"

    rule = "|" + "|".join("-" * (w + 2) if t else "-" * (w + 1) + ":" for w, t in zip(wide, text)) + "|"
    print("\n".join([line(list(head)), rule, *map(line, cells)]), file=file or sys.stdout, flush=True)


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"


WHOLE = Watch()  # since the command began


def write(name: str, where: Mapping[str, Any], results: Any, path: Path | None = None) -> Path:
    """The figures as JSON, beside the machine they belong to and what else it did. Returns where they are."""
    print(f"\n{WHOLE.verdict()}", flush=True)
    path = path or RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"benchmark": name, "machine": dict(where), "others": WHOLE.others(), "results": results}
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    write_atomically(path, text.encode("utf-8"))
    return path


def records(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of figures that grows run by run."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def keep(path: Path, record: Mapping[str, Any], which: Sequence[str]) -> None:
    """Add a line; an older one that says the same of ``which`` goes."""
    others = [other for other in records(path) if any(other[key] != record[key] for key in which)]
    write_atomically(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in [*others, record]))


def progress(text: str) -> None:
    """A line on the terminal that the next one replaces."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def own_peak() -> int:
    """The most memory this process has held so far, in bytes; 0 on Windows, which keeps another count."""
    if sys.platform == "win32":
        return 0
    if sys.platform == "linux":  # where ru_maxrss begins with what the process held that started this one
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def need(*packages: str) -> None:
    """Ends the command with a clear line where a peer is not installed."""
    missing = []
    for name in packages:
        try:
            version(name)
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        sys.exit(f'error: this compares with {", ".join(missing)}, not installed here: pip install -e ".[oracle]"')


def _cpu() -> str:
    if sys.platform == "linux":
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    if sys.platform == "darwin":
        asked = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False)
        return asked.stdout.strip()
    return platform.processor() or platform.machine()


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    except (AttributeError, ValueError, OSError):
        return "memory unknown"
