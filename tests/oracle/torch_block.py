"""A BERT in PyTorch's own operations, every door open: gates on heads, attention and hidden states from outside, (B, T, T) masks.

The independent answer for what the transformers library has not or no longer offers. Gradients come from autograd.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from minibert.config import BertConfig


def keep_all(x: Tensor, *place: object) -> Tensor:
    return x


def linear(x: Tensor, p: Mapping[str, Tensor], name: str) -> Tensor:
    return F.linear(x, p[f"{name}.weight"], p[f"{name}.bias"])


def norm(x: Tensor, p: Mapping[str, Tensor], name: str, config: BertConfig) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], p[f"{name}.LayerNorm.weight"], p[f"{name}.LayerNorm.bias"], config.layer_norm_eps)


def activation(x: Tensor, config: BertConfig) -> Tensor:
    return F.gelu(x, approximate="none" if config.hidden_act == "gelu" else "tanh")


def attention(x: Tensor, p: Mapping[str, Tensor], name: str, config: BertConfig, visible: Tensor, gate: Tensor | None,
              override: Tensor | None, drop: Callable, layer: int) -> tuple[Tensor, Tensor]:
    heads = config.num_attention_heads
    q, k, v = (linear(x, p, f"{name}.{part}").unflatten(-1, (heads, -1)).movedim(2, 1) for part in ("query", "key", "value"))
    if override is None:
        scores = torch.einsum("bhqd,bhkd->bhqk", q, k) / config.head_size**0.5
        scores = scores.masked_fill(~visible[:, None], torch.finfo(x.dtype).min)
        weights = drop(torch.softmax(scores, -1), layer, "attention")
    else:
        weights = override
    if gate is not None:
        weights = weights * gate[..., None, None]
    return torch.einsum("bhqk,bhkd->bqhd", weights, v).flatten(2), weights


def block(x: Tensor, p: Mapping[str, Tensor], layer: int, config: BertConfig, visible: Tensor, gate: Tensor | None,
          override: Tensor | None, drop: Callable) -> tuple[Tensor, Tensor]:
    name = f"bert.encoder.layer.{layer}"
    pre = config.norm_first
    into = norm(x, p, f"{name}.attention", config) if pre else x
    context, weights = attention(into, p, f"{name}.attention.self", config, visible, gate, override, drop, layer)
    h = x + drop(linear(context, p, f"{name}.attention.output.dense"), layer, "first")
    h = h if pre else norm(h, p, f"{name}.attention.output", config)
    into = norm(h, p, f"{name}.intermediate", config) if pre else h
    f = linear(activation(linear(into, p, f"{name}.intermediate.dense"), config), p, f"{name}.output.dense")
    y = h + drop(f, layer, "second")
    return (y if pre else norm(y, p, f"{name}.output", config)), weights


def bert(words: Tensor, types: Tensor, mask: Tensor, p: Mapping[str, Tensor], config: BertConfig, head_mask: Tensor | None = None,
         hidden: Mapping[int, Tensor] | None = None, attentions: Mapping[int, Tensor] | None = None,
         drop: Callable = keep_all) -> tuple[Tensor, Tensor, list[Tensor], list[Tensor]]:
    """Ids (B, T) or vectors (B, T, H) -> last hidden state, pooled, states, attentions. ``p``: checkpoint name -> tensor."""
    hidden, attentions = hidden or {}, attentions or {}
    name = "bert.embeddings"
    if words.dim() == 2:
        words = F.embedding(words, p[f"{name}.word_embeddings.weight"])
    x = words + p[f"{name}.position_embeddings.weight"][: words.shape[1]]
    x = x + F.embedding(types, p[f"{name}.token_type_embeddings.weight"])
    x = drop(norm(x, p, name, config), "embeddings")
    visible = (mask[:, None, :] if mask.dim() == 2 else mask).bool()
    states, weights = [hidden.get(0, x)], []
    for i in range(config.num_hidden_layers):
        gate = None if head_mask is None else head_mask[i]
        y, w = block(states[i], p, i, config, visible, gate, attentions.get(i), drop)
        states.append(hidden.get(i + 1, y))
        weights.append(w)
    last = norm(states[-1], p, "bert", config) if config.norm_first else states[-1]
    return last, torch.tanh(linear(last[:, 0], p, "bert.pooler.dense")), states, weights


def heads(last: Tensor, pooled: Tensor, p: Mapping[str, Tensor], config: BertConfig) -> tuple[Tensor, Tensor]:
    """Logits (B, T, V) of the words and (B, 2) of the next sentence."""
    name = "cls.predictions"
    t = norm(activation(linear(last, p, f"{name}.transform.dense"), config), p, f"{name}.transform", config)
    logits = F.linear(t, p["bert.embeddings.word_embeddings.weight"], p[f"{name}.bias"])
    return logits, linear(pooled, p, "cls.seq_relationship")
