"""The other side of the comparison: transformers' BERT, and PyTorch tuned by hand. Imported only where they are measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from minibert.config import BertConfig
from minibert.pretrained import families


class Attention(nn.Module):
    """One product for query, key and value; PyTorch's fused attention."""

    def __init__(self, c: BertConfig) -> None:
        super().__init__()
        self.heads, self.rate = c.num_attention_heads, c.attention_probs_dropout_prob
        self.qkv, self.out = nn.Linear(c.hidden_size, 3 * c.hidden_size), nn.Linear(c.hidden_size, c.hidden_size)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        B, T, H = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.heads, H // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=self.rate if self.training else 0.0)
        return self.out(y.transpose(1, 2).reshape(B, T, H))


class Block(nn.Module):
    def __init__(self, c: BertConfig) -> None:
        super().__init__()
        self.attention = Attention(c)
        self.norm1, self.norm2 = nn.LayerNorm(c.hidden_size, c.layer_norm_eps), nn.LayerNorm(c.hidden_size, c.layer_norm_eps)
        self.up, self.down = nn.Linear(c.hidden_size, c.intermediate_size), nn.Linear(c.intermediate_size, c.hidden_size)
        self.rate = c.hidden_dropout_prob

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        x = self.norm1(x + F.dropout(self.attention(x, mask), self.rate, self.training))
        return self.norm2(x + F.dropout(self.down(F.gelu(self.up(x))), self.rate, self.training))


class Tuned(nn.Module):
    """A BERT for masked words as someone would write it who wants it fast: the head sees the masked positions only."""

    def __init__(self, c: BertConfig) -> None:
        super().__init__()
        self.rate = c.hidden_dropout_prob
        self.word, self.kind = nn.Embedding(c.vocab_size, c.hidden_size), nn.Embedding(c.type_vocab_size, c.hidden_size)
        self.position = nn.Embedding(c.max_position_embeddings, c.hidden_size)
        self.norm = nn.LayerNorm(c.hidden_size, c.layer_norm_eps)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.num_hidden_layers))
        self.dense, self.head_norm = nn.Linear(c.hidden_size, c.hidden_size), nn.LayerNorm(c.hidden_size, c.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(c.vocab_size))
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=c.initializer_range)

    def forward(self, ids: torch.Tensor, types: torch.Tensor, mask: torch.Tensor | None, positions: torch.Tensor,
                labels: torch.Tensor) -> torch.Tensor:
        x = self.word(ids) + self.position.weight[:ids.shape[1]] + self.kind(types)
        x = F.dropout(self.norm(x), self.rate, self.training)
        for block in self.blocks:
            x = block(x, mask)
        t = self.head_norm(F.gelu(self.dense(x.flatten(0, 1)[positions])))
        return F.cross_entropy(F.linear(t, self.word.weight, self.bias), labels)


def steps(model: nn.Module, loss: Callable[[], torch.Tensor], lr: float, fused: bool) -> Callable[[], float]:
    """A training step: backward, clipping, AdamW; biases and norms do not decay."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}], lr=lr,
                                  eps=1e-6, fused=fused or None)
    model.train()

    def step() -> float:
        optimiser.zero_grad()
        value = loss()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        return value.item()

    return step


def tuned_step(config: BertConfig, ids: np.ndarray, types: np.ndarray, positions: np.ndarray, labels: np.ndarray,
               lr: float = 1e-4) -> Callable[[], float]:
    torch.manual_seed(0)
    model = Tuned(config)
    x = [torch.from_numpy(a) for a in (ids, types, positions, labels)]
    return steps(model, lambda: model(x[0], x[1], None, x[2], x[3]), lr, fused=True)


def floor(products: Sequence[Any]) -> Callable[[], None]:
    """Products of ``train_step.products`` and nothing else."""
    operands = [(torch.randn(*stack, p.m, p.k), torch.randn(*stack, p.k, p.n), torch.empty(*stack, p.m, p.n), p.times)
                for p in products for stack in [[p.batch] if p.batch > 1 else []]]

    def step() -> None:
        for a, b, out, times in operands:
            for _ in range(times):
                torch.matmul(a, b, out=out)

    return step


def transformers_model(config: BertConfig, kind: str = "BertForMaskedLM") -> Any:
    import transformers

    transformers.logging.set_verbosity_error()
    torch.manual_seed(0)
    if config.model_type != "bert":
        values = json.loads(families.to_json(config))
        theirs = transformers.AutoConfig.for_model(values.pop("model_type"), **values)
        return transformers.AutoModelForMaskedLM.from_config(theirs)
    fields = {name: getattr(config, name) for name in (
        "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
        "hidden_dropout_prob", "attention_probs_dropout_prob", "max_position_embeddings", "type_vocab_size", "initializer_range",
        "layer_norm_eps")}
    return getattr(transformers, kind)(transformers.BertConfig(**fields))


def transformers_step(config: BertConfig, ids: np.ndarray, types: np.ndarray, positions: np.ndarray, labels: np.ndarray,
                      lr: float = 1e-4) -> Callable[[], float]:
    model = transformers_model(config)
    everywhere = np.full(ids.size, -100)
    everywhere[positions] = labels
    x = {"input_ids": torch.from_numpy(ids), **({"token_type_ids": torch.from_numpy(types)} if config.type_vocab_size else {}),
         "attention_mask": torch.ones(ids.shape, dtype=torch.long), "labels": torch.from_numpy(everywhere.reshape(ids.shape))}
    return steps(model, lambda: model(**x).loss, lr, fused=False)
