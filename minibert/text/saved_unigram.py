"""Unigram pieces in a folder, as ALBERT, XLM-RoBERTa and CamemBERT have them.

The pieces and their scores stand in ``tokenizer.json``, or in SentencePiece's ``spiece.model`` (ALBERT) or
``sentencepiece.bpe.model`` (the others, whatever its name says). As for transformers, the class in ``tokenizer_config.json``
says how texts are normalised; where it is PreTrainedTokenizerFast, ``tokenizer.json`` does.

XLM-RoBERTa and CamemBERT come from fairseq, which counts otherwise than the ``.model`` does: four or five tokens of its own stand
before the pieces, of which the first three or the first one are left out, and <mask> behind them.

User-defined symbols (ALBERT's brackets and dots) are pieces with a score of 0, as in the ``tokenizer.json`` that ALBERT comes
with. transformers 5 makes added tokens of them where it finds a ``.model`` alone, so that a word begins behind each: what
ALBERT learned with did not, and it is not done here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from minibert.files import brief, write_atomically

from . import spm
from .frame import BERT, ROBERTA, Frame, by_halves
from .sentencepiece import SPACE
from .settings import FAST, SETTINGS, Files, Kind, as_switch, shown
from .unigram_pieces import LOWERCASE, NFKD, STRIP_ACCENTS, Precompiled, Replace, Step, UnigramPieces, step_of
from .vocabulary import fits_a_line, unused

Entry = tuple[str, float]  # piece, score

_OF_ALBERT = {"bos_token": "[CLS]", "eos_token": "[SEP]", "unk_token": "<unk>", "sep_token": "[SEP]", "pad_token": "<pad>",
              "cls_token": "[CLS]", "mask_token": "[MASK]"}
_OF_FAIRSEQ = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>",
               "cls_token": "<s>", "mask_token": "<mask>"}
_BLANKS_BEFORE = {"content": "<mask>", "lstrip": True, "special": True, "normalized": False}


class Family(NamedTuple):
    """A class of transformers: its files, its special tokens and frame, and how it counts the pieces of a ``.model``."""

    model: str
    named: Mapping[str, Any]
    frame: Frame
    before: Sequence[Entry] = ()  # tokens of its own before the pieces …
    without: int = 0  # … which go without so many of the first
    behind: Sequence[Entry] = ()


FAMILIES = {
    "AlbertTokenizer": Family("spiece.model", _OF_ALBERT, BERT._replace(shorten=by_halves)),
    "XLMRobertaTokenizer": Family("sentencepiece.bpe.model", _OF_FAIRSEQ, ROBERTA,
                                  [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)], 3, [("<mask>", 0.0)]),
    "CamembertTokenizer": Family("sentencepiece.bpe.model", _OF_FAIRSEQ | {"mask_token": _BLANKS_BEFORE}, ROBERTA,
                                 [("<s>NOTUSED", 0.0), ("<pad>", 0.0), ("</s>NOTUSED", 0.0), ("<unk>", 0.0),
                                  ("<unk>NOTUSED", -100.0)], 1, [("<mask>", 0.0)]),
}
ALBERT, XLM_ROBERTA, CAMEMBERT = FAMILIES
SETS = (("spiece.model",), ("sentencepiece.bpe.model",))
COMMA = "minibert_comma"  # a key of our own: ALBERT's rule of commas behind digits

_METASPACE = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": True}
_CUTS = {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, _METASPACE]}
_QUOTES = (Replace("``", '"'), Replace("''", '"'))


def class_of(files: Files) -> str:
    """The class whose way the files go: the one that they name, or the one that the names of tokens or files tell."""
    name = str(files.settings.get("tokenizer_class") or "").removesuffix("Fast")
    if name in FAMILIES:
        return name
    if name not in ("", "PreTrainedTokenizer", "TokenizersBackend"):
        raise ValueError(f"{files.folder / SETTINGS}: tokenizer_class is {shown(name)}; pieces of SentencePiece are read as "
                         f"{', '.join(FAMILIES)} do it, or as {FAST} says where the class is PreTrainedTokenizerFast")
    begins = [str(files.settings.get("cls_token") or ""), *(piece for piece, _ in (_of_json(files) if files.fast else [])[:3])]
    is_albert = "<s>" not in begins if any(begins) else (files.folder / FAMILIES[ALBERT].model).is_file()
    return ALBERT if is_albert else XLM_ROBERTA


def vocabulary(files: Files) -> tuple[list[str], list[str]]:
    """The tokens by id, and notes."""
    entries = _entries(files)
    return [piece if fits_a_line(piece) else unused(number) for number, (piece, _) in enumerate(entries)], []


def options(files: Files, tokens: Sequence[str], notes: list[str]) -> dict[str, Any]:
    """``scores``, ``steps`` and ``comma`` of ``UnigramPieces``."""
    if files.cut:
        raise ValueError(f"{files.folder} has a tokenizer of pieces, which finds words by white space: no other rule can cut its "
                         "texts")
    family, steps, path = class_of(files), _steps(files), files.folder / SETTINGS
    return {"scores": [score for _, score in _entries(files)], "family": family,
            "steps": steps if files.free else _of_class(family, path, files.settings, steps),
            "comma": bool(as_switch(path, COMMA, files.settings.get(COMMA)))}


def _of_class(family: str, path: Path, settings: Mapping[str, Any], steps: Sequence[Step]) -> list[Step]:
    """The steps that a class takes, whatever else its ``tokenizer.json`` lists."""
    lower, keep = (as_switch(path, key, settings.get(key)) for key in ("do_lower_case", "keep_accents"))
    own = [*_QUOTES, *[NFKD, STRIP_ACCENTS] * (not keep), *[LOWERCASE] * (lower is not False)] if family == ALBERT else []
    return [*own, *(step for step in steps if isinstance(step, Precompiled))]


def save(folder: Path, tokenizer: Any) -> dict[str, Any]:
    """Write ``tokenizer.json``; what the settings have to say."""
    method, vocab = tokenizer.method, tokenizer.vocab
    cls, sep = vocab.special[2:4]
    frame = FAMILIES[method.family].frame
    pieces = [[piece, score] for piece, score in zip(vocab.tokens, method.scores)]
    special = [{"id": vocab.index[token.content], **vars(token)} for token in tokenizer.added]
    single = [_special(cls, 0), {"Sequence": {"id": "A", "type_id": 0}}, _special(sep, 0)]
    pair = [*single, *[_special(sep, 0)] * (frame.between - 1), {"Sequence": {"id": "B", "type_id": frame.second}},
            _special(sep, frame.second)]
    whole = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": sorted(special, key=lambda token: token["id"]),
        "normalizer": {"type": "Sequence", "normalizers": [step.said for step in method.steps]}, "pre_tokenizer": _CUTS,
        "post_processor": {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": {
            name: {"id": name, "ids": [vocab.index[name]], "tokens": [name]} for name in (cls, sep) if name in vocab}},
        "decoder": _METASPACE,
        "model": {"type": "Unigram", "unk_id": vocab.unk_id, "vocab": pieces, "byte_fallback": False},
    }
    write_atomically(folder / FAST, json.dumps(whole, ensure_ascii=False) + "\n")
    settings = {"bos_token": cls, "eos_token": sep} | ({COMMA: True} if method.comma else {})
    if method.family == ALBERT:
        settings |= {"do_lower_case": LOWERCASE in method.steps, "keep_accents": STRIP_ACCENTS not in method.steps}
    of_class = _of_class(method.family, folder, settings, method.steps)
    does_it = [step.said for step in of_class] == whole["normalizer"]["normalizers"]
    return {"tokenizer_class": method.family if does_it else "PreTrainedTokenizerFast", **settings}


def _special(name: str, kind: int) -> dict[str, Any]:
    return {"SpecialToken": {"id": name, "type_id": kind}}


# What the files hold

def _entries(files: Files) -> list[Entry]:
    """The pieces by id, with their scores."""
    if files.fast:
        return _of_json(files)
    family = FAMILIES[class_of(files)]
    path = _model_of(files)
    found = spm.read(path)
    if found.model_type != spm.UNIGRAM or found.whitespace_as_suffix:
        raise ValueError(f"{path}: a model of byte pairs, or with {SPACE} behind words; {class_of(files)} has unigram pieces "
                         f"with {SPACE} before words")
    return [*family.before, *[*zip(found.pieces, found.scores)][family.without:], *family.behind]


def _model_of(files: Files) -> Path:
    return next(path for path in (files.folder / name for names in SETS for name in names) if path.is_file())


def _of_json(files: Files) -> list[Entry]:
    path, found, listed = files.folder / FAST, [], files.model.get("vocab")
    if not isinstance(listed, list):
        raise ValueError(f"{path}: the vocabulary of a Unigram model must be a list of [piece, score], found {shown(listed)}")
    for number, entry in enumerate(listed):
        piece, score = entry if isinstance(entry, list) and len(entry) == 2 else (None, None)
        if not isinstance(piece, str) or isinstance(score, bool) or not isinstance(score, (int, float)) or not abs(score) < 1e30:
            raise ValueError(f"{path}: entry {number:,} of its vocabulary must be [piece, score], found {brief(entry)}")
        found.append((piece, float(score)))
    return found


def _steps(files: Files) -> list[Step]:
    """The steps of normalisation that a ``.model`` or ``tokenizer.json`` asks for; ValueError for what the class obeys and is
    not done here."""
    if not files.fast:
        path = _model_of(files)
        return _precompiled(path, spm.read(path).charsmap)
    path, whole = files.folder / FAST, files.fast.get("normalizer")
    parts = whole.get("normalizers") if isinstance(whole, dict) and whole.get("type") == "Sequence" else [whole] * bool(whole)
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise ValueError(f"{path}: its normalizer must be an object, found {shown(whole)}")
    steps: list[Step] = []
    for part in parts:
        if _divides(part):
            continue
        try:
            steps.append(step_of(part))
        except NotImplementedError as error:
            if files.free:
                raise ValueError(f"{path}: its normalizer asks for {error}, which is not done here") from None
        except ValueError as error:
            raise ValueError(f"{path}: its precompiled_charsmap is damaged: {error}") from None
    if files.free and files.fast.get("pre_tokenizer") != _CUTS:
        raise ValueError(f"{path}: its pre_tokenizer is not WhitespaceSplit and then Metaspace with {SPACE} before each word; "
                         "only that is done here")
    return steps


def _divides(part: dict[str, Any]) -> bool:
    """Whether a part of a normalizer looks after blanks between words, which are lost here anyway."""
    blanks = part.get("pattern") == {"Regex": " {2,}"} and part.get("content") in (" ", SPACE)
    return part.get("type") == "Strip" or (part.get("type") == "Replace" and blanks)


def _precompiled(path: Path, data: bytes) -> list[Step]:
    try:
        return [Precompiled(data)] if data else []
    except ValueError as error:
        raise ValueError(f"{path}: its precompiled_charsmap is damaged: {error}") from None


KIND = Kind(UnigramPieces, lambda files: FAMILIES[class_of(files)].frame, lambda files: FAMILIES[class_of(files)].named,
            (FAST,), SETS, vocabulary, options, save)
