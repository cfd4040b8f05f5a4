"""MobileBERT: narrow blocks inside wide ones, several feed-forward layers in each, words projected with their neighbours.

Three flags of a file say what ``attention_reads`` says here; without ``use_bottleneck`` the other two mean nothing. With neither
of these it is IB-BERT, the teacher: its files open here, and transformers, which makes tensors of other shapes for it, opens
none. ``key_query_shared_bottleneck`` beside ``use_bottleneck_attention`` leaves each layer with a second bottleneck that nobody
reads, ``trigram_input`` false a projection, where tables are as wide as the encoder. Such tensors are read over, and named.

The decoder's further columns lie as (H - E, V) in transformers' files and as (V, H - E) in the original's. The original's files,
of TensorFlow, have no ``model_type``: they are known by ``trigram_input``, which no other family has.

Source: Sun et al. 2020, "MobileBERT"; google-research ``mobilebert/modeling.py``; transformers' ``modeling_mobilebert.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from minibert.config import BertConfig
from minibert.files import brief
from minibert.pretrained.families.table import Family

_FLAGS = ("trigram_input", "use_bottleneck", "use_bottleneck_attention", "key_query_shared_bottleneck", "classifier_activation")


def _structure(values: Mapping[str, Any]) -> dict[str, Any]:
    for key in _FLAGS:
        if not isinstance(values[key], bool):
            raise ValueError(f"config: {key} must be true or false, got {brief(values[key])}")
    H, E = values["hidden_size"], values["embedding_size"]
    if not isinstance(E, int) or not isinstance(H, int) or E > H:
        raise ValueError(f"config: embedding_size must be a whole number of at most hidden_size, {brief(H)}, got {brief(E)}")
    narrow, window = values["use_bottleneck"], 3 if values["trigram_input"] else int(E < H)
    reads = "bottleneck" if values["use_bottleneck_attention"] else "shared" if values["key_query_shared_bottleneck"] else "state"
    return {"embedding_size": E if E < H else None, "word_window": window, "long_decoder": E < H,
            "attention_reads": reads if narrow else "state", **({} if narrow else {"bottleneck_size": None}),
            "pooler": "tanh" if values["classifier_activation"] else "first"}


def _said(config: BertConfig) -> dict[str, Any]:
    return {"embedding_size": config.embedding_width, "trigram_input": config.word_window > 1,
            "use_bottleneck": config.bottleneck_size is not None, "intra_bottleneck_size": config.attention_size,
            "use_bottleneck_attention": config.attention_reads == "bottleneck",
            "key_query_shared_bottleneck": config.attention_reads == "shared", "num_feedforward_networks": config.ffn_count,
            "normalization_type": config.norm, "classifier_activation": config.pooler == "tanh"}


def _spare(config: BertConfig) -> dict[str, Any]:
    """Tensors that transformers makes for these flags and never reads."""
    return {"spare": (*(["bert.encoder.layer.{}.bottleneck.attention."] if config.attention_reads == "bottleneck" else []),
                      *([] if config.word_window else ["bert.embeddings.projection.", "cls.predictions.extra."]))}


def _scaled(layers: int, hidden: int, heads: int) -> dict[str, Any]:
    """Everything in the proportions of the released model."""
    return {"num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": heads, "intermediate_size": hidden,
            "bottleneck_size": hidden // 4, "embedding_size": hidden // 4}


def _inverted(hidden: int) -> dict[str, Any]:
    """IB-BERT in the same proportions, by the name of a file that transformers does not try to open."""
    return {"model_type": "minibert", "bottleneck_size": 2 * hidden, "intermediate_size": 8 * hidden, "ffn_count": 1,
            "attention_reads": "state", "norm": "layer_norm", "hidden_act": "gelu_new"}


_RELEASED = {"classifier_activation": False}

MOBILEBERT = Family(
    "mobilebert", "MobileBERT", "MobileBert", "mobilebert",
    defaults=MappingProxyType({"vocab_size": 30522, "hidden_size": 512, "num_hidden_layers": 24, "num_attention_heads": 4,
                               "intermediate_size": 512, "hidden_act": "relu", "hidden_dropout_prob": 0.0,
                               "embedding_size": 128, "trigram_input": True, "use_bottleneck": True,
                               "intra_bottleneck_size": 128, "use_bottleneck_attention": False,
                               "key_query_shared_bottleneck": True, "num_feedforward_networks": 4,
                               "normalization_type": "no_norm", "classifier_activation": True}),
    sizes=MappingProxyType({
        "base": _RELEASED,
        "base-tiny": {**_RELEASED, "num_feedforward_networks": 2, "use_bottleneck_attention": True,
                      "key_query_shared_bottleneck": False},
        "teacher": {**_RELEASED, "intermediate_size": 4096, "intra_bottleneck_size": 1024, "num_feedforward_networks": 1,
                    "key_query_shared_bottleneck": False, "normalization_type": "layer_norm", "hidden_act": "gelu_new"}}),
    scaled=_scaled,
    keys=MappingProxyType({"bottleneck_size": "intra_bottleneck_size", "ffn_count": "num_feedforward_networks",
                           "norm": "normalization_type"}),
    own=frozenset({"embedding_size", "bottleneck_size", "ffn_count", "norm"}),
    structure=_structure, said=_said, spoken=frozenset(_FLAGS),
    pairs=(("bert.embeddings.projection.", "mobilebert.embeddings.embedding_transformation."),
           ("cls.predictions.extra.", "cls.predictions.dense.")),
    also=(("cls.predictions.extra.weight", "cls.predictions.extra_output_weights"),),
    turned=frozenset({"cls.predictions.dense.weight"}),
    numbers=_spare,
    idle=frozenset({"true_hidden_size"}),
    sign="trigram_input",
    inverted=_inverted,
)
