"""Exercises of lesson 10: masking, labels, cross-entropy, the tied decoder."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from lessons.check import Wrong, close, exercise, expect
from minibert.layers import cross_entropy, embedding, linear
from minibert.tasks.corruption import masking
from minibert.text import Vocabulary


@exercise("(ids, special_ids)", look="Toy numbers: hide 15 %", level="easy")
def how_many(answer: Any) -> None:
    """How many tokens of a sentence are hidden: 15 % of those that are not special, rounded with ``round``, at least one;
    none where all are special. ``ids`` (T,), ``special_ids`` a tuple.
    """
    vocab = Vocabulary(["[PAD]", "a", "b", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "c"])
    rule = masking.rule(SimpleNamespace(vocab=vocab))
    for length in (1, 3, 9, 10, 13, 17, 40, 64):
        ids = np.array([4, *np.resize([1, 2, 7], length - 1), 5])
        expected = len(masking.mask(ids, rule, (0, 0, 0))[1])
        got = answer(ids, vocab.special_ids)
        n = int(rule.is_ordinary[ids].sum())
        if got != expected and got == len(masking.mask(np.ones_like(ids), rule, (0, 0, 0))[1]):
            raise Wrong(f"of {len(ids)} tokens {len(ids) - n} are special: got {got}, expected {expected}. "
                        "Are [CLS] and [SEP] counted?")
        expect(got is not None and got == expected,
               f"of {n} ordinary tokens: got {got}, expected {expected} (at least one, if there are any)")


@exercise("(positions, labels, B, T)", look="Labels and the ignore index", level="medium")
def rectangle(answer: Any) -> None:
    """The labels as a rectangle (B, T) of integers, -100 where nothing is asked.
    ``positions`` (M,) are flat, b·T + t; ``labels`` (M,).
    """
    rng = np.random.default_rng(3)
    B, T, V = 4, 7, 11
    positions = np.sort(rng.choice(B * T, 9, replace=False))
    labels = rng.integers(0, V, 9)
    labels[2] = 0  # a word like any other
    got = answer(positions.copy(), labels.copy(), B, T)
    expect(isinstance(got, np.ndarray), f"expected an array, got {type(got).__name__}")
    expect(got.shape == (B, T), f"expected the shape (B, T) = {(B, T)}, got {got.shape}")
    expect(got.dtype.kind in "iu", f"expected integers, got {got.dtype}: labels are used as indices")
    ignored = int((got == cross_entropy.IGNORE).sum())
    expect(ignored == B * T - 9, f"{B * T - 9} places ask nothing and must hold {cross_entropy.IGNORE}, but {ignored} do")
    x = rng.standard_normal((B * T, V))
    close(cross_entropy.forward(x, got.reshape(-1))[0], cross_entropy.forward(x[positions], labels)[0],
          "the loss with your rectangle, against that by list (is a label in the wrong place?)", 1e-12)


@exercise("(x, labels)", look="The equation: how surprised was the model?", level="medium")
def cross_entropy_loss(answer: Any) -> None:
    """Mean cross-entropy in nats over the rows whose label is not -100; 0.0 where there is none. ``x`` (N, V), ``labels`` (N,).
    It must survive scores of a thousand.
    """
    rng = np.random.default_rng(5)
    x = 3 * rng.standard_normal((7, 5))
    labels = np.array([4, -100, 0, 3, -100, 0, 1])
    before = x.copy()
    got = answer(x, labels.copy())
    expect(np.array_equal(x, before), "x was changed: work on a copy (z = x - m makes one)")
    right = cross_entropy.forward(x, labels)[0]
    if got is not None and np.ndim(got) == 0:
        expect(not np.isclose(got, right * 5 / 7), "divided by all rows: divide by the number of labels that count")
        expect(not np.isclose(got, right * 5), "that is the sum: divide it by the number of labels that count")
        without_zero = cross_entropy.forward(x, np.where(labels == 0, -100, labels))[0]
        expect(not np.isclose(got, without_zero), "label 0 was left out: it is a class, only -100 is not")
        indexed = cross_entropy.forward(x, np.where(labels == -100, labels % 5, labels))[0]
        expect(not np.isclose(got, indexed), "-100 was used as an index or class: leave these rows out")
    close(got, right, "loss", 1e-10)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        large = answer(x + 1000, labels.copy())
    expect(np.all(np.isfinite(large)),
           f"with 1000 added to every score the loss is {large}: take the row's maximum off before exp")
    close(large, right, "loss with 1000 added to every score (it must not change)", 1e-9)
    with np.errstate(invalid="ignore", divide="ignore"):
        none = answer(x, np.full(7, -100))
    expect(none is not None and none == 0, f"where no label counts the loss should be 0.0, got {none}")


@exercise("(ids, dwords, z, dlogits, V)", look="The decoder is the embedding table", level="hard")
def tied_gradient(answer: Any) -> None:
    """The gradient of the table E (V, H) that is used twice: ``words = E[ids]`` at the bottom, ``logits = z·Eᵀ + bias`` at the
    top. ``ids`` (N,) with upstream ``dwords`` (N, H); ``z`` (M, H) with upstream ``dlogits`` (M, V).
    """
    rng = np.random.default_rng(7)
    N, M, H, V = 9, 4, 5, 8
    ids = np.array([3, 1, 3, 0, 7, 3, 2, 1, 3])
    dwords, z, dlogits = rng.standard_normal((N, H)), rng.standard_normal((M, H)), rng.standard_normal((M, V))
    got = answer(ids.copy(), dwords.copy(), z.copy(), dlogits.copy(), V)
    lookup, top = {"weight": np.zeros((V, H))}, {"weight": np.zeros((V, H)), "bias": np.zeros(V)}
    embedding.backward(dwords, embedding.Cache(ids), lookup, lookup)
    linear.backward(dlogits, linear.Cache(z), {"weight": np.zeros((V, H))}, top)
    if isinstance(got, np.ndarray) and got.shape == (V, H):
        expect(not np.allclose(got, lookup["weight"]), "only the lookup's part: the decoder's is missing")
        expect(not np.allclose(got, top["weight"]), "only the decoder's part: the lookup's is missing")
        rest = got - top["weight"]
        once = np.zeros((V, H))
        once[ids] += dwords
        expect(not np.allclose(rest, once), "repeated ids are lost: g[ids] += … writes once per id (lesson 5)")
    close(got, lookup["weight"] + top["weight"], "dE", 1e-10)


@exercise("(losses, weights)", look="Padded slots in other implementations", level="easy")
def slot_loss(answer: Any) -> None:
    """The loss of an implementation with padded slots: the mean of ``losses`` over the slots whose weight is 1, both
    (B, slots); the others have weight 0. Divide as the reference does, with its 1e-5, so that no slot at all gives 0.
    """
    rng = np.random.default_rng(9)
    B, slots, V = 3, 6, 7
    weights = (np.arange(slots) < np.array([2, 5, 1])[:, None]).astype(float)
    x, labels = rng.standard_normal((B, slots, V)), rng.integers(0, V, (B, slots))
    losses = np.array([[cross_entropy.forward(x[b, s:s + 1], labels[b, s:s + 1])[0] for s in range(slots)] for b in range(B)])
    right = cross_entropy.forward(x[weights > 0], labels[weights > 0])[0]
    got = answer(losses.copy(), weights.copy())
    if got is not None and np.ndim(got) == 0:
        expect(not np.isclose(got, losses.mean(), rtol=1e-4), "that is the mean over all slots: padded ones must not count")
        expect(not np.isclose(got, (losses * weights).mean(), rtol=1e-4), "divided by all slots: divide by the sum of weights")
        rows = ((losses * weights).sum(-1) / weights.sum(-1)).mean()
        expect(not np.isclose(got, rows, rtol=1e-4), "mean of the means per example: every hidden word should count the same")
    close(got, right, "loss", 1e-5)
    expect(not np.isclose(got, right, rtol=1e-9), "the 1e-5 in the denominator is missing")
    with np.errstate(invalid="ignore", divide="ignore"):
        expect(answer(losses, np.zeros((B, slots))) == 0, "with no slot at all the loss should be 0: the 1e-5 is for that")
