"""Solutions of lesson 4."""

import numpy as np


def numerical_gradient(f, x, h=1e-5):
    found = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += h
        down[i] -= h
        found[i] = (f(up) - f(down)) / (2 * h)
    return found


def sigmoid_backward(dy, y):
    return dy * y * (1 - y)


def linear_backward(dy, x, weight):
    rows, drows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    return dy @ weight, drows.T @ rows, drows.sum(0)


def directional_derivative(f, x, direction):
    h = 1e-30
    return f(x + 1j * h * direction).imag / h


def twice_backward(dy, x, weight):
    z = np.tanh(x @ weight.T)
    dweight = dy.T @ z
    da = dy @ weight * (1 - z * z)
    dweight = dweight + da.T @ x
    return da @ weight, dweight
