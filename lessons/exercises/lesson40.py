"""The exercises of lesson 40, when to stop reading, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lessons.check import close, exercise, expect


@exercise("(shares)", look="The equation", level="easy")
def normalised_entropy(answer: Callable[..., Any]) -> None:
    """shares (C,): probabilities, of which some may be 0. Their entropy as a share of the largest that C classes can have."""
    for shares in ([0.5, 0.5], [0.7, 0.2, 0.1], [1.0, 0.0, 0.0, 0.0], [0.25, 0.75, 0.0]):
        got = answer(np.array(shares))
        expect(np.isfinite(got), f"{shares}: a share of 0 adds nothing")
        right = -sum(share * np.log(share) for share in shares if share) / np.log(len(shares))
        close(got, right, f"{shares}", 1e-9)


@exercise("(unsure, speed)", look="Leaving", level="easy")
def leaves_after(answer: Callable[..., Any]) -> None:
    """unsure: the uncertainty after each layer but the last. After how many layers does a text leave at this speed? At speed 0
    after the last."""
    unsure = [0.9, 0.4, 0.5, 0.1]
    for speed, right in ((1.0, 1), (0.9, 1), (0.89, 2), (0.4, 2), (0.2, 4), (0.05, 5), (0.0, 5)):
        got = answer(unsure, speed)
        expect(got == right, f"unsure {unsure}, speed {speed}: after {right} layers, got {got}")
    got = answer([0.0, 0.0], 0)
    expect(got == 3, f"at speed 0 no branch is asked: after 3 layers, got {got}")


@exercise("(layers, last, layer, branch)", look="What it costs", level="medium")
def work_done(answer: Callable[..., Any]) -> None:
    """layers: after how many layers each text left; a model has ``last``. The products of all texts, where a layer costs
    ``layer`` a text and asking a branch ``branch``. After the last layer stands no branch."""
    for layers, last, layer, branch in (([1, 1, 1], 4, 100, 10), ([4, 4], 4, 100, 10), ([1, 3, 2, 4], 4, 7, 2), ([2], 2, 5, 1)):
        right = sum(layer * n + branch * min(n, last - 1) for n in layers)
        got = answer(list(layers), last, layer, branch)
        expect(got == right, f"layers {layers} of {last}, {layer} a layer, {branch} a branch: {right}, got {got}")


@exercise("(x, mask, stay)", look="A batch shrinks", level="hard")
def shrunk(answer: Callable[..., Any]) -> None:
    """x (B, T, H), mask (B, T) bool: which tokens are real, first ones of each row; stay (B,) bool. States and mask of the texts
    that stay, no wider than the longest of them. A pair."""
    rng = np.random.default_rng(40)
    x = rng.standard_normal((4, 6, 3))
    mask = np.arange(6) < np.array([6, 2, 4, 3])[:, None]
    for stay, width in (([True] * 4, 6), ([False, True, True, False], 4), ([False, True, False, False], 2)):
        stay = np.array(stay)
        got = answer(x.copy(), mask.copy(), stay)
        expect(isinstance(got, tuple) and len(got) == 2, "return a pair: states, mask")
        shape = (int(stay.sum()), width, 3)
        expect(np.shape(got[0]) == shape, f"rows that stay {stay}: states of shape {shape}, got {np.shape(got[0])}")
        close(got[0], x[stay][:, :width], "the states", 1e-12)
        expect((np.asarray(got[1]) == mask[stay][:, :width]).all(), "the mask of the same rows and columns")
