"""Answers to lesson 28."""

import numpy as np


def unit_rows(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def similarity_to_itself(x):
    u = unit_rows(x)
    return ((u.sum(0) ** 2).sum() - len(u)) / (len(u) * (len(u) - 1))


def similarity_in_sentence(x):
    mean = x.mean(0)
    return (unit_rows(x) @ mean).mean() / np.linalg.norm(mean)


def similarity_of_any(x, sentence):
    sentence = np.array(sentence)
    return (unit_rows(x) @ unit_rows(x).T)[sentence[:, None] != sentence].mean()


def two_shares(x):
    shares = []
    for one in (x, x - x.mean(0)):
        squares = np.linalg.svd(one, compute_uv=False) ** 2
        shares.append(squares[0] / squares.sum())
    return tuple(shares)


def within_less_between(x, senses):
    senses, cosines = np.array(senses), unit_rows(x) @ unit_rows(x).T
    same = senses[:, None] == senses
    other = ~np.eye(len(x), dtype=bool)
    return cosines[same & other].mean() - cosines[~same].mean()
