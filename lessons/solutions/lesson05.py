"""Answers to lesson 5."""

import numpy as np


def embed(ids, token_type_ids, words, positions, types):
    return words[ids] + positions[:ids.shape[1]] + types[token_type_ids]


def lookup_backward(dy, ids, V):
    g = np.zeros((V, dy.shape[-1]))
    np.add.at(g, ids, dy)
    return g


def positions_backward(de, rows):
    g = np.zeros((rows, de.shape[-1]))
    g[:de.shape[1]] += de.sum(0)
    return g


def mean_backward(dy, ids, attention_mask, V):
    share = attention_mask / attention_mask.sum(1, keepdims=True)  # (B, T)
    return lookup_backward(share[:, :, None] * dy[:, None, :], ids, V)


parameters_of_base = (30522 + 512 + 2) * 768
