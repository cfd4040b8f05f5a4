"""A run, read from its folder while it trains and afterwards: nothing passes between the two but files."""

from __future__ import annotations

import base64
import csv
import os
import re
from pathlib import Path

import numpy as np

from minibert.training import probes
from minibert.training.trainer import read_rows

_FLOORS = {"ln_vocabulary": r"loss of blind guessing +([\d.]+)", "unigram_loss": r"loss by frequency alone +([\d.]+)"}


class Run:
    """``report()``: what ``/api/watch`` answers."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise FileNotFoundError(f"{folder}: there is no such folder; give that of a run, such as runs/2026-11-22-221903")

    def report(self) -> dict:
        """Curves, floors and probes so far. Where the folder is gone or a file damaged, ``message`` says so."""
        message, head, records, rows = None, {}, [], []
        if not self.folder.is_dir():
            message = f"The folder {self.folder} is gone. What was read before is still shown."
        else:
            try:
                rows = read_rows(self.folder / "metrics.csv")
                head, records = probes.read(self.folder)
            except (OSError, ValueError, TypeError, csv.Error) as error:
                message = f"The run cannot be read: {error}"
            if not rows and not message:
                message = "The run has not measured anything yet; this page looks again every two seconds."
        measured = {row.step: row for row in rows if row.held_out_mlm_loss is not None}
        evaluations = records or [{"step": step, "probes": []} for step in measured]
        return {"name": self.folder.resolve().name, "rows": [row._asdict() for row in rows], "message": message,
                **{name: head.get(name, self._from_log(pattern)) for name, pattern in _FLOORS.items()},
                "probes": head.get("probes", []),
                "evaluations": [{"step": r["step"], "probes": [_decoded(p) for p in r["probes"]]} for r in evaluations]}

    def _from_log(self, pattern: str) -> float | None:
        """A floor of a run that recorded none, from what its log or its README says."""
        for name in ("log.txt", "README.md"):
            try:
                found = re.search(pattern, (self.folder / name).read_text(encoding="utf-8", errors="replace"))
            except OSError:
                continue
            if found:
                return float(found[1])
        return None


def _decoded(probe: dict) -> dict:
    weights = np.frombuffer(base64.b64decode(probe["attention"]), np.uint8).reshape(probe["shape"])
    return {"guesses": probe["guesses"], "probability": probe["probability"],
            "attention": np.round(weights / 255, 3).tolist()}
