"""Whose model is it? One table for each family that is read here, and why others are refused.

Nothing outside this room asks for a family by its name: what a family's models compute, the neutral keys of their ``BertConfig``
say; what its files call things, its table.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from minibert.config import PRESETS, BertConfig
from minibert.files import brief, read_json
from minibert.pretrained.families import albert, bert, distilbert, electra, ernie, mobilebert, roberta, textcnn
from minibert.pretrained.families.table import Family, Names

CONFIG, OLD_CONFIG = "config.json", "bert_config.json"

#: model_type -> its table.
FAMILIES: Mapping[str, Family] = MappingProxyType({family.model_type: family for family in (
    bert.BERT, roberta.ROBERTA, roberta.XLM_ROBERTA, roberta.CAMEMBERT, albert.ALBERT, distilbert.DISTILBERT, electra.ELECTRA,
    ernie.ERNIE, mobilebert.MOBILEBERT, textcnn.TEXTCNN, bert.MINIBERT)})

#: model_type -> what is different in it, for others that are often taken for one of these.
RELATIVES = {
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


def of(config: BertConfig) -> Family:
    """The table of a model. ValueError for a ``model_type`` that there is none of."""
    if config.model_type not in FAMILIES:
        raise ValueError(f"config: model_type is {brief(config.model_type)}, which is none of {', '.join(FAMILIES)}")
    return FAMILIES[config.model_type]


def read_config(path: str | os.PathLike[str]) -> BertConfig:
    """The configuration in a file. ValueError for one of a family that is not read here, which says what is different in it."""
    try:
        return config(read_json(path, dict))
    except ValueError as error:
        raise ValueError(str(error) if str(path) in str(error) else f"{path}: {error}") from None


def config(values: Mapping[str, Any]) -> BertConfig:
    """The configuration that the contents of a ``config.json`` describe. ValueError as for ``read_config``."""
    signed = [kind for kind, family in FAMILIES.items() if family.sign in values]
    kind = values.get("model_type", *signed[:1] or [bert.BERT.model_type])
    if not isinstance(kind, str) or kind not in FAMILIES:
        reason = RELATIVES.get(kind) if isinstance(kind, str) else None
        raise ValueError(f"model_type is {brief(kind)}. " + (
            f"This family is not read here: {reason}" if reason else "Only models of these are read here: ")
            + ("" if reason else ", ".join(FAMILIES)))
    return FAMILIES[kind].config(values)


def named(encoder: str) -> Family:
    """The table of the family whose files call the encoder so; BERT's where none does."""
    return next((family for family in FAMILIES.values() if family.base == encoder), bert.BERT)


def to_json(config: BertConfig) -> str:
    """The text of the ``config.json`` of a model. ValueError for what its family cannot say there."""
    return json.dumps(of(config).values(config), indent=2, ensure_ascii=False) + "\n"


def names(config: BertConfig) -> Names:
    """What the tensors of a model are called in its files."""
    return of(config).names(config)


def architecture(config: BertConfig, of_bert: str) -> str:
    """What transformers calls the class that ``of_bert`` is BERT's of: ``BertForMaskedLM`` -> ``RobertaForMaskedLM``."""
    return of(config).classes + of_bert.removeprefix(bert.BERT.classes)


def preset(family: str, size: str, max_length: int | None = None, **changes: Any) -> BertConfig:
    """A model of a family: of one of its published sizes, else of one that BERT has; ``changes`` by our keys.

    ``max_length``: as many positions as so many tokens take. ValueError for a family or a size that there is not.
    """
    if family not in FAMILIES:
        raise ValueError(f"family must be one of {', '.join(FAMILIES)}, got {brief(family)}")
    table = FAMILIES[family]
    if size not in table.sizes:
        if size not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join({**PRESETS, **table.sizes})}, got {brief(size)}")
        usual = zip(("num_hidden_layers", "hidden_size", "num_attention_heads"), PRESETS[size])
        changes = {**table.scaled(*(changes.get(key, value) for key, value in usual)), **changes}
    config = table.preset(size, **changes)
    return config if max_length is None else config.replace(max_position_embeddings=max_length + config.position_offset)


def inverted(config: BertConfig) -> Mapping[str, Any]:
    """The keys of a teacher of this model's kind and sizes, with blocks that are wider inside. ValueError where there is none."""
    if (its := of(config).inverted) is None:
        raise ValueError(f"--inverted is for a family with bottlenecks (mobilebert), and {of(config).title} has none: leave "
                         "it out")
    return its(config.hidden_size)


def without_effect(config: BertConfig) -> list[str]:
    """The keys of a ``config.json`` that ask for something and have no effect here."""
    idle = (bert.IDLE | of(config).idle) - {"pruned_heads"}
    return sorted(key for key, value in config.unknown.items() if key not in idle and value not in (None, {}, []))
