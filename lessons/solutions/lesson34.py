"""Answers to lesson 34."""

import numpy as np


def ngram_chances(longest):
    shares = 1 / np.arange(1, longest + 1)
    return shares / shares.sum()


def words_that_fit(lengths, order, budget):
    chosen = []
    for word in order:
        if lengths[word] <= budget:
            chosen.append(word)
            budget -= lengths[word]
    return chosen


def class_of(order):
    number = {1: 0, 2: 1, 3: 3}[len(order)]  # so many orders have fewer parts
    left = sorted(order)
    for place, part in enumerate(order):
        number += left.index(part) * {0: 1, 1: 1, 2: 2}[len(order) - place - 1]
        left.remove(part)
    return number


def moved_places(before, after, hidden):
    return [i for i in range(len(before)) if before[i] != after[i] and i not in hidden]
