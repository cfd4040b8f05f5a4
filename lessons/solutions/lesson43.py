"""Answers to lesson 43."""

import numpy as np


def seconds_to_a_loss(looks, target, seconds):
    return next((step * seconds for step, loss in looks if loss <= target), None)


def near_orthogonal(u):
    if len(u) > len(u.T):
        return near_orthogonal(u.T).T
    x = u / max(np.sqrt((u**2).sum()), 1e-7)
    for _ in range(5):
        y = x @ x.T
        x = 3.4445 * x + (-4.7750 * y + 2.0315 * y @ y) @ x
    return x


def share_of_products(rows, columns, tokens):
    low, high = min(rows, columns), max(rows, columns)
    return 5 * (4 * low**2 * high + 2 * low**3) / (6 * low * high * tokens)


def muon_step(w, g, m, lr):
    m = 0.95 * m + 0.05 * g
    x = near_orthogonal(0.05 * g + 0.95 * m)
    return w - lr * (0.2 * max(w.shape) ** 0.5 * x + 0.01 * w), m


def trapezoid_rate(step, peak, warmup, total):
    up, fall = round(warmup * total), round(total / 5)
    down = max(0, step - 1 - (total - fall)) / fall
    return peak * min(1, step / up) * (1 - down)
