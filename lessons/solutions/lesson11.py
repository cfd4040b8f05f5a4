"""Answers to lesson 11."""

import numpy as np


def accuracies(logits, labels):
    pairs = labels != -100
    ones = labels[pairs].mean()
    return (logits.argmax(-1) == labels)[pairs].mean(), max(ones, 1 - ones)


def other_convention(weight, bias):
    return weight[::-1], bias[::-1]


def order_pair(a, b, swapped, cls_id, sep_id):
    if swapped:
        a, b = b, a
    return np.array([cls_id, *a, sep_id, *b, sep_id]), len(a) + 2, int(swapped)


def gradient_of_states(dlogits, pooled, p, T):
    dx = np.zeros((len(pooled), T, pooled.shape[-1]))
    dx[:, 0] = (dlogits @ p["head"]["weight"] * (1 - pooled**2)) @ p["dense"]["weight"]
    return dx
