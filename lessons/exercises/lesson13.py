"""Exercises of lesson 13: the floors of a loss, perplexity, the plateau."""

from __future__ import annotations

from typing import Any

import numpy as np

from lessons.check import close, exercise, expect
from minibert.data.report import unigram_loss
from minibert.layers import cross_entropy


@exercise("(train, held_out, V)", look="Two floors: toy numbers first", level="medium")
def floors(answer: Any) -> None:
    """The two floors of a loss as a pair, in nats: of guessing blindly, and of guessing by frequency alone, with one added to
    every count. ``train`` and ``held_out`` are arrays of ids below ``V``: counts come from the first, the loss is on the second.
    """
    rng = np.random.default_rng(1)
    V = 9
    train, held_out = rng.integers(0, V - 1, 40) % rng.integers(1, V, 40), rng.integers(0, V, 23)  # word 8 only in the second
    with np.errstate(divide="ignore"):
        got = answer(train.copy(), held_out.copy(), V)
    expect(isinstance(got, tuple) and len(got) == 2, f"expected a pair (blind, by frequency), got {got!r}")
    blind, frequency = got
    right = unigram_loss(train, held_out, V)
    expect(not np.isclose(blind, np.log2(V)), "blind: that is in bits; a nat is the natural logarithm")
    close(blind, -np.log(1 / V), "blind", 1e-9)
    expect(np.isfinite(frequency), "by frequency: not finite. A word that was never counted needs the one that is added")
    expect(not np.isclose(frequency, unigram_loss(train, train, V)), "by frequency: the loss is asked for on the held-out text")
    expect(not np.isclose(frequency, unigram_loss(held_out, held_out, V)), "by frequency: count words of the training text")
    close(frequency, right, "by frequency", 1e-9)


@exercise("(losses, counts)", look="Two floors: toy numbers first", level="medium")
def perplexity(answer: Any) -> None:
    """The perplexity of a text that was evaluated in batches. ``losses[i]``: mean loss of batch i in nats;
    ``counts[i]``: how many hidden words it had. Every hidden word counts the same.
    """
    rng = np.random.default_rng(2)
    x, labels = 2 * rng.standard_normal((12, 7)), rng.integers(0, 7, 12)
    cuts = (slice(0, 2), slice(2, 11), slice(11, 12))
    losses = np.array([cross_entropy.forward(x[cut], labels[cut])[0] for cut in cuts])
    counts = np.array([2, 9, 1])
    got = answer(losses.copy(), counts.copy())
    whole = float(cross_entropy.forward(x, labels)[0])
    if got is not None and np.ndim(got) == 0:
        expect(not np.isclose(got, np.exp(losses.mean())), "the batches differ in size: weigh their losses by their counts")
        expect(not np.isclose(got, (np.exp(losses) * counts).sum() / 12), "take the mean of the losses first, then exp")
        expect(not np.isclose(got, whole), "that is the mean loss; the perplexity is its exp")
        expect(not np.isclose(got, 2**whole), "losses in nats belong with exp, not with 2 to the power")
    close(got, np.exp(whole), "perplexity", 1e-9)


@exercise("(bias, labels)", look="Why every loss stops at the second floor: a model that reads nothing", level="medium")
def blind_gradient(answer: Any) -> None:
    """The gradient of the mean cross-entropy for ``bias`` (V,), which are the logits for every one of the ``labels`` (N,).
    A label of -100 does not count.
    """
    rng = np.random.default_rng(3)
    bias, labels = 2 * rng.standard_normal(6), np.array([1, 4, -100, 1, 0, 1, -100, 4])

    def loss(b: np.ndarray) -> float:
        return float(cross_entropy.forward(np.zeros((len(labels), 1)) + b, labels)[0])

    h = 1e-5
    right = np.array([(loss(bias + h * e) - loss(bias - h * e)) / (2 * h) for e in np.eye(6)])  # asked of the forward pass
    got = answer(bias.copy(), labels.copy())
    if isinstance(got, np.ndarray) and got.shape == right.shape:
        expect(not np.allclose(got, -right, atol=1e-7), "the sign is the wrong way round: softmax minus share")
        expect(not np.allclose(got, 6 * right, atol=1e-6), "that is the gradient of the sum: divide by the labels that count")
        expect(not np.allclose(got, 0.75 * right, atol=1e-7), "divided by all labels: -100 does not count")
        expect(abs(got.sum()) < 1e-9, f"its elements sum to {got.sum():.3g}; probabilities and shares sum to 1, so expected 0")
    close(got, right, "gradient", 1e-6)


@exercise("(steps, losses, floor, margin)", look="The plateau, and how to leave it", level="medium")
def left_plateau(answer: Any) -> None:
    """The first step from which on the loss stays below ``floor - margin`` to the end; None where it does not.
    ``steps`` and ``losses`` are lists of the same length, steps ascending.
    """
    for losses, expected, why in (
            ([7.0, 6.1, 5.9, 5.2, 4.9, 4.5], 40, "it falls once and stays below"),
            ([7.0, 5.3, 6.0, 5.9, 5.2, 5.0], 50, "one low value among high ones is chance, not the end of the plateau"),
            ([7.0, 6.1, 6.0, 5.9, 6.0, 5.9], None, "it never leaves"),
            ([7.0, 6.1, 5.2, 5.1, 5.0, 5.9], None, "it is back at the end"),
            ([5.0, 4.9, 4.8, 4.7, 4.6, 4.5], 10, "it is below from the beginning")):
        got = answer([10, 20, 30, 40, 50, 60], list(losses), 6.0, 0.5)
        if got is None and expected is not None:
            expect(False, f"losses {losses}, floor 6.0, margin 0.5: got None, expected {expected}: {why}")
        expect(got == expected, f"losses {losses}, floor 6.0, margin 0.5: got {got}, expected {expected}: {why}")
