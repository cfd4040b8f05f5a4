"""``BertConfig``: the numbers that define a BERT, read from and written to the reference ``config.json``."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from minibert.files import brief, read_json

ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu")

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
POOLERS = ("tanh", "relu", "first", "max", None)  # a linear layer over [CLS] and its activation; [CLS] itself; maxima; none
NORMS = ("layer_norm", "no_norm")
READS = ("state", "bottleneck", "shared")
OBJECTIVES = ("mlm", "nsp", "replaced")  # masked words; pairs (next sentence, order); which tokens are not the text's
TEXT_HEADS = ("tanh", "relu", "gelu", None)


@dataclass(frozen=True)
class BertConfig:
    """Sizes and rates of one BERT. Keys and defaults are those of the reference ``config.json`` (``bert-base-uncased``).

    Our own keys vary the structure; a file has only those that differ from BERT:

    ``norm_first``       pre-LN blocks instead of the reference's post-LN (written in any case)
    ``embedding_size``   E, of the embeddings, from which a projection leads to the hidden size; None: H, and no projection
    ``layer_map``        of each layer, whose tensors it uses: (0, 0, 1, 1) are four layers of two; None: each its own
    ``position_offset``  which row of the table of positions is that of the first token; where it is not 0, padding is no token:
                         wherever it stands it is not counted, and has the row before that one
    ``pooler``           how the vector of the whole input is made of [CLS]: one of POOLERS
    ``norm``             of the embeddings and the blocks: one of NORMS, where ``no_norm`` only scales and shifts
    ``bottleneck_size``  how wide a block is inside, between a way down from the hidden size and a way up again; None: as outside
    ``attention_reads``  what queries and keys are made from in a block with a bottleneck: the ``state`` as it came, the
                         ``bottleneck``, from which values are made as well, or a second one (``shared``): one of READS
    ``ffn_count``        feed-forward layers of a block, one after the other
    ``word_window``      how many words' vectors are projected together before positions are added, 3 for a word and its
                         neighbours; 0: what is projected is the sum
    ``long_decoder``     the masked-word head lengthens each word's vector from E to H with numbers of its own
    ``task_type_vocab_size``  rows of a fourth table of embeddings, of the tasks; 0: there is none
    ``filter_sizes``     the body is no stack of blocks but convolutions over so many tokens each, which share the hidden size
                         (``model.textcnn``); the ``pooler`` is then ``max``, and there are two layers; None: it is one
    ``heads_of_layers``  of each layer, which of the ``num_attention_heads`` heads it still has, counted from 0; None: all
    ``intermediate_sizes``  of each layer, how wide its feed-forward part is inside; None: all ``intermediate_size``
    ``objectives``       what pre-training asks: those of OBJECTIVES that it has a head for
    ``head_act``         the activation in the masked-word head; None: ``hidden_act``
    ``text_head``        the activation of a hidden layer in the head that judges texts, which then reads [CLS] and not the pooled
                         vector; None: there is no such layer
    ``text_head_drops``  whether dropout comes before that layer too, and not only behind it

    ``model_type`` says whose file it is: see ``pretrained.families``. Nothing that is computed depends on it.

    Keys that this class does not know are kept in ``unknown``, written back unchanged, and have no effect.

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
    embedding_size: int | None = None
    layer_map: tuple[int, ...] | None = None
    position_offset: int = 0
    pooler: str | None = "tanh"
    norm: str = "layer_norm"
    bottleneck_size: int | None = None
    attention_reads: str = "state"
    ffn_count: int = 1
    word_window: int = 0
    long_decoder: bool = False
    task_type_vocab_size: int = 0
    filter_sizes: tuple[int, ...] | None = None
    heads_of_layers: tuple[tuple[int, ...], ...] | None = None
    intermediate_sizes: tuple[int, ...] | None = None
    objectives: tuple[str, ...] = ("mlm", "nsp")
    head_act: str | None = None
    text_head: str | None = None
    text_head_drops: bool = False
    model_type: str = "bert"
    unknown: dict[str, Any] = field(default_factory=dict, repr=False, hash=False)

    def __post_init__(self) -> None:
        sizes = dict.fromkeys(("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
                               "max_position_embeddings", "ffn_count"), 1)
        sizes |= dict.fromkeys(("type_vocab_size", "position_offset", "word_window", "task_type_vocab_size"), 0)
        sizes |= {name: 1 for name in ("embedding_size", "bottleneck_size") if getattr(self, name) is not None}
        for name, least in sizes.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"config: {name} must be a whole number of at least {least}, got {brief(value)}")
            if value >= 2**31:
                raise ValueError(f"config: {name} must be below 2**31, got {brief(value)}")
        if self.num_hidden_layers > MOST_LAYERS:  # a damaged file, and each layer has names to be listed
            raise ValueError(f"config: num_hidden_layers must be at most {MOST_LAYERS:,}, got {self.num_hidden_layers:,}")
        if self.num_hidden_layers * self.ffn_count > MOST_LAYERS:
            raise ValueError(f"config: ffn_count must be at most {MOST_LAYERS // self.num_hidden_layers:,} in each of "
                             f"{self.num_hidden_layers:,} layers, got {self.ffn_count:,}")
        width = max(self.hidden_size, self.attention_size)
        rows = self.vocab_size + self.max_position_embeddings + self.type_vocab_size + self.word_window * self.embedding_width
        layers = self.num_hidden_layers * (4 * width + 2 * self.intermediate_size * self.ffn_count)
        if (numbers := width * (rows + layers)) > MOST_NUMBERS:
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
        for name in ("norm_first", "long_decoder", "text_head_drops"):
            if not isinstance(value := getattr(self, name), bool):
                raise ValueError(f"config: {name} must be true or false, got {brief(value)}")
        if remainder := self.attention_size % self.num_attention_heads:
            name = "bottleneck_size" if self.bottleneck_size else "hidden_size"
            raise ValueError(f"config: num_attention_heads must divide {name}, but {self.attention_size} / "
                             f"{self.num_attention_heads} leaves a remainder of {remainder}")
        for name, known in {"hidden_act": ACTIVATIONS, "head_act": (*ACTIVATIONS, None), "pooler": POOLERS,
                            "text_head": TEXT_HEADS, "norm": NORMS, "attention_reads": READS}.items():
            if (value := getattr(self, name)) not in known:
                raise ValueError(f"config: {name} must be one of {', '.join(map(str, known))}, got {brief(value)}")
        if self.position_offset >= self.max_position_embeddings:
            raise ValueError(f"config: position_offset must be below max_position_embeddings, {self.max_position_embeddings}, "
                             f"got {self.position_offset}")
        self._check_blocks()
        self._check_filters()
        self._check_pruned()
        if self.layer_map is not None:
            self._check_map(self.layer_map)
            object.__setattr__(self, "layer_map", tuple(self.layer_map))  # JSON has lists
        if not (isinstance(self.objectives, (tuple, list)) and all(self.objectives.count(name) == 1 and name in OBJECTIVES
                                                                   for name in self.objectives)):
            raise ValueError(f"config: objectives must be some of {', '.join(OBJECTIVES)}, got {brief(self.objectives)}")
        object.__setattr__(self, "objectives", tuple(self.objectives))
        if self.pad_token_id is not None and type(self.pad_token_id) is not int:
            raise ValueError(f"config: pad_token_id must be a whole number, or null, got {brief(self.pad_token_id)}")
        if not isinstance(self.model_type, str):
            raise ValueError(f"config: model_type must be a name, got {brief(self.model_type)}")

    def _check_blocks(self) -> None:
        """What does not go together in the blocks of MobileBERT, its embeddings and its head."""
        if self.norm_first and self.block == "mobile":
            raise ValueError("config: norm_first must be false where norm, bottleneck_size or ffn_count are not those of BERT: "
                             "there is no pre-LN block of that kind")
        if self.bottleneck_size is None and self.attention_reads != "state":
            raise ValueError("config: attention_reads must be state where there is no bottleneck_size, got "
                             f"{self.attention_reads}")
        if self.word_window and self.word_window % 2 == 0:
            raise ValueError(f"config: word_window must be odd, a word and as many before as after it, got {self.word_window}")
        if self.long_decoder and self.embedding_width >= self.hidden_size:
            raise ValueError(f"config: long_decoder must be false where embedding_size, {self.embedding_width}, is not below "
                             f"hidden_size, {self.hidden_size}: there is nothing to lengthen")

    def _check_filters(self) -> None:
        """What a body of convolutions must be like, and any other must not."""
        if self.filter_sizes is None:
            if self.pooler == "max":
                raise ValueError("config: pooler must not be max where there are no filter_sizes, whose largest numbers it is")
            return
        sizes = self.filter_sizes
        if not (isinstance(sizes, (tuple, list)) and sizes and all(type(k) is int and k > 0 for k in sizes)
                and len(set(sizes)) == len(sizes)):
            raise ValueError(f"config: filter_sizes must be numbers of tokens from 1 on, each once, got {brief(sizes)}")
        object.__setattr__(self, "filter_sizes", tuple(sizes))
        if self.hidden_size % len(sizes):
            raise ValueError(f"config: hidden_size must be a multiple of the number of filter_sizes, {len(sizes)}, got "
                             f"{self.hidden_size}")
        for key, value in {"pooler": "max", "num_hidden_layers": 2, "num_attention_heads": 1, "layer_map": None,
                           "position_offset": 0, "heads_of_layers": None, "intermediate_sizes": None}.items():
            if getattr(self, key) != value:
                raise ValueError(f"config: {key} must be {value} where there are filter_sizes, got {brief(getattr(self, key))}")
        if self.max_position_embeddings < self.least_tokens:
            raise ValueError(f"config: max_position_embeddings must be at least {self.least_tokens}, what two convolutions over "
                             f"{max(sizes)} tokens read, got {self.max_position_embeddings}")

    def _check_pruned(self) -> None:
        """What is left of layers that differ, and where none can."""
        heads, sizes = self.heads_of_layers, self.intermediate_sizes
        for key, value in {"heads_of_layers": heads, "intermediate_sizes": sizes}.items():
            if value is not None and self.layer_map is not None:
                raise ValueError(f"config: {key} must be null where there is a layer_map: layers that share tensors are alike")
            if value is not None and not (isinstance(value, (tuple, list)) and len(value) == self.num_hidden_layers):
                raise ValueError(f"config: {key} must have an entry for each of the {self.num_hidden_layers} layers, got "
                                 f"{brief(value)}")
        if heads is not None:
            for own in heads:
                if not (isinstance(own, (tuple, list)) and own and all(type(h) is int for h in own)
                        and sorted({*own}) == [*own] and 0 <= own[0] and own[-1] < self.num_attention_heads):
                    raise ValueError("config: heads_of_layers must name at least one head of each layer, in order, from 0 to "
                                     f"{self.num_attention_heads - 1}, got {brief(own)}")
            object.__setattr__(self, "heads_of_layers", tuple(map(tuple, heads)))  # JSON has lists
        if sizes is not None:
            if self.ffn_count > 1:
                raise ValueError("config: intermediate_sizes must be null where ffn_count is above 1, got "
                                 f"{self.ffn_count} feed-forward layers of a block")
            if not all(type(size) is int and 0 < size <= self.intermediate_size for size in sizes):
                raise ValueError("config: intermediate_sizes must be numbers from 1 to intermediate_size, "
                                 f"{self.intermediate_size}, got {brief(sizes)}")
            object.__setattr__(self, "intermediate_sizes", tuple(sizes))

    def _check_map(self, layer_map: Any) -> None:
        fits = isinstance(layer_map, (tuple, list)) and len(layer_map) == self.num_hidden_layers
        if not (fits and all(type(i) is int for i in layer_map) and sorted(set(layer_map)) == [*range(len(set(layer_map)))]):
            raise ValueError(f"config: layer_map must say of each of the {self.num_hidden_layers} layers whose tensors it uses, "
                             f"numbered from 0 without a gap, got {brief(layer_map)}")

    @property
    def head_size(self) -> int:
        """D = H / A, or as wide as the block is inside."""
        return self.attention_size // self.num_attention_heads

    @property
    def attention_size(self) -> int:
        """How wide all heads are together, and everything else between a bottleneck and its end: H where there is none."""
        return self.bottleneck_size or self.hidden_size

    def heads_of(self, layer: int) -> tuple[int, ...]:
        """Which heads a layer has, by their numbers: all A unless some are gone."""
        return tuple(range(self.num_attention_heads)) if self.heads_of_layers is None else self.heads_of_layers[layer]

    def intermediate_of(self, layer: int) -> int:
        """I of a layer."""
        return self.intermediate_size if self.intermediate_sizes is None else self.intermediate_sizes[layer]

    @property
    def block(self) -> str:
        """Which kind of block its encoder is made of: ``post_ln``, ``pre_ln`` or ``mobile``."""
        of_bert = (self.norm, self.bottleneck_size, self.ffn_count) == ("layer_norm", None, 1)
        return "mobile" if not of_bert else "pre_ln" if self.norm_first else "post_ln"

    @property
    def embedding_width(self) -> int:
        """E, or H where the embeddings are as wide as the rest."""
        return self.embedding_size or self.hidden_size

    @property
    def table_width(self) -> int:
        """How wide the tables of positions and of token types are: as that of the words, or as the hidden size under a window."""
        return self.hidden_size if self.word_window else self.embedding_width

    @property
    def decoder_width(self) -> int:
        """How wide the masked-word head makes a token's vector before the words are compared with it."""
        return self.hidden_size if self.long_decoder else self.embedding_width

    @property
    def least_tokens(self) -> int:
        """What two convolutions, one on the other, read of a text at least; shorter ones are padded to it."""
        return 2 * max(self.filter_sizes or (1,)) - 1

    @property
    def uses(self) -> tuple[int, ...]:
        """Of each layer, whose tensors it uses. There are ``len(set(config.uses))`` layers' worth of them."""
        return self.layer_map or tuple(range(self.num_hidden_layers))

    @property
    def max_tokens(self) -> int:
        """The longest input: there must be a position for each token."""
        return self.max_position_embeddings - self.position_offset

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
        values = {key: value for key, value in asdict(self).items() if key not in NEUTRAL or value != NEUTRAL[key]}
        unknown = values.pop("unknown")
        return {"architectures": ["BertForPreTraining"], "model_type": values.pop("model_type"), **values, **unknown}

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


#: Keys that a file need not have: what they are in BERT itself.
NEUTRAL = MappingProxyType({
    key: getattr(BertConfig, key) for key in (
        "embedding_size", "layer_map", "position_offset", "pooler", "norm", "bottleneck_size", "attention_reads", "ffn_count",
        "word_window", "long_decoder", "task_type_vocab_size", "filter_sizes", "heads_of_layers", "intermediate_sizes",
        "objectives", "head_act", "text_head",
        "text_head_drops")})
