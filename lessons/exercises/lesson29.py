"""The exercises of lesson 29, calibration, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lessons.check import Wrong, close, exercise, expect


def _guesses(seed: int, count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([29, seed])
    sure = rng.uniform(0.2, 1, count)
    return sure, rng.random(count) < sure**1.5


def _logits(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([290, seed])
    labels = rng.integers(0, 4, 80)
    return 3 * (rng.standard_normal((80, 4)) + np.eye(4)[labels]), labels


def _loss(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    z = logits / temperature
    return float((np.log(np.exp(z).sum(1)) - z[np.arange(len(z)), labels]).mean())


@exercise("(sure, right, bins)", look="The plain-loop version", level="medium")
def calibration_error(answer: Callable[..., Any]) -> None:
    """The ECE. sure (N,): confidences, none of them on an edge; right (N,): True or False; bins: so many of equal width from 0 to
    1. An empty bin counts nothing."""
    for seed, bins in enumerate((10, 5, 15)):
        sure, right = _guesses(seed)
        at, expected, unweighted = np.floor(sure * bins).astype(int), 0.0, 0.0
        for b in set(at.tolist()):
            gap = abs(right[at == b].mean() - sure[at == b].mean())
            expected += (at == b).mean() * gap
            unweighted += gap
        got = answer(sure.copy(), right.copy(), bins)
        if got is not None and np.isclose(got, unweighted):
            raise Wrong("this is the sum over bins; a bin counts by its share of the guesses")
        close(got, expected, f"{bins} bins", 1e-9)


@exercise("(c, bins)", look="The plain-loop version", level="easy")
def both_bins(answer: Callable[..., Any]) -> None:
    """Into which bin, counted from 0, does a confidence c fall? Give the pair (bin, where bins hold their upper edge; bin, where
    they hold their lower edge). c is more than 0 and less than 1. Example: 0.5 with 4 bins gives (1, 2)."""
    for c, bins in ((0.5, 4), (0.75, 4), (0.3, 2), (0.25, 8), (0.9, 4), (0.5, 2)):
        expected = (int(np.ceil(c * bins)) - 1, int(np.floor(c * bins)))
        got = tuple(answer(c, bins))
        expect(got == expected, f"{c} with {bins} bins: expected {expected}, got {got}")


@exercise("(sure, draws, rng)", look="A floor above 0", level="hard")
def floor_of_error(answer: Callable[..., Any]) -> None:
    """What ECE, with 10 bins and on average, has a model with these confidences (N,) which is right just as often as it is sure?
    Draw `draws` times with the generator rng who is right, and take the mean. No confidence is on an edge."""
    for seed in range(2):
        sure, _ = _guesses(10 + seed, 80)
        at, rng = np.floor(sure * 10).astype(int), np.random.default_rng(5)
        many = []
        for _ in range(1000):
            gap = (rng.random(80) < sure) - sure
            many.append(np.abs(np.bincount(at, gap, 10)).sum() / 80)
        got = answer(sure.copy(), 400, np.random.default_rng(seed))
        expect(np.ndim(got) == 0, "expected one number")
        expected, error = np.mean(many), np.std(many) / 20
        expect(abs(float(got) - expected) < 6 * error, f"expected about {expected:.3f}, got {float(got):.3f}")


@exercise("(logits, labels)", look="One number mends it: a temperature", level="hard")
def best_temperature(answer: Callable[..., Any]) -> None:
    """Of τ = 0.1, 0.2, … 5.0, the one for which the mean cross-entropy of softmax(logits / τ) is least. logits (N, C), labels
    (N,)."""
    for seed in range(3):
        logits, labels = _logits(seed)
        grid = np.arange(1, 51) / 10
        expected = grid[np.argmin([_loss(logits, labels, one) for one in grid])]
        got = answer(logits.copy(), labels.copy())
        if got is not None and np.isclose(got, grid[np.argmin([_loss(logits, labels, 1 / one) for one in grid])], atol=1e-6):
            raise Wrong("this multiplies the logits by τ; divide")
        close(got, expected, "the temperature", 1e-6)


@exercise("(labels, classes, s)", look="Label smoothing", level="easy")
def soft_targets(answer: Callable[..., Any]) -> None:
    """Targets (N, C) of labels (N,): 1 − s for the right class; the other classes share s."""
    labels = np.array([2, 0, 1, 1])
    for classes, s in ((3, 0.1), (5, 0.2)):
        expected = np.full((4, classes), s / (classes - 1))
        expected[np.arange(4), labels] = 1 - s
        got = answer(labels.copy(), classes, s)
        every = np.full((4, classes), s / classes)
        every[np.arange(4), labels] += 1 - s
        if np.shape(got) == every.shape and np.allclose(got, every):
            raise Wrong("here all classes share s, the right one too; that is the other kind")
        close(got, expected, "the targets", 1e-12)
