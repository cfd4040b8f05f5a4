"""Answers to lesson 10."""

import numpy as np


def how_many(ids, special_ids):
    n = int((~np.isin(ids, special_ids)).sum())
    return max(1, round(0.15 * n)) if n else 0


def rectangle(positions, labels, B, T):
    result = np.full(B * T, -100)
    result[positions] = labels
    return result.reshape(B, T)


def cross_entropy_loss(x, labels):
    rows = np.flatnonzero(labels != -100)
    if not len(rows):
        return 0.0
    z = x[rows] - x[rows].max(-1, keepdims=True)
    return (np.log(np.exp(z).sum(-1)) - z[np.arange(len(rows)), labels[rows]]).mean()


def tied_gradient(ids, dwords, z, dlogits, V):
    gradient = dlogits.T @ z
    np.add.at(gradient, ids, dwords)
    return gradient


def slot_loss(losses, weights):
    return (losses * weights).sum() / (weights.sum() + 1e-5)
