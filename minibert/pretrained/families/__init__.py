"""Whose encoder is it? The configuration of a model's folder, and why relatives of BERT are refused."""

from __future__ import annotations

import os
from pathlib import Path

from minibert.config import BertConfig
from minibert.files import brief, read_json
from minibert.pretrained.families import bert

CONFIG, OLD_CONFIG = "config.json", "bert_config.json"

#: model_type -> what is different in it, for those that are often taken for a BERT.
RELATIVES = {
    "roberta": "it reads byte-level BPE instead of WordPiece, and its positions begin at 2",
    "xlm-roberta": "it reads SentencePiece instead of WordPiece, and its positions begin at 2",
    "camembert": "it reads SentencePiece instead of WordPiece, and its positions begin at 2",
    "albert": "all its layers share one set of weights, and its embeddings are factorised",
    "distilbert": "its encoder has no token types and no pooler, and its layers have other names",
    "electra": "its embeddings have a size of their own and pass through a projection",
    "mobilebert": "its layers are bottlenecks with other norms",
    "mpnet": "its attention adds relative positions",
    "deberta": "its attention separates content and position",
    "deberta-v2": "its attention separates content and position",
    "modernbert": "it has rotary positions, gated feed-forward layers and local attention",
    "nomic_bert": "it has rotary positions and gated feed-forward layers",
    "big_bird": "its attention is sparse",
    "roformer": "it has rotary positions",
    "bert-generation": "it has no token types, and is a decoder as well",
}


def config_path(folder: Path) -> Path:
    """``config.json``, or the ``bert_config.json`` of the original releases where there is only that."""
    old = folder / OLD_CONFIG
    return old if old.is_file() and not (folder / CONFIG).is_file() else folder / CONFIG


def read_config(path: str | os.PathLike[str]) -> BertConfig:
    """The configuration in a file. ValueError for one of another family, which says what is different in it."""
    path = Path(path)
    kind = read_json(path, dict).get("model_type", bert.MODEL_TYPE)
    if kind != bert.MODEL_TYPE:
        reason = RELATIVES.get(kind) if isinstance(kind, str) else None
        raise ValueError(f"{path}: model_type is {brief(kind)}, not {bert.MODEL_TYPE!r}. " + (
            f"This family is not read here: {reason}" if reason else "Only models with the encoder of BERT itself are read here"))
    return BertConfig.load(path)
