"""Lesson 14, looking inside: the exercises and their judges."""

from __future__ import annotations

import numpy as np

import minibert
from lessons.check import close, exercise, expect
from minibert.model import pretraining


def _rows(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random rows that add up to 1."""
    rows = rng.random(shape)
    return rows / rows.sum(-1, keepdims=True)


@exercise("(weights, offset)", look="Vectorised", level="medium")
def offset_score(answer):
    """weights (A, T, T) are the maps of one text without padding. How much weight falls on the key at query + offset, on average
    over the queries that have such a key? offset -1 is the token before. The answer is (A,)."""
    A, T = 3, 6
    for offset in (-1, 1, 2):
        rng = np.random.default_rng(offset + 5)
        weights, shares = _rows(rng, A, T, T), [[] for _ in range(A)]
        for a, q in np.ndindex(A, T):
            if 0 <= q + offset < T:
                shares[a].append(rng.random())
                weights[a, q, q + offset] = 0
                weights[a, q] *= (1 - shares[a][-1]) / weights[a, q].sum()
                weights[a, q, q + offset] = shares[a][-1]
        expected, got = np.array([np.mean(s) for s in shares]), np.asarray(answer(weights.copy(), offset))
        expect(got.shape == (A,), f"expected one number for each head, (A,) = {(A,)}, got {got.shape}")
        expect(not np.allclose(got, expected * (T - abs(offset)) / T),
               f"offset {offset}: only {T - abs(offset)} of {T} queries have such a key; divide by their number")
        expect(not np.allclose(got, np.diagonal(weights, -offset, 1, 2).mean(-1)),
               f"offset {offset}: rows are queries and columns are keys; you have looked in the other direction")
        close(got, expected, f"the scores for offset {offset}")


@exercise("(weights, ids, token)", look="Scores on held-out text", level="medium")
def token_score(answer):
    """weights (B, A, T, T) of texts with ids (B, T), no padding. How much weight do queries put on keys whose id is `token`, all
    such keys together, on average over all queries and texts? The answer is (A,)."""
    B, A, T, token = 2, 3, 7, 4
    rng = np.random.default_rng(1)
    ids = rng.integers(5, 9, (B, T))
    ids[0, [2, 6]] = ids[1, [0, 3, 4]] = token
    share, weights = rng.random((B, A, T)), _rows(rng, B, A, T, T)
    for b in range(B):
        there = ids[b] == token
        for keys, part in ((there, share[b]), (~there, 1 - share[b])):
            weights[b][..., keys] *= (part / weights[b][..., keys].sum(-1))[..., None]
    got = np.asarray(answer(weights.copy(), ids.copy(), token))
    expect(got.shape == (A,), f"expected one number for each head, (A,) = {(A,)}, got {got.shape}")
    rows = np.stack([weights[b][:, ids[b] == token].sum(1).mean(-1) for b in range(B)]).mean(0)
    expect(not np.allclose(got, rows), "that picks the rows of the token, its queries; its keys are the columns")
    expect(got.max() > share.mean() / 2, "too small: add up the weights on all such keys, then take the mean over queries only")
    close(got, share.mean((0, 2)), "the scores")


@exercise("(weights)", look="Scores on held-out text", level="medium")
def tokens_read(answer):
    """Over how many tokens does a head spread its weight? For each row e to the entropy, e^(−Σ w·ln w), then the mean over the
    rows. weights (A, T, T) may hold zeros. The answer is (A,)."""
    A, T = 3, 8
    rng = np.random.default_rng(2)
    weights, number = np.zeros((A, T, T)), rng.integers(1, T + 1, (A, T))
    for a, q in np.ndindex(A, T):
        weights[a, q, rng.permutation(T)[:number[a, q]]] = 1 / number[a, q]  # equal weights on so many keys, zero elsewhere
    got = np.asarray(answer(weights.copy()))
    expect(got.shape == (A,), f"expected one number for each head, (A,) = {(A,)}, got {got.shape}")
    expect(np.isfinite(got).all(), "0·ln 0 counts as 0, but gives NaN when computed so")
    expect(not np.allclose(got, np.exp(np.log(number).mean(-1))), "take e to each row's entropy first, and the mean after that")
    close(got, number.mean(-1), "rows with equal weights on n keys count n")


@exercise("(d)", look="Importance from the gradient", level="easy")
def head_importance(answer):
    """d (L, B, A) is the gradient of a gate for each text. The answer is the importance of each head, (L, A): the mean over
    texts of its size."""
    L, B, A = 2, 5, 3
    rng = np.random.default_rng(3)
    size, sign = rng.random((L, B, A)), rng.choice([-1.0, 1.0], (L, B, A))
    sign[:, :2] = [[-1.0], [1.0]]  # both signs occur for every head
    got = np.asarray(answer(size * sign))
    expect(got.shape == (L, A), f"expected one number for each head, (L, A) = {(L, A)}, got {got.shape}")
    expect(not np.allclose(got, np.abs((size * sign).mean(1))),
           "texts that pull up and texts that pull down cancel; take the absolute value of each before the mean")
    close(got, size.mean(1), "the importance")


@exercise("(bert, x, layer, head)", look="Switching heads off", level="hard")
def change_without(answer):
    """bert is a loaded model (bert.parameters.tree, bert.config), x a pretraining.Inputs with labels for both losses. By how much
    does the masked-word loss (that one alone) rise when one head is switched off? The answer is a number."""
    bert = minibert.load(dtype=np.float64)
    ids, types, mask = bert.tokenizer.batch([bert.tokenizer.encode(text) for text in (
        "the [MASK] statement raises an exception.", "if the file is [MASK] found, the function returns [MASK].")])
    places = np.flatnonzero(ids == bert.tokenizer.vocab.mask_id)
    labels = np.array([bert.tokenizer.vocab.index[word] for word in ("try", "not", "none")])
    x = pretraining.Inputs(ids, types, mask, places, labels, next_labels=np.array([0, 1]))
    untouched = pretraining.forward(x, bert.parameters.tree, bert.config)[0]
    whole = float(untouched.mlm_loss)
    D = bert.config.head_size
    for layer, head in ((0, 1), (1, 0)):
        cut = minibert.load(dtype=np.float64)  # the same with surgery: nothing reads the head's part of the context
        cut.parameters["bert"]["encoder"]["layer"][str(layer)]["attention"]["output"]["dense"]["weight"][:, head * D:][:, :D] = 0
        lost = pretraining.forward(x, cut.parameters.tree, bert.config)[0]
        without = float(lost.mlm_loss)
        got = np.asarray(answer(bert, x, layer, head))
        expect(got.shape == (), f"expected a single number, got the shape {got.shape}")
        expect(not np.isclose(got, without), f"head {layer}.{head}: that is the loss without it; by how much does it rise?")
        expect(not np.isclose(got, float(lost.loss - untouched.loss)),
               f"head {layer}.{head}: that is the change of both losses together, `loss`; the masked-word loss is `mlm_loss`")
        expect(not np.isclose(got, whole - without),
               f"head {layer}.{head}: the sign; positive means that the loss is higher without it")
        close(got, without - whole, f"the change without head {layer}.{head}", tolerance=1e-5)
    same = float(pretraining.forward(x, bert.parameters.tree, bert.config)[0].mlm_loss)
    expect(same == whole, "the model's parameters have been changed; use head_mask, which leaves them alone")
