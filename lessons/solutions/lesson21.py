"""Answers to lesson 21."""

import numpy as np


def widest_that_pays(words, hidden):
    return (words * hidden - hidden - 1) // (words + hidden)


def with_neighbours(x):
    nothing = np.zeros_like(x[:, :1])
    after = np.concatenate([x[:, 1:], nothing], axis=1)
    before = np.concatenate([nothing, x[:, :-1]], axis=1)
    return np.concatenate([after, x, before], axis=-1)


def work_of_a_bottleneck(hidden, inside, intermediate, networks):
    down = 2 * hidden * inside
    attention = 3 * inside * inside + hidden * inside
    return down + attention + networks * 2 * inside * intermediate + inside * hidden
