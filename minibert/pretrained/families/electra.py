"""ELECTRA: a generator that guesses masked words, and a discriminator that tells which words are not the text's.

Each is a model of its own here, as it is in a folder: by the class that ``config.json`` names it has the one head or the other.
Tables may be narrower than the encoder; where they are not there is no projection. No pooler: texts are judged by a head with a
layer of its own, whose GELU, and that of the generator's head, is the erf form whatever ``hidden_act`` is. (The original puts one
linear layer on [CLS]; its fine-tuned models, in transformers' names, have the other.)

Source: Clark et al. 2020, "ELECTRA"; google-research/electra; transformers' ``modeling_electra.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from minibert.config import BertConfig
from minibert.pretrained.families.table import Family

GENERATOR = "ElectraForMaskedLM"


def _structure(values: Mapping[str, Any]) -> dict[str, Any]:
    named = values.get("architectures")
    return {"embedding_size": None if values["embedding_size"] == values["hidden_size"] else values["embedding_size"],
            "objectives": ("mlm",) if isinstance(named, list) and GENERATOR in named else ("replaced",),
            "pooler": None, "text_head": "gelu", "text_head_drops": True,
            "head_act": None if values["hidden_act"] == "gelu" else "gelu"}


def _said(config: BertConfig) -> dict[str, Any]:
    return {"embedding_size": config.embedding_width}


def _size(hidden: int, embedding: int, layers: int, **more: Any) -> dict[str, Any]:
    return {"hidden_size": hidden, "embedding_size": embedding, "num_hidden_layers": layers, "num_attention_heads": hidden // 64,
            "intermediate_size": 4 * hidden, **more}


def _generator(hidden: int, embedding: int, layers: int) -> dict[str, Any]:
    return _size(hidden, embedding, layers, architectures=[GENERATOR])


ELECTRA = Family(
    "electra", "ELECTRA", "Electra", "electra",
    defaults=MappingProxyType({"embedding_size": 128, "hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 1024,
                               "hidden_act": "gelu"}),
    sizes=MappingProxyType({
        "small": _size(256, 128, 12), "base": _size(768, 768, 12), "large": _size(1024, 1024, 24),
        "small-generator": _generator(64, 128, 12), "base-generator": _generator(256, 768, 12),
        "large-generator": _generator(256, 1024, 24)}),
    pattern="small", structure=_structure, said=_said, spoken=frozenset({"embedding_size"}),
    pairs=(("bert.embeddings.projection.", "electra.embeddings_project."),
           ("cls.predictions.transform.dense.", "generator_predictions.dense."),
           ("cls.predictions.transform.LayerNorm.", "generator_predictions.LayerNorm."),
           ("cls.predictions.decoder.weight", "generator_lm_head.weight"),
           ("cls.predictions.bias", "generator_lm_head.bias")),
    heads=MappingProxyType({
        "ForSequenceClassification": (("classifier.dense.", "classifier.dense."), ("classifier.", "classifier.out_proj.")),
        "ForMultipleChoice": (("classifier.dense.", "sequence_summary.summary."),)}),
    idle=frozenset({"summary_type", "summary_use_proj", "summary_activation", "summary_last_dropout"}),
)
