"""The exercises of lesson 22, training sentence vectors, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradcheck import GradientError, Pair, check
from lessons.check import Wrong, close, exercise, expect
from minibert.layers import contrastive, cross_entropy


def _reference(scores: np.ndarray) -> float:
    return float(cross_entropy.forward(scores, np.arange(len(scores)))[0])


@exercise("(scores)", look="The equation", level="medium")
def loss_of_scores(answer: Callable[..., Any]) -> None:
    """The contrastive loss of scores that are divided by the temperature already: a row for each anchor; first the positives,
    column n the one of anchor n, then any number of hard negatives. The mean over the anchors. Scores may be as large as 1000."""
    rng = np.random.default_rng(221)
    for shape, size in (((5, 5), 3.0), ((4, 9), 3.0), ((3, 3), 1000.0)):
        scores = rng.standard_normal(shape) * size
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            try:
                got = answer(scores.copy())
            except FloatingPointError as error:
                raise Wrong(f"scores of size {size:g}: {error}; subtract the largest of each row before exp") from None
        columns = scores - scores.max(0)
        if shape[0] == shape[1] and got is not None and np.isclose(
                got, -(np.diag(columns) - np.log(np.exp(columns).sum(0))).mean()) and not np.isclose(got, _reference(scores)):
            raise Wrong("this is the loss of the columns: the positives look for their anchors")
        close(got, _reference(scores), f"scores {shape}", 1e-9)


@exercise("(scores)", look="Gradient check", level="medium")
def scores_backward(answer: Callable[..., Any]) -> None:
    """The gradient of that loss with respect to the scores (N, N), square here, in the same shape."""
    rng = np.random.default_rng(222)
    for N in (3, 6):
        scores = rng.standard_normal((N, N))
        got = np.asarray(answer(scores.copy()))
        expect(got.shape == (N, N), f"expected the shape {(N, N)}, got {got.shape}")
        pair = Pair(lambda scores: cross_entropy.forward(scores, np.arange(len(scores))),
                    lambda dloss, cache, got=got: dloss * got.astype(np.asarray(dloss).dtype))
        if np.allclose(got / N, cross_entropy.backward(1.0, cross_entropy.forward(scores, np.arange(N))[1])):
            raise Wrong(f"{N} times too large: the loss is a mean over the anchors")
        try:
            check(pair, {"scores": scores}, name="scores_backward")
        except GradientError as error:
            raise Wrong(f"not the gradient of the loss: {str(error).splitlines()[0]}") from None


@exercise("(u, v, temperature)", look="Vectorised, and the library's own", level="medium")
def both_ways(answer: Callable[..., Any]) -> None:
    """The symmetric loss: the mean of the contrastive loss in which anchors u look for positives v, and of the one in which the
    positives look for their anchors. u and v (N, H) may have any length but zero."""
    rng = np.random.default_rng(223)
    for pairs, temperature in ((4, 0.05), (7, 0.5)):
        u, v = rng.standard_normal((2, pairs, 5)) * rng.uniform(0.1, 30, (2, pairs, 1))
        x, texts = np.stack([u, v], 1), np.arange(2 * pairs).reshape(pairs, 2)
        got = answer(u.copy(), v.copy(), temperature)
        for found, reason in ((contrastive.forward(x, texts, temperature=temperature)[0], "only anchors look here"),
                              (_reference(u @ v.T / temperature), "cosines look at the angle only: bring all to length 1")):
            if got is not None and np.isclose(got, found):
                raise Wrong(reason)
        close(got, contrastive.forward(x, texts, temperature=temperature, symmetric=True)[0], f"{pairs} pairs", 1e-9)


@exercise("(pairs, negatives)", look="Toy numbers", level="easy")
def wrong_answers(answer: Callable[..., Any]) -> None:
    """How many wrong answers does each anchor see in a batch of so many pairs, each of which brings so many hard negatives?"""
    for pairs, negatives in ((3, 0), (32, 0), (32, 1), (8, 5), (1, 2)):
        got = answer(pairs, negatives)
        what = f"{pairs} pairs with {negatives} hard negatives each"
        if got == pairs - 1 + negatives and negatives and pairs > 1:
            raise Wrong(f"{what}: the hard negatives of the other pairs are wrong answers as well")
        expect(got == pairs * (1 + negatives) - 1, f"{what}: got {got}")


@exercise("(cosines, k)", look="Train, and measure as a search", level="easy")
def recall_of_search(answer: Callable[..., Any]) -> None:
    """Recall at k: the share of questions whose answer is among their k nearest. cosines (N, N): a row for each question, and
    answer n belongs to question n. All cosines of a row differ."""
    rng = np.random.default_rng(224)
    for N, k in ((5, 1), (40, 1), (40, 10), (8, 8)):
        cosines = rng.uniform(-1, 1, (N, N)) + 0.5 * np.eye(N)
        better = (cosines > np.diag(cosines)[:, None]).sum(1)
        close(answer(cosines.copy(), k), np.mean(better < k), f"{N} questions, k = {k}", 1e-12)
