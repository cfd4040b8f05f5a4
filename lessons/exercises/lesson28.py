"""The exercises of lesson 28, how contextual vectors are, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lessons.check import Wrong, close, exercise, expect


def _occurrences(seed: int, count: int = 9, size: int = 4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((count, size)) + 0.7) * rng.uniform(0.2, 3, (count, 1))


def _cosines(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)) @ (y / np.linalg.norm(y, axis=1, keepdims=True)).T


@exercise("(x)", look="The equation", level="easy")
def similarity_to_itself(answer: Callable[..., Any]) -> None:
    """The self-similarity of a word: x (N, H) holds its occurrences, which may have any length. The mean cosine of all pairs of
    two different occurrences."""
    for seed in range(3):
        x = _occurrences(seed)
        cosines = _cosines(x, x)
        expected = (cosines.sum() - len(x)) / (len(x) * (len(x) - 1))
        got = answer(x.copy())
        if got is not None and np.isclose(got, cosines.mean()):
            raise Wrong("here every occurrence also meets itself; leave these pairs out")
        close(got, expected, "the self-similarity", 1e-9)


@exercise("(x)", look="The equation", level="easy")
def similarity_in_sentence(answer: Callable[..., Any]) -> None:
    """The intra-sentence similarity: x (T, H) holds the words of a sentence. The mean cosine of each word with the mean of all
    vectors; the mean is taken of the vectors as they are."""
    for seed in range(3):
        x = _occurrences(10 + seed)
        expected = _cosines(x, x.mean(0, keepdims=True)).mean()
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        got = answer(x.copy())
        if got is not None and np.isclose(got, _cosines(x, unit.mean(0, keepdims=True)).mean()) and not np.isclose(got, expected):
            raise Wrong("this is the mean of the vectors after they were brought to length 1; take it before")
        close(got, expected, "the intra-sentence similarity", 1e-9)


@exercise("(x, sentence)", look="What the number means: a cone", level="medium")
def similarity_of_any(answer: Callable[..., Any]) -> None:
    """A control. x (N, H): vectors of N words; sentence: of each, the number of the sentence in which it stands. The mean cosine
    of all pairs of words of different sentences."""
    for seed in range(3):
        x, sentence = _occurrences(20 + seed, 10), np.array([0, 0, 1, 1, 1, 2, 3, 3, 4, 4])
        cosines = _cosines(x, x)
        expected = cosines[sentence[:, None] != sentence].mean()
        got = answer(x.copy(), sentence.tolist())
        if got is not None and np.isclose(got, cosines[~np.eye(10, dtype=bool)].mean()):
            raise Wrong("this has pairs of the same sentence as well")
        close(got, expected, "the mean cosine", 1e-9)


@exercise("(x)", look="Three estimators of one thing", level="medium")
def two_shares(answer: Callable[..., Any]) -> None:
    """How much does one direction explain of the occurrences x (N, H)? Give the pair (uncentred, centred): the share of the
    largest squared singular value, of x as it is, and of x less its mean over occurrences."""
    for seed in range(3):
        x = _occurrences(30 + seed)
        expected = []
        for one in (x, x - x.mean(0)):
            squares = np.linalg.svd(one, compute_uv=False) ** 2
            expected.append(squares[0] / squares.sum())
        got = answer(x.copy())
        expect(np.shape(got) == (2,), f"expected a pair, got the shape {np.shape(got)}")
        roots = np.linalg.svd(x, compute_uv=False)
        if np.isclose(got[0], roots[0] / roots.sum()):
            raise Wrong("these are shares of the singular values; take those of their squares")
        close(got[0], expected[0], "uncentred", 1e-9)
        close(got[1], expected[1], "centred", 1e-9)


@exercise("(x, senses)", look="Words with two senses", level="hard")
def within_less_between(answer: Callable[..., Any]) -> None:
    """x (N, H): the occurrences of a word; senses: a list of N names. The mean cosine of all pairs (of two different occurrences)
    with the same sense, less the mean cosine of all pairs with different senses."""
    for seed in range(3):
        rng = np.random.default_rng([285, seed])
        x, senses = _occurrences(40 + seed, 12), rng.permutation([*"aaaaabbbbccc"])
        cosines, same, itself = _cosines(x, x), senses[:, None] == senses, np.eye(12, dtype=bool)
        expected = cosines[same & ~itself].mean() - cosines[~same].mean()
        got = answer(x.copy(), senses.tolist())
        if got is not None and np.isclose(got, cosines[same].mean() - cosines[~same].mean()):
            raise Wrong("an occurrence is no pair with itself")
        close(got, expected, "the difference", 1e-9)
