"""Answers to lesson 3."""

import numpy as np


def features(a, b, cls_id, sep_id, pad_id, length):
    ids = [cls_id, *a, sep_id]
    types = [0] * len(ids)
    if b is not None:
        ids += [*b, sep_id]
        types += [1] * (len(b) + 1)
    padding = length - len(ids)
    return ids + [pad_id] * padding, types + [0] * padding, [1] * len(ids) + [0] * padding


def truncate_pair(a, b, room):
    a, b = list(a), list(b)
    while len(a) + len(b) > room:
        (a if len(a) > len(b) else b).pop()
    return a, b


def mean_of_tokens(x, attention_mask):
    real = attention_mask[:, :, None]
    return (x * real).sum(1) / real.sum(1)


def cover(lengths, share):
    for length in sorted(lengths):
        if np.mean(np.array(lengths) <= length) >= share:
            return length


even_length = (4 * 768**2 + 2 * 768 * 3072) / (2 * 768)
