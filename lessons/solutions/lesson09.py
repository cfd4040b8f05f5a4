"""Answers to lesson 9."""

import numpy as np

from minibert.layers import gelu

hidden_states_of_large = 25


def pool(x, weight, bias):
    return np.tanh(x[:, 0] @ weight.T + bias)


def numbers_in_a_block(H, I):
    attention = 4 * (H * H + H)  # query, key, value and output
    feed_forward = I * H + I + H * I + H
    norms = 2 * (H + H)
    return attention + feed_forward + norms


def feed_forward_gradient(dy, x, W1, b1, W2, b2):
    _, cache = gelu.forward(x @ W1.T + b1)
    return dy + gelu.backward(dy @ W2, cache) @ W1


def gate_gradient(dcontext, P, v):
    return (dcontext * (P @ v)).sum((0, 2, 3))
