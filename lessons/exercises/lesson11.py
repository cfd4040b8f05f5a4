"""Exercises of lesson 11: pairs, their labels, and the head that answers."""

from __future__ import annotations

from typing import Any

import numpy as np

from lessons.check import close, exercise, expect
from minibert.layers import linear
from minibert.model import pooler
from minibert.model.heads import nsp as nsp_head
from minibert.tasks import batches
from minibert.tasks.corruption import masking


@exercise("(logits, labels)", look="How well does a model do?", level="easy")
def accuracies(answer: Any) -> None:
    """Two shares as a pair: how many answers are right, and how many the better of the two constant answers would get.
    ``logits`` (B, 2), ``labels`` (B,) of 0, 1, or -100 for an input without a pair, which does not count.
    """
    logits = np.array([[2.0, 1.0], [0.1, 0.3], [-1.0, -2.0], [5.0, 6.0], [0.0, 9.0], [1.0, 0.5]])  # says 0 1 0 1 1 0
    for labels, right in (([0, 1, 1, 1, -100, 1], (3 / 5, 4 / 5)), ([0, 0, 0, 0, 0, 0], (1 / 2, 1.0)),
                          ([1, 0, 1, 0, -100, 0], (1 / 5, 3 / 5))):
        got = answer(logits.copy(), np.array(labels))
        expect(isinstance(got, tuple) and len(got) == 2, f"expected a pair (right, constant), got {got!r}")
        n = sum(label != -100 for label in labels)
        expect(n == 6 or not np.isclose(got[0], right[0] * n / 6), f"labels {labels}: divided by 6, but only {n} are of pairs")
        close(got[0], right[0], f"labels {labels}: share of right answers", 1e-9)
        close(got[1], right[1], f"labels {labels}: what the better constant answer gets", 1e-9)


@exercise("(weight, bias)", look="Which number means \"next\"? Look it up, always", level="easy")
def other_convention(answer: Any) -> None:
    """A head trained where 1 means "next" becomes one where 0 does. ``weight`` (2, H), ``bias`` (2,): returns both, as a pair.
    The arrays that come in stay as they are.
    """
    rng = np.random.default_rng(2)
    p, pooled = {"weight": rng.standard_normal((2, 6)), "bias": rng.standard_normal(2)}, rng.standard_normal((5, 6))
    weight, bias = p["weight"].copy(), p["bias"].copy()
    got = answer(weight, bias)
    expect(np.array_equal(weight, p["weight"]) and np.array_equal(bias, p["bias"]), "the arrays that came in were changed")
    expect(isinstance(got, tuple) and len(got) == 2, f"expected a pair (weight, bias), got {type(got).__name__}")
    expect(np.shape(got[0]) == (2, 6), f"weight: expected the shape (2, H) = (2, 6), got {np.shape(got[0])}")
    expect(np.shape(got[1]) == (2,), f"bias: expected the shape (2,), got {np.shape(got[1])}")
    before, after = nsp_head.forward(pooled, p)[0], nsp_head.forward(pooled, {"weight": got[0], "bias": got[1]})[0]
    expect(not np.allclose(after, before), "nothing has changed: the logits are the same")
    expect(not np.allclose(after, -before), "negated: probabilities change places, but logits should, too")
    expect(not np.allclose(after, (pooled @ p["weight"].T)[:, ::-1] + p["bias"]), "the weight is swapped, the bias is not")
    close(after, before[:, ::-1], "logits", 1e-10)


@exercise("(a, b, swapped, cls_id, sep_id)", look="What sentence order prediction changes", level="medium")
def order_pair(answer: Any) -> None:
    """An example for sentence order prediction: ``(ids, split, label)``. ``a`` and ``b`` are arrays of ids, b follows a in the
    text. Where ``swapped`` is true, b comes first and the label is 1. ``ids`` is [CLS] … [SEP] … [SEP], ``split`` the index
    of the first token of the second text.
    """
    a, b, cls, sep = np.array([11, 12, 13, 14]), np.array([21, 22]), 2, 3
    nothing = np.empty(0, np.int64)
    for swapped, expected, types in ((False, [2, 11, 12, 13, 14, 3, 21, 22, 3], [0] * 6 + [1] * 3),
                                     (True, [2, 21, 22, 3, 11, 12, 13, 14, 3], [0] * 4 + [1] * 5)):
        got = answer(a.copy(), b.copy(), swapped, cls, sep)
        expect(isinstance(got, tuple) and len(got) == 3, f"expected (ids, split, label), got {got!r}")
        ids, split, label = got
        expect(list(ids) == expected, f"swapped={swapped}: ids are {list(ids)}, expected {expected}")
        expect(label == int(swapped), f"swapped={swapped}: label is {label}; 0 means in order, 1 swapped")
        batch = batches.collate([masking.Masked(np.asarray(ids), split, label, nothing, nothing)])
        expect(batch.token_type_ids[0].tolist() == types,
               f"swapped={swapped}: split {split} gives the segments {batch.token_type_ids[0].tolist()}, expected {types}: "
               "it depends on the length of the text that comes first")


@exercise("(dlogits, pooled, p, T)", look="The gradient reaches [CLS] alone", level="medium")
def gradient_of_states(answer: Any) -> None:
    """The gradient of the last hidden states x, (B, T, H), from that of the two logits, ``dlogits`` (B, 2).
    ``pooled`` (B, H) is what tanh gave. ``p["head"]["weight"]`` is (2, H), ``p["dense"]["weight"]`` (H, H):
    pooled = tanh(x[:, 0]·denseᵀ + …), logits = pooled·headᵀ + ….
    """
    rng = np.random.default_rng(4)
    B, T, H = 3, 4, 5
    x, dlogits = rng.standard_normal((B, T, H)), rng.standard_normal((B, 2))
    dense = {"weight": rng.standard_normal((H, H)), "bias": rng.standard_normal(H)}
    head = {"weight": rng.standard_normal((2, H)), "bias": rng.standard_normal(2)}
    pooled, cache = pooler.forward(x, {"dense": dense})
    none = {"dense": {name: np.zeros_like(value) for name, value in dense.items()}}
    dpooled = linear.backward(dlogits, linear.Cache(pooled), head, {name: np.zeros_like(value) for name, value in head.items()})
    right = pooler.backward(dpooled, cache, {"dense": dense}, none)
    got = answer(dlogits.copy(), pooled.copy(), {"head": head, "dense": dense}, T)
    if isinstance(got, np.ndarray) and got.shape == right.shape:
        expect(not got[:, 1:].any(), "tokens other than [CLS] get a gradient: the head read position 0 only")
        expect(not np.allclose(got[:, 0], dpooled @ dense["weight"]), "tanh' is missing: 1 - pooled²")
        expect(not np.allclose(got[:, 0], (dpooled * (1 - pooled**2)) @ dense["weight"].T),
               "the transpose: y = x·Wᵀ has dx = dy·W (lesson 4)")
    close(got, right, "dx", 1e-10)
