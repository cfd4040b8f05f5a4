"""``.gguf``: a model as llama.cpp keeps it, in one file: sizes, vocabulary and weights.

::

    file    = "GGUF", 3, number of tensors, number of values      (whole numbers: 4 bytes, then 8, 8; little-endian throughout)
              value … value    each its key, its kind and what it is; text is its length and its bytes
              tensor … tensor  each its name, sizes (the innermost first), type, and where its numbers begin
              the numbers, one tensor behind the other, each from a multiple of 32 on
    Q8_0    = 32 numbers in 34 bytes: a scale d (float16) and q₁ … q₃₂ (int8), which stand for d·q

Of a BERT llama.cpp keeps the encoder, which is all that it computes: no pooler and no pre-training head. Pieces are written the
other way round: ``▁`` stands before what begins a word, and nothing before what goes on with one. The form of GELU is not in
the file: llama.cpp knows the tanh form alone. There are no checksums; that tensor lies behind tensor is verified.

Source: ggml's ``docs/gguf.md`` and ``src/gguf.cpp``; llama.cpp's ``conversion/bert.py``, ``src/models/bert.cpp`` and
``src/llama-vocab.cpp``.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from minibert.config import NEUTRAL, BertConfig
from minibert.files import brief, writing
from minibert.pretrained.widths import BFLOAT16, as_array, is_shape
from minibert.text import Tokenizer, Vocabulary
from minibert.text.saved_words import is_cased
from minibert.text.words import WordPieces

MAGIC, VERSIONS, ALIGNMENT = b"GGUF", (2, 3), 32
_TEXT, _ROW = 8, 9  # kinds of values
_SCALARS = {0: "<u1", 1: "<i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "?", 10: "<u8", 11: "<i8", 12: "<f8"}
_BLOCK = np.dtype([("scale", "<f2"), ("numbers", "i1", 32)])

#: Number of a type -> what it is called, and how many numbers take how many bytes.
_TYPES = {0: ("float32", 1, 4), 1: ("float16", 1, 2), 8: ("Q8_0", 32, 34), 30: (BFLOAT16, 1, 2)}
_OTHERS = {2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K",
           15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S",
           23: "IQ4_XS", 29: "IQ1_M"}

_OURS = {
    "token_embd": "bert.embeddings.word_embeddings", "position_embd": "bert.embeddings.position_embeddings",
    "token_types": "bert.embeddings.token_type_embeddings", "token_embd_norm": "bert.embeddings.LayerNorm",
    "blk.#.attn_q": "bert.encoder.layer.#.attention.self.query", "blk.#.attn_k": "bert.encoder.layer.#.attention.self.key",
    "blk.#.attn_v": "bert.encoder.layer.#.attention.self.value",
    "blk.#.attn_output": "bert.encoder.layer.#.attention.output.dense",
    "blk.#.attn_output_norm": "bert.encoder.layer.#.attention.output.LayerNorm",
    "blk.#.ffn_up": "bert.encoder.layer.#.intermediate.dense", "blk.#.ffn_down": "bert.encoder.layer.#.output.dense",
    "blk.#.layer_output_norm": "bert.encoder.layer.#.output.LayerNorm",
}
_THEIRS = {ours: theirs for theirs, ours in _OURS.items()}
_IN_FLOAT32 = re.compile(r"^position_embd|^token_types|_norm\.|\.bias$")  # llama.cpp adds these, and adds in float32

#: Key in the file -> key of the configuration.
_SIZES = {"bert.block_count": "num_hidden_layers", "bert.context_length": "max_position_embeddings",
          "bert.embedding_length": "hidden_size", "bert.feed_forward_length": "intermediate_size",
          "bert.attention.head_count": "num_attention_heads"}
_EPS = "bert.attention.layer_norm_epsilon"
#: The special tokens, in the order of a Vocabulary's: what their ids are called, and where they are if nothing is said.
_SPECIAL = {"padding": 0, "unknown": 100, "bos": 101, "seperator": 102, "mask": 103}
_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5
POOLINGS = {"mean": 1, "cls": 2}
_OF_HEADS = {"pooler", "objectives", "head_act", "text_head", "text_head_drops"}  # keys about what GGUF does not hold
_FORM = "minibert.hidden_act"  # a key of our own: llama.cpp has none for the form of GELU


class Entry(NamedTuple):
    """Where a tensor lies."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int


