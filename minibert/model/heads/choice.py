"""The head that chooses: one number for each choice, by a classifier with a single output over its pooled vector.

::

    logits[b,c] = w·dropout(x[b·C + c]) + b₀

The C numbers of an example then compete in a softmax. Backward: the classifier's, of the same numbers in a column.

Source: Devlin et al. 2018, section 4.4.
"""

from __future__ import annotations

from minibert.backend import Array
from minibert.config import BertConfig
from minibert.layers.dropout import Key
from minibert.model.heads import classifier
from minibert.model.heads.classifier import Cache
from minibert.parameters import Shapes, Tree

PATH = "classifier"
READS = "pooled"
INPUTS = ("choices",)


def shapes(config: BertConfig, outputs: int = 1) -> Shapes:
    """weight and bias; there is always one output, however many choices."""
    return classifier.shapes(config, 1)


def forward(x: Array, choices: int, p: Tree, config: BertConfig | None = None, key: Key | None = None) -> tuple[Array, Cache]:
    """x ``(B·choices, H)`` -> logits ``(B, choices)``. ``p``: weight ``(1, H)``, bias ``(1,)``."""
    logits, cache = classifier.forward(x, p, config, key)
    return logits.reshape(-1, choices), cache


def backward(dlogits: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dlogits ``(B, choices)`` -> dx ``(B·choices, H)``."""
    return classifier.backward(dlogits.reshape(-1, 1), cache, p, g)
