"""The exercises of lesson 26, sharing and factorising, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lessons.check import Wrong, close, exercise, expect
from minibert import memory
from minibert.pretrained import families


@exercise("(gradients, layer_map)", look="Sharing: one gradient, added up", level="easy")
def gradients_of_blocks(answer: Callable[..., Any]) -> None:
    """``gradients[i]`` is what layer i would give its tensor if it were its own; ``layer_map[i]`` says whose tensor it uses.
    Return a list: the gradient of each tensor, in the order of their numbers from 0. The given arrays must stay as they were."""
    rng = np.random.default_rng(211)
    for layer_map in ((0, 0, 0), (0, 1, 2), (0, 1, 0, 1, 2), (1, 0, 0)):
        gradients = [rng.standard_normal((2, 3)) for _ in layer_map]
        before = [d.copy() for d in gradients]
        got = answer(gradients, layer_map)
        kept = all(np.array_equal(a, b) for a, b in zip(gradients, before))
        expect(kept, "a given array was changed: use a new one for the sum")
        count = len(set(layer_map))
        expect(len(got) == count, f"{layer_map}: expected {count} gradients, got {len(got)}")
        for number, d in enumerate(got):
            own = [before[i] for i, whose in enumerate(layer_map) if whose == number]
            if len(own) > 1 and np.allclose(d, sum(own) / len(own)):
                raise Wrong(f"{layer_map}: that is the mean of the layers' gradients; a sum goes back")
            close(d, sum(own), f"{layer_map}, tensor {number}", 1e-12)


@exercise("(d, narrow, matrix)", look="The equation", level="medium")
def gradients_of_factors(answer: Callable[..., Any]) -> None:
    """A table (V, H) is made as narrow @ matrix.T, from narrow (V, e) and matrix (H, e); d (V, H) is the gradient of the loss by
    the table. Return the gradients by narrow and by matrix, as a pair."""
    rng = np.random.default_rng(262)
    for words, hidden, width in ((7, 5, 2), (3, 8, 4), (4, 4, 4)):
        d, narrow, matrix = (rng.standard_normal(size) for size in ((words, hidden), (words, width), (hidden, width)))
        pair = answer(d.copy(), narrow.copy(), matrix.copy())
        expect(isinstance(pair, tuple) and len(pair) == 2, "expected a pair: the gradient by narrow and that by matrix")
        for what, got, like in (("narrow", pair[0], narrow), ("matrix", pair[1], matrix)):
            right = d @ matrix if what == "narrow" else d.T @ narrow
            if np.shape(got) == right.T.shape != right.shape:
                raise Wrong(f"by {what}: it has the shape of {what}, {like.shape}; this one is transposed")
            close(got, right, f"by {what}", 1e-9)


@exercise("(words, narrow, hidden, blocks)", look="By formula, and as `info` counts", level="medium")
def numbers_of_albert(answer: Callable[..., Any]) -> None:
    """The numbers of an ALBERT without heads, but with its pooler: a vocabulary of ``words``, tables of ``narrow`` numbers, 512
    positions and 2 token types, a feed-forward part of 4 · hidden, and so many blocks, whatever the number of layers.
    Example: numbers_of_albert(30000, 128, 768, 1) gives 11683584."""
    for words, narrow, hidden, blocks in ((30000, 128, 768, 1), (30000, 128, 1024, 1), (5000, 64, 256, 3)):
        config = families.preset("albert", "base", vocab_size=words, embedding_size=narrow, hidden_size=hidden,
                                 intermediate_size=4 * hidden, layer_map=tuple(i % blocks for i in range(12)),
                                 num_attention_heads=hidden // 64)
        right, got = memory.parameter_counts(config)["encoder"], answer(words, narrow, hidden, blocks)
        if got == right - hidden * hidden - hidden:
            raise Wrong(f"{words}, {narrow}, {hidden}, {blocks}: the pooler is missing, hidden · hidden + hidden")
        expect(got == right, f"{words}, {narrow}, {hidden}, {blocks}: expected {right:,}, got {got}")


@exercise("(table, width)", look="What a narrow table cannot say", level="hard")
def least_lost(answer: Callable[..., Any]) -> None:
    """The least that a product of two matrices, (V, width) and (width, H), must miss of a table (V, H): the sum of the squared
    differences, as a share of the sum of the table's squares. np.linalg.svd may be used. Example: the table [[3, 0], [0, 1]] with
    width 1 gives 0.1."""
    rng = np.random.default_rng(263)
    for table, width in ((np.array([[3.0, 0], [0, 1]]), 1), (rng.standard_normal((9, 6)), 2), (rng.standard_normal((5, 8)), 5)):
        values = np.linalg.svd(table, compute_uv=False) ** 2
        right, got = values[width:].sum() / values.sum(), answer(table.copy(), width)
        expect(got is not None, "expected a number, got None")
        if width < len(values) and np.isclose(got, 1 - right):
            raise Wrong("that is what is kept; what is missed is asked for")
        expect(np.isclose(got, right, atol=1e-9), f"table of {table.shape}, width {width}: expected {right:.6g}, got {got}")
