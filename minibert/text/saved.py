"""The tokenizer of a model's folder, as ``save`` writes it and as transformers, old and new, has written it.

The vocabulary is ``vocab.txt``, or that of the ``tokenizer.json`` of newer tools, which goes first where there are both, as in
transformers. How texts are normalised, ``tokenizer_config.json`` says; what it does not say, the normalizer in
``tokenizer.json``; what neither says, transformers' defaults. An old folder without settings is judged by its vocabulary.

Tokens beside the vocabulary are read where transformers 5 reads them: in ``added_tokens_decoder`` of ``tokenizer_config.json``;
where there is no such key in ``special_tokens_map.json``, ``added_tokens.json`` and ``tokenizer.json``; and then the special
tokens that the settings name. A token of the vocabulary has its id there, another one that of the file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from minibert import swap
from minibert.files import read_json, write_atomically

from .added import AddedToken, special_tokens
from .cut import Cut
from .vocabulary import SPECIAL, Vocabulary, distinct, fits_a_line, read_lines, unused

VOCABULARY, FAST, SETTINGS, ADDED, NAMES = FILES = (
    "vocab.txt", "tokenizer.json", "tokenizer_config.json", "added_tokens.json", "special_tokens_map.json")
CUT = "minibert_cut"  # a key of our own: what finds the words of a text that is no prose
NO_LIMIT = int(1e30)  # transformers' word for a tokenizer that does not care
MOST_BEYOND = 1 << 16  # an id may lie so far behind the others

_ROLES = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")  # what settings call those of SPECIAL
_NAMED = {"bos_token": "", "eos_token": "", "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]",
          "cls_token": "[CLS]", "mask_token": "[MASK]"}  # and what they are where nothing is said, in transformers' order
_SWITCHES = {"do_lower_case": "lowercase", "strip_accents": "strip_accents", "tokenize_chinese_chars": "handle_chinese_chars"}
_FREE = ("PreTrainedTokenizerFast", "TokenizersBackend")  # classes that do whatever tokenizer.json says
_IDLE = {"never_split": (None, []), "do_basic_tokenize": (True,), "split_special_tokens": (False,)}  # key: what asks for nothing


class Files(NamedTuple):
    """What there is in a folder; ``{}`` stands for a file that is not there."""

    folder: Path
    settings: dict[str, Any]
    fast: dict[str, Any]
    free: bool  # tokenizer.json comes before the settings


def read(source: str | os.PathLike[str], cut: str | None = None) -> dict[str, Any]:
    """The arguments of ``Tokenizer`` for what stands in a folder, or in a vocabulary alone. ``cut``: instead of the folder's.

    FileNotFoundError where there is no vocabulary; ValueError, with the file's name, for what cannot be understood or done.
    """
    folder = Path(source)
    if folder.is_file():
        return _of_vocabulary(folder, cut)
    swap.settle(folder)
    if not any((folder / name).is_file() for name in (VOCABULARY, FAST)):
        raise FileNotFoundError(f"no {VOCABULARY} in {folder}: expected the folder of a run or of a BERT model")
    settings, fast = _json(folder / SETTINGS), _json(folder / FAST)
    if "added_tokens_decoder" not in settings:
        settings |= _json(folder / NAMES)
    files = Files(folder, settings, fast, bool(fast) and settings.get("tokenizer_class") in _FREE)
    if (words := settings.get("word_tokenizer_type", "basic")) != "basic":
        raise ValueError(f"{folder / SETTINGS}: word_tokenizer_type is {_shown(words)}: another program finds the words of a "
                         "text, which is not done here")
    tokens, notes = _vocabulary(files)
    if cut is not None:
        settings[CUT] = cut
    rule, said = settings.get(CUT), CUT if cut else f"{folder / SETTINGS}: {CUT}"
    names = [_token(folder / SETTINGS, settings.get(role) or name).content for role, name in zip(_ROLES, SPECIAL)]
    names[2:4] = _frame(files, *names[2:4])
    steps = _steps(files, tokens, notes)
    beyond, added = _add(files, tokens, names, notes)
    source = next(folder / name for name in (FAST, VOCABULARY) if (folder / name).is_file())
    vocab = Vocabulary(tokens, special=names, added=beyond, source=source)
    if absent := [name or token for name, token in zip(names[2:4], SPECIAL[2:4]) if name not in vocab]:
        notes.append(f"{vocab.source} has no {' and no '.join(absent)} for a text: texts are read without")
    notes += [f"{folder / SETTINGS}: {key} has no effect here" for key, idle in _IDLE.items()
              if settings.get(key, idle[0]) not in idle]
    return {"vocab": vocab, "added": added, "max_length": _limit(files, notes), "notes": notes,
            "cut": None if rule is None else Cut(rule, said), **steps}


def _of_vocabulary(path: Path, cut: str | None) -> dict[str, Any]:
    tokens, notes = distinct(read_lines(path), path)
    return {"vocab": Vocabulary(tokens, source=path), "max_length": NO_LIMIT, "notes": notes, "cut": cut,
            "lower_case": not (cut or _is_cased(tokens))}


def save(folder: str | os.PathLike[str], tokenizer: Any) -> None:
    """Write a ``Tokenizer``'s ``vocab.txt`` and ``tokenizer_config.json``, which transformers' AutoTokenizer reads as well."""
    folder, vocab = Path(folder), tokenizer.vocab
    folder.mkdir(parents=True, exist_ok=True)
    vocab.save(folder / VOCABULARY)
    settings = {
        "tokenizer_class": "BertTokenizer" if tokenizer.cut is None else "MinibertTokenizer",
        "do_lower_case": tokenizer.lower_case,
        "strip_accents": tokenizer.strip_accents,
        "tokenize_chinese_chars": tokenizer.split_cjk,
        "model_max_length": tokenizer.max_length,
        **{role: name for role, name in zip(_ROLES, vocab.special) if name in vocab},
    }
    if tokenizer.cut:
        settings[CUT] = tokenizer.cut.rule
    if set(tokenizer.added) != set(special_tokens(vocab)):
        numbered = {vocab.index[token.content]: vars(token) for token in tokenizer.added}
        settings["added_tokens_decoder"] = {str(number): numbered[number] for number in sorted(numbered)}
    write_atomically(folder / SETTINGS, json.dumps(settings, indent=2) + "\n")


# The vocabulary, and what stands around a text

def _vocabulary(files: Files) -> tuple[list[str], list[str]]:
    """The tokens by id, before any is added, and notes."""
    path, source = files.folder / VOCABULARY, files.folder / FAST
    lines = read_lines(path) if path.is_file() else None
    if not source.is_file():
        return distinct(lines, path)
    model = files.fast.get("model")
    kind = model.get("type", "WordPiece") if isinstance(model, dict) else None
    if kind != "WordPiece" or not isinstance(model.get("vocab"), dict):
        hint = f"if {VOCABULARY} beside it belongs to the model, delete {FAST}" if lines else f"best as {VOCABULARY}"
        raise ValueError(f"{source}: no tokenizer of word pieces, which BERT needs (its model is {_shown(kind)}); {hint}")
    vocab = model["vocab"]
    wrong = [token for token, number in vocab.items() if not _is_id(number) or number >= len(vocab) + MOST_BEYOND]
    if wrong or len(set(vocab.values())) < len(vocab):
        raise ValueError(f"{source}: the {len(vocab):,} tokens of its vocabulary must have as many ids, whole numbers from 0 on"
                         + (f", but {_shown(wrong[0])} has {_shown(vocab[wrong[0]])}" if wrong else ""))
    tokens = [unused(number) for number in range(max(vocab.values(), default=-1) + 1)]
    for token, number in vocab.items():
        if fits_a_line(token):  # no text reaches another
            tokens[number] = token
    differ = lines is not None and {token: number for number, token in enumerate(lines)} != vocab
    return tokens, [f"{path} and {source} have other tokens: the latter is read, as transformers does"] if differ else []


def _frame(files: Files, cls: str, sep: str) -> list[str | None]:
    """The names of [CLS] and [SEP], by the template of tokenizer.json if it has one."""
    template, frame = files.fast.get("post_processor"), None
    if not template:
        return [None, None] if files.free else [cls, sep]
    with suppress(KeyError, TypeError, IndexError):
        if template["type"] == "BertProcessing":
            frame = [template["cls"][0], template["sep"][0]]
        elif template["type"] == "TemplateProcessing":
            cls, sep = (template["single"][i]["SpecialToken"]["id"] for i in (0, -1))
            single = [_special(cls, 0), {"Sequence": {"id": "A", "type_id": 0}}, _special(sep, 0)]
            pair = [*single, {"Sequence": {"id": "B", "type_id": 1}}, _special(sep, 1)]
            frame = [cls, sep] if (template["single"], template["pair"]) == (single, pair) else None
    if frame is None or not all(isinstance(name, str) for name in frame):
        raise ValueError(f"{files.folder / FAST}: its post_processor makes something else of texts than [CLS] text [SEP] and "
                         "[CLS] text [SEP] text [SEP]; only that is done here")
    return frame


def _special(name: str, kind: int) -> dict[str, Any]:
    return {"SpecialToken": {"id": name, "type_id": kind}}


# Tokens beside the vocabulary

def _add(files: Files, tokens: list[str], names: Sequence[str | None], notes: list[str]) -> tuple[int, list[AddedToken]]:
    """Append the added tokens to ``tokens``. How many of the last ones these are, and how each token is found in a text."""
    index = {token: number for number, token in enumerate(tokens)}
    base, others = len(tokens), []
    added: dict[str, AddedToken] = {}
    for token, wanted in _named_in(files):
        if not token.content or token.content in added:
            continue
        if token.content not in index:
            if wanted is None and token.content in names:
                continue  # a special token that is not there: what needs it will say so
            number = max(len(tokens), wanted or 0)
            if number > len(tokens) + MOST_BEYOND:
                raise ValueError(f"{files.folder}: {_shown(token.content)} has the id {_shown(number)}, but there are only "
                                 f"{len(tokens):,} tokens before it")
            gap = [unused(place) for place in range(len(tokens), number)]
            added |= {name: AddedToken(name, special=True, normalized=False) for name in gap}
            tokens += [*gap, token.content]
            index[token.content] = number
        if wanted not in (None, index[token.content]):
            others.append(f"{token.content} is {index[token.content]} and not {wanted}")
        added[token.content] = replace(token, special=True) if token.content in names else token
    if others:
        notes.append(f"{files.folder}: its files do not agree on the ids of added tokens; as in transformers, "
                     + ", ".join(others[:3]) + (" …" if others[3:] else ""))
    return len(tokens) - base, list(added.values())


def _named_in(files: Files) -> Iterator[tuple[AddedToken, int | None]]:
    """Every token that the files name beside the vocabulary, and the id that they give it, in the order of transformers."""
    path, settings = files.folder / SETTINGS, files.settings
    fast = [(_token(files.folder / FAST, entry), _id(files.folder / FAST, entry.get("id") if isinstance(entry, dict) else None))
            for entry in _part(files.folder / FAST, files.fast, "added_tokens", [])]
    if files.free:
        yield from fast
    named = [settings.get(key) or ("" if files.free else name) for key, name in _NAMED.items()]
    named += [value for key, value in settings.items() if key.endswith("_token") and key not in _NAMED and isinstance(value, str)]
    for key in ("extra_special_tokens", "additional_special_tokens"):
        named += settings[key].values() if isinstance(settings.get(key), dict) else _part(path, settings, key, [])
    special = [_token(path, value) for value in named if value]
    if "added_tokens_decoder" in settings:
        entries = _part(path, settings, "added_tokens_decoder", {})
        numbered = [(_token(path, value), _id(path, number)) for number, value in entries.items()]
    else:
        path, names = files.folder / ADDED, {token.content for token in special}
        numbered = [(AddedToken(content, content in names, content not in names), _id(path, number))
                    for content, number in _json(path).items()]
        numbered += [] if files.free else fast
    yield from sorted(numbered, key=lambda pair: pair[1])
    yield from ((token, None) for token in special)


def _token(path: Path, value: Any) -> AddedToken:
    """A token of a file: its content alone, which makes it a special one, or an object with its flags."""
    if isinstance(value, str):
        return AddedToken(value, special=True, normalized=False)
    if isinstance(value, dict) and isinstance(value.get("content"), str):
        flags = {name: value[name] for name in vars(AddedToken("")) if name in value}
        flags.setdefault("normalized", not flags.get("special", False))
        if all(isinstance(flag, bool) for name, flag in flags.items() if name != "content"):
            return AddedToken(**flags)
    raise ValueError(f"{path}: {_shown(value)} is no token; expected a string, or an object with its content and flags")


def _id(path: Path, value: Any) -> int:
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10 else value
    if not _is_id(number):
        raise ValueError(f"{path}: the id of an added token must be a whole number from 0 on, found {_shown(value)}")
    return number


# How texts are normalised, and how long they may be

def _steps(files: Files, tokens: list[str], notes: list[str]) -> dict[str, bool | None]:
    """``lower_case``, ``strip_accents`` and ``split_cjk`` of a ``Tokenizer``."""
    cased = _is_cased(tokens)
    old = not files.fast and not (files.folder / SETTINGS).is_file()
    keeps = (old and cased) or CUT in files.settings
    default = {"do_lower_case": not keeps, "strip_accents": None, "tokenize_chinese_chars": True}
    path, settings = files.folder / SETTINGS, files.settings
    said = {key: _switch(path, key, settings[key]) for key in _SWITCHES.keys() & settings.keys()
            if settings[key] is not None or key == "strip_accents"}
    theirs = _normalizer(files)
    found = {key: _switch(files.folder / FAST, name, theirs[name]) for key, name in _SWITCHES.items() if name in theirs}
    steps = default | (said | found if files.free else found | said)
    for key in _SWITCHES:
        if None not in (said.get(key), found.get(key)) and said[key] != found[key]:
            notes.append(f"{files.folder}: {SETTINGS} says {key} {json.dumps(said[key])} and {FAST} {_SWITCHES[key]} "
                         f"{json.dumps(found[key])}; {json.dumps(steps[key])} is done")
    if "do_lower_case" in said or files.free or CUT in files.settings:
        pass
    elif steps["do_lower_case"] is False:
        source = f"{FAST} keeps capital letters" if found else "the vocabulary has capital letters"
        notes.append(f"{path} does not say do_lower_case, but {source}, so they are kept; transformers 5 lowers them")
    elif cased and not found:
        notes.append(f"{path} does not say do_lower_case, so capital letters are lowered, as transformers does; the vocabulary "
                     'has many: if the model learned with them, write "do_lower_case": false there')
    if theirs.get("clean_text") is False:
        notes.append(f"{files.folder / FAST}: clean_text false has no effect here: control characters are removed")
    return dict(zip(("lower_case", "strip_accents", "split_cjk"), (steps[key] for key in _SWITCHES)))


def _is_cased(tokens: Sequence[str]) -> bool:
    return sum(token != token.lower() for token in tokens) > len(SPECIAL) + len(tokens) // 100


def _normalizer(files: Files) -> dict[str, Any]:
    """The part of tokenizer.json that normalises as BERT does; ValueError where the class obeys it and it is another."""
    whole = files.fast.get("normalizer")
    parts = whole.get("normalizers") if isinstance(whole, dict) and whole.get("type") == "Sequence" else [whole]
    if not isinstance(parts, list) or not all(part is None or isinstance(part, dict) for part in parts):
        raise ValueError(f"{files.folder / FAST}: its normalizer must be an object, found {_shown(whole)}")
    berts = [part for part in parts if part and part.get("type") == "BertNormalizer"]
    cut, model = files.fast.get("pre_tokenizer"), files.fast.get("model", {})
    is_bert = (berts == parts and isinstance(cut, dict) and cut.get("type") == "BertPreTokenizer"
               and model.get("continuing_subword_prefix", "##") == "##" and model.get("max_input_chars_per_word", 100) == 100)
    if files.free and not is_bert:
        raise ValueError(f"{files.folder / FAST} asks for texts to be normalised or cut otherwise than BERT does it "
                         "(BertNormalizer, BertPreTokenizer, ##, words of up to 100 characters); only that is done here")
    return berts[0] if berts else {}


def _switch(path: Path, key: str, value: Any) -> bool | None:
    words = {"true": True, "false": False}
    value = words.get(value.lower(), value) if isinstance(value, str) else value
    if value is None or isinstance(value, bool):
        return value
    raise ValueError(f"{path}: {key} must be true or false, found {_shown(value)}")


def _limit(files: Files, notes: list[str]) -> int:
    """The most tokens of a text. None, and what is no such number, is no limit of the tokenizer's own."""
    value = files.settings.get("model_max_length", files.settings.get("max_len"))
    with suppress(TypeError, ValueError, OverflowError):
        if value is None or float(value) >= NO_LIMIT:
            return NO_LIMIT
        if int(float(value)) >= 1 and not isinstance(value, bool):
            return int(float(value))
    notes.append(f"{files.folder / SETTINGS}: model_max_length is {_shown(value)}, which is no number of tokens: it is not used")
    return NO_LIMIT


def _part(path: Path, values: dict[str, Any], key: str, empty: Any) -> Any:
    """A list or an object in a file; ``empty`` where it is not there."""
    value = empty if values.get(key) is None else values[key]
    if type(value) is not type(empty):
        raise ValueError(f"{path}: {key} must be {_shown(empty)}, found {_shown(value)}")
    return value


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _shown(value: Any) -> str:
    """A value of a file in a message: no more of it than fits."""
    if isinstance(value, (dict, list)):
        return "a JSON object" if isinstance(value, dict) else "a JSON list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _json(path: Path) -> dict[str, Any]:
    return read_json(path, dict) if path.is_file() else {}
