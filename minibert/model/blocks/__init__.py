"""Blocks of the encoder, one module each; which of them a model has, its configuration says.

A block is a pair with the shapes of its tensors::

    shapes(config)                                                   name -> shape
    forward(x, p, config, mask, key, head_mask, override)            -> (y, weights), cache      cache.attention: attention.Cache
    backward(dy, cache, p, g, dweights)                              -> attention.Gradients
"""

from __future__ import annotations

from types import MappingProxyType, ModuleType

from minibert.config import BertConfig
from minibert.model.blocks import mobile, post_ln, pre_ln

KINDS = MappingProxyType({"post_ln": post_ln, "pre_ln": pre_ln, "mobile": mobile})


def of(config: BertConfig) -> ModuleType:
    """The block of this configuration."""
    return KINDS[config.block]
