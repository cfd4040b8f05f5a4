"""Answers to lesson 38."""

import numpy as np


def distillation_loss(student, teacher, tau):
    log_p, log_q = (z / tau - np.log(np.exp(z / tau).sum(-1, keepdims=True)) for z in (teacher, student))
    return tau**2 * (np.exp(log_p) * (log_p - log_q)).sum(-1).mean()


def compared_states(layers, of_teacher):
    return [round(i * of_teacher / layers) for i in range(layers + 1)]


def taken_apart(student, teacher):
    def parts(x):
        return (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True), x.mean(-1), x.var(-1)

    (a, mean_a, var_a), (b, mean_b, var_b) = parts(student), parts(teacher)
    return ((a - b) ** 2).mean(), ((mean_a - mean_b) ** 2).mean(), np.abs(var_a - var_b).mean()


def rate_of_a_layer(step, steps, layers, layer):
    part = steps // layers
    now, done = (step - 1) // part, (step - 1) % part + 1
    b = min(10 * done / part, 0.9 + 0.1 * np.sqrt(1 - done / part))
    return 0.0 if layer > now else (3 if layer == now else 0.3) * b
