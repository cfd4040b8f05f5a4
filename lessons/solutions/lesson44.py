"""Answers to lesson 44."""

import numpy as np


def found_by_luck(layers, seeds, ways):
    return 1 - (1 - 1 / layers**seeds) ** ways


def lift_of_a_map(a, heads, far):
    edges = [(i, head) for i, head in enumerate(heads) if head >= 0 and abs(i - head) >= far]
    given = np.mean([(a[i, j] + a[j, i]) / 2 for i, j in edges])
    return given / a.mean()  # evenly spread, each place has the mean


def verdict_of_seeds(values, control, margin):
    if values.shape[0] < 3 or values.shape[1] < 3:
        return "cannot show at this size"
    ends, middle = values[:, [0, -1]].max(1), values[:, 1:-1].max(1)
    chance = control.max(1)
    if (middle > np.maximum(ends, chance) + margin).all():
        return "agrees"
    if (ends > np.maximum(middle, chance) + margin).all():
        return "contradicts"
    return "cannot show at this size"
