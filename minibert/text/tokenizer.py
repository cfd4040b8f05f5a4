"""The tokenizer: text to ids and back, with the place of every token in the text.

``FullTokenizer`` in google-research/bert ``tokenization.py``, with what the fast tokenizers of today add to it:
offsets, special tokens that are recognised in the text, folders that other tools read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from . import normalize, saved, wordpiece
from .added import AddedToken, Finder, special_tokens
from .cut import Cut
from .vocabulary import Vocabulary

_CACHED_WORDS = 1 << 17  # per cache: some 30 MB
_CACHED_LENGTH = 64  # characters; longer raw words hardly ever come back


Piece = tuple[int, int, int]  # id, start, end
Part = str | Sequence[str]  # a text, or its words


@dataclass(frozen=True)
class Encoding:
    """One sequence for the model; all lists have the same length, which is ``len(encoding)``.

    ``ids``: token ids; ``token_type_ids``: 0 up to the first [SEP], 1 in the second text and its [SEP]; ``tokens``:
    the tokens as text; ``offsets``: (start, end) of each token in the text that it comes from, (0, 0) for the [CLS] and
    [SEP] that were added; ``special_tokens_mask``: 1 for these added tokens, else 0; ``words``: to which word of its text each
    token belongs, counted from 0 in each of a pair, None for the added tokens. Where the text came as a list of words, these are
    counted and an offset is one in its word; of ids the places in a text are not known, so they are (0, 0).
    """

    ids: list[int]
    token_type_ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int]]
    special_tokens_mask: list[int]
    words: list[int | None]

    def __len__(self) -> int:
        return len(self.ids)


class Tokenizer:
    """Normalisation and WordPiece with one vocabulary.

    ``lower_case``, ``strip_accents`` (None: as ``lower_case``) and ``split_cjk`` choose the steps of ``normalize``; ``cut``, for
    what is no prose, finds the words instead of them: ``"characters"``, or a regular expression (see ``Cut``).
    ``max_length`` is the most tokens that ``encode`` makes, [CLS] and [SEP] counted. ``added``: the tokens that are found in
    a text before anything else is done to it, all of them in the vocabulary; by default the special ones. ``notes``: what
    there was to say when it was opened.

    Special tokens written in the text, as in ``"a [MASK] b"``, are such tokens where ``special_tokens`` is true: by default
    in ``encode`` and ``tokenize``, where somebody asks the model something, but not in ``ids``, through which training text
    goes. Added tokens that are words, not special, are found in any case.

    A capital sigma at the end of a word becomes a final one, ``"ΟΔΟΣ"`` ``"οδος"`` with ς: so Python lowers it, and so did the
    code that BERT was trained with. The ``tokenizers`` library, and with it transformers, writes σ there.
    """

    rows: int | None = None  # ids from here on have no row in the model's table of words; None: each has one

    def __init__(
        self,
        vocab: Vocabulary,
        *,
        lower_case: bool = True,
        strip_accents: bool | None = None,
        split_cjk: bool = True,
        cut: Cut | str | None = None,
        max_length: int = 512,
        added: Sequence[AddedToken] | None = None,
        notes: Sequence[str] = (),
    ):
        self.vocab = vocab
        self.lower_case = lower_case
        self.strip_accents = strip_accents
        self.split_cjk = split_cjk
        self.cut = Cut(cut) if isinstance(cut, str) else cut
        self.max_length = max_length
        self.added = special_tokens(vocab) if added is None else tuple(added)
        self.notes = list(notes)
        self.normalizer = normalize.Normalizer(
            lower_case=lower_case, strip_accents=strip_accents, split_cjk=split_cjk, cut=self.cut
        )
        self._as_written = Finder([token for token in self.added if not token.normalized])
        self._normalized = Finder([token for token in self.added if token.normalized], self.normalizer.whole)
        self._unknown = vocab.special[1]
        self._no_words = {*vocab.special, *(token.content for token in self.added if token.special)} if self.cut else ()
        self._longest = max(map(len, vocab.pieces))
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
        if self._has_added(text, special_tokens):
            return [number for word in self._words(text, special_tokens) for number, _, _ in word]
        return list(chain.from_iterable(map(self._raw_ids.__getitem__, normalize.raw_words(text))))

    def _has_added(self, text: str, special_tokens: bool) -> bool:
        return (self._as_written.is_needed(text, special_tokens)
                or (bool(self._normalized) and self._normalized.is_needed(self.normalizer.whole(text), special_tokens)))

    def _look_up(self, word: str) -> tuple[int, ...]:
        pieces = ([self._unknown] if word in self._no_words else
                  wordpiece.split(word, self.vocab.pieces, self._longest, self._unknown))
        try:
            return tuple(map(self.vocab.index.__getitem__, pieces))
        except KeyError:
            self.vocab.require(f"{word!r}, a word that its pieces cannot make,", "[UNK]")
            raise

    def _normalize_and_look_up(self, raw: str) -> tuple[int, ...]:
        if not self.cut and raw.isascii() and raw.isalnum():  # as most new words, and most of these stand in the vocabulary
            word = raw.lower() if self.lower_case else raw
            number = self.vocab.pieces.get(word)
            return self._look_up(word) if number is None or len(word) > wordpiece.MAX_CHARACTERS else (number,)
        return tuple(chain.from_iterable(map(self._word_ids.__getitem__, self.normalizer.words(raw))))

    def _normalize_and_trace(self, raw: str) -> tuple[tuple[Piece, ...], ...]:
        """The pieces of each word of one raw word."""
        return tuple(self._trace(self.normalizer.words_with_offsets(raw)))

    def _trace(self, words: Iterable[tuple[str, list[int]]]) -> Iterator[tuple[Piece, ...]]:
        """The pieces of each of some normalised words, from the places of their characters."""
        for word, at in words:
            pieces, start = [], 0
            for number in self._word_ids[word]:
                end = start + len(self.vocab.tokens[number]) - (len(wordpiece.CONTINUES) if start else 0)
                if number == self.vocab.unk_id:  # stands for the whole word
                    end = len(word)
                pieces.append((number, at[start], at[end - 1] + 1))
                start = end
            yield tuple(pieces)

    def _words(self, text: str, special_tokens: bool) -> Iterator[Sequence[Piece]]:
        """The pieces of each word of a text. A token that is found as it is written is a word of its own."""
        for start, end, token in self._as_written.cut(text, special_tokens):
            part = text[start:end]
            if token:
                yield [(self._id(token), start, end)]
            elif self._normalized and self._normalized.is_needed(self.normalizer.whole(part), special_tokens):
                yield from _moved(self._words_of_whole(*self.normalizer.whole_with_offsets(part), special_tokens), start)
            else:
                for raw, place in normalize.raw_words_with_offsets(part):
                    yield from _moved(self._raw_pieces[raw], start + place)

    def _words_of_whole(self, text: str, at: list[int], special_tokens: bool) -> Iterator[Sequence[Piece]]:
        """The same of a normalised text with tokens that are looked for there. ``at``: where its characters came from."""
        for start, end, token in self._normalized.cut(text, special_tokens):
            if token:
                yield [(self._id(token), at[start], at[end - 1] + 1)]
            else:
                yield from self._trace(self.normalizer.words_of_whole(text[start:end], at[start:end]))

    def _rows(self, part: Part, special_tokens: bool) -> list[tuple[Piece, int]]:
        """(piece, the number of its word) of a text, or of a list of words."""
        is_words = isinstance(part, (list, tuple))
        for text in part if is_words else [part]:
            _check_text(text)
        words = ((chain.from_iterable(self._words(word, special_tokens)) for word in part) if is_words
                 else self._words(part, special_tokens))
        return [(piece, number) for number, word in enumerate(words) for piece in word]

    def _id(self, token: AddedToken) -> int:
        number = self.vocab.index[token.content]
        self._check_row(number)
        return number

    def _check_row(self, number: int) -> None:
        if self.rows is not None and number >= self.rows:
            raise ValueError(f"the text has {self.vocab.tokens[number]}, which is token {number}, but the model's table of words "
                             f"has only {self.rows} rows: it was added to the tokenizer and not to the model")

    # Sequences for the model

    def encode(
        self,
        text: Part,
        pair: Part | None = None,
        *,
        max_length: int | None = None,
        truncate: bool = False,
        special_tokens: bool = True,
    ) -> Encoding:
        """``[CLS] text [SEP]``, or ``[CLS] text [SEP] pair [SEP]``. Each of the two is a string, or a list of its words.

        More than ``max_length`` tokens (default: the tokenizer's own limit) raise ValueError, unless ``truncate`` is
        true: then the longer of the two texts loses its last token, again and again, until all fits (the second where
        both are as long; ``truncate_seq_pair`` in the reference).
        """
        if pair is not None:
            self.vocab.require("a pair of texts", "[SEP]")
        parts = [self._rows(part, special_tokens) for part in ([text] if pair is None else [text, pair])]
        return self._join(self._fitted(parts, max_length, truncate))

    def encode_ids(self, ids: Sequence[int], *, max_length: int | None = None, truncate: bool = False) -> Encoding:
        """An Encoding of what has been cut into ids already, [CLS] and [SEP] among them, as ``encode`` makes it.

        ``[CLS] a [SEP] b [SEP]`` is a pair. [PAD] at the end is no part of the text; ``##`` goes on with the word before it. What
        does not stand between [CLS] and [SEP] is taken as it is. ValueError for ids that the model does not have.
        """
        vocab, ids = self.vocab, [int(number) for number in ids]
        self._check_ids(ids)
        for number in ids:
            self._check_row(number)
        while ids and ids[-1] == vocab.pad_id and vocab.pad_id in vocab.special_ids:
            ids.pop()
        framed = None not in (vocab.cls_id, vocab.sep_id) and (ids[:1], ids[1:][-1:]) == ([vocab.cls_id], [vocab.sep_id])
        parts = [ids[1:-1]] if framed else [ids]
        if framed and parts[0].count(vocab.sep_id) == 1:
            middle = parts[0].index(vocab.sep_id)
            parts = [parts[0][:middle], parts[0][middle + 1:]]
        rows = [self._numbered(part) for part in parts]
        return self._join(self._fitted(rows, max_length, truncate, framed), framed)

    def _numbered(self, ids: Sequence[int]) -> list[tuple[Piece, int]]:
        rows, word = [], -1
        for number in ids:
            word += word < 0 or not self.vocab.tokens[number].startswith(wordpiece.CONTINUES)
            rows.append(((number, 0, 0), word))
        return rows

    def _fitted(self, parts: list[list], max_length: int | None, truncate: bool, framed: bool = True) -> list[list]:
        """The parts of a sequence without what is too long; ValueError where nothing may be cut off."""
        limit = self.max_length if max_length is None else max_length
        added = 1 + len(parts) if framed else 0
        length = added + sum(map(len, parts))
        if limit < added:
            raise ValueError(f"max_length is {limit}, but [CLS] and [SEP] alone take {added} tokens")
        if length > limit and not truncate:
            raise ValueError(
                f"the text has {length} tokens with [CLS] and [SEP], more than the limit of {limit}; "
                "shorten or split it, or have its end cut off (truncate=True; on the command line --truncate)"
            )
        for _ in range(length - limit):
            max(reversed(parts), key=len).pop()  # of several longest, max takes the first
        return parts

    def framed(self, ids: Sequence[int]) -> list[int]:
        """``[CLS] ids [SEP]``; ValueError where nothing comes of it."""
        framed = [number for number in (self.vocab.cls_id, *ids, self.vocab.sep_id) if number is not None]
        if not framed:
            self.vocab.require("a text without any word", "[CLS]", "[SEP]")
        return framed

    def _join(self, parts: Sequence[list[tuple[Piece, int]]], framed: bool = True) -> Encoding:
        cls, sep = (self.vocab.cls_id, self.vocab.sep_id) if framed else (None, None)
        rows = [(cls, 0, (0, 0), 1, None)]
        for kind, pieces in enumerate(parts):
            rows += [(number, kind, (start, end), 0, word) for (number, start, end), word in pieces]
            rows.append((sep, kind, (0, 0), 1, None))
        rows = [row for row in rows if row[0] is not None]  # in a vocabulary without [CLS] or [SEP] texts go without
        ids, kinds, offsets, added, words = map(list, zip(*rows)) if rows else ([], [], [], [], [])
        return Encoding(ids, kinds, [self.vocab.tokens[number] for number in ids], offsets, added, words)

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
        if not longest:
            self.vocab.require("a text without any word", "[CLS]", "[SEP]")
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

        Where there is a ``cut``, everything is joined as it is.

        Case, accents and the original spacing are lost for good. ``skip_special`` leaves out [PAD], [CLS] and the rest,
        but not [UNK]: it stands for a word. Raises ValueError for ids that the vocabulary does not have.
        """
        ids = [int(number) for number in ids]
        self._check_ids(ids)
        if skip_special:
            special = {self.vocab.index[token.content] for token in self.added if token.special}
            skipped = special.union(self.vocab.special_ids) - {self.vocab.unk_id}
            ids = [number for number in ids if number not in skipped]
        if self.cut:
            return "".join(self.vocab.tokens[number].removeprefix(wordpiece.CONTINUES) for number in ids)
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
        saved.save(folder, self)

    @classmethod
    def load(cls, source: str | os.PathLike[str], *, cut: str | None = None) -> Tokenizer:
        """Read a folder that ``save`` wrote, or that of a real BERT; or a vocabulary alone. See ``minibert.text.saved``.

        ``cut``: what its files do not say. Raises FileNotFoundError where there is no vocabulary, ValueError for a file that
        cannot be understood.
        """
        return cls(**saved.read(source, cut))


def _moved(words: Iterable[Sequence[Piece]], by: int) -> Iterator[list[Piece]]:
    return ([(number, start + by, end + by) for number, start, end in word] for word in words)


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


_CJK = "".join(f"{chr(first)}-{chr(last)}" for first, last in normalize.CJK) + "、。，！？；：「」『』《》（）“”"
_SPACING = [
    (re.compile(r" (?=[.,!?;:%)\]}…、。，！？；：」』》）])"), ""),
    (re.compile(r"(?<=[(\[{「『《（]) "), ""),
    (re.compile(r"(?<=\w) (['’]) (?=(?:s|t|re|ve|ll|d|m)\b)", re.IGNORECASE), r"\1"),
    (re.compile(r"(?<=\w) ([-/]) (?=\w)"), r"\1"),
    (re.compile(rf"(?<=[{_CJK}]) (?=[{_CJK}])"), ""),
]
