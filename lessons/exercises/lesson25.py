"""The exercises of lesson 25, real or replaced, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lessons.check import Wrong, close, exercise, expect
from minibert.layers import binary_cross_entropy
from minibert.layers.cross_entropy import IGNORE
from minibert.model import joint


@exercise("(logits, numbers)", look="Toy numbers", level="medium")
def words_drawn(answer: Callable[..., Any]) -> None:
    """Draw a word for each row of logits (N, V): the first at which the probabilities, added up from word 0 on, exceed the row's
    number. numbers: (N,), from 0 to below 1. Return (N,) whole numbers. Logits may be large. Example: the logits log(0.5),
    log(0.3), log(0.2) with 0.62 give 1."""
    rng = np.random.default_rng(251)
    for logits, numbers in ((np.log([[0.5, 0.3, 0.2]]), np.array([0.62])), (rng.standard_normal((200, 7)) * 3, rng.random(200)),
                            (rng.standard_normal((20, 5)) + 2000, rng.random(20))):
        right, got = joint.drawn(logits, numbers), np.asarray(answer(logits.copy(), numbers.copy()))
        expect(got.shape == right.shape, f"expected the shape {right.shape}, got {got.shape}")
        if (got == logits.argmax(-1)).all() and (got != right).any():
            raise Wrong("that is always the likeliest word; draw, so that others come in proportion")
        wrong = np.flatnonzero(got != right)
        if len(wrong):
            row = wrong[0]
            raise Wrong(f"row {row} of {len(right)}, logits {logits[row].round(2)}, number {numbers[row]:.3f}: expected "
                        f"{right[row]}, got {got[row]}")


@exercise("(ids, positions, drawn, mask)", look="Toy numbers", level="easy")
def replaced_or_not(answer: Callable[..., Any]) -> None:
    """The labels of the discriminator: 1 where a token was replaced, 0 where it is the text's, -100 where there is padding. ids
    (B, T): the text, nothing hidden; positions (M,): the hidden places of ids.reshape(-1); drawn (M,): what the generator put
    there; mask (B, T): True for tokens, False for padding. ids must stay as they were."""
    rng = np.random.default_rng(252)
    ids = rng.integers(0, 6, (3, 8))
    mask = np.arange(8) < np.array([[8], [5], [7]])
    positions = np.array([1, 4, 9, 11, 17, 20, 22])
    drawn = ids.reshape(-1)[positions].copy()
    drawn[[0, 2, 5]] += 1
    before = ids.copy()
    got = np.asarray(answer(ids, positions, drawn, mask))
    expect(np.array_equal(ids, before), "the ids were changed: work on a copy")
    right = np.zeros(ids.size, int)
    right[positions[[0, 2, 5]]] = 1
    right = np.where(mask, right.reshape(ids.shape), IGNORE)
    expect(got.shape == right.shape, f"expected the shape {right.shape}, got {got.shape}")
    if (got.reshape(-1)[positions] == 1).all():
        raise Wrong("every hidden place has the label 1; a word that was drawn right is the text's: 0")
    close(got, right, "labels", 0)


@exercise("(logits, labels)", look="The equation", level="medium")
def told_apart(answer: Callable[..., Any]) -> None:
    """Loss and gradient of the discriminator: the mean surprise over all tokens whose label is not -100, and its gradient by the
    logits, as a pair. logits, labels: (B, T). A logit may be 1000."""
    rng = np.random.default_rng(253)
    for size in (1, 3, 1000):
        logits, labels = size * rng.standard_normal((3, 5)), rng.integers(0, 2, (3, 5))
        labels[0, 3:] = labels[2, 4:] = IGNORE
        right, cache = binary_cross_entropy.forward(logits, labels)
        pair = answer(logits.copy(), labels.copy())
        expect(isinstance(pair, tuple) and len(pair) == 2, "expected a pair: the loss and the gradient")
        loss, dlogits = pair
        if np.isclose(loss * 15, right * 12):
            raise Wrong("the mean must be over tokens; padding was counted as well")
        close(loss, right, f"loss, logits of about {size}", 1e-9)
        close(dlogits, binary_cross_entropy.backward(1.0, cache), f"gradient, logits of about {size}", 1e-9)


@exercise("(logits, labels)", look="Who is fooled?", level="medium")
def ranked_rightly(answer: Callable[..., Any]) -> None:
    """Of all pairs of a replaced token and a real one, the share in which the replaced one has the higher logit; pairs that are
    alike count one half. logits, labels: (N,), with -100 for padding. Example: logits 3, 1, 1, 2 with labels 1, 1, 0, 0 give
    0.625."""
    rng = np.random.default_rng(254)
    logits, labels = rng.integers(-3, 4, 60).astype(float), rng.integers(0, 2, 60)
    labels[50:] = IGNORE
    for some, kinds in ((np.array([3.0, 1, 1, 2]), np.array([1, 1, 0, 0])), (logits, labels)):
        pairs = some[kinds == 1][:, None] - some[kinds == 0]
        right, got = float(((pairs > 0) + 0.5 * (pairs == 0)).mean()), answer(some.copy(), kinds.copy())
        expect(got is not None, "expected a number, got None")
        if np.isclose(got, (pairs > 0).mean()):
            raise Wrong("pairs with equal logits were counted as lost; they count one half")
        close(got, right, "share", 1e-9)


@exercise("(guess, truth, rate)", look="What a perfect judge would say", level="hard")
def perfect_judge(answer: Callable[..., Any]) -> None:
    """How often is a perfect judge fooled? A place is hidden with the chance ``rate``; then the generator draws a word from
    ``guess`` (V,), whatever stood there, else the word stays; what stood there comes from ``truth`` (V,). The judge knows all
    three and sees the word. Return the share of words about which it is wrong: it says "replaced" where that is the likelier.
    Example: perfect_judge([0.5, 0.5], [1, 0], 0.2) gives 0.0."""
    rng = np.random.default_rng(255)
    cases = [([0.5, 0.5], [1.0, 0.0], 0.2), ([0.25] * 4, [0.7, 0.2, 0.06, 0.04], 0.5)]
    cases += [(*rng.dirichlet(np.full(6, 0.4), 2).tolist(), rate) for rate in (0.15, 0.6)]
    for guess, truth, rate in cases:
        q, nature = np.array(guess), np.array(truth)
        replaced, real = rate * q * (1 - nature), rate * q * nature + (1 - rate) * nature
        got = answer(q.copy(), nature.copy(), rate)
        expect(got is not None, "expected a number, got None")
        if np.isclose(got, replaced.sum()) and not np.isclose(replaced.sum(), np.minimum(replaced, real).sum()):
            raise Wrong("that is the share of words that are replaced: of one who always says real")
        close(got, float(np.minimum(replaced, real).sum()), f"rate {rate}", 1e-9)
