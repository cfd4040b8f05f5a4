"""Answers to lesson 35."""

from itertools import permutations
from math import factorial, log, prod

import numpy as np


def nats_of_orders(counts):
    return log(factorial(sum(counts)) / prod(factorial(count) for count in counts))


def chances_of_orders(scores):
    shares = np.exp(scores - scores.max())
    return shares / shares.sum()


def three_ways_of(a, b):
    if a[0] != b[0]:
        return 0
    return 1 if b[1] > a[1] else 2


def put_back(parts, number):
    orders = [order for n in (1, 2, 3) for order in permutations(range(n))]
    text = [None] * len(parts)
    for place, part in enumerate(orders[number]):
        text[part] = parts[place]
    return text
