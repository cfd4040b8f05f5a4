"""A gated recurrent unit: one step of a state that reads x, and at each of its numbers decides how much of it stays.

::

    r = σ(W_r·x + b_r + U_r·h + c_r)              how much of the old state the new one looks at
    z = σ(W_z·x + b_z + U_z·h + c_z)              how much of it stays
    n = tanh(W_n·x + b_n + r∘(U_n·h + c_n))       what may come in its place
    y = (1 - z)∘n + z∘h

The three W stand below one another in one matrix (3H, I), the three U in another (3H, H), in the order r, z, n.

Backward, from the last line to the first, with ``σ' = σ(1 - σ)``, ``tanh' = 1 - tanh²`` and a for what stood in the function::

    dn = dy∘(1 - z)            dz = dy∘(h - n)             dh = dy∘z + what comes back through U
    da_n = dn∘(1 - n²)         dr = da_n∘(U_n·h + c_n)     da_z = dz∘z∘(1 - z)     da_r = dr∘r∘(1 - r)

through W goes [da_r, da_z, da_n], through U [da_r, da_z, r∘da_n].

Source: Cho et al. 2014, arXiv:1406.1078, section 2.3; with r behind U, as in cuDNN and ``torch.nn.GRUCell``, whose order of the
three this is.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array, get_xp
from minibert.layers import linear
from minibert.numerics.logistic import sigmoid
from minibert.parameters import Shapes, Tree, named


class Cache(NamedTuple):
    h: Array  # (B, H)
    r: Array  # (B, H)
    z: Array  # (B, H)
    n: Array  # (B, H)
    looked: Array  # (B, H) U_n·h + c_n
    input: linear.Cache
    state: linear.Cache


def shapes(hidden: int, inputs: int) -> Shapes:
    """W and b under ``input``, U and c under ``state``."""
    return named({"input": linear.shapes(3 * hidden, inputs), "state": linear.shapes(3 * hidden, hidden)})


def forward(x: Array, h: Array, p: Tree) -> tuple[Array, Cache]:
    """x ``(B, I)``, h ``(B, H)`` -> y ``(B, H)``. ``p``: input with weight ``(3H, I)``, state with weight ``(3H, H)``, biases."""
    xp = get_xp(x)
    of_input, input_cache = linear.forward(x, p["input"])
    of_state, state_cache = linear.forward(h, p["state"])
    (a_r, a_z, a_n), (s_r, s_z, looked) = (xp.split(part, 3, axis=-1) for part in (of_input, of_state))
    r, z = sigmoid(a_r + s_r), sigmoid(a_z + s_z)
    n = xp.tanh(a_n + r * looked)
    return n + z * (h - n), Cache(h, r, z, n, looked, input_cache, state_cache)


def backward(dy: Array, cache: Cache, p: Tree, g: Tree) -> tuple[Array, Array]:
    """dy ``(B, H)`` -> dx ``(B, I)``, dh ``(B, H)``."""
    h, r, z, n, looked, input_cache, state_cache = cache
    xp = get_xp(dy)
    da_n = dy * (1 - z) * (1 - n * n)
    da_z = dy * (h - n) * z * (1 - z)
    da_r = da_n * looked * r * (1 - r)
    dx = linear.backward(xp.concatenate([da_r, da_z, da_n], -1), input_cache, p["input"], g["input"])
    dh = linear.backward(xp.concatenate([da_r, da_z, r * da_n], -1), state_cache, p["state"], g["state"])
    return dx, dh + dy * z
