"""Answers to lesson 33."""

import numpy as np


def error_of_the_mean(values):
    return np.sqrt(np.mean((np.array(values) - np.mean(values)) ** 2))


def error_of_one_hot(values):
    n = len(values)
    return n / (n - 1) * np.std(values)  # the mean of the others is n/(n − 1) times as far away


def matthews(truth, guess):
    both = sum(a and b for a, b in zip(truth, guess))
    neither = sum(not a and not b for a, b in zip(truth, guess))
    false, missed = sum(guess) - both, sum(truth) - both
    size = ((both + false) * (both + missed) * (neither + false) * (neither + missed)) ** 0.5
    return (both * neither - false * missed) / size if size else 0.0


def minimal_pairs_of(sentences):
    def acceptable(sentence):
        licensor, scope, item = sentence
        return not item or (licensor and scope)

    return [(i, k) for i, good in enumerate(sentences) for k, bad in enumerate(sentences)
            if acceptable(good) and not acceptable(bad) and sum(a != b for a, b in zip(good, bad)) == 1]
