"""The tokenizer of a model's folder, as ``save`` writes it and as transformers, old and new, has written it.

Of which kind it is, the model in ``tokenizer.json`` says, or the files that hold its vocabulary: see ``saved_words`` and
``saved_bytes``. Where there are both, ``tokenizer.json`` goes first, as in transformers.

Tokens beside the vocabulary are read where transformers 5 reads them: in ``added_tokens_decoder`` of ``tokenizer_config.json``;
where there is no such key in ``special_tokens_map.json``, ``added_tokens.json`` and ``tokenizer.json``; and then the special
tokens that the settings name. A token of the vocabulary has its id there, another one that of the file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from minibert import swap
from minibert.files import write_atomically

from . import saved_bytes, saved_unigram, saved_words
from .added import AddedToken, special_tokens
from .frame import BERT, ROBERTA, SHORTEN, Frame
from .saved_words import VOCABULARY, is_cased
from .settings import ADDED, FAST, MOST_BEYOND, NAMES, SETTINGS, Files, Kind, as_id, as_object, as_token, part, shown
from .vocabulary import SPECIAL, Vocabulary, distinct, read_lines, unused

#: By the model's name in tokenizer.json.
KINDS: dict[str, Kind] = {"WordPiece": saved_words.KIND, "BPE": saved_bytes.KIND, "Unigram": saved_unigram.KIND}

FILES = (FAST, SETTINGS, ADDED, NAMES, *(name for kind in KINDS.values() for name in kind.written))
NO_LIMIT = int(1e30)  # transformers' word for a tokenizer that does not care

_ROLES = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")  # what settings call those of SPECIAL
_FREE = ("PreTrainedTokenizerFast", "TokenizersBackend")  # classes that do whatever tokenizer.json says
_IDLE = {"never_split": (None, []), "do_basic_tokenize": (True,), "split_special_tokens": (False,),
         "trim_offsets": (True,)}  # key: what asks for nothing
_FRAMES = {"BertProcessing": BERT, "RobertaProcessing": ROBERTA}


def read(source: str | os.PathLike[str], cut: str | None = None) -> dict[str, Any]:
    """The arguments of ``Tokenizer`` for what stands in a folder, or in a vocabulary alone. ``cut``: instead of the folder's.

    FileNotFoundError where there is no vocabulary; ValueError, with the file's name, for what cannot be understood or done.
    """
    folder = Path(source)
    if folder.is_file():
        return _of_vocabulary(folder, cut)
    swap.settle(folder)
    fast, settings = as_object(folder / FAST), as_object(folder / SETTINGS)
    kind, source = _kind(folder, fast)
    if "added_tokens_decoder" not in settings:
        settings |= as_object(folder / NAMES)
    files = Files(folder, settings, fast, bool(fast) and settings.get("tokenizer_class") in _FREE, cut)
    if (words := settings.get("word_tokenizer_type", "basic")) != "basic":
        raise ValueError(f"{folder / SETTINGS}: word_tokenizer_type is {shown(words)}: another program finds the words of a "
                         "text, which is not done here")
    tokens, notes = kind.vocabulary(files)
    named = kind.named(files)
    names = [as_token(folder / SETTINGS, _named(settings.get(role), named[role])).content for role in _ROLES]
    frame = kind.frame(files)
    names[2:4] = _framed(files, *names[2:4], frame)
    options = kind.options(files, tokens, notes)
    beyond, added = _add(files, named, tokens, names, notes)
    vocab = Vocabulary(tokens, special=names, added=beyond, source=source)
    if absent := [name or token for name, token in zip(names[2:4], SPECIAL[2:4]) if name not in vocab]:
        notes.append(f"{vocab.source} has no {' and no '.join(absent)} for a text: texts are read without")
    notes += [f"{folder / SETTINGS}: {key} has no effect here" for key, idle in _IDLE.items()
              if settings.get(key, idle[0]) not in idle]
    return {"vocab": vocab, "method": kind.method, "frame": frame, "added": added, "max_length": _limit(files, notes),
            "notes": notes, **options}


def _of_vocabulary(path: Path, cut: str | None) -> dict[str, Any]:
    """Of a ``vocab.txt``, or of the ``dict.txt`` of a fairseq model of what is no prose."""
    fairseq = path.name == saved_bytes.DICTIONARY
    special = ("<pad>", "<unk>", "<s>", "</s>", "<mask>") if fairseq else SPECIAL
    tokens, notes = distinct(saved_bytes.symbols(path) if fairseq else read_lines(path), path)
    return {"vocab": Vocabulary(tokens, special=special, source=path), "max_length": NO_LIMIT, "notes": notes, "cut": cut,
            "lower_case": not (cut or is_cased(tokens))}


def save(folder: str | os.PathLike[str], tokenizer: Any) -> None:
    """Write the files of a ``Tokenizer``, ``files_of`` it, which transformers' AutoTokenizer reads as well."""
    folder, vocab = Path(folder), tokenizer.vocab
    folder.mkdir(parents=True, exist_ok=True)
    kind = _kind_of(tokenizer)
    settings = {
        **kind.save(folder, tokenizer),
        "model_max_length": tokenizer.max_length,
        **{role: name for role, name in zip(_ROLES, vocab.special) if name in vocab},
    }
    if tokenizer.frame != kind.frame(Files(folder, settings, {})):
        raise ValueError(f"the files of a tokenizer of {kind.method.__name__} cannot say that texts stand in the frame "
                         f"{tokenizer.frame}; it cannot be saved")
    if set(tokenizer.added) != set(special_tokens(vocab)):
        numbered = {vocab.index[token.content]: vars(token) for token in tokenizer.added}
        settings["added_tokens_decoder"] = {str(number): numbered[number] for number in sorted(numbered)}
    write_atomically(folder / SETTINGS, json.dumps(settings, indent=2) + "\n")


