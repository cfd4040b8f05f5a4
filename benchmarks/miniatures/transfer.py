"""Transfer: what hidden states and attention, layer by layer, add to the teacher's softened answers."""

from __future__ import annotations

from benchmarks.miniatures import _students
from benchmarks.miniatures._training import mean

ASKS = ("A student of two layers, begun fresh, learns from a teacher of four on the default corpus by its softened answers, its "
        "hidden states and where its heads look, beside the same student by the softened answers alone.")
CRITERION = "At equal steps at least 0.1 nats a hidden word less on held-out text, as a mean over the seeds."


def run(seed: int) -> dict[str, float]:
    found = {"soft targets, nats": _students.loss(seed, "--soft", 1),
             "with states and attention, nats": _students.loss(seed, "--soft", 1, "--states", 1, "--attentions", 1)}
    return {**found, "gained": found["soft targets, nats"] - found["with states and attention, nats"]}


def met(rows: list[dict[str, float]]) -> bool:
    """Whether the mean over the seeds keeps to the criterion."""
    return mean(rows, "gained") >= 0.1
