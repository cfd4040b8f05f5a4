"""Bodies of a model: what is under its heads. Which one a model has, its configuration says.

A body is a pair with the shapes of its tensors::

    OUTPUTS                                                          what heads and terms can read, fields of ``bert.Output``
    shapes(config, pooled)                                           name -> shape
    forward(ids, token_type_ids, attention_mask, p, config, …)       -> bert.Output, cache; recompute: it keeps what it must
    backward(d, cache, p, g, frozen)                                 -> bert.Gradients
"""

from __future__ import annotations

from types import ModuleType

from minibert.config import BertConfig
from minibert.model import bert, textcnn


def check_recompute(config: BertConfig) -> None:
    """ValueError for a body without layers that can be computed again."""
    if config.filter_sizes:
        raise ValueError("--recompute: this model is made of convolutions, and layers that are computed again it has none; leave "
                         "it out")


def of(config: BertConfig) -> ModuleType:
    """The body of this configuration."""
    return bert if config.filter_sizes is None else textcnn
