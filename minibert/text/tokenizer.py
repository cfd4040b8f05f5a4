"""The tokenizer: text to ids and back, with the place of every token in the text.

``FullTokenizer`` in google-research/bert ``tokenization.py``, with what the fast tokenizers of today add to it:
offsets, special tokens that are recognised in the text, folders that other tools read.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from minibert.files import read_json, write_atomically

from . import normalize, wordpiece
from .vocabulary import SPECIAL, Vocabulary

_SPECIAL = re.compile("|".join(re.escape(token) for token in SPECIAL))
_CACHED_WORDS = 1 << 17  # per cache: some 30 MB
_CACHED_LENGTH = 64  # characters; longer raw words hardly ever come back


@dataclass(frozen=True)
class Encoding:
    """One sequence for the model; all lists have the same length, which is ``len(encoding)``.

    ``ids``: token ids; ``token_type_ids``: 0 up to the first [SEP], 1 in the second text and its [SEP]; ``tokens``:
    the tokens as text; ``offsets``: (start, end) of each token in the text that it comes from, (0, 0) for the [CLS] and
    [SEP] that were added; ``special_tokens_mask``: 1 for these added tokens, else 0.
    """

    ids: list[int]
    token_type_ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int]]
    special_tokens_mask: list[int]

    def __len__(self) -> int:
        return len(self.ids)


class Tokenizer:
    """Normalisation and WordPiece with one vocabulary.

    ``lower_case``, ``strip_accents`` (None: as ``lower_case``) and ``split_cjk`` choose the steps of ``normalize``;
    ``max_length`` is the most tokens that ``encode`` makes, [CLS] and [SEP] counted.

    Special tokens written in the text, as in ``"a [MASK] b"``, are recognised before anything else is done to the text
    where ``special_tokens`` is true: by default in ``encode`` and ``tokenize``, where somebody asks the model
    something, but not in ``ids``, through which training text goes.
    """

    def __init__(
        self,
        vocab: Vocabulary,
        *,
        lower_case: bool = True,
        strip_accents: bool | None = None,
        split_cjk: bool = True,
        max_length: int = 512,
    ):
        self.vocab = vocab
        self.lower_case = lower_case
        self.strip_accents = strip_accents
        self.split_cjk = split_cjk
        self.max_length = max_length
        self.normalizer = normalize.Normalizer(
            lower_case=lower_case, strip_accents=strip_accents, split_cjk=split_cjk
        )
        self._longest = max(map(len, vocab.tokens))
        self._word_ids = _Cache(self._look_up)
        self._raw_ids = _Cache(self._normalize_and_look_up)
        self._raw_pieces = _Cache(self._normalize_and_trace)

    def __repr__(self) -> str:
        return f"Tokenizer({self.vocab!r}, lower_case={self.lower_case}, max_length={self.max_length})"

    # Text to tokens

    def tokenize(self, text: str, *, special_tokens: bool = True) -> list[str]:
        """The tokens of a text as strings: ``"Unaffable!"`` gives ``["una", "##ffa", "##ble", "!"]``."""
        return [self.vocab.tokens[number] for number in self.ids(text, special_tokens=special_tokens)]

    def ids(self, text: str, *, special_tokens: bool = False) -> list[int]:
        """The ids of a text, without [CLS] and [SEP]: the fast way for large amounts of text.

        What a raw word becomes depends on that word alone, and most words come again, so each is looked up in a cache.
        """
        _check_text(text)
        if not special_tokens:
            return list(chain.from_iterable(map(self._raw_ids.__getitem__, normalize.raw_words(text))))
        ids: list[int] = []
        for part, _, special in _segments(text):
            ids += [self.vocab.index[part]] if special else self.ids(part)
        return ids

    def _look_up(self, word: str) -> tuple[int, ...]:
        index = self.vocab.index
        return tuple(map(index.__getitem__, wordpiece.split(word, index, self._longest)))

    def _normalize_and_look_up(self, raw: str) -> tuple[int, ...]:
        if raw.isascii() and raw.isalnum():  # most new words are nothing but a word, and most of these stand in the vocabulary
            word = raw.lower() if self.lower_case else raw
            number = self.vocab.index.get(word)
            return self._look_up(word) if number is None or len(word) > wordpiece.MAX_CHARACTERS else (number,)
        return tuple(chain.from_iterable(map(self._word_ids.__getitem__, self.normalizer.words(raw))))

    def _normalize_and_trace(self, raw: str) -> tuple[tuple[int, int, int], ...]:
        """(id, start, end) of each token of one raw word."""
        pieces = []
        for word, at in self.normalizer.words_with_offsets(raw):
            start = 0
            for number in self._word_ids[word]:
                end = start + len(self.vocab.tokens[number]) - (len(wordpiece.CONTINUES) if start else 0)
                if number == self.vocab.unk_id:  # stands for the whole word
                    end = len(word)
                pieces.append((number, at[start], at[end - 1] + 1))
                start = end
        return tuple(pieces)

    def _pieces(self, text: str, special_tokens: bool) -> list[tuple[int, int, int]]:
        """(id, start, end) of each token of a text."""
        pieces: list[tuple[int, int, int]] = []
        for part, at, special in _segments(text) if special_tokens else [(text, 0, False)]:
            if special:
                pieces.append((self.vocab.index[part], at, at + len(part)))
                continue
            for raw, place in normalize.raw_words_with_offsets(part):
                place += at
                pieces += [(number, start + place, end + place) for number, start, end in self._raw_pieces[raw]]
        return pieces

    # Sequences for the model

    def encode(
        self,
        text: str,
        pair: str | None = None,
        *,
        max_length: int | None = None,
        truncate: bool = False,
        special_tokens: bool = True,
    ) -> Encoding:
        """``[CLS] text [SEP]``, or ``[CLS] text [SEP] pair [SEP]``.

        More than ``max_length`` tokens (default: the tokenizer's own limit) raise ValueError, unless ``truncate`` is
        true: then the longer of the two texts loses its last token, again and again, until all fits (the second where
        both are as long; ``truncate_seq_pair`` in the reference).
        """
        limit = self.max_length if max_length is None else max_length
        texts = [text] if pair is None else [text, pair]
        added = 1 + len(texts)
        length = added + sum(len(self.ids(part, special_tokens=special_tokens)) for part in texts)
        if limit < added:
            raise ValueError(f"max_length is {limit}, but [CLS] and [SEP] alone take {added} tokens")
        if length > limit and not truncate:
            raise ValueError(
                f"the text has {length} tokens with [CLS] and [SEP], more than the limit of {limit}; "
                "shorten or split it, or have its end cut off (truncate=True; on the command line --truncate)"
            )
        parts = [self._pieces(part, special_tokens) for part in texts]
        for _ in range(length - limit):
            max(reversed(parts), key=len).pop()  # of several longest, max takes the first
        return self._join(parts)

    def _join(self, parts: Sequence[list[tuple[int, int, int]]]) -> Encoding:
        rows = [(self.vocab.cls_id, 0, (0, 0), 1)]
        for kind, pieces in enumerate(parts):
            rows += [(number, kind, (start, end), 0) for number, start, end in pieces]
            rows.append((self.vocab.sep_id, kind, (0, 0), 1))
        ids, kinds, offsets, added = map(list, zip(*rows))
        return Encoding(ids, kinds, [self.vocab.tokens[number] for number in ids], offsets, added)

    def batch(
        self, encodings: Sequence[Encoding], length: int | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Arrays for the model: ``(ids, token_type_ids, attention_mask)``, each int64 of shape (B, T).

        T is ``length``, by default the longest encoding; what is shorter gets [PAD], type 0 and mask 0 at its end.
        Raises ValueError for no encodings, one longer than ``length``, and ids that the vocabulary does not have.
        """
        if not encodings:
            raise ValueError("there are no encodings to make a batch of; pass at least one")
        longest = max(map(len, encodings))
        T = longest if length is None else length
        if longest > T:
            raise ValueError(f"an encoding has {longest} tokens, but length is {T}; encode with max_length={T}")
        ids = np.full((len(encodings), T), self.vocab.pad_id, np.int64)
        token_type_ids = np.zeros_like(ids)
        attention_mask = np.zeros_like(ids)
        for row, encoding in enumerate(encodings):
            self._check_ids(encoding.ids)
            ids[row, : len(encoding)] = encoding.ids
            token_type_ids[row, : len(encoding)] = encoding.token_type_ids
            attention_mask[row, : len(encoding)] = 1
        return ids, token_type_ids, attention_mask

    # Back to text

    def decode(self, ids: Iterable[int], skip_special: bool = True) -> str:
        """Readable text from ids: pieces joined, punctuation set as in print, Chinese characters without spaces.

        Case, accents and the original spacing are lost for good. ``skip_special`` leaves out [PAD], [CLS] and the rest,
        but not [UNK]: it stands for a word. Raises ValueError for ids that the vocabulary does not have.
        """
        ids = [int(number) for number in ids]
        self._check_ids(ids)
        if skip_special:
            skipped = set(self.vocab.special_ids) - {self.vocab.unk_id}
            ids = [number for number in ids if number not in skipped]
        text = " ".join(self.vocab.tokens[number] for number in ids).replace(f" {wordpiece.CONTINUES}", "")
        for pattern, replacement in _SPACING:
            text = pattern.sub(replacement, text)
        return text

    def _check_ids(self, ids: Sequence[int]) -> None:
        if ids and not (0 <= min(ids) and max(ids) < len(self.vocab)):
            wrong = next(number for number in ids if not 0 <= number < len(self.vocab))
            raise ValueError(f"id {wrong} is out of range: the vocabulary has ids 0 to {len(self.vocab) - 1}")

    # Folders

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``vocab.txt`` and ``tokenizer_config.json``, which transformers' AutoTokenizer reads as well."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.vocab.save(folder / "vocab.txt")
        config = {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": self.lower_case,
            "strip_accents": self.strip_accents,
            "tokenize_chinese_chars": self.split_cjk,
            "model_max_length": self.max_length,
            **{f"{token[1:-1].lower()}_token": token for token in SPECIAL},
        }
        write_atomically(folder / "tokenizer_config.json", json.dumps(config, indent=2) + "\n")

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Tokenizer:
        """Read a folder that ``save`` wrote, or that of a real BERT.

        Where ``tokenizer_config.json`` does not say ``do_lower_case`` (old folders have no such file), the vocabulary
        does: one with many capital letters is of a cased model. Raises FileNotFoundError where there is no
        ``vocab.txt``, ValueError for a file that cannot be understood.
        """
        folder = Path(folder)
        if not (folder / "vocab.txt").is_file():
            raise FileNotFoundError(f"no vocab.txt in {folder}: expected the folder of a run or of a BERT model")
        vocab = Vocabulary.load(folder / "vocab.txt")
        config = _read_config(folder / "tokenizer_config.json")
        lower_case = config.get("do_lower_case")
        return cls(
            vocab,
            lower_case=_looks_uncased(vocab) if lower_case is None else lower_case,
            strip_accents=config.get("strip_accents"),
            split_cjk=config.get("tokenize_chinese_chars", True),
            max_length=config.get("model_max_length", 512),
        )


class _Cache(dict):
    """Remembers what ``rule`` made of a word; emptied when full, so that memory stays bounded."""

    def __init__(self, rule: Callable[[str], Any]):
        super().__init__()
        self.rule = rule

    def __missing__(self, word: str) -> Any:
        result = self.rule(word)
        if len(word) <= _CACHED_LENGTH:
            if len(self) >= _CACHED_WORDS:
                self.clear()
            self[word] = result
        return result


def _check_text(text: object) -> None:
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, got {type(text).__name__}")


def _segments(text: str) -> Iterator[tuple[str, int, bool]]:
    """The text cut at special tokens: (part, its place, whether it is a special token)."""
    done = 0
    for match in _SPECIAL.finditer(text):
        if done < match.start():
            yield text[done : match.start()], done, False
        yield match[0], match.start(), True
        done = match.end()
    if done < len(text):
        yield text[done:], done, False


def _looks_uncased(vocab: Vocabulary) -> bool:
    return sum(token != token.lower() for token in vocab.tokens) <= len(SPECIAL) + len(vocab) // 100


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    return read_json(path, dict)


_CJK = "".join(f"{chr(first)}-{chr(last)}" for first, last in normalize.CJK) + "、。，！？；：「」『』《》（）“”"
_SPACING = [
    (re.compile(r" (?=[.,!?;:%)\]}…、。，！？；：」』》）])"), ""),
    (re.compile(r"(?<=[(\[{「『《（]) "), ""),
    (re.compile(r"(?<=\w) (['’]) (?=(?:s|t|re|ve|ll|d|m)\b)", re.IGNORECASE), r"\1"),
    (re.compile(r"(?<=\w) ([-/]) (?=\w)"), r"\1"),
    (re.compile(rf"(?<=[{_CJK}]) (?=[{_CJK}])"), ""),
]
