"""Answers to lesson 3."""

import numpy as np


def unpack(ids, token_type_ids, attention_mask):
    n = sum(attention_mask)
    second = sum(token_type_ids[:n])  # the ids of b and its [SEP]
    a = ids[1:n - second - 1]
    return a, ids[n - second:n - 1] if second else None


def windows(ids, size, stride):
    found = [ids[:size]]
    start = 0
    while start + size < len(ids):
        start += stride
        found.append(ids[start:start + size])
    return found


def mean_of_tokens(x, attention_mask):
    real = attention_mask[:, :, None]
    return (x * real).sum(1) / real.sum(1)


def cover(lengths, share):
    for length in sorted(lengths):
        if np.mean(np.array(lengths) <= length) >= share:
            return length


even_length = (4 * 768**2 + 2 * 768 * 3072) / (2 * 768)
