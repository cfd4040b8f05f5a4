"""Solutions of lesson 12."""

import numpy as np


def momentum_step(p, g, m, lr):
    m = 0.9 * m + g
    return p - lr * m, m


def adamw_step(p, g, m, v, lr, step, decay):
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g * g
    m_hat, v_hat = m / (1 - 0.9**step), v / (1 - 0.999**step)
    return p - lr * (m_hat / (np.sqrt(v_hat) + 1e-6) + decay * p), m, v


def clip(gradients, limit):
    norm = np.sqrt(sum((g * g).sum() for g in gradients.values()))
    factor = min(1.0, limit / norm) if norm else 1.0
    return {name: g * factor for name, g in gradients.items()}


def rate(step, peak, warmup, total):
    if step <= warmup:
        return peak * step / warmup
    return peak * (total + 1 - step) / (total + 1 - warmup)


_steps = np.arange(1, 1000)
worst_factor = ((1 - 0.9**_steps) / np.sqrt(1 - 0.98**_steps)).max()
