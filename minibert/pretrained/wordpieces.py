"""The tokenizer of a model's folder: from ``vocab.txt``, or from the ``tokenizer.json`` that newer tools write in its place."""

from __future__ import annotations

import os
from pathlib import Path

from minibert.files import brief, read_json
from minibert.text import Tokenizer, Vocabulary

VOCABULARY, FAST = "vocab.txt", "tokenizer.json"


def load_tokenizer(folder: str | os.PathLike[str]) -> Tokenizer:
    """Read the tokenizer of a folder. FileNotFoundError where there is neither file, ValueError for what cannot be understood."""
    folder = Path(folder)
    if (folder / VOCABULARY).is_file() or not (folder / FAST).is_file():
        return Tokenizer.load(folder)
    path = folder / FAST
    whole = read_json(path, dict)
    model = whole.get("model")
    if not isinstance(model, dict) or model.get("type", "WordPiece") != "WordPiece" or not isinstance(model.get("vocab"), dict):
        raise ValueError(f"{path}: this is not a tokenizer of word pieces; BERT needs one, best as {VOCABULARY}")
    vocab = model["vocab"]
    if not all(type(number) is int for number in vocab.values()) or sorted(vocab.values()) != list(range(len(vocab))):
        raise ValueError(f"{path}: the {len(vocab):,} ids of its vocabulary are not 0 to {len(vocab) - 1:,}")
    normalizer = whole.get("normalizer") or {}
    if not isinstance(normalizer, dict):
        raise ValueError(f"{path}: its normalizer must be a JSON object, got {brief(normalizer)}")
    settings = _settings(folder / "tokenizer_config.json")
    limit = settings.get("model_max_length", 512)
    return Tokenizer(Vocabulary(sorted(vocab, key=lambda token: vocab[token]), source=path),
                     lower_case=normalizer.get("lowercase", True), strip_accents=normalizer.get("strip_accents"),
                     split_cjk=normalizer.get("handle_chinese_chars", True), max_length=limit if isinstance(limit, int) else 512)


def _settings(path: Path) -> dict:
    return read_json(path, dict) if path.is_file() else {}
