"""fairseq's checkpoints of a RoBERTa: PyTorch files whose tensors have other names, some of them three in one.

A file is that of a training run: the tensors under ``model``, and the settings under ``args`` (a namespace), since 0.10 under
``cfg`` (dictionaries, with a namespace in ``model``). Both are read as data. The tensors become those of transformers' RoBERTa::

    encoder.sentence_encoder.embed_tokens.weight             roberta.embeddings.word_embeddings.weight
    encoder.sentence_encoder.layers.0.self_attn_layer_norm   roberta.encoder.layer.0.attention.output.LayerNorm
    encoder.sentence_encoder.layers.0.self_attn.in_proj_weight   query, key and value, one below the other, until version 0.9
    encoder.lm_head.weight                                   lm_head.decoder.weight, tied to the word embeddings

Older files say ``decoder.sentence_encoder``. transformers has a token type whose row is added everywhere: it is zeros here, as
fairseq has none. The vocabulary is ``dict.txt``.

Source: ``fairseq/models/roberta/model.py``, ``fairseq/modules/transformer_sentence_encoder.py`` and ``multihead_attention.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from minibert.pretrained import pytorch
from minibert.pretrained.pickled import Inert

WORDS, POSITIONS, TYPES = (f"roberta.embeddings.{table}_embeddings.weight" for table in ("word", "position", "token_type"))
WIDE = "roberta.encoder.layer.0.intermediate.dense.weight"

_ENCODER = re.compile(r"(?:.*\.)?(?:encoder|decoder)\.sentence_encoder\.")
_HEAD = re.compile(r"(?:.*\.)?(?:encoder|decoder)\.lm_head\.")
_TASK = re.compile(r"(?:.*\.)?classification_heads\.[^.]+\.")
_BUFFERS = re.compile(r".*\.(version|_float_tensor)")

#: (pattern, replacement) within the encoder, each tried in this order.
_RULES = (
    (r"^embed_tokens\.", "embeddings.word_embeddings."), (r"^embed_positions\.", "embeddings.position_embeddings."),
    (r"^segment_embeddings\.", "embeddings.token_type_embeddings."),
    (r"^(emb_layer_norm|layernorm_embedding)\.", "embeddings.LayerNorm."),
    (r"^layers\.", "encoder.layer."), (r"\.self_attn\.out_proj\.", ".attention.output.dense."),
    (r"\.self_attn\.(q|k|v)_proj\.", r".attention.self.\1."), (r"\.self\.q\.", ".self.query."), (r"\.self\.k\.", ".self.key."),
    (r"\.self\.v\.", ".self.value."), (r"\.self_attn_layer_norm\.", ".attention.output.LayerNorm."),
    (r"\.fc1\.", ".intermediate.dense."), (r"\.fc2\.", ".output.dense."), (r"\.final_layer_norm\.", ".output.LayerNorm."))
_MERGED = re.compile(r"encoder\.layer\.\d+\.self_attn\.in_proj_(weight|bias)")
_ACTIVATIONS = {"gelu": "gelu", "gelu_accurate": "gelu_new", "gelu_fast": "gelu_new"}


class Part(NamedTuple):
    """A tensor of the file, or a third of its rows."""

    stored: str
    third: int | None = None


def wrote(names: Iterable[str]) -> bool:
    """Are these the names of a RoBERTa of fairseq?"""
    return any(_ENCODER.match(name) for name in names)


class Reader:
    """An open file of PyTorch, with the names of transformers; ``.config``: what it says of the model."""

    def __init__(self, reader: pytorch.Reader) -> None:
        self.path, self.size, self.format = reader.path, reader.size, f"fairseq, {reader.format}"
        self._reader = reader
        self._parts = _parts(reader)
        self.shapes = {name: _third(reader.shapes[part.stored], part) for name, part in self._parts.items()}
        self.dtypes = {name: reader.dtypes[part.stored] for name, part in self._parts.items()}
        if TYPES not in self.shapes and len(words := self.shapes.get(WORDS, ())) == 2:
            self.shapes[TYPES], self.dtypes[TYPES] = (1, words[1]), self.dtypes[WORDS]
        self.config = _config(self.shapes, settings(reader.extras))

    def __getitem__(self, name: str) -> np.ndarray:
        """The array of that name; ValueError, naming file and tensor, where it is damaged."""
        if name not in self._parts:  # the one token type, which adds nothing
            return np.zeros(self.shapes[name], np.float32)
        stored, third = self._parts[name]
        x = self._reader[stored]
        return x if third is None else x[third * len(x) // 3:(third + 1) * len(x) // 3]


def _parts(reader: pytorch.Reader) -> dict[str, Part]:
    """transformers' name of a tensor -> where it is."""
    found: dict[str, Part] = {}
    for stored in reader.shapes:
        if _BUFFERS.fullmatch(stored):
            continue
        name = _name(stored)
        if merged := _MERGED.fullmatch(name.removeprefix("roberta.")):
            if not (shape := reader.shapes[stored]) or shape[0] % 3:
                raise ValueError(f"{reader.path}: {stored} has the shape {shape}, which is no query, key and value")
            start = name.removesuffix(f"self_attn.in_proj_{merged[1]}") + "attention.self."
            names = {f"{start}{part}.{merged[1]}": Part(stored, i) for i, part in enumerate(("query", "key", "value"))}
        else:
            names = {name: Part(stored)}
        if twice := names.keys() & found.keys():
            again = found[min(twice)].stored
            raise ValueError(f"{reader.path}: {again} and {stored} are two names of one tensor; which one is meant?")
        found |= names
    return found


