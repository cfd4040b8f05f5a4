"""Byte pairs in a folder, as RoBERTa has them.

The vocabulary and the joins stand in ``tokenizer.json``, or in ``vocab.json`` and ``merges.txt``, or in fairseq's three:
``encoder.json`` and ``vocab.bpe``, which are GPT-2's vocabulary and joins, and ``dict.txt``, which names the numbers of GPT-2's
tokens in the order that the model counts them in, behind four special tokens and before <mask>.

A <mask> that is only named, in no list with its flags, takes the blanks before it, as in fairseq and in transformers 4; to
transformers 5 they are a token of their own then, which no RoBERTa has seen before a <mask>.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minibert.files import brief, write_atomically

from .bytepairs import CHARACTERS, BytePairs, Join
from .frame import ROBERTA
from .settings import FAST, SETTINGS, Files, Kind, as_object, as_switch, by_id, shown
from .vocabulary import distinct, read_lines

VOCABULARY, MERGES = WRITTEN = ("vocab.json", "merges.txt")
DICTIONARY, ENCODER, JOINS = FAIRSEQ = ("dict.txt", "encoder.json", "vocab.bpe")
NAMED = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>",
         "cls_token": "<s>", "mask_token": {"content": "<mask>", "lstrip": True, "special": True, "normalized": False}}
CLASS = "RobertaTokenizer"

#: What a model of tokenizer.json may say, beside its vocabulary and joins: all that asks for nothing else than is done here.
_MODEL = {"dropout": (None, 0), "continuing_subword_prefix": (None, ""), "end_of_word_suffix": (None, ""),
          "fuse_unk": (False, True), "byte_fallback": (False,), "ignore_merges": (False,)}


def vocabulary(files: Files) -> tuple[list[str], list[str]]:
    """The tokens by id, and notes."""
    if files.fast:
        return by_id(files.folder / FAST, files.model.get("vocab")), []
    path = files.folder / VOCABULARY
    return (by_id(path, as_object(path)), []) if path.is_file() else _of_fairseq(files.folder)


def options(files: Files, tokens: Sequence[str], notes: list[str]) -> dict[str, Any]:
    """``merges`` and ``add_prefix_space`` of ``BytePairs``."""
    path, key = files.folder / SETTINGS, "add_prefix_space"
    if not files.free and (name := files.settings.get("tokenizer_class")) not in (None, CLASS, f"{CLASS}Fast"):
        raise ValueError(f"{path}: tokenizer_class is {shown(name)}; byte pairs are read as {CLASS} does it, or as {FAST} says "
                         f"where the class is PreTrainedTokenizerFast")
    if files.cut:
        raise ValueError(f"{files.folder} has a tokenizer of byte pairs, which finds words by a rule of its own: no other rule "
                         "can cut its texts")
    said = as_switch(path, key, files.settings.get(key)) or False
    found = _of_pre_tokenizer(files)
    if found is not None and found != said and not files.free:
        notes.append(f"{files.folder}: {SETTINGS} says {key} {json.dumps(said)} and {FAST} {json.dumps(found)}; the former is "
                     "done, as in transformers")
    if absent := sum(char not in tokens for char in CHARACTERS):
        notes.append(f"{files.folder}: the vocabulary has no token for {absent} of the 256 bytes; they are left out of texts, as "
                     "in transformers")
    return {"merges": _merges(files), key: bool(found) if files.free else said}


def save(folder: Path, tokenizer: Any) -> dict[str, Any]:
    """Write the vocabulary and the joins; what the settings have to say."""
    method = tokenizer.method
    write_atomically(folder / VOCABULARY, json.dumps(tokenizer.vocab.pieces, ensure_ascii=False) + "\n")
    write_atomically(folder / MERGES, "".join(["#version: 0.2\n", *(f"{left} {right}\n" for left, right in method.merges)]))
    cls, sep = tokenizer.vocab.special[2:4]
    return {"tokenizer_class": CLASS, "add_prefix_space": method.add_prefix_space, "bos_token": cls, "eos_token": sep}


def _merges(files: Files) -> list[Join]:
    """The joins, first come first."""
    if files.fast:
        path, lines = files.folder / FAST, files.model.get("merges")
        if not isinstance(lines, list):
            raise ValueError(f"{path}: the merges of its model must be a list, found {shown(lines)}")
        joins = [line.split(" ") if isinstance(line, str) else line for line in lines]
    else:
        path = next(files.folder / name for name in (MERGES, JOINS) if (files.folder / name).is_file())
        lines = [line for line in read_lines(path) if not line.startswith("#version")]
        joins = [line.split(" ") for line in lines]
    for number, join in enumerate(joins):
        if not (isinstance(join, list) and len(join) == 2 and all(isinstance(piece, str) and piece for piece in join)):
            raise ValueError(f"{path}: join {number + 1:,} must be two pieces with a blank between them, found "
                             f"{brief(lines[number])}")
    return [tuple(join) for join in joins]


def _of_pre_tokenizer(files: Files) -> bool | None:
    """``add_prefix_space`` in tokenizer.json, None if it is not there; ValueError where the class obeys it and it does more."""
    path, model = files.folder / FAST, files.model
    cut = files.fast.get("pre_tokenizer")
    is_bytes = isinstance(cut, dict) and cut.get("type") == "ByteLevel" and cut.get("use_regex", True) is True
    if files.free:
        odd = [f"model.{key} {shown(model[key])}" for key, plain in _MODEL.items() if model.get(key, plain[0]) not in plain]
        odd += [] if files.fast.get("normalizer") is None else ["a normalizer"]
        odd += [] if is_bytes else ["a pre_tokenizer that is not ByteLevel"]
        if odd:
            raise ValueError(f"{path} asks for {' and '.join(odd)}, which RoBERTa does not have and is not done here")
    return as_switch(path, "add_prefix_space", cut.get("add_prefix_space")) if is_bytes else None


def _of_fairseq(folder: Path) -> tuple[list[str], list[str]]:
    """The tokens in the order of ``dict.txt``, whose symbols are the numbers of tokens in ``encoder.json``."""
    tokens = by_id(folder / ENCODER, as_object(folder / ENCODER))
    path, named = folder / DICTIONARY, {str(number): token for number, token in enumerate(tokens)}
    return distinct(symbols(path, named), path)


def symbols(path: Path, named: Mapping[str, str] | None = None) -> list[str]:
    """The symbols of fairseq's dictionary by id: each line is a symbol and how often it was; five more go without saying.

    ``named``: the tokens that the symbols stand for.
    """
    tokens = ["<s>", "<pad>", "</s>", "<unk>"]
    expected = "a symbol" if named is None else f"the number of a token of {ENCODER}"
    for number, line in enumerate(read_lines(path), 1):
        symbol, _, count = line.removesuffix(" #fairseq:overwrite").rpartition(" ")
        known = bool(symbol) if named is None else symbol in named or symbol.startswith("madeupword")
        if not count.isdecimal() or not known:
            raise ValueError(f"{path}, line {number}: expected {expected} and a count, found {brief(line)}")
        tokens.append(symbol if named is None else named.get(symbol, symbol))
    return [*tokens, "<mask>"]


KIND = Kind(BytePairs, lambda files: ROBERTA, lambda files: NAMED, WRITTEN, [WRITTEN, FAIRSEQ], vocabulary, options, save)
