"""Answers to lesson 32."""

import numpy as np


def importance_by_batches(products, size):
    slopes = products.sum(axis=1)
    starts = np.arange(0, len(slopes), size)
    return np.abs(np.add.reduceat(slopes, starts, axis=0)).sum(axis=0) / len(slopes)


def without_the_least(importance, count):
    gates = np.ones(importance.size)
    gates[importance.argsort(axis=None)[:count]] = 0
    return gates.reshape(importance.shape)


def one_head_a_layer(importance):
    return (importance == importance.max(axis=1, keepdims=True)).astype(float)


def chance_of_one(a):
    return 1 / (1 + np.exp(-(a - 0.33 * np.log(1.1 / 0.1))))


def slope_of_the_price(a, price):
    opened = 1 / (1 + np.exp(-(a - 0.33 * np.log(0.1 / 1.1))))
    return price * opened * (1 - opened)
