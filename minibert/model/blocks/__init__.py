"""Blocks of the encoder, one module each; which of them a model has, its configuration says.

A block is a pair with the shapes of its tensors::

    shapes(config, layer)                                            name -> shape, of a layer by its number
    forward(x, p, config, mask, key, head_mask, override)            -> (y, weights), cache      cache.attention: attention.Cache
    backward(dy, cache, p, g, dweights)                              -> attention.Gradients
"""

from __future__ import annotations

from types import MappingProxyType, ModuleType, SimpleNamespace

from minibert.config import BertConfig
from minibert.model.blocks import fewer_heads, mobile, post_ln, pre_ln

KINDS = MappingProxyType({"post_ln": post_ln, "pre_ln": pre_ln, "mobile": mobile})


def of(config: BertConfig) -> ModuleType:
    """The block of this configuration."""
    return KINDS[config.block]


def of_layer(config: BertConfig, layer: int) -> ModuleType | SimpleNamespace:
    """That of one layer, which may have fewer heads than others."""
    kept, heads = config.heads_of(layer), config.num_attention_heads
    return of(config) if len(kept) == heads else fewer_heads.of(of(config), kept, heads)
