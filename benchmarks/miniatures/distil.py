"""Distillation: what a student of masked words gains from its teacher's softened answers and last state."""

from __future__ import annotations

from benchmarks.miniatures import _students
from benchmarks.miniatures._training import mean

ASKS = ("A student of two layers, begun fresh, learns from a teacher of four on the default corpus by DistilBERT's three losses, "
        "beside the same student on the same steps by the hidden words alone.")
CRITERION = "At equal steps at least 0.05 nats a hidden word less on held-out text, as a mean over the seeds."


def run(seed: int) -> dict[str, float]:
    found = {"alone, nats": _students.loss(seed, "--hard", 1),
             "distilled, nats": _students.loss(seed, "--soft", 5, "--hard", 2, "--cosine", 1)}
    return {**found, "gained": found["alone, nats"] - found["distilled, nats"]}


def met(rows: list[dict[str, float]]) -> bool:
    """Whether the mean over the seeds keeps to the criterion."""
    return mean(rows, "gained") >= 0.05
