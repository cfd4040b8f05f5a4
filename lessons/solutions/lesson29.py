"""Answers to lesson 29."""

import math

import numpy as np


def calibration_error(sure, right, bins):
    total = 0.0
    for b in range(bins):
        inside = (sure > b / bins) & (sure <= (b + 1) / bins)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - sure[inside].mean())
    return total


def both_bins(c, bins):
    return math.ceil(c * bins) - 1, math.floor(c * bins)


def floor_of_error(sure, draws, rng):
    return np.mean([calibration_error(sure, rng.random(len(sure)) < sure, 10) for _ in range(draws)])


def best_temperature(logits, labels):
    def loss(temperature):
        z = logits / temperature
        return (np.log(np.exp(z).sum(1)) - z[np.arange(len(z)), labels]).mean()

    return min((k / 10 for k in range(1, 51)), key=loss)


def soft_targets(labels, classes, s):
    targets = np.full((len(labels), classes), s / (classes - 1))
    targets[np.arange(len(labels)), labels] = 1 - s
    return targets
