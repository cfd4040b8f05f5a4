"""The exercises of lesson 44, a scoreboard of your own, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lessons.check import Wrong, close, exercise, expect
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS


@exercise("(layers, seeds, ways)", look="Toy numbers", level="easy")
def found_by_luck(answer: Callable[..., Any]) -> None:
    """All layers are alike. The chance that at least one of so many independent ways of looking says, in every seed, that the
    last of so many layers is the largest."""
    for layers, seeds, ways in ((4, 1, 1), (12, 3, 1), (2, 1, 10), (4, 3, 18)):
        never = np.prod([1 - np.prod([1 / layers] * seeds)] * ways)
        got = answer(layers, seeds, ways)
        if got is not None and ways > 1 and np.isclose(got, ways / layers**seeds):
            raise Wrong("chances do not add up: several ways may say yes at once, and the sum may be above 1")
        close(got, 1 - never, f"{layers} layers, {seeds} seeds, {ways} ways", 1e-9)


@exercise("(a, heads, far)", look="The equation", level="medium")
def lift_of_a_map(answer: Callable[..., Any]) -> None:
    """How much more attention goes along edges between words at least ``far`` apart than even attention gives them. a (T, T), of
    words only, need not add up to 1; heads: for each word the place of its head, -1 for the root. An edge counts in both
    directions."""
    rng = np.random.default_rng(441)
    for heads, far in (([1, -1, 1, 1], 1), ([1, -1, 1, 1], 2), ([4, 0, 0, 4, -1, 3, 4], 3)):
        a, T = rng.random((len(heads), len(heads))), len(heads)
        edges = [(i, head) for i, head in enumerate(heads) if head >= 0 and abs(i - head) >= far]
        along = sum(a[i, j] + a[j, i] for i, j in edges) / a.sum()
        right = along / (2 * len(edges) / T**2)
        close(answer(np.ones((T, T)), list(heads), far), 1.0, "even attention", 1e-9)
        got = answer(a.copy(), list(heads), far)
        one_way = sum(a[i, j] for i, j in edges) / a.sum() / (len(edges) / T**2)
        expect(got is None or not np.isclose(got, one_way), "an edge counts in both directions: a[i, j] and a[j, i]")
        close(got, right, f"heads {heads}, from {far} words on", 1e-9)


@exercise("(values, control, margin)", look="The criterion, before looking", level="hard")
def verdict_of_seeds(answer: Callable[..., Any]) -> None:
    """The claim is "a layer in the middle is best". values, control (N, L): of N seeds, of a model and of random weights, by
    layer. "agrees": in every seed the best layer is neither the first nor the last, and above both of these, and above every
    layer of the control, by more than the margin. "contradicts": in every seed the first or the last layer is above all layers
    between, and above every layer of the control, by more than the margin. Else, and with fewer than three seeds or three layers,
    "cannot show at this size"."""
    chance = np.full((3, 4), 1.0)
    middle, first = np.array([[1.0, 2.0, 1.5, 1.2]] * 3), np.array([[2.0, 1.2, 1.1, 1.0]] * 3)
    one_other, near, both = middle.copy(), middle.copy(), first.copy()
    one_other[2] = first[2]
    near[1, 3] = 1.95
    both[1] = [1.0, 1.1, 1.2, 2.0]
    for what, values, control, right in (
            ("the middle, three times", middle, chance, AGREES), ("the first layer, three times", first, chance, CONTRADICTS),
            ("the first layer twice, the last one once", both, chance, CONTRADICTS),
            ("one seed says otherwise", one_other, chance, CANNOT), ("in one seed the last layer is near", near, chance, CANNOT),
            ("two seeds", middle[:2], chance[:2], CANNOT), ("two layers", first[:, :2], chance[:, :2], CANNOT),
            ("random weights do as well", middle, chance + 0.95, CANNOT),
            ("random weights do as well, in another layer", first, np.array([[1.0, 1.0, 1.95, 1.0]] * 3), CANNOT)):
        got = answer(values.copy(), control.copy(), 0.1)
        expect(got in (AGREES, CONTRADICTS, CANNOT), f"expected {AGREES!r}, {CONTRADICTS!r} or {CANNOT!r}, got {got!r}")
        expect(got == right, f"{what}: expected {right!r}, got {got!r}")
