"""The head that points at a span: for every token, how likely the answer starts there, and how likely it ends there.

::

    s[b,0,t] = w₀·x[b,t] + b₀        s[b,1,t] = w₁·x[b,t] + b₁

Each of the two rows is then a softmax over the T places of the text. Padding is no place: the same large negative number as in
attention is added there, so that a loss does not depend on how far a text was padded (the reference pads every text alike and
leaves the padding in).

Backward: the mask is a constant, so only the linear layer is left. Its parameters are called ``qa_outputs`` in checkpoints.

Source: Devlin et al. 2018, section 4.2; reference ``run_squad.py``, ``create_model``.
"""

from __future__ import annotations

from minibert.backend import Array
from minibert.config import BertConfig
from minibert.layers import linear
from minibert.layers.dropout import Key
from minibert.layers.linear import Cache
from minibert.layers.softmax import additive_mask
from minibert.parameters import Shapes, Tree

PATH = "qa_outputs"
READS = "last_hidden_state"
INPUTS = ("attention_mask",)


def shapes(config: BertConfig, outputs: int = 2) -> Shapes:
    """weight and bias; there are always two outputs."""
    return linear.shapes(2, config.hidden_size)


def forward(x: Array, attention_mask: Array | None, p: Tree, config: BertConfig | None = None,
            key: Key | None = None) -> tuple[Array, Cache]:
    """x ``(B, T, H)``, attention_mask ``(B, T)`` -> scores ``(B, 2, T)`` of start and end.

    ``p``: weight ``(2, H)``, bias ``(2,)``.
    """
    y, cache = linear.forward(x, p)
    scores = y.swapaxes(1, 2)  # (B, T, 2) -> (B, 2, T)
    if attention_mask is not None:
        scores = scores + additive_mask(attention_mask, scores.real.dtype)[:, 0]
    return scores, cache


def backward(dscores: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dscores ``(B, 2, T)`` -> dx ``(B, T, H)``."""
    return linear.backward(dscores.swapaxes(1, 2), cache, p, g)
