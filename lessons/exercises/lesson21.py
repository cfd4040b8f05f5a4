"""The exercises of lesson 21, a relative is a table, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from lessons.check import Wrong, close, exercise, expect
from minibert.config import BertConfig
from minibert.layers import neighbours
from minibert.model import blocks


@exercise("(words, hidden)", look="Toy numbers", level="easy")
def widest_that_pays(answer: Callable[..., Any]) -> None:
    """The largest width e of a factorised table (words × e, and a linear layer with bias from e to hidden) that has *fewer*
    numbers than one table of words × hidden. Example: widest_that_pays(10, 4) gives 2."""
    for words, hidden in ((10, 4), (30522, 768), (100, 100), (7, 300), (5000, 64)):
        right = max(e for e in range(hidden + 1) if words * e + e * hidden + hidden < words * hidden)
        got = answer(words, hidden)
        if got == right + 1:
            raise Wrong(f"{words} words, {hidden} numbers: at {got} it is no longer fewer; is the bias in it?")
        expect(got == right, f"{words} words, {hidden} numbers: expected {right}, got {got}")


@exercise("(x)", look="Gradient check", level="medium")
def with_neighbours(answer: Callable[..., Any]) -> None:
    """Each token's vector beside its neighbours': x (B, T, H) -> (B, T, 3·H), first the token after, then itself, then the token
    before; zeros where there is none."""
    rng = np.random.default_rng(212)
    for shape in ((2, 5, 3), (1, 1, 4), (3, 2, 1)):
        x = rng.standard_normal(shape)
        right, _ = neighbours.forward(x)
        got = np.asarray(answer(x.copy()))
        expect(got.shape == right.shape, f"x of shape {shape}: expected {right.shape}, got {got.shape}")
        parts = np.split(got, 3, axis=-1)
        if shape[1] > 1 and np.allclose(np.concatenate(parts[::-1], -1), right):
            raise Wrong("before and after are exchanged")
        rolled = [np.roll(x, s, axis=1) for s in (-1, 0, 1)]
        if shape[1] > 2 and np.allclose(got, np.concatenate(rolled, -1)):
            raise Wrong("the first token is no neighbour of the last: np.roll goes round")
        close(got, right, f"x of shape {shape}", 1e-12)


@exercise("(hidden, inside, intermediate, networks)", look="Fewer numbers is not less work", level="medium")
def work_of_a_bottleneck(answer: Callable[..., Any]) -> None:
    """Multiplications for one token in a block of MobileBERT: the numbers of all its matrices. Two go down from hidden to inside
    (one for the state, one that queries and keys share); query, key and the attention's output are inside × inside, value reads
    hidden; then so many feed-forward networks between inside and intermediate; one matrix goes up again."""
    for hidden, inside, intermediate, networks in ((512, 128, 512, 4), (64, 16, 48, 1), (30, 30, 7, 2)):
        config = BertConfig(hidden_size=hidden, bottleneck_size=inside, intermediate_size=intermediate, ffn_count=networks,
                            attention_reads="shared", num_attention_heads=2)
        right = sum(prod(shape) for shape in blocks.of(config).shapes(config).values() if len(shape) == 2)
        got = answer(hidden, inside, intermediate, networks)
        if got != right and got == right - hidden * inside + inside * inside:
            raise Wrong("the values are made from the wide state, not from the narrow one")
        expect(got == right, f"{hidden}, {inside}, {intermediate}, {networks}: expected {right:,}, got {got}")
