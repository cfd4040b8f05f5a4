"""ERNIE: BERT with a table of task types, of which a text has the first unless it is told otherwise.

Files of today call everything as BERT's do; the first ones, of Paddle's static graph, have names of their own.

Source: Sun et al. 2019, "ERNIE" and "ERNIE 2.0"; PaddlePaddle/ERNIE ``model/ernie.py``; transformers' ``modeling_ernie.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from minibert.config import BertConfig
from minibert.pretrained.families.table import Family

TASKS = 3  # rows of the table where a file names no number, or has no table


def _norm(ours: str, theirs: str) -> list[tuple[str, str]]:
    return [(f"{ours}.weight", f"{theirs}_scale"), (f"{ours}.bias", f"{theirs}_bias")]


def _linear(ours: str, theirs: str) -> list[tuple[str, str]]:
    return [(f"{ours}.weight", f"{theirs}.w_0"), (f"{ours}.bias", f"{theirs}.b_0")]


_LAYER, _THEIRS = "bert.encoder.layer.{}.", "encoder_layer_{}_"
_FIRST = (
    *((f"bert.embeddings.{ours}_embeddings.weight", f"{theirs}_embedding") for ours, theirs in (
        ("word", "word"), ("position", "pos"), ("token_type", "sent"), ("task_type", "task"))),
    *_norm("bert.embeddings.LayerNorm", "pre_encoder_layer_norm"),
    *(pair for ours, theirs in (
        ("attention.self.query", "multi_head_att_query_fc"), ("attention.self.key", "multi_head_att_key_fc"),
        ("attention.self.value", "multi_head_att_value_fc"), ("attention.output.dense", "multi_head_att_output_fc"),
        ("intermediate.dense", "ffn_fc_0"), ("output.dense", "ffn_fc_1")) for pair in _linear(_LAYER + ours, _THEIRS + theirs)),
    *_norm(f"{_LAYER}attention.output.LayerNorm", f"{_THEIRS}post_att_layer_norm"),
    *_norm(f"{_LAYER}output.LayerNorm", f"{_THEIRS}post_ffn_layer_norm"),
    *_linear("bert.pooler.dense", "pooled_fc"),
    *_linear("cls.predictions.transform.dense", "mask_lm_trans_fc"),
    *_norm("cls.predictions.transform.LayerNorm", "mask_lm_trans_layer_norm"),
    ("cls.predictions.bias", "mask_lm_out_fc.b_0"),
)


def _structure(values: Mapping[str, Any]) -> dict[str, Any]:
    return {"task_type_vocab_size": values["task_type_vocab_size"] if values["use_task_id"] else 0}


def _said(config: BertConfig) -> dict[str, Any]:
    return {"use_task_id": bool(config.task_type_vocab_size), "task_type_vocab_size": config.task_type_vocab_size or TASKS}


ERNIE = Family(
    "ernie", "ERNIE", "Ernie", "ernie",
    defaults=MappingProxyType({"use_task_id": False, "task_type_vocab_size": TASKS}),
    sizes=MappingProxyType({"base": {}, "base-tasks": {"use_task_id": True}}),
    structure=_structure, said=_said, spoken=frozenset({"use_task_id", "task_type_vocab_size"}),
    also=_FIRST,
)
