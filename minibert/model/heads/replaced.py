"""The head that tells of every token whether it stood in the text, or was put in its place by a generator.

::

    logits[b,t] = v·gelu(W·x[b,t] + c) + d        above 0: replaced

Source: Clark et al. 2020, "ELECTRA", section 2; google-research/electra ``run_pretraining.py``, ``_get_discriminator_output``.
Checkpoints call its tensors ``discriminator_predictions``.
"""

from __future__ import annotations

from typing import NamedTuple

from minibert.backend import Array
from minibert.config import BertConfig
from minibert.layers import activation, linear
from minibert.layers.dropout import Key
from minibert.parameters import Shapes, Tree, named

PATH = "discriminator_predictions"
READS = "last_hidden_state"
INPUTS = ()


class Cache(NamedTuple):
    dense: linear.Cache
    activation: activation.Cache
    prediction: linear.Cache


def shapes(config: BertConfig, outputs: int = 1) -> Shapes:
    """Two linear layers; there is always one output."""
    H = config.hidden_size
    return named({"dense": linear.shapes(H, H), "dense_prediction": linear.shapes(1, H)})


def forward(x: Array, p: Tree, config: BertConfig, key: Key | None = None) -> tuple[Array, Cache]:
    """x ``(B, T, H)`` -> logits ``(B, T)``. ``p``: dense ``(H, H)``, dense_prediction ``(1, H)``."""
    u, dense_cache = linear.forward(x, p["dense"], bias=False)
    a, activation_cache = activation.forward(u, p["dense"], config.hidden_act)
    logits, prediction_cache = linear.forward(a, p["dense_prediction"])
    return logits[..., 0], Cache(dense_cache, activation_cache, prediction_cache)


def backward(dlogits: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dlogits ``(B, T)`` -> dx ``(B, T, H)``."""
    da = linear.backward(dlogits[..., None], cache.prediction, p["dense_prediction"], g["dense_prediction"])
    du = activation.backward(da, cache.activation, p["dense"], g["dense"])
    return linear.backward(du, cache.dense, p["dense"], g["dense"])
