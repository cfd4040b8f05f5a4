"""The head that chooses: one number for each choice, by a classifier with a single output over its pooled vector, or, in a body
without a pooler, by one with a hidden layer of its own (``dense``).

::

    logits[b,c] = w·dropout(x[b·C + c]) + b₀

The C numbers of an example then compete in a softmax. Backward: the classifier's, of the same numbers in a column.

Source: Devlin et al. 2018, section 4.4.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

from minibert.backend import Array
from minibert.config import BertConfig
from minibert.layers.dropout import Key
from minibert.model.heads import classifier, dense
from minibert.parameters import Shapes, Tree

PATH = "classifier"
READS = "pooled"
INPUTS = ("choices",)


class Cache(NamedTuple):
    judge: ModuleType  # the head that gave each choice its number
    kept: Any  # its cache


def judge(config: BertConfig) -> ModuleType:
    """The head that gives each choice its number; it says what is read."""
    return classifier if config.pooler else dense


def shapes(config: BertConfig, outputs: int = 1) -> Shapes:
    """Those of the classifier; there is always one output, however many choices."""
    return judge(config).shapes(config, 1)


def forward(x: Array, choices: int, p: Tree, config: BertConfig, key: Key | None = None) -> tuple[Array, Cache]:
    """x ``(B·choices, H)`` or ``(B·choices, T, H)`` -> logits ``(B, choices)``. ``p``: weight ``(1, H)``, bias ``(1,)``."""
    logits, kept = judge(config).forward(x, p, config, key)
    return logits.reshape(-1, choices), Cache(judge(config), kept)


def backward(dlogits: Array, cache: Cache, p: Tree, g: Tree) -> Array:
    """dlogits ``(B, choices)`` -> dx in the shape of x."""
    return cache.judge.backward(dlogits.reshape(-1, 1), cache.kept, p, g)
