"""Answers to lesson 41."""

import numpy as np


def columns_of_heads(heads, D):
    return [column for head in heads for column in range(head * D, (head + 1) * D)]


def without_heads(query, output, gone, D):
    columns = columns_of_heads(gone, D)
    return np.delete(query, columns, axis=0), np.delete(output, columns, axis=1)


def who_goes(importance, count):
    gone = np.zeros(importance.shape, bool)
    for place in importance.argsort(axis=None):
        layer, head = divmod(int(place), importance.shape[1])
        if gone.sum() < count and gone[layer].sum() < importance.shape[1] - 1:
            gone[layer, head] = True
    return gone


def products_of_a_head(T, H, D):
    return 4 * T * H * D + 2 * T * T * D