class Reader:
    """An open file: ``.values`` by key; ``.shapes`` and ``.dtypes`` by name, which is ours; ``reader[name]`` reads one array."""

    format = "GGUF"

    def __init__(self, path: Path, values: dict[str, Any], entries: dict[str, Entry]) -> None:
        self.path, self.size = path, path.stat().st_size
        self.values, self._entries = values, entries
        self.shapes = {name: entry.shape for name, entry in entries.items()}
        self.dtypes = {name: entry.dtype for name, entry in entries.items()}

    @property
    def config(self) -> dict[str, Any]:
        """What the file says of the model."""
        return _config(self.path, self.values, self.shapes)

    @property
    def pooling(self) -> str | None:
        """How sentence vectors are made, if the file says so and it is done here."""
        return {number: kind for kind, number in POOLINGS.items()}.get(self.values.get("bert.pooling_type"))

    def tokenizer(self) -> Tokenizer:
        """The tokenizer that it holds."""
        return _tokenizer(self)

    def __getitem__(self, name: str) -> np.ndarray:
        """The array of that name. bfloat16 and Q8_0 come as float32."""
        entry = self._entries[name]
        with open(self.path, "rb") as file:
            file.seek(entry.offset)
            raw = file.read(entry.length)
        if entry.dtype == "Q8_0":
            blocks = np.frombuffer(raw, _BLOCK)
            with np.errstate(invalid="ignore"):  # of a damaged file; who reads looks for such numbers
                return (blocks["numbers"] * blocks["scale"].astype(np.float32)[:, None]).reshape(entry.shape)
        return as_array(raw, entry.dtype).reshape(entry.shape)


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Reader]:
    """Open a file to read from.

    Raises FileNotFoundError, and ValueError for a file that was cut short, is damaged, or is something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        with open(path, "rb") as file:
            values, entries = _head(_Cursor(file, path.stat().st_size))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    yield Reader(path, values, entries)


class _Cursor:
    """Reads a file from its beginning, and never beyond its end."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self.left = file, size

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise ValueError("it was cut short or is damaged; copy or download it again")
        self.left -= count
        return self._file.read(count)

    def number(self, width: int = 8) -> int:
        return int.from_bytes(self.take(width), "little")

    def text(self) -> str:
        return self.take(self.number()).decode("utf-8")  # UnicodeDecodeError is a ValueError

    def value(self, kind: int, deep: bool = True) -> Any:
        if kind in _SCALARS:
            return np.frombuffer(self.take(np.dtype(_SCALARS[kind]).itemsize), _SCALARS[kind])[0].item()
        if kind == _TEXT:
            return self.text()
        if kind != _ROW or not deep:
            raise ValueError(f"it is damaged: there is no value of kind {kind}")
        kind, count = self.number(4), self.number()
        if kind in _SCALARS:
            return np.frombuffer(self.take(count * np.dtype(_SCALARS[kind]).itemsize), _SCALARS[kind]).tolist()
        if count * 8 > self.left:  # each text has its length
            raise ValueError("it was cut short or is damaged; copy or download it again")
        return [self.value(kind, deep=False) for _ in range(count)]


