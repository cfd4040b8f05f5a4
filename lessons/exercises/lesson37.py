"""The exercises of lesson 37, several tasks, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lessons.check import Wrong, close, exercise, expect


@exercise("(sizes, batch)", look="Toy numbers", level="easy")
def batches_of_each(answer: Callable[..., Any]) -> None:
    """sizes: examples of each task; batch: of a step, at most. How many batches each task has in an epoch, a list."""
    for sizes, batch in (([3200, 800, 64], 32), ([100, 1], 32), ([33, 32, 31], 32)):
        right, got = [-(-size // batch) for size in sizes], [int(count) for count in answer(list(sizes), batch)]
        if got == [size // batch for size in sizes] != right:
            raise Wrong(f"{sizes}, {batch}: the last batch of an epoch may be smaller, but it is one")
        expect(got == right, f"{sizes}, {batch}: expected {right}, got {got}")


@exercise("(sizes, alpha)", look="The equation", level="easy")
def chances_of_tasks(answer: Callable[..., Any]) -> None:
    """sizes (N,): examples of each task. The chance of each to be read next, (N,), by the dial alpha."""
    for sizes, alpha in (([3200, 800, 64], 1.0), ([3200, 800, 64], 0.0), ([4, 16], 0.5)):
        shares = np.array(sizes, float) ** alpha
        got = np.array(answer(np.array(sizes), alpha), float)
        if got.shape == shares.shape and alpha not in (0, 1):
            shared = np.array(sizes) / sum(sizes) * alpha
            expect(not np.allclose(got, shared), "alpha is a power, not a factor")
        close(got, shares / shares.sum(), f"{sizes}, alpha {alpha}", 1e-9)


@exercise("(tasks, stages)", look="Two tasks, one encoder", level="medium")
def tasks_of_stages(answer: Callable[..., Any]) -> None:
    """tasks: names, in the order in which they come; stages: "sequential" or "continual". For each stage the list of the tasks
    that are trained in it. Example: ["a", "b"], "continual" gives [["a"], ["a", "b"]]."""
    for tasks in (["a", "b"], ["words", "order", "distance", "kind"], ["one"]):
        for stages in ("sequential", "continual"):
            right = [[name] if stages == "sequential" else tasks[:i + 1] for i, name in enumerate(tasks)]
            got = [list(stage) for stage in answer(list(tasks), stages)]
            expect(got == right, f"{tasks}, {stages}: expected {right}, got {got}")


@exercise("(first, second, before, wanted)", look="Why there is forgetting at all", level="hard")
def change_of_the_first(answer: Callable[..., Any]) -> None:
    """first, second: inputs of two tasks, any vectors but zero; before: what w answers to the second input now; wanted: what it
    shall answer. Gradient descent on the second task alone, until it is solved: how much does the answer to ``first`` change?"""
    rng = np.random.default_rng(37)
    for _ in range(5):
        first, second, w = rng.standard_normal((3, 4))
        wanted = float(rng.standard_normal())
        moved = w + second * (wanted - w @ second) / (second @ second)
        got = answer(first.copy(), second.copy(), float(w @ second), wanted)
        right = float((moved - w) @ first)
        if np.isclose(got, right * (second @ second)):
            raise Wrong("w moves along the second input until the answer is right: a long input needs a shorter way")
        close(got, right, "the change", 1e-9)
