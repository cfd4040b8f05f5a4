"""Answers to lesson 13."""

import numpy as np


def floors(train, held_out, V):
    counts = np.bincount(train, minlength=V) + 1
    return np.log(V), -np.log(counts[held_out] / counts.sum()).mean()


def perplexity(losses, counts):
    return np.exp((losses * counts).sum() / counts.sum())


def blind_gradient(bias, labels):
    labels = labels[labels != -100]
    e = np.exp(bias - bias.max())
    return e / e.sum() - np.bincount(labels, minlength=len(bias)) / len(labels)


def left_plateau(steps, losses, floor, margin):
    left = None
    for step, loss in zip(steps, losses):
        if loss >= floor - margin:
            left = None
        elif left is None:
            left = step
    return left
