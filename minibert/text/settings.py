"""The files of a tokenizer's folder, and what may stand in their JSON. See ``saved``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from minibert.files import read_json

from .added import AddedToken
from .frame import Frame
from .method import Method
from .vocabulary import fits_a_line, unused

FAST, SETTINGS, ADDED, NAMES = "tokenizer.json", "tokenizer_config.json", "added_tokens.json", "special_tokens_map.json"
MOST_BEYOND = 1 << 16  # an id may lie so far behind the others


class Files(NamedTuple):
    """What there is in a folder; ``{}`` stands for a file that is not there."""

    folder: Path
    settings: dict[str, Any]
    fast: dict[str, Any]
    free: bool = False  # tokenizer.json comes before the settings
    cut: str | None = None  # what finds the words, whatever the folder says

    @property
    def model(self) -> dict[str, Any]:
        """The model of tokenizer.json."""
        model = self.fast.get("model")
        return model if isinstance(model, dict) else {}


class Kind(NamedTuple):
    """How tokenizers of one kind stand in a folder."""

    method: type[Method]
    frame: Callable[[Files], Frame]
    named: Callable[[Files], Mapping[str, Any]]  # the special tokens where nothing is said, in transformers' order
    written: Sequence[str]  # the names of the files that ``save`` writes
    sets: Sequence[Sequence[str]]  # sets of files, of which all must be there where there is no tokenizer.json
    vocabulary: Callable[[Files], tuple[list[str], list[str]]]  # the tokens by id, before any is added, and notes
    options: Callable[[Files, Sequence[str], list[str]], dict[str, Any]]  # of the method, from files, tokens, and notes to add to
    save: Callable[[Path, Any], dict[str, Any]]  # writes the files of a tokenizer, returns what its settings must say


def as_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file, ``{}`` where there is no file."""
    return read_json(path, dict) if path.is_file() else {}


def by_id(path: Path, vocab: Any) -> list[str]:
    """The tokens of a JSON object in the order of their ids; gaps get names that no text reaches."""
    vocab = vocab if isinstance(vocab, dict) else {}
    wrong = [token for token, number in vocab.items() if not is_id(number) or number >= len(vocab) + MOST_BEYOND]
    if wrong or len(set(vocab.values())) < len(vocab):
        raise ValueError(f"{path}: the {len(vocab):,} tokens of its vocabulary must have as many ids, whole numbers from 0 on"
                         + (f", but {shown(wrong[0])} has {shown(vocab[wrong[0]])}" if wrong else ""))
    tokens = [unused(number) for number in range(max(vocab.values(), default=-1) + 1)]
    for token, number in vocab.items():
        if fits_a_line(token):  # no text reaches another
            tokens[number] = token
    return tokens


def as_token(path: Path, value: Any) -> AddedToken:
    """A token of a file: its content alone, which makes it a special one, or an object with its flags."""
    if isinstance(value, str):
        return AddedToken(value, special=True, normalized=False)
    if isinstance(value, dict) and isinstance(value.get("content"), str):
        flags = {name: value[name] for name in vars(AddedToken("")) if name in value}
        flags.setdefault("normalized", not flags.get("special", False))
        if all(isinstance(flag, bool) for name, flag in flags.items() if name != "content"):
            return AddedToken(**flags)
    raise ValueError(f"{path}: {shown(value)} is no token; expected a string, or an object with its content and flags")


def as_id(path: Path, value: Any) -> int:
    """The id of an added token."""
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10 else value
    if not is_id(number):
        raise ValueError(f"{path}: the id of an added token must be a whole number from 0 on, found {shown(value)}")
    return number


def as_switch(path: Path, key: str, value: Any) -> bool | None:
    """True, false, or None; also as words."""
    words = {"true": True, "false": False}
    value = words.get(value.lower(), value) if isinstance(value, str) else value
    if value is None or isinstance(value, bool):
        return value
    raise ValueError(f"{path}: {key} must be true or false, found {shown(value)}")


def part(path: Path, values: dict[str, Any], key: str, empty: Any) -> Any:
    """A list or an object in a file; ``empty`` where it is not there."""
    value = empty if values.get(key) is None else values[key]
    if type(value) is not type(empty):
        raise ValueError(f"{path}: {key} must be {shown(empty)}, found {shown(value)}")
    return value


def is_id(value: Any) -> bool:
    """Whether this may be an id."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def shown(value: Any) -> str:
    """A value of a file in a message: no more of it than fits."""
    if isinstance(value, (dict, list)):
        return "a JSON object" if isinstance(value, dict) else "a JSON list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"
