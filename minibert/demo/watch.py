"""A run, read from its folder while it trains and afterwards: nothing passes between the two but files.

The page looks again every two seconds, so it is sent what it draws: curves of at most a thousand points, and one sentence at one
evaluation.
"""

from __future__ import annotations

import math
import os
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from minibert.analysis import probes
from minibert.training.loop import METRICS, Row, read_rows

POINTS = 1000  # of a curve: more than a screen has beside each other
LARGEST = {METRICS: 16 << 20, probes.FILE: 256 << 20}  # bytes; those of a run stay far below
LOG_BYTES = 1 << 20  # of a log: the floors stand near its beginning
RIGHT = re.compile(r"(?:held_out|dev)_(?!subset_)(.+)_(accuracy|found)")  # the columns of several tasks
ONE_OF = re.compile(r"(?!dev_|held_out_).+_loss")  # of a step that reads one task of several
LOSSES = {"training": ("mlm_loss", "loss"), "held_out": ("held_out_mlm_loss", "dev_loss")}  # of pre-training, of fine-tuning
_FLOORS = {"ln_vocabulary": r"loss of blind guessing +([0-9]+\.[0-9]+)",
           "unigram_loss": r"loss by frequency alone +([0-9]+\.[0-9]+)", "best_loss": r"best possible loss +([0-9]+\.[0-9]+)"}


class Run:
    """``report()``: what ``/api/watch`` answers."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise FileNotFoundError(f"{folder}: there is no such folder; give that of a run, such as runs/2026-11-22-221903")
        self._kept: dict[str, tuple] = {}  # of each file: when it was written, and what was read from it
        self._lock = threading.Lock()

    def report(self, step: int | None = None, probe: int = 0) -> dict:
        """Curves, floors, and what the run made of sentence ``probe`` at ``step``, or at the last evaluation before it.

        Without ``step`` at the last one. Where the folder is gone or a file damaged, ``message`` says so.
        """
        said, curves, head, records = [], {"training": [], "held_out": [], "tasks": {}}, {}, []
        if not self.folder.is_dir():
            said.append(f"The folder {self.folder} is gone. What was read before is still shown.")
        else:
            with self._lock:
                try:
                    curves, left_out = self._read(METRICS, lambda path: _curves(read_rows(path)), (curves, 0))
                    if left_out:
                        said.append(f"{left_out:,} figures of the losses are no finite numbers; the curves leave them out.")
                    head, records = self._read(probes.FILE, lambda path: probes.read(path.parent), ({}, []))
                except (OSError, ValueError) as error:
                    said.append(f"The run cannot be read: {error}")
            if not (said or any(curves.values())):
                said.append("The run has not measured anything yet; this page looks again every two seconds.")
        steps = [record["step"] for record in records] or [at for at, _ in curves["held_out"]]
        return {"name": self.folder.resolve().name, "message": " ".join(said) or None, **curves, "steps": steps,
                **{name: head[name] if name in head else self._from_log(pattern) for name, pattern in _FLOORS.items()},
                "probes": [p["text"] for p in head.get("probes", [])], **_shown(head, records, steps, step, probe)}

    def _read(self, name: str, read: Callable[[Path], Any], nothing: Any) -> Any:
        """What a file says, read again when it has changed; ``nothing`` where there is none."""
        path = self.folder / name
        if not path.is_file():
            return nothing
        found = path.stat()
        if found.st_size > LARGEST[name]:
            raise ValueError(f"{path} has {found.st_size >> 20:,} MiB; of a run it has far less than {LARGEST[name] >> 20}")
        written = found.st_mtime_ns, found.st_size, found.st_ino
        if name not in self._kept or self._kept[name][0] != written:
            self._kept[name] = written, read(path)
        return self._kept[name][1]

    def _from_log(self, pattern: str) -> float | None:
        """A floor of a run that recorded none, from what its log or its README says."""
        for name in ("log.txt", "README.md"):
            try:
                with open(self.folder / name, encoding="utf-8", errors="replace") as file:
                    found = re.search(pattern, file.read(LOG_BYTES))
            except OSError:
                continue
            if found:
                return float(found[1])
        return None


def _curves(rows: Sequence[Row]) -> tuple[dict[str, Any], int]:
    """The points of both losses, and how many figures are left out because they are no finite numbers.

    ``tasks``: by what is asked, the points of the percentage that is right, or found, on held-out text.
    """
    figures = {name: [(row["step"], row[column]) for row in rows for column in columns if row.get(column) is not None]
               for name, columns in LOSSES.items()}
    figures["training"] = figures["training"] or [
        (row["step"], value) for row in rows for name, value in row.items() if ONE_OF.fullmatch(name) and value is not None]
    columns = [column for column in dict.fromkeys(name for row in rows for name in row) if RIGHT.fullmatch(column)]
    shares = {_task(column): [(row["step"], 100 * row[column]) for row in rows if row.get(column) is not None]
              for column in columns}
    left_out = sum(not _drawn(point) for some in figures.values() for point in some)
    curves, tasks = ({name: _thinned([*filter(_drawn, some)]) for name, some in group.items()} for group in (figures, shares))
    return {**curves, "tasks": tasks}, left_out


def _drawn(point: tuple[int, float]) -> bool:
    return point[0] < 2**53 and math.isfinite(point[1])


def _task(column: str) -> str:
    name, figure = RIGHT.fullmatch(column).groups()
    return f"{'masked words' if name == 'mlm' else name.replace('_', ' ')}{', found' * (figure == 'found')}"


def _thinned(points: list) -> list:
    """Every n-th point, the last one among them."""
    return points[::-max(1, math.ceil(len(points) / POINTS))][::-1]


def _shown(head: dict, records: list[dict], steps: list[int], step: int | None, probe: int) -> dict:
    """The evaluation that was asked for, and the sentence, where the run recorded any."""
    if not steps:
        return {"step": None, "shown": None}
    at = len(steps) - 1 if step is None else max((i for i, s in enumerate(steps) if s <= step), default=0)
    if not (records and head["probes"]):
        return {"step": steps[at], "shown": None}
    probe = min(probe, len(head["probes"]) - 1)
    found = records[at]["probes"][probe]
    maps = {"shape": found["shape"], "bits": 8, "base64": found["attention"]}
    return {"step": steps[at], "shown": {**head["probes"][probe], "probe": probe, "guesses": found["guesses"],
                                         "probability": found["probability"], "maps": maps}}
