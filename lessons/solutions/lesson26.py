"""Answers to lesson 26."""

import numpy as np


def gradients_of_blocks(gradients, layer_map):
    sums = [np.zeros_like(gradients[0]) for _ in set(layer_map)]
    for d, whose in zip(gradients, layer_map):
        sums[whose] += d
    return sums


def gradients_of_factors(d, narrow, matrix):
    return d @ matrix, d.T @ narrow


def numbers_of_albert(words, narrow, hidden, blocks):
    tables = (words + 512 + 2 + 2) * narrow
    projection = narrow * hidden + hidden
    attention = 4 * (hidden + 1) * hidden
    feed_forward = (hidden + 1) * 4 * hidden + (4 * hidden + 1) * hidden
    return tables + projection + blocks * (attention + feed_forward + 4 * hidden) + (hidden + 1) * hidden


def least_lost(table, width):
    left, values, right = np.linalg.svd(table, full_matrices=False)
    best = (left[:, :width] * values[:width]) @ right[:width]
    return ((table - best) ** 2).sum() / (table ** 2).sum()
