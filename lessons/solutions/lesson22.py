"""Answers to lesson 22."""

import numpy as np


def loss_of_scores(scores):
    z = scores - scores.max(axis=1, keepdims=True)
    return (np.log(np.exp(z).sum(axis=1)) - np.diag(z)).mean()


def scores_backward(scores):
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return (e / e.sum(axis=1, keepdims=True) - np.eye(len(scores))) / len(scores)


def both_ways(u, v, temperature):
    u = u / np.sqrt((u**2).sum(axis=1, keepdims=True))
    v = v / np.sqrt((v**2).sum(axis=1, keepdims=True))
    scores = u @ v.T / temperature
    return (loss_of_scores(scores) + loss_of_scores(scores.T)) / 2


def wrong_answers(pairs, negatives):
    return pairs * (1 + negatives) - 1


def recall_of_search(cosines, k):
    own = np.diag(cosines)[:, None]
    return ((cosines > own).sum(axis=1) < k).mean()
