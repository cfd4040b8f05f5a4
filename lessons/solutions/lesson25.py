"""Answers to lesson 25."""

import numpy as np


def words_drawn(logits, numbers):
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    ends = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
    return np.array([min(np.searchsorted(row, number, side="right"), len(row) - 1) for row, number in zip(ends, numbers)])


def replaced_or_not(ids, positions, drawn, mask):
    changed = ids.copy()
    changed.reshape(-1)[positions] = drawn
    return np.where(mask, (changed != ids).astype(int), -100)


def told_apart(logits, labels):
    asked = labels != -100
    wrong = np.where(labels == 1, -logits, logits)
    loss = (np.maximum(wrong, 0) + np.log1p(np.exp(-abs(wrong))))[asked].mean()
    sigma = np.exp(-np.maximum(-logits, 0)) / (1 + np.exp(-abs(logits)))
    return loss, np.where(asked, sigma - labels, 0) / asked.sum()


def ranked_rightly(logits, labels):
    total = pairs = 0
    for one in logits[labels == 1]:
        for other in logits[labels == 0]:
            total += 1.0 if one > other else 0.5 if one == other else 0.0
            pairs += 1
    return total / pairs


def perfect_judge(guess, truth, rate):
    wrong = 0.0
    for q, own in zip(guess, truth):
        replaced = rate * q * (1 - own)
        stands = rate * q * own + (1 - rate) * own
        wrong += min(replaced, stands)
    return wrong