def _head(at: _Cursor) -> tuple[dict[str, Any], dict[str, Entry]]:
    """All but the numbers. ValueError for claims that the file does not hold."""
    size = at.left
    if size < 24 or at.take(4) != MAGIC:
        raise ValueError("this is no GGUF file, or it was cut short")
    if (version := at.number(4)) not in VERSIONS:
        raise ValueError(f"this is GGUF in version {version}; only {' and '.join(map(str, VERSIONS))} in little-endian byte "
                         "order are read here")
    tensors, count = at.number(), at.number()
    values: dict[str, Any] = {}
    for _ in range(count):
        key = at.text()
        if key in values:
            raise ValueError(f"it is damaged: {brief(key)} stands there twice")
        values[key] = at.value(at.number(4))
    if (kind := values.get("general.architecture")) != "bert":
        raise ValueError(f"its model is of the kind {brief(kind)}, not 'bert', which alone is read from GGUF here")
    claims = []
    for _ in range(tensors):
        name, dimensions = at.text(), at.number(4)
        shape = tuple(at.number() for _ in range(min(dimensions, 9)))[::-1]
        claims.append((name, shape, at.number(4), at.number()))
        if not is_shape(shape):
            raise ValueError(f"it is damaged: tensor {brief(name)} has sizes that no tensor has")
    alignment = values.get("general.alignment", ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise ValueError("it is damaged: general.alignment is no power of two")
    start = _aligned(size - at.left, alignment)
    entries, end = {}, 0
    for name, shape, number, offset in claims:
        if number not in _TYPES:
            kind = _OTHERS.get(number, f"number {number}")
            raise ValueError(f"tensor {brief(name)} is of type {kind}, which is not read here; take the file in F32, F16, BF16 "
                             "or Q8_0")
        dtype, together, width = _TYPES[number]
        if offset != end or (shape and shape[-1] % together):
            raise ValueError(f"it is damaged: tensor {brief(name)} does not begin where the one before it ends, or its rows are "
                             f"not of whole blocks of {together}")
        length = math.prod(shape) // together * width
        for ours, entry in _named(name, Entry(dtype, shape, start + offset, length)):
            if entries.setdefault(ours, entry) != entry:
                raise ValueError(f"it is damaged: there are two tensors {brief(ours)}")
        end = _aligned(offset + length, alignment)
    if size != start + end:
        what = "was cut short" if size < start + end else "is damaged"
        raise ValueError(f"the file {what}: expected {start + end:,} bytes, found {size:,}; copy or download it again")
    return values, entries


def _named(theirs: str, entry: Entry) -> Iterator[tuple[str, Entry]]:
    """Our name for a tensor; queries, keys and values may be one, in three parts."""
    block, _, part = theirs.partition(".attn_qkv.")
    if not part or not entry.shape or entry.shape[0] % 3:
        yield ours(theirs), entry
        return
    rows, length = entry.shape[0] // 3, entry.length // 3
    for i, which in enumerate("qkv"):
        name, offset = ours(f"{block}.attn_{which}.{part}"), entry.offset + i * length
        yield name, Entry(entry.dtype, (rows, *entry.shape[1:]), offset, length)


def ours(theirs: str) -> str:
    """Our name for a tensor: ``blk.0.ffn_up.weight`` -> ``bert.encoder.layer.0.intermediate.dense.weight``."""
    return _renamed(theirs, _OURS) or theirs


def theirs(ours: str) -> str | None:
    """llama.cpp's name for a tensor of ours, None where it has no such tensor."""
    return _renamed(ours, _THEIRS)


def _renamed(name: str, table: Mapping[str, str]) -> str | None:
    number = re.search(r"\.(\d+)\.", name)
    stem, _, end = re.sub(r"\.\d+\.", ".#.", name, count=1).rpartition(".")
    return f"{table[stem]}.{end}".replace("#", number[1] if number else "") if stem in table else None


def _aligned(at: int, alignment: int = ALIGNMENT) -> int:
    return -(-at // alignment) * alignment


# What else is inside: the configuration and the tokenizer

def _config(path: Path, values: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """What a file says of its model, with the keys of a ``config.json``. ValueError where it lacks a size."""
    rows = {name: shape[0] for name, shape in shapes.items() if shape}
    if lacking := [key for key in (*_SIZES, _EPS) if not isinstance(values.get(key), (int, float))]:
        raise ValueError(f"{path}: it does not say {', '.join(lacking)}")
    word, kind = (f"bert.embeddings.{name}_embeddings.weight" for name in ("word", "token_type"))
    return {"model_type": "bert", "vocab_size": rows.get(word, 0), "type_vocab_size": rows.get(kind, 0),
            "hidden_act": values.get(_FORM, "gelu"),
            "layer_norm_eps": float(str(np.float32(values[_EPS]))),  # as it was meant, not 9.999999960041972e-13
            **{ours: values[key] for key, ours in _SIZES.items()}}


def _tokenizer(reader: Reader) -> Tokenizer:
    """The tokenizer of the model in a file. ValueError for one that is not BERT's."""
    values = {key.removeprefix("tokenizer.ggml."): value for key, value in reader.values.items()}
    kind, tokens = values.get("model"), values.get("tokens")
    kinds = values.get("token_type", [_NORMAL] * len(tokens or ()))
    if kind != "bert" or not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise ValueError(f"{reader.path}: its tokenizer is of the kind {brief(kind)}, not 'bert' (word pieces), which alone is "
                         "read from GGUF here")
    if not isinstance(kinds, list) or len(kinds) != len(tokens):
        raise ValueError(f"{reader.path}: it is damaged: {len(tokens):,} tokens have other kinds than theirs")
    while kinds and kinds[-1] == _UNUSED:  # rows of the table without a token
        kinds.pop()
    words = [_word(token, kind) for token, kind in zip(tokens, kinds)]
    ids = [values.get(f"{name}_token_id", number) for name, number in _SPECIAL.items()]
    special = [words[i] if isinstance(i, int) and i < len(words) else None for i in ids]
    lower, accents = (values.get(f"normalizer.{switch}") for switch in ("lowercase", "strip_accents"))
    notes = []
    if lower is None:
        lower = not is_cased(words)
        notes.append(f"{reader.path.name} does not say whether capital letters are lowered; by its vocabulary they are "
                     f"{'lowered' if lower else 'kept'}")
    if _FORM not in reader.values:
        notes.append(f"{reader.path.name} does not say which form of GELU the model has; gelu is taken, as in most")
    limit = reader.values.get("bert.context_length", 512)
    return Tokenizer(Vocabulary(words, special=special, source=reader.path), lower_case=bool(lower), strip_accents=accents,
                     max_length=limit if isinstance(limit, int) else 512, notes=notes)


def _word(token: str, kind: int) -> str:
    """A token as BERT writes it. Older files have no ▁ before [unused1] and its like."""
    if kind != _CONTROL and token.startswith("▁"):
        return token[1:]
    return token if kind in (_CONTROL, _USER_DEFINED) or re.fullmatch(r"\[\S+\]", token) else f"##{token}"


def _phantom(word: str, kind: int) -> str:
    """A token as llama.cpp writes it."""
    return word if kind == _CONTROL else word[2:] if word.startswith("##") else f"▁{word}"


# Writing

def write(path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray], config: BertConfig, tokenizer: Tokenizer,
          pooling: str | None = None) -> None:
    """Write the encoder of a model, under our names, to ``path``: all of it, or nothing.

    Matrices stay in their type, float32 or float16; what llama.cpp adds to others is in float32. ``pooling``: how sentence
    vectors are made; without effect if llama.cpp has no such way. ValueError for a model that llama.cpp cannot compute.
    """
    _refuse(config, tokenizer)
    if wide := [f"{name} is of {x.dtype}" for name, x in tensors.items() if x.dtype not in (np.float32, np.float16)]:
        raise ValueError(f"{wide[0]}, and llama.cpp reads float32 and float16: convert to one of these (--dtype)")
    arrays = {theirs(name): x for name, x in tensors.items() if theirs(name)}
    arrays = {name: x.astype(np.float32) if _IN_FLOAT32.search(name) else x for name, x in arrays.items()}
    values = _values(config, tokenizer, pooling, any(x.dtype == np.float16 for x in arrays.values()))
    head = MAGIC + struct.pack("<IQQ", VERSIONS[-1], len(arrays), len(values))
    head += b"".join(_text(key) + _value(value) for key, value in values.items())
    offset = 0
    for name, x in arrays.items():
        head += _text(name) + struct.pack(f"<I{x.ndim}Q", x.ndim, *x.shape[::-1])
        head += struct.pack("<IQ", int(x.dtype == np.float16), offset)
        offset = _aligned(offset + x.nbytes)
    with writing(path) as file:
        file.write(head.ljust(_aligned(len(head)), b"\0"))
        for x in arrays.values():
            file.write(np.ascontiguousarray(x).data)
            file.write(bytes(_aligned(x.nbytes) - x.nbytes))


def _refuse(config: BertConfig, tokenizer: Tokenizer) -> None:
    """ValueError for what cannot be said in GGUF, by name."""
    plain = {**NEUTRAL, "norm_first": False, "model_type": "bert"}
    odd = [f"{key} {getattr(config, key)!r}" for key in plain if key not in _OF_HEADS and getattr(config, key) != plain[key]]
    odd += [] if config.hidden_act.startswith("gelu") else [f"hidden_act {config.hidden_act!r}"]
    odd += [f"type_vocab_size {config.type_vocab_size}"] if not config.type_vocab_size else []
    if not isinstance(tokenizer.method, WordPieces):
        odd.append("tokenizer but that of word pieces")
    elif tokenizer.method.cut:
        odd.append(f"tokenizer cut by {tokenizer.method.cut.rule}")
    elif not tokenizer.method.split_cjk:
        odd.append("tokenize_chinese_chars false")
    if odd:
        raise ValueError(f"llama.cpp's BERT has no {', no '.join(odd)}: this model cannot be written as GGUF; as ONNX or "
                         "safetensors it can (convert --to onnx, --to safetensors)")


def _values(config: BertConfig, tokenizer: Tokenizer, pooling: str | None, half: bool) -> dict[str, Any]:
    """What llama.cpp wants to know. Whole numbers are written in 4 bytes without a sign."""
    words, vocab = [*tokenizer.vocab.tokens], tokenizer.vocab
    named = {name for name in vocab.special if name} | {token.content for token in tokenizer.added if token.special}
    kinds = [_CONTROL if word in named else _NORMAL for word in words]
    pieces = [_phantom(word, kind) for word, kind in zip(words, kinds)]
    if wrong := [word for word, piece, kind in zip(words, pieces, kinds) if _word(piece, kind) != word or not piece]:
        raise ValueError(f"token {wrong[0]!r} of the vocabulary cannot be written as in GGUF, where ▁ stands before a word")
    padding = range(len(words), config.vocab_size)
    ids = (vocab.pad_id, vocab.unk_id, vocab.cls_id, vocab.sep_id, vocab.mask_id)
    accents = tokenizer.lower_case if tokenizer.strip_accents is None else tokenizer.strip_accents
    return {
        "general.architecture": "bert", "general.type": "model", "general.file_type": int(half),
        **{key: getattr(config, ours) for key, ours in _SIZES.items()},
        _EPS: float(config.layer_norm_eps), "bert.attention.causal": False, _FORM: config.hidden_act,
        **({"bert.pooling_type": POOLINGS[pooling]} if pooling in POOLINGS else {}),
        "tokenizer.ggml.model": "bert", "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.token_type_count": config.type_vocab_size,
        "tokenizer.ggml.tokens": [*pieces, *(f"▁[PAD{i}]" for i in padding)],
        "tokenizer.ggml.token_type": kinds + [_UNUSED] * len(padding),
        **{f"tokenizer.ggml.{name}_token_id": number for name, number in zip(_SPECIAL, ids) if number is not None},
        **({"tokenizer.ggml.cls_token_id": vocab.cls_id} if vocab.cls_id is not None else {}),
        "tokenizer.ggml.normalizer.lowercase": tokenizer.lower_case, "tokenizer.ggml.normalizer.strip_accents": accents,
    }


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode("utf-8"))) + value.encode("utf-8")


def _value(value: bool | int | float | str | Sequence[Any]) -> bytes:
    """Kind and content."""
    if isinstance(value, list):
        texts = isinstance(value[0], str)
        head = struct.pack("<IIQ", _ROW, _TEXT if texts else 5, len(value))
        return head + (b"".join(map(_text, value)) if texts else np.array(value, "<i4").tobytes())
    if isinstance(value, str):
        return struct.pack("<I", _TEXT) + _text(value)
    kind, code = (7, "?") if isinstance(value, bool) else (4, "I") if isinstance(value, int) else (6, "f")
    return struct.pack(f"<I{code}", kind, value)
