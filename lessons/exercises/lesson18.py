"""The exercises of lesson 18, sentence vectors and search, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradcheck import GradientError, Pair, check
from lessons.check import Wrong, close, exercise, expect
from minibert.sentence_vectors import Pooling, pool


def _batch(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mask = (np.arange(6) < np.array([6, 2, 1, 4, 3])[:, None]).astype(np.int64)
    return rng.standard_normal((5, 6, 4)) - 1, mask


@exercise("(x, mask)", look="Vectorised, and the library's own", level="easy")
def max_of_tokens(answer: Callable[..., Any]) -> None:
    """For each text the largest of each of the H numbers over its real tokens: x (B, T, H) and mask (B, T), 1 for tokens and 0
    for padding, -> (B, H). What x holds in the padding must not matter, and x must stay as it was."""
    x, mask = _batch(181)
    x[mask == 0] = 5
    before = x.copy()
    got = answer(x, mask.copy())
    expect(np.array_equal(x, before), "x was changed")
    if np.shape(got) == (5, 4) and np.allclose(got, (x * mask[:, :, None]).max(1)):
        raise Wrong("padding set to 0 wins wherever all tokens are negative")
    if np.shape(got) == (5, 4) and np.allclose(got, x.max(1)):
        raise Wrong("padding takes part")
    close(got, pool(x, mask, Pooling("max")), "the maxima", 1e-12)


@exercise("(vectors)", look="The equation", level="easy")
def unit_vectors(answer: Callable[..., Any]) -> None:
    """Vectors (N, H) brought to length 1, in their own dtype. A vector of zeros stays zeros (no NaN, no warning)."""
    rng = np.random.default_rng(182)
    for dtype in (np.float64, np.float32):
        x = (rng.standard_normal((5, 3)) * 10.0 ** np.arange(-2, 3)[:, None]).astype(dtype)
        x[2] = 0
        with np.errstate(all="raise"):
            try:
                got = np.asarray(answer(x.copy()))
            except FloatingPointError as error:
                raise Wrong(f"a vector of zeros was divided by its length: {error}") from None
        expect(got.shape == x.shape, f"expected the shape {x.shape}, got {got.shape}")
        expect(got.dtype == dtype, f"expected {np.dtype(dtype)}, got {got.dtype}")
        expect(np.all(got[2] == 0), f"the vector of zeros became {got[2]}")
        others = [0, 1, 3, 4]
        close(np.linalg.norm(got[others], axis=1), np.ones(4), "the lengths", 1e-5)
        close((got * x).sum(1)[others], np.linalg.norm(x, axis=1)[others], "the products with the vectors themselves", 1e-5)


@exercise("(vectors, query, top)", look="The nearest lines of a text", level="medium")
def nearest(answer: Callable[..., Any]) -> None:
    """The numbers (from 0) of the ``top`` vectors with the largest cosine to the query, best first; of equal ones the earlier
    first. vectors (N, H) and query (H,) may have any length but zero. Where top is larger than N, all N."""
    rng = np.random.default_rng(183)
    for n, top in ((20, 5), (6, 6), (3, 9), (50, 1)):
        x, q = rng.standard_normal((n, 4)) * rng.uniform(0.1, 50, (n, 1)), rng.standard_normal(4) * 3
        x[n - 1] = x[1] = q  # equal to the last bit
        got = [int(i) for i in answer(x.copy(), q.copy(), top)]
        cosines = x @ q / np.linalg.norm(x, axis=1) / np.linalg.norm(q)
        what = f"{n} vectors, top {top}: got {got}"
        expect(len(got) == min(n, top), f"{what}: expected {min(n, top)} numbers")
        expect(len(set(got)) == len(got), f"{what}: a number stands twice")
        products = np.argsort(-(x @ q), kind="stable")[:top]
        if got == products.tolist() and np.any(np.diff(cosines[products]) > 1e-9):
            raise Wrong(f"{what}: these have the largest products, not the largest cosines: lengths differ")
        expect(np.all(np.diff(cosines[got]) <= 1e-12), f"{what}: not best first")
        expect(np.isclose(cosines[got].min(), np.sort(cosines)[::-1][:top].min()), f"{what}: nearer ones were left out")
        expect(got[0] == 1, f"{what}: 1 and {n - 1} are equal, the earlier comes first")


@exercise("(dv, mask)", look="Gradient check", level="medium")
def mean_pooling_backward(answer: Callable[..., Any]) -> None:
    """The backward of mean pooling: dv (B, H), the gradient with respect to the vectors, and mask (B, T) -> dx (B, T, H)."""
    x, mask = _batch(184)
    shape = np.shape(answer(np.ones((5, 4)), mask))
    expect(shape == x.shape, f"expected the shape (B, T, H) = {x.shape}, got {shape}")
    expect(np.all(np.asarray(answer(np.ones((5, 4)), mask))[mask == 0] == 0), "padding gets a gradient, but nobody read it")
    pair = Pair(lambda x: (pool(x, mask, Pooling("mean")), None), lambda dv, _: np.asarray(answer(dv, mask.copy()), dv.dtype))
    try:
        check(pair, {"x": x}, name="mean_pooling_backward")
    except GradientError as error:
        raise Wrong(f"not the gradient of the mean: {str(error).splitlines()[0]}; by what is each text divided?") from None


@exercise("(cosines, right)", look="How good is it? Measure", level="medium")
def reciprocal_rank(answer: Callable[..., Any]) -> None:
    """How good is a search? For each question, take 1/rank of the right line (1 if it comes first, 1/2 if second, …), and return
    the mean. cosines: a row for each question, a column for each line; right: the number of the right line of each question, from
    0. All cosines of a row differ. Example: reciprocal_rank(np.array([[0.9, 0.1], [0.8, 0.3]]), np.array([0, 1])) gives 0.75."""
    rng = np.random.default_rng(185)
    for questions, lines in ((2, 2), (7, 30), (16, 16)):
        cosines, right = rng.uniform(-1, 1, (questions, lines)), rng.integers(0, lines, questions)
        better = (cosines > cosines[np.arange(questions), right][:, None]).sum(1)
        got = answer(cosines.copy(), right.copy())
        if got is not None and np.isclose(got, (1 / np.maximum(better, 1)).mean()) and better.max() > 1:
            raise Wrong("ranks begin at 1: one more than the number of better lines")
        close(got, np.mean(1 / (better + 1.0)), f"the mean over {questions} questions", 1e-9)
