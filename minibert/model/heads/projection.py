"""One linear layer from the width of a student to that of its teacher, so that their states can be compared: ``y = W·x + b``.

It is thrown away with the teacher. Source: Jiao et al. 2019, "TinyBERT", arXiv:1909.10351, equation 8; Romero et al. 2014,
"FitNets", arXiv:1412.6550, section 2.2.
"""

from __future__ import annotations

from minibert.backend import Array
from minibert.config import BertConfig
from minibert.layers import linear
from minibert.layers.dropout import Key
from minibert.layers.linear import Cache, backward
from minibert.parameters import Shapes, Tree

__all__ = ["INPUTS", "PATH", "READS", "Cache", "backward", "forward", "shapes"]

PATH = "projection"
READS = "last_hidden_state"
INPUTS = ()


def shapes(config: BertConfig, outputs: int) -> Shapes:
    """weight and bias. ``outputs``: the width of the teacher."""
    return linear.shapes(outputs, config.hidden_size)


def forward(x: Array, p: Tree, config: BertConfig | None = None, key: Key | None = None) -> tuple[Array, Cache]:
    """x ``(..., H)`` -> y ``(..., outputs)``."""
    return linear.forward(x, p)