def _name(stored: str) -> str:
    if within := _ENCODER.match(stored):
        name = stored[within.end():]
        for pattern, replacement in _RULES:
            name = re.sub(pattern, replacement, name)
        return f"roberta.{name}"
    if within := _HEAD.match(stored):
        return "lm_head." + re.sub(r"^weight$", "decoder.weight", stored[within.end():])
    within = _TASK.match(stored)
    return f"classifier.{stored[within.end():]}" if within else stored


def _third(shape: tuple[int, ...], part: Part) -> tuple[int, ...]:
    return shape if part.third is None else (shape[0] // 3, *shape[1:])


def settings(extras: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint says of the model: its ``args``, or the ``model`` of its ``cfg``. Empty where it says nothing."""
    cfg = extras.get("cfg")
    for told in (cfg.get("model") if isinstance(cfg, dict) else None, extras.get("args")):
        told = told.attributes if isinstance(told, Inert) else told
        if isinstance(told, dict) and told:
            return told
    return {}


def _config(shapes: Mapping[str, tuple[int, ...]], told: Mapping[str, Any]) -> dict[str, Any] | None:
    """The ``config.json`` of transformers' RoBERTa; None where the file does not tell how many heads there are."""
    words, positions, types, wide = (shapes.get(name, ()) for name in (WORDS, POSITIONS, TYPES, WIDE))
    heads = told.get("encoder_attention_heads")
    if type(heads) is not int or not len(words) == len(positions) == len(types) == len(wide) == 2:
        return None
    activation = str(told.get("activation_fn", "gelu"))
    rates = {ours: told[theirs] for ours, theirs in (("hidden_dropout_prob", "dropout"), ("attention_probs_dropout_prob",
             "attention_dropout")) if type(told.get(theirs)) in (int, float)}
    return {"architectures": ["RobertaForMaskedLM"], "model_type": "roberta", "vocab_size": words[0], "hidden_size": words[1],
            "num_hidden_layers": len({name.split(".")[3] for name in shapes if name.startswith("roberta.encoder.layer.")}),
            "num_attention_heads": heads, "intermediate_size": wide[0], "hidden_act": _ACTIVATIONS.get(activation, activation),
            "max_position_embeddings": positions[0], "type_vocab_size": types[0], "layer_norm_eps": 1e-5, "pad_token_id": 1,
            "bos_token_id": 0, "eos_token_id": 2, **rates}
