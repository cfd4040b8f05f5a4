"""WordPieces in a folder: ``vocab.txt``, or the vocabulary of ``tokenizer.json``; and how texts are normalised.

How, ``tokenizer_config.json`` says; what it does not say, the normalizer in ``tokenizer.json``; what neither says, transformers'
defaults. An old folder without settings is judged by its vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .cut import Cut
from .frame import BERT
from .settings import FAST, SETTINGS, Files, Kind, as_switch, by_id, shown
from .vocabulary import SPECIAL, distinct, read_lines
from .words import WordPieces

VOCABULARY = "vocab.txt"
CUT = "minibert_cut"  # a key of our own: what finds the words of a text that is no prose
NAMED = {"bos_token": "", "eos_token": "", "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]",
         "cls_token": "[CLS]", "mask_token": "[MASK]"}

_SWITCHES = {"do_lower_case": "lowercase", "strip_accents": "strip_accents", "tokenize_chinese_chars": "handle_chinese_chars"}


def vocabulary(files: Files) -> tuple[list[str], list[str]]:
    """The tokens by id, and notes."""
    path, source = files.folder / VOCABULARY, files.folder / FAST
    lines = read_lines(path) if path.is_file() else None
    if not files.fast:
        return distinct(lines, path)
    vocab = files.model.get("vocab")
    tokens = by_id(source, vocab)
    differ = lines is not None and {token: number for number, token in enumerate(lines)} != vocab
    return tokens, [f"{path} and {source} have other tokens: the latter is read, as transformers does"] if differ else []


def options(files: Files, tokens: Sequence[str], notes: list[str]) -> dict[str, Any]:
    """``lower_case``, ``strip_accents``, ``split_cjk`` and ``cut`` of ``WordPieces``."""
    rule, source = (files.cut, CUT) if files.cut else (files.settings.get(CUT), f"{files.folder / SETTINGS}: {CUT}")
    return {**_steps(files, tokens, notes, rule is not None), "cut": None if rule is None else Cut(rule, source)}


def save(folder: Path, tokenizer: Any) -> dict[str, Any]:
    """Write the vocabulary; what the settings have to say."""
    tokenizer.vocab.save(folder / VOCABULARY)
    cut = tokenizer.cut
    return {"tokenizer_class": "BertTokenizer" if cut is None else "MinibertTokenizer",
            "do_lower_case": tokenizer.lower_case,
            "strip_accents": tokenizer.strip_accents,
            "tokenize_chinese_chars": tokenizer.split_cjk} | ({CUT: cut.rule} if cut else {})


def is_cased(tokens: Sequence[str]) -> bool:
    """Whether the vocabulary has more capital letters than special tokens and chance bring."""
    return sum(token != token.lower() for token in tokens) > len(SPECIAL) + len(tokens) // 100


def _steps(files: Files, tokens: Sequence[str], notes: list[str], is_cut: bool) -> dict[str, bool | None]:
    cased = is_cased(tokens)
    old = not files.fast and not (files.folder / SETTINGS).is_file()
    keeps = (old and cased) or is_cut
    default = {"do_lower_case": not keeps, "strip_accents": None, "tokenize_chinese_chars": True}
    path, settings = files.folder / SETTINGS, files.settings
    said = {key: as_switch(path, key, settings[key]) for key in _SWITCHES.keys() & settings.keys()
            if settings[key] is not None or key == "strip_accents"}
    theirs = _normalizer(files)
    found = {key: as_switch(files.folder / FAST, name, theirs[name]) for key, name in _SWITCHES.items() if name in theirs}
    steps = default | (said | found if files.free else found | said)
    for key in _SWITCHES:
        if None not in (said.get(key), found.get(key)) and said[key] != found[key]:
            notes.append(f"{files.folder}: {SETTINGS} says {key} {json.dumps(said[key])} and {FAST} {_SWITCHES[key]} "
                         f"{json.dumps(found[key])}; {json.dumps(steps[key])} is done")
    if "do_lower_case" in said or files.free or is_cut:
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


def _normalizer(files: Files) -> dict[str, Any]:
    """The part of tokenizer.json that normalises as BERT does; ValueError where the class obeys it and it is another."""
    whole = files.fast.get("normalizer")
    parts = whole.get("normalizers") if isinstance(whole, dict) and whole.get("type") == "Sequence" else [whole]
    if not isinstance(parts, list) or not all(part is None or isinstance(part, dict) for part in parts):
        raise ValueError(f"{files.folder / FAST}: its normalizer must be an object, found {shown(whole)}")
    berts = [part for part in parts if part and part.get("type") == "BertNormalizer"]
    cut, model = files.fast.get("pre_tokenizer"), files.model
    is_bert = (berts == parts and isinstance(cut, dict) and cut.get("type") == "BertPreTokenizer"
               and model.get("continuing_subword_prefix", "##") == "##" and model.get("max_input_chars_per_word", 100) == 100)
    if files.free and not is_bert:
        raise ValueError(f"{files.folder / FAST} asks for texts to be normalised or cut otherwise than BERT does it "
                         "(BertNormalizer, BertPreTokenizer, ##, words of up to 100 characters); only that is done here")
    return berts[0] if berts else {}


KIND = Kind(WordPieces, lambda files: BERT, lambda files: NAMED, (VOCABULARY,), [(VOCABULARY,)], vocabulary, options, save)
