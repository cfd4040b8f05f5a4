"""RoBERTa, and XLM-RoBERTa and CamemBERT, which have its encoder and other tokenizers.

What differs from BERT: positions begin behind the number of [PAD], and padding is no position wherever it stands; there is one
token type, whose row is added to every token (fairseq's own files have none); no head for pairs; the GELU of the masked-word head
is the erf form whatever ``hidden_act`` is; texts are judged by a head with a tanh layer of its own, and only choices by the
pooler.

Source: Liu et al. 2019, "RoBERTa"; fairseq ``models/roberta``; transformers' ``modeling_roberta.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from minibert.files import brief
from minibert.pretrained.families.table import Family


def _structure(values: Mapping[str, Any]) -> dict[str, Any]:
    pad = values["pad_token_id"]
    if not isinstance(pad, int) or isinstance(pad, bool) or pad < 0:
        raise ValueError("config: pad_token_id must be a whole number from 0 on, for positions begin behind it, got "
                         f"{brief(pad)}")
    return {"position_offset": pad + 1, "objectives": ("mlm",), "text_head": "tanh", "text_head_drops": True,
            "head_act": None if values["hidden_act"] == "gelu" else "gelu"}


_OF_ALL = {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}

ROBERTA = Family(
    "roberta", "RoBERTa", "Roberta", "roberta",
    defaults=MappingProxyType({"vocab_size": 50265, "pad_token_id": 1, "hidden_act": "gelu"}),
    sizes=MappingProxyType({"base": _OF_ALL, "large": {**_OF_ALL, **_LARGE}}),
    structure=_structure,
    pairs=(("cls.predictions.transform.dense.", "lm_head.dense."),
           ("cls.predictions.transform.LayerNorm.", "lm_head.layer_norm."),
           ("cls.predictions.", "lm_head.")),
    heads=MappingProxyType({"ForSequenceClassification": (("classifier.dense.", "classifier.dense."),
                                                          ("classifier.", "classifier.out_proj."))}),
    vocabulary="vocab.json",
)

_PIECES = "sentencepiece.bpe.model"
_XLM, _CAMEMBERT = {**_OF_ALL, "vocab_size": 250002}, {**_OF_ALL, "vocab_size": 32005}
_OTHER_WORDS = MappingProxyType({**ROBERTA.defaults, "vocab_size": 30522})
XLM_ROBERTA = replace(ROBERTA, model_type="xlm-roberta", title="XLM-RoBERTa", classes="XLMRoberta", vocabulary=_PIECES,
                      sizes=MappingProxyType({"base": _XLM, "large": {**_XLM, **_LARGE}}), defaults=_OTHER_WORDS)
CAMEMBERT = replace(ROBERTA, model_type="camembert", title="CamemBERT", classes="Camembert", vocabulary=_PIECES,
                    sizes=MappingProxyType({"base": _CAMEMBERT, "large": {**_CAMEMBERT, **_LARGE}}), defaults=_OTHER_WORDS)