def files_of(tokenizer: Any) -> set[str]:
    """The names of the files that ``save`` writes."""
    return {SETTINGS, *_kind_of(tokenizer).written}


def has_vocabulary(folder: Path) -> bool:
    """Whether there are files in a folder that a vocabulary can be read from."""
    return (folder / FAST).is_file() or any(_whole(folder, names) for kind in KINDS.values() for names in kind.sets)


def described(tokenizer: Any) -> dict[str, Any]:
    """All that makes a tokenizer besides the list of its tokens, as JSON can hold it: for the state of a run."""
    vocab, frame = tokenizer.vocab, tokenizer.frame
    return {"kind": _name_of(tokenizer), "frame": [frame.between, frame.second, frame.shorten.__name__],
            "special": vocab.special, "beyond": vocab.added, "max_length": tokenizer.max_length,
            "added": [vars(token) for token in tokenizer.added], **tokenizer.method.options}


def remade(tokens: Sequence[str], about: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The arguments of ``Tokenizer`` for its tokens and what ``described`` said, which for long knew BERT's own kind alone."""
    about = {"kind": "WordPiece", "frame": [*BERT[:2], BERT.shorten.__name__], **about}
    *sizes, rule = about.pop("frame")
    vocab = Vocabulary(tokens, special=about.pop("special"), added=about.pop("beyond"), source=source)
    return {"vocab": vocab, "method": KINDS[about.pop("kind")].method, "frame": Frame(*sizes, SHORTEN[rule]),
            "added": [AddedToken(**token) for token in about.pop("added")], **about}


# The kind, and what stands around a text

def _name_of(tokenizer: Any) -> str:
    return next(name for name, kind in KINDS.items() if isinstance(tokenizer.method, kind.method))


def _kind_of(tokenizer: Any) -> Kind:
    return KINDS[_name_of(tokenizer)]


def _kind(folder: Path, fast: dict[str, Any]) -> tuple[Kind, Path]:
    """The kind of a folder's tokenizer, and the file that names its tokens."""
    if (folder / FAST).is_file():
        model = fast["model"] if isinstance(fast.get("model"), dict) else {}
        vocab = model.get("vocab")
        name = model.get("type", "BPE" if "merges" in model else "Unigram" if isinstance(vocab, list) else "WordPiece")
        if not isinstance(name, str) or name not in KINDS or not isinstance(vocab, (dict, list)):
            hint = (f"if {VOCABULARY} beside it belongs to the model, delete {FAST}" if (folder / VOCABULARY).is_file()
                    else f"best as {VOCABULARY}")
            raise ValueError(f"{folder / FAST}: no tokenizer of a kind that is read here, {' or '.join(KINDS)} with a vocabulary "
                             f"(its model is {shown(name)}); {hint}")
        return KINDS[name], folder / FAST
    sets = [(kind, names) for kind in KINDS.values() for names in kind.sets]
    for kind, names in sets:
        if _whole(folder, names):
            return kind, folder / names[0]
    begun = next((names for _, names in sets if any((folder / name).is_file() for name in names)), sets[0][1])
    absent = ", ".join(name for name in begun if not (folder / name).is_file())
    raise FileNotFoundError(f"no {absent} in {folder}: expected the folder of a run or of a BERT model")


def _whole(folder: Path, names: Sequence[str]) -> bool:
    return all((folder / name).is_file() for name in names)


def _framed(files: Files, cls: str, sep: str, frame: Frame) -> list[str | None]:
    """The names of [CLS] and [SEP], by the template of tokenizer.json if it has one."""
    template, found = files.fast.get("post_processor"), None
    with suppress(KeyError, TypeError, IndexError):
        if template and template["type"] == "Sequence":  # ByteLevel beside a template looks after places alone
            template = next((one for one in template["processors"] if one["type"] != "ByteLevel"), None)
        if template and template["type"] == "ByteLevel":
            template = None
        if not template:
            return [None, None] if files.free else [cls, sep]
        if template["type"] in _FRAMES:
            found = [template["cls"][0], template["sep"][0]] if _FRAMES[template["type"]] == frame else None
        elif template["type"] == "TemplateProcessing":
            cls, sep = (template["single"][i]["SpecialToken"]["id"] for i in (0, -1))
            single = [_special(cls, 0), {"Sequence": {"id": "A", "type_id": 0}}, _special(sep, 0)]
            pair = [*single, *[_special(sep, 0)] * (frame.between - 1), {"Sequence": {"id": "B", "type_id": frame.second}},
                    _special(sep, frame.second)]
            found = [cls, sep] if (template["single"], template["pair"]) == (single, pair) else None
    if found is None or not all(isinstance(name, str) for name in found):
        separators = " ".join(["[SEP]"] * frame.between)
        raise ValueError(f"{files.folder / FAST}: its post_processor makes something else of texts than [CLS] text [SEP] and "
                         f"[CLS] text {separators} text [SEP]; only that is done here")
    return found


def _special(name: str, kind: int) -> dict[str, Any]:
    return {"SpecialToken": {"id": name, "type_id": kind}}


# Tokens beside the vocabulary

def _add(files: Files, defaults: Mapping[str, Any], tokens: list[str], names: Sequence[str | None],
         notes: list[str]) -> tuple[int, list[AddedToken]]:
    """Append the added tokens to ``tokens``. How many of the last ones these are, and how each token is found in a text."""
    index = {token: number for number, token in enumerate(tokens)}
    base, others = len(tokens), []
    added: dict[str, AddedToken] = {}
    for token, wanted in _named_in(files, defaults):
        if not token.content or token.content in added:
            continue
        if token.content not in index:
            if wanted is None and token.content in names:
                continue  # a special token that is not there: what needs it will say so
            number = max(len(tokens), wanted or 0)
            if number > len(tokens) + MOST_BEYOND:
                raise ValueError(f"{files.folder}: {shown(token.content)} has the id {shown(number)}, but there are only "
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


def _named_in(files: Files, defaults: Mapping[str, Any]) -> Iterator[tuple[AddedToken, int | None]]:
    """Every token that the files name beside the vocabulary, and the id that they give it, in the order of transformers."""
    path, settings = files.folder / FAST, files.settings
    fast = [(as_token(path, entry), as_id(path, entry.get("id") if isinstance(entry, dict) else None))
            for entry in part(path, files.fast, "added_tokens", [])]
    path = files.folder / SETTINGS
    if files.free:
        yield from fast
    named = [_named(settings.get(key), "" if files.free else default) for key, default in defaults.items()]
    named += [value for key, value in settings.items()
              if key.endswith("_token") and key not in defaults and isinstance(value, str)]
    for key in ("extra_special_tokens", "additional_special_tokens"):
        named += settings[key].values() if isinstance(settings.get(key), dict) else part(path, settings, key, [])
    special = [as_token(path, value) for value in named if value]
    if "added_tokens_decoder" in settings:
        entries = part(path, settings, "added_tokens_decoder", {})
        numbered = [(as_token(path, value), as_id(path, number)) for number, value in entries.items()]
    else:
        path, names = files.folder / ADDED, {token.content for token in special}
        numbered = [(AddedToken(content, content in names, content not in names), as_id(path, number))
                    for content, number in as_object(path).items()]
        numbered += [] if files.free else fast
    yield from sorted(numbered, key=lambda pair: pair[1])
    yield from ((token, None) for token in special)


def _named(value: Any, default: Any) -> Any:
    """A special token as the settings have it; one that is only named has the flags of the default."""
    if isinstance(default, dict) and isinstance(value, str) and value:
        return default | {"content": value}
    return value or default


def _limit(files: Files, notes: list[str]) -> int:
    """The most tokens of a text. None, and what is no such number, is no limit of the tokenizer's own."""
    value = files.settings.get("model_max_length", files.settings.get("max_len"))
    with suppress(TypeError, ValueError, OverflowError):
        if value is None or float(value) >= NO_LIMIT:
            return NO_LIMIT
        if int(float(value)) >= 1 and not isinstance(value, bool):
            return int(float(value))
    notes.append(f"{files.folder / SETTINGS}: model_max_length is {shown(value)}, which is no number of tokens: it is not used")
    return NO_LIMIT
