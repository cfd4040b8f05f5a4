"""``BertConfig``: the numbers that define a BERT, read from and written to the reference ``config.json``."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from minibert.files import brief, read_json

ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh")

#: name -> (layers, hidden size, heads); the intermediate size is four times the hidden size. Sizes of tiny to medium:
#: Turc et al. 2019, "Well-Read Students Learn Better"; base and large: Devlin et al. 2018, section 3.
PRESETS = MappingProxyType({
    "tiny": (2, 128, 2),
    "mini": (4, 256, 4),
    "small": (4, 512, 8),
    "medium": (8, 512, 8),
    "base": (12, 768, 12),
    "large": (24, 1024, 16),
})

MOST_LAYERS = 10_000
MOST_NUMBERS = 10**13  # of a model


@dataclass(frozen=True)
class BertConfig:
    """Sizes and rates of one BERT. Keys and defaults are those of the reference ``config.json`` (``bert-base-uncased``).

    ``norm_first`` (our own key) selects pre-LN blocks instead of the reference's post-LN. Keys that this class does not
    know are kept in ``unknown``, written back unchanged, and have no effect.

    Raises ValueError for sizes and rates that no BERT can have, naming the key, its value and what it must be.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0
    norm_first: bool = False
    unknown: dict[str, Any] = field(default_factory=dict, repr=False, hash=False)

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
                     "max_position_embeddings", "type_vocab_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"config: {name} must be a whole number of at least 1, got {brief(value)}")
            if value >= 2**31:
                raise ValueError(f"config: {name} must be below 2**31, got {brief(value)}")
        if self.num_hidden_layers > MOST_LAYERS:  # a damaged file, and each layer has names to be listed
            raise ValueError(f"config: num_hidden_layers must be at most {MOST_LAYERS:,}, got {self.num_hidden_layers:,}")
        rows = self.vocab_size + self.max_position_embeddings + self.type_vocab_size
        layers = self.num_hidden_layers * (4 * self.hidden_size + 2 * self.intermediate_size)
        if (numbers := self.hidden_size * (rows + layers)) > MOST_NUMBERS:
            raise ValueError(f"config: with hidden_size {self.hidden_size:,}, intermediate_size {self.intermediate_size:,} and "
                             f"vocab_size {self.vocab_size:,} a model has {numbers:,} numbers, more than {MOST_NUMBERS:,}")
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not 0 <= value < 1:
                raise ValueError(f"config: {name} must be at least 0 and below 1, got {brief(value)}")
        for name in ("initializer_range", "layer_norm_eps"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not 0 < value < float("inf"):
                raise ValueError(f"config: {name} must be above 0, got {brief(value)}")
        if not isinstance(self.norm_first, bool):
            raise ValueError(f"config: norm_first must be true or false, got {brief(self.norm_first)}")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"config: num_attention_heads must divide hidden_size, but {self.hidden_size} / "
                f"{self.num_attention_heads} leaves a remainder of {self.hidden_size % self.num_attention_heads}"
            )
        if self.hidden_act not in ACTIVATIONS:
            raise ValueError(f"config: hidden_act must be one of {', '.join(ACTIVATIONS)}, got {brief(self.hidden_act)}")

    @property
    def head_size(self) -> int:
        """D = H / A."""
        return self.hidden_size // self.num_attention_heads

    def replace(self, **changes: Any) -> BertConfig:
        """A copy with some values changed, validated again."""
        return replace(self, **changes)

    @classmethod
    def preset(cls, name: str, **changes: Any) -> BertConfig:
        """One of the published sizes, ``tiny`` to ``large``; ``changes`` override single keys."""
        if name not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {name!r}")
        layers, hidden, heads = PRESETS[name]
        sizes = {"num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": heads,
                 "intermediate_size": 4 * hidden}
        return cls(**{**sizes, **changes})

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> BertConfig:
        """From the contents of a ``config.json``; ``.unknown`` holds the keys that have no effect here."""
        known = {f.name for f in fields(cls)} - {"unknown"}
        unknown = {key: value for key, value in values.items() if key not in known}
        if unknown.get("position_embedding_type", "absolute") != "absolute":
            raise ValueError(
                f"config: position_embedding_type must be 'absolute', got {brief(unknown['position_embedding_type'])}: "
                "relative positions change the attention, and this model has no such layer"
            )
        if unknown.get("is_decoder") or unknown.get("add_cross_attention"):
            raise ValueError("config: is_decoder and add_cross_attention must be false: this model is an encoder")
        return cls(**{key: value for key, value in values.items() if key in known}, unknown=unknown)

    def to_dict(self) -> dict[str, Any]:
        """The contents of a ``config.json``: known keys, then the unknown ones as they came."""
        values = asdict(self)
        unknown = values.pop("unknown")
        return {"architectures": ["BertForPreTraining"], "model_type": "bert", **values, **unknown}

    @classmethod
    def load(cls, path: str | os.PathLike) -> BertConfig:
        """Read a ``config.json``; errors name the file."""
        path = Path(path)
        values = read_json(path, dict)
        try:
            return cls.from_dict(values)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def to_json(self) -> str:
        """The text of a ``config.json``."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"
