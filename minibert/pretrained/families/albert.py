"""ALBERT: layers that share their tensors, and tables narrower than the encoder.

A file says ``num_hidden_groups`` groups of ``inner_group_num`` blocks each; which group a layer uses is rounded: transformers
takes ``int(i / (L / G))``, the original ``int(i / L * G)``, and in floating point the two part where G does not divide L (L 18,
G 14, layer 9: 6 and 7). Files here are read as transformers reads them; ``layer_map(…, original=True)`` is the other. Each of
their layers is ``inner_group_num`` of ours.

The pair is judged by its order. Where transformers departs from the original: its layer has a dropout for the feed-forward that
it never applies, and one before the head of the order; here, as in the original, it is applied and there is none.

Source: Lan et al. 2019, "ALBERT"; google-research/albert ``modeling.py``; transformers' ``modeling_albert.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from minibert.config import MOST_LAYERS, BertConfig
from minibert.files import brief
from minibert.pretrained.families.table import Family


def layer_map(layers: int, groups: int, inner: int = 1, original: bool = False) -> tuple[int, ...]:
    """Of each block, whose tensors it uses. ``original``: as Google's code rounds, not transformers'."""
    group = [int(i / layers * groups) if original else int(i / (layers / groups)) for i in range(layers)]
    return tuple(g * inner + k for g in group for k in range(inner))


def _structure(values: Mapping[str, Any]) -> dict[str, Any]:
    layers, groups, inner = (values[key] for key in ("num_hidden_layers", "num_hidden_groups", "inner_group_num"))
    for key in ("num_hidden_layers", "num_hidden_groups", "inner_group_num", "embedding_size"):
        if type(values[key]) is not int or values[key] < 1:
            raise ValueError(f"config: {key} must be a whole number of at least 1, got {brief(values[key])}")
    if groups > layers:
        raise ValueError(f"config: num_hidden_groups must be at most num_hidden_layers, {layers:,}, got {groups:,}")
    if layers * inner > MOST_LAYERS:
        raise ValueError(f"config: num_hidden_layers and inner_group_num make {layers * inner:,} blocks, more than "
                         f"{MOST_LAYERS:,}")
    return {"num_hidden_layers": layers * inner, "layer_map": layer_map(layers, groups, inner),
            "embedding_size": values["embedding_size"]}


def _groups(config: BertConfig) -> tuple[int, int, int]:
    """layers, groups and inner blocks of a map; as many inner ones as its file had, else as few as do."""
    wanted, tensors = config.uses, len(set(config.uses))
    for inner in (config.unknown.get("inner_group_num"), *range(1, tensors + 1)):
        if type(inner) is int and inner > 0 and not (len(wanted) % inner or tensors % inner):
            layers, groups = len(wanted) // inner, tensors // inner
            if layer_map(layers, groups, inner) == wanted:
                return layers, groups, inner
    raise ValueError(f"config: layer_map is {brief(wanted)}, which no number of groups in a config.json of ALBERT makes")


def _said(config: BertConfig) -> dict[str, Any]:
    layers, groups, inner = _groups(config)
    return {"num_hidden_layers": layers, "num_hidden_groups": groups, "inner_group_num": inner,
            "embedding_size": config.embedding_width}


def _numbers(config: BertConfig) -> dict[str, Any]:
    inner = _groups(config)[2]
    return {"join": lambda group, place: group * inner + place, "split": lambda number: divmod(number, inner)}


_LAYER, _THEIRS = "bert.encoder.layer.{}.", "albert.encoder.albert_layer_groups.{}.albert_layers.{}."
_ORIGINAL = "bert.encoder.transformer.group_{}.inner_group_{}."
_OF_ALL = {"embedding_size": 128}

ALBERT = Family(
    "albert", "ALBERT", "Albert", "albert",
    defaults=MappingProxyType({"vocab_size": 30000, "embedding_size": 128, "hidden_size": 4096, "num_hidden_layers": 12,
                               "num_hidden_groups": 1, "inner_group_num": 1, "num_attention_heads": 64,
                               "intermediate_size": 16384, "hidden_act": "gelu_new", "hidden_dropout_prob": 0.0,
                               "attention_probs_dropout_prob": 0.0}),
    sizes=MappingProxyType({
        "base": {**_OF_ALL, "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072},
        "large": {**_OF_ALL, "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096},
        "xlarge": {**_OF_ALL, "hidden_size": 2048, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 8192},
        "xxlarge": {**_OF_ALL, "hidden_size": 4096, "num_hidden_layers": 12, "num_attention_heads": 64,
                    "intermediate_size": 16384}}),
    structure=_structure, said=_said, spoken=frozenset({"num_hidden_groups", "embedding_size"}),
    pairs=(*((f"{_LAYER}{ours}.", f"{_THEIRS}{theirs}.") for ours, theirs in (
               ("attention.output.dense", "attention.dense"), ("attention.output.LayerNorm", "attention.LayerNorm"),
               ("attention.self", "attention"), ("intermediate.dense", "ffn"),
               ("output.dense", "ffn_output"), ("output.LayerNorm", "full_layer_layer_norm"))),
           ("bert.embeddings.projection.", "albert.encoder.embedding_hidden_mapping_in."),
           ("bert.pooler.dense.", "albert.pooler."),
           ("cls.predictions.transform.dense.", "predictions.dense."),
           ("cls.predictions.transform.LayerNorm.", "predictions.LayerNorm."),
           ("cls.predictions.", "predictions."),
           ("cls.seq_relationship.", "sop_classifier.classifier.")),
    also=tuple((f"{_LAYER}{ours}", f"{_ORIGINAL}{theirs}") for ours, theirs in (
        ("attention.self.", "attention_1.self."), ("attention.output.dense.", "attention_1.output.dense."),
        ("attention.output.LayerNorm.", "LayerNorm."), ("intermediate.dense.", "ffn_1.intermediate.dense."),
        ("output.dense.", "ffn_1.intermediate.output.dense."), ("output.LayerNorm.weight", "LayerNorm_1.gamma"),
        ("output.LayerNorm.bias", "LayerNorm_1.beta"))),
    numbers=_numbers, asks="order",
    idle=frozenset({"inner_group_num", "classifier_dropout_prob", "net_structure_type", "down_scale_factor", "gap_size",
                    "num_memory_blocks"}),
    vocabulary="spiece.model",
)
