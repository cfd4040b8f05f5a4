"""The exercises of lesson 42, sums have an order, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lessons.check import close, exercise, expect
from minibert.training import lanes


@exercise("(lanes)", look="The tree", level="medium")
def tree_sum(answer: Callable[..., Any]) -> None:
    """lanes: a list of float32 arrays of one shape. Their sum in the order of the tree: the left side has the largest power of
    two of them that leaves some."""
    rng = np.random.default_rng(42)
    for count in (1, 2, 3, 4, 5, 8, 12):
        values = list((10.0 ** rng.integers(-3, 4, (count, 200)) * rng.standard_normal((count, 200))).astype(np.float32))
        plan = lanes.plan(range(count), count)
        right = lanes.join(plan, iter([value.copy() for value in values])) if count > 1 else values[0]
        got = answer([value.copy() for value in values])
        close(got, right, f"the sum of {count}", 1e-4)
        expect(np.array_equal(got, right), f"{count} lanes: right, but not to the last bit; which two are added first?")


@exercise("(numbers, ranks)", look="What travels", level="easy")
def bytes_sent(answer: Callable[..., Any]) -> None:
    """How many bytes a rank sends in a step: gradients out and weights out, float32."""
    for numbers, ranks in ((1000, 1), (1000, 2), (110_000_000, 64)):
        got, right = answer(numbers, ranks), 8 * numbers * (ranks - 1) / ranks
        expect(ranks == 1 or not np.isclose(got, 8 * numbers), "nobody sends a strip to itself")
        expect(ranks == 1 or not np.isclose(got, right / 2), "gradients go out, and weights as well")
        close(got, right, f"{ranks} ranks, {numbers:,} numbers", 1e-9)


@exercise("(numbers, ranks, piece)", look="What travels", level="medium")
def who_owns_what(answer: Callable[..., Any]) -> None:
    """(start, stop) of each rank's strip: side by side, each boundary a multiple of ``piece`` but the end, and no rank with two
    pieces more than another."""
    for numbers, ranks, piece in ((1000, 4, 100), (1001, 2, 100), (950, 3, 100), (50, 2, 100)):
        got = answer(numbers, ranks, piece)
        expect(len(got) == ranks, f"{ranks} ranks, but {len(got)} strips")
        ends = [0, *(stop for _, stop in got)]
        begins = [start for start, _ in got]
        expect(begins == ends[:-1] and ends[-1] == numbers, "each begins where the one before ends, from 0 to n")
        expect(all(end % piece == 0 or end == numbers for end in ends), "a boundary falls within a piece")
        pieces = [-(-stop // piece) + start // -piece for start, stop in got]
        expect(max(pieces) - min(pieces) <= 1, f"pieces by rank: {pieces}")


@exercise("(computing, network)", look="The equation", level="hard")
def worth_it(answer: Callable[..., Any]) -> None:
    """One rank computes a step in ``computing`` seconds, and 2·4·n bytes take the network ``network`` seconds. The smallest
    number of ranks whose sending takes longer than their computing; None where there is none up to 10,000."""
    for computing, network in ((10.0, 4.0), (1.0, 10.0), (700.0, 0.9), (1.0, 1e-9)):
        right = next((ranks for ranks in range(2, 10001) if network * (ranks - 1) / ranks > computing / ranks), None)
        got = answer(computing, network)
        expect(got == right, f"computing {computing} s, network {network} s: {got}, expected {right}")
