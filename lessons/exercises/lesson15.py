"""The exercises of lesson 15, faster without changing a line of maths, and how they are judged."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from lessons.check import Wrong, close, exercise, expect
from minibert import memory
from minibert.config import BertConfig
from minibert.layers import cross_entropy, gelu, layernorm, linear
from minibert.parameters import NOTHING
from minibert.workers import share_out


@exercise("(parts)", look="The equation", level="medium")
def combine(answer: Callable[..., Any]) -> None:
    """The loss and the gradient of a whole batch from those of its pieces. parts: a list of (loss, gradient, count), where loss
    is the mean over the piece's count rows and gradient that mean's gradient, an array. The pieces differ in size, and some have
    a count of 0 (loss 0). Returns (loss, gradient), those of the mean over all rows."""
    rng = np.random.default_rng(151)
    x, labels = rng.standard_normal((9, 4)), rng.integers(0, 4, 9)
    labels[[0, 1]] = cross_entropy.IGNORE
    p = {"weight": rng.standard_normal((4, 4)), "bias": rng.standard_normal(4)}

    def mean(rows: slice) -> tuple[float, np.ndarray, int]:
        g = {name: np.zeros_like(value) for name, value in p.items()}
        logits, first = linear.forward(x[rows], p)
        loss, second = cross_entropy.forward(logits, labels[rows])
        linear.backward(cross_entropy.backward(1.0, second), first, p, g)
        return float(loss), g["weight"], int((labels[rows] != cross_entropy.IGNORE).sum())

    parts = [mean(slice(*ends)) for ends in ((0, 2), (2, 3), (3, 7), (7, 9))]
    loss, gradient, _ = mean(slice(0, 9))
    kept = [part[1].copy() for part in parts]
    got = answer(parts)
    expect(isinstance(got, tuple | list) and len(got) == 2, f"expected (loss, gradient), got {type(got).__name__}")
    if np.isclose(got[0], np.mean([part[0] for part in parts])):
        raise Wrong("that is the mean of the means: a piece with one row must not count as much as one with four")
    close(got[0], loss, "the loss", 1e-12)
    close(got[1], gradient, "the gradient", 1e-12)
    expect(all(np.array_equal(a, part[1]) for a, part in zip(kept, parts)), "the pieces' own gradients were overwritten")


@exercise("(weights, workers)", look="Threads", level="medium")
def heaviest_load(answer: Callable[..., Any]) -> None:
    """Micro-batches with these weights are shared out by the lesson's rule: heaviest first, each to the worker that has the least
    so far. Returns the largest sum of weights that a worker gets: the step takes as long.
    Example: heaviest_load([9, 7, 6, 5, 4], 2) gives 17."""
    rng = np.random.default_rng(152)
    for weights, workers in [([9, 7, 6, 5, 4], 2), ([4, 5, 6, 7, 9], 2), ([3], 4), ([5, 5, 5, 5], 3),
                             (rng.integers(1, 100, 30).tolist(), 4), (rng.integers(1, 100, 17).tolist(), 5)]:
        expected = max(map(sum, share_out(weights, weights, workers)))
        got = answer(list(weights), workers)
        shown = weights if len(weights) < 6 else f"{len(weights)} weights"
        expect(got is not None and int(got) == expected,
               f"{shown}, {workers} workers: got {got}, but by the rule the busiest worker has {expected}"
               + ("; sort them first: the heaviest goes first" if weights == [4, 5, 6, 7, 9] else ""))


@exercise("(work, peak, bandwidth)", look="The roofline", level="easy")
def least_seconds(answer: Callable[..., Any]) -> None:
    """Work is a list of (operations, bytes), done one after the other. On a machine of so many operations a second (peak) and
    bytes a second (bandwidth), each of them takes at least as long as its slower half. How many seconds does all of it take at
    least? Example: least_seconds([(10, 2), (1, 8)], 10, 4) gives 3.0: one second of arithmetic, then two of memory."""
    rng = np.random.default_rng(153)
    cases = [([(10, 2), (1, 8)], 10, 4), ([(5, 5)], 1, 2), ([], 3, 3)]
    cases += [([tuple(row) for row in rng.uniform(1, 100, (6, 2))], rng.uniform(1, 9), rng.uniform(1, 9)) for _ in range(5)]
    for work, peak, bandwidth in cases:
        times = np.array(work).reshape(-1, 2) / [peak, bandwidth]
        got = answer(list(work), peak, bandwidth)
        if len(work) > 1 and got is not None and np.isclose(got, times.sum(0).max()):
            raise Wrong("that is the slower of the two sums; but while one operation waits for memory, no other one computes")
        if len(work) > 1 and got is not None and np.isclose(got, times.sum()):
            raise Wrong("that adds both halves: arithmetic and memory of one operation go on at the same time")
        close(got, times.max(1).sum(), f"the seconds for {len(work)} operations", 1e-9)


class _Cache:
    """Something that can be counted while it lives."""

    def __init__(self, content: Any) -> None:
        self.content = content


class _Stack:
    """Blocks that count how often they run, and how many of their caches are alive at once."""

    def __init__(self, count: int, rng: np.random.Generator) -> None:
        self.p = [{"weight": rng.standard_normal((5, 5)) * 0.5, "bias": rng.standard_normal(5)} for _ in range(count)]
        self.norm = {"weight": rng.standard_normal(5), "bias": np.zeros(5)}
        self.blocks = [(partial(self.forward, i), partial(self.backward, i)) for i in range(count)]
        self.alive: weakref.WeakSet = weakref.WeakSet()
        self.reset()

    def reset(self) -> None:
        self.most, self.runs = 0, [0] * len(self.p)

    def forward(self, i: int, x: np.ndarray) -> tuple[np.ndarray, _Cache]:
        u, first = linear.forward(x, self.p[i])
        a, second = gelu.forward(u)
        y, third = layernorm.forward(a + x, self.norm)
        cache = _Cache((i, first, second, third))
        self.alive.add(cache)
        self.most = max(self.most, len(self.alive))
        self.runs[i] += 1
        return y, cache

    def backward(self, i: int, dy: np.ndarray, cache: Any) -> np.ndarray:
        expect(isinstance(cache, _Cache) and cache.content[0] == i, f"backward of block {i}: expected the cache of block {i}")
        _, first, second, third = cache.content
        dx = layernorm.backward(dy, third, self.norm, NOTHING)
        return dx + linear.backward(gelu.backward(dx, second), first, self.p[i], NOTHING)


@exercise("(blocks, x, dy, every)", look="Memory", level="hard")
def sparse_backward(answer: Callable[..., Any]) -> None:
    """The gradient dx of a long stack with few caches. blocks: a list of (forward, backward), where forward(x) returns (y, cache)
    and backward(dy, cache) returns dx. On the way forward keep only what goes into the blocks 0, every, 2·every, … On the way
    back, run each stretch of ``every`` blocks forward again from there, and then backward. Never more than ``every`` caches may
    be alive at once, and each forward may run at most twice. Returns dx."""
    rng = np.random.default_rng(154)
    for count, every in ((6, 2), (7, 3), (5, 5), (4, 1)):
        stack, what = _Stack(count, rng), f"{count} blocks, every = {every}"
        x, dy = rng.standard_normal((2, 3, 5)), rng.standard_normal((2, 3, 5))
        slope = _slope(stack, x, dy)
        stack.reset()
        dx = answer(list(stack.blocks), x.copy(), dy.copy(), every)
        expect(np.shape(dx) == x.shape, f"{what}: expected dx of shape {x.shape}, got {np.shape(dx)}")
        close(np.sum(dx * slope[0]), slope[1], f"{what}: the slope that dx gives along a random direction", 1e-7)
        expect(max(stack.runs) <= 2, f"{what}: a forward ran {max(stack.runs)} times; go forward from the kept input, not from x")
        expect(stack.most <= every, f"{what}: {stack.most} caches were alive at once; drop them on the way forward, and those of "
                                    "a stretch before the next one begins")


def _slope(stack: _Stack, x: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, float]:
    """A direction, and the slope of sum(dy·y) along it, measured."""
    direction, h = np.random.default_rng(155).standard_normal(x.shape), 1e-5
    sides = []
    for y in (x + h * direction, x - h * direction):
        for forward, _ in stack.blocks:
            y = forward(y)[0]
        sides.append(np.sum(dy * y))
    return direction, float(sides[0] - sides[1]) / (2 * h)


@exercise(look="Memory", level="medium")
def largest_batch(answer: int) -> None:
    """BERT-base (``BertConfig.preset("base")``) is trained on texts of 128 tokens, all examples of a step at once, on a device of
    16 GiB (16·2³⁰ bytes). How many examples fit, by the formulas of ``minibert.memory.training``? A whole number."""
    base, limit = BertConfig.preset("base"), 16 * 2**30
    expect(isinstance(answer, (int, np.integer)), f"expected a whole number, got {answer!r}")
    expect(answer >= 1, f"expected at least 1, got {answer}")
    if memory.total(memory.training(base, int(answer), 128)) > limit:
        raise Wrong(f"{answer} examples take {memory.total(memory.training(base, int(answer), 128)) / 2**30:.2f} GiB: too many")
    more = memory.total(memory.training(base, int(answer) + 1, 128))
    expect(more > limit, f"one example more takes {more / 2**30:.2f} GiB, which fits as well")
