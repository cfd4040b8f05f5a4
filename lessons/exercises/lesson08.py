"""Lesson 8, attention: the exercises and their judges."""

from __future__ import annotations

import numpy as np

from lessons.check import close, exercise, expect
from minibert.layers import attention, softmax

T, D = 5, 4


def _library(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, tuple]:
    """q, k, v (T, D) through the library's attention: x holds all three, and each linear picks one of them for the first head."""
    size = q.shape[-1]
    pick = [np.roll(np.eye(3 * size), i * size, axis=1) for i in range(3)]
    p = {name: {"weight": w, "bias": np.zeros(3 * size)} for name, w in zip(("query", "key", "value"), pick)}
    (context, _), cache = attention.forward(np.concatenate([q, k, v], axis=-1)[None], p, 3)
    return context[0, :, :size], (cache, p)


def _numbers(seed: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [2 * rng.standard_normal(shape) for shape in shapes]


@exercise("(q, k, v)", look="The equation", level="medium")
def attend(answer):
    """Attention of one head, without a mask: q, k and v are (T, D), the answer is the context (T, D).
    Write the softmax yourself."""
    q, k, v = _numbers(1, (T, D), (T, D), (T, D))
    expected, _ = _library(q, k, v)
    got = answer(q.copy(), k.copy(), v.copy())
    expect(np.shape(got) == (T, D), f"the context: expected the shape (T, D) = {(T, D)}, got {np.shape(got)}")
    for name, factor in (("D", D**-0.5), ("1, so not at all,", D**0.5), ("√T", (D / T) ** 0.5)):
        expect(not np.allclose(got, _library(q * factor, k, v)[0]), f"the scores seem to be divided by {name} and not by √D")
    expect(not np.allclose(got, _library(k, q, v)[0]), "queries and keys have changed places")
    y, _ = softmax.forward((q @ k.T * D**-0.5).T)
    expect(not np.allclose(got, y.T @ v), "softmax runs over the queries; each row, one query, must add up to 1 over the keys")
    close(got, expected, "the context")
    big, _ = _library(100 * q, 100 * k, v)
    close(answer(100 * q, 100 * k, v), big, "the context for very large scores (subtract each row's maximum first)")


@exercise("(x, heads)", look="Many heads as one reshape", level="easy")
def split_heads(answer):
    """x is (B, T, H). Give every head its own H/heads numbers of every token: the answer is (B, heads, T, H/heads)."""
    B, A = 2, 3
    (x,) = _numbers(2, (B, T, A * D))
    got = np.asarray(answer(x.copy(), A))
    expect(got.shape == (B, A, T, D), f"expected the shape (B, A, T, D) = {(B, A, T, D)}, got {got.shape}")
    for b, a, t, d in ((0, 0, 0, 0), (0, 0, 1, 0), (1, 2, 3, 1), (1, 1, 4, 3)):
        alone = np.allclose(got, x.reshape(got.shape))
        hint = "; a reshape alone mixes tokens: the axes T and A have to be exchanged" if alone else ""
        expect(got[b, a, t, d] == x[b, t, a * D + d],
               f"at [b={b}, head={a}, token={t}, {d}]: expected number {a * D + d} of that token{hint}")
    (x,) = _numbers(3, (B, T, A * D))
    (context, _), _ = attention.forward(x, {name: {"weight": np.eye(A * D) * (name == "value"), "bias": np.zeros(A * D)}
                                            for name in ("query", "key", "value")}, A)  # zero scores: every token gets the mean
    close(np.asarray(answer(x, A)).mean(2).reshape(B, A * D), context[:, 0], "the means of the heads")


@exercise("(lengths, tokens)", look="The additive mask", level="medium")
def length_mask(answer):
    """lengths (B,) says how many tokens each text has; all are padded to `tokens`. The answer is the additive mask
    (B, 1, 1, tokens). A text of length 0 must not make NaN."""
    B, A = 4, 3
    lengths = np.array([5, 2, 0, 3])
    mask = np.asarray(answer(lengths.copy(), T))
    expect(mask.shape == (B, 1, 1, T), f"expected the shape (B, 1, 1, T) = {(B, 1, 1, T)}, got {mask.shape}")
    expect(mask.dtype.kind in "if", f"expected numbers to be added to scores, got {mask.dtype}")
    expect(not np.isinf(mask).any(), "−∞ makes NaN in the row of the text of length 0; see \"Where −∞ makes NaN\"")
    (scores,) = _numbers(4, (B, A, T, T))
    weights, _ = softmax.forward(scores, mask)
    expect(np.isfinite(weights).all(), "some weights are not finite")
    for b, n in enumerate(lengths):
        if n:
            hidden = weights[b, ..., n:].max(initial=0)
            expect(hidden == 0, f"a text of {n} tokens: a padded key gets the weight {hidden:.3g}, expected exactly 0 "
                                "(0 for keys that may be seen, a large negative number for the others)")
            close(weights[b, ..., :n], softmax.forward(scores[b, ..., :n])[0], f"weights of the real keys, {n} tokens")


@exercise("(dy, y)", look="The gradient of softmax", level="medium")
def softmax_gradient(answer):
    """y (..., T) came out of softmax, dy (..., T) is its upstream gradient. The answer is the gradient of the scores."""
    z, dy = _numbers(5, (3, 2, T), (3, 2, T))
    y, cache = softmax.forward(z)
    got = answer(dy.copy(), y.copy())
    expect(not np.allclose(got, dy * y * (1 - y)),
           "that is the diagonal of the table only: each weight depends on every score of its row")
    expect(got is None or np.shape(got) != z.shape or np.allclose(np.sum(got, -1), 0, atol=1e-9),
           "each row of the gradient must add up to 0, because a number added to all scores changes nothing; "
           "the sum Σ dy·y runs over one row")
    close(got, softmax.backward(dy, cache), "the gradient")


@exercise("(dcontext, q, k, v)", look="Gradient check", level="hard")
def attend_gradient(answer):
    """The backward of `attend`: dcontext, q, k and v are (T, D); the answer is the three gradients (dq, dk, dv)."""
    q, k, v, dcontext = _numbers(6, (T, D), (T, D), (T, D), (T, D))
    _, (cache, p) = _library(q, k, v)
    upstream = np.concatenate([dcontext, np.zeros((T, 2 * D))], axis=-1)[None]
    g = {name: {"weight": np.zeros((3 * D, 3 * D)), "bias": np.zeros(3 * D)} for name in p}
    dq, dk, dv = np.split(attention.backward(upstream, cache, p, g).dx[0], 3, axis=-1)
    got = answer(dcontext.copy(), q.copy(), k.copy(), v.copy())
    expect(isinstance(got, tuple | list) and len(got) == 3, "expected three arrays: dq, dk, dv")
    close(got[2], dv, "dv (a product gives two products: context = P·v, so dv takes the transpose of P)")
    expect(not np.allclose(got[0], dq * D**0.5), "dq lacks the factor 1/√D")
    close(got[0], dq, "dq (through softmax first, then scores = q·kᵀ/√D)")
    expect(not np.allclose(got[1], dk * D**0.5), "dk lacks the factor 1/√D")
    close(got[1], dk, "dk (it takes the transpose of dscores)")
