"""The tokenizer: text to ids and back, with the place of every token in the text.

``FullTokenizer`` in google-research/bert ``tokenization.py``, with what the fast tokenizers of today add to it:
offsets, special tokens that are recognised in the text, folders that other tools read. How words become pieces is a ``Method``
of its own, and what stands around a text a ``Frame``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from . import frame as frames
from . import saved
from .added import AddedToken, Finder, special_tokens
from .method import Cache, Method, Piece, blocks, moved
from .vocabulary import SPECIAL, Vocabulary
from .words import WordPieces

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
    """One vocabulary, and how texts become pieces of it: ``Tokenizer(vocab, lower_case=False)`` is BERT's.

    ``method``: the class of the ``Method``, which is made of the vocabulary, the added tokens and the other ``options``; by
    default ``WordPieces``, where the options are explained. ``frame``: what stands around a text, and between two.
    ``max_length`` is the most tokens that ``encode`` makes, [CLS] and [SEP] counted. ``added``: the tokens that are found in
    a text before anything else is done to it, all of them in the vocabulary; by default the special ones. ``notes``: what
    there was to say when it was opened.

    Special tokens written in the text, as in ``"a [MASK] b"``, are such tokens where ``special_tokens`` is true: by default
    in ``encode`` and ``tokenize``, where somebody asks the model something, but not in ``ids``, through which training text
    goes. Added tokens that are words, not special, are found in any case.
    """

    rows: int | None = None  # ids from here on have no row in the model's table of words; None: each has one

    def __init__(
        self,
        vocab: Vocabulary,
        *,
        method: Callable[..., Method] = WordPieces,
        frame: frames.Frame = frames.BERT,
        max_length: int = 512,
        added: Sequence[AddedToken] | None = None,
        notes: Sequence[str] = (),
        **options: Any,
    ):
        self.vocab = vocab
        self.frame = frame
        self.max_length = max_length
        self.added = special_tokens(vocab) if added is None else tuple(added)
        self.notes = list(notes)
        self.method = method(vocab, self.added, **options)
        self._as_written = Finder([token for token in self.added if not token.normalized])
        self._normalized = Finder([token for token in self.added if token.normalized], self.method.whole)
        self._ids = Cache(self.method.ids)
        self._pieces = Cache(self.method.words)
        self._all_special = all(token.special for token in self.added)

    lower_case = property(lambda self: self.method.lower_case)
    strip_accents = property(lambda self: self.method.strip_accents)
    split_cjk = property(lambda self: self.method.split_cjk)
    cut = property(lambda self: self.method.cut)

    def __repr__(self) -> str:
        return f"Tokenizer({self.vocab!r}, lower_case={self.lower_case}, max_length={self.max_length})"

    # Text to tokens

    def tokenize(self, text: str, *, special_tokens: bool = True) -> list[str]:
        """The tokens of a text as strings: ``"Unaffable!"`` gives ``["una", "##ffa", "##ble", "!"]``."""
        return [self.vocab.tokens[number] for number in self.ids(text, special_tokens=special_tokens)]

    def ids(self, text: str, *, special_tokens: bool = False, follows: bool = False) -> list[int]:
        """The ids of a text, without [CLS] and [SEP]: the fast way for large amounts of text.

        What a part of a text becomes, a raw word in BERT, depends on that part alone, and most come again, so each is looked up
        in a cache. ``follows``: the text is a word that stands behind others, in a list of words.
        """
        _check_text(text)
        if (special_tokens or not self._all_special) and self._has_added(text, special_tokens):
            return [number for word in self._words(text, special_tokens, follows) for number, _, _ in word]
        return list(chain.from_iterable(map(self._ids.__getitem__, self.method.parts(text, follows))))

    def ids_of(self, texts: Iterable[str], *, special_tokens: bool = False) -> Iterator[list[int]]:
        """The ids of each of many texts, as ``ids`` gives them; faster where they bring much that is new, as Chinese does."""
        if self.method.many is None:
            yield from (self.ids(text, special_tokens=special_tokens) for text in texts)
            return
        for block in blocks(texts):
            for text in block:
                _check_text(text)
            parts = [None if self._has_added(text, special_tokens) else self.method.parts(text, False) for text in block]
            found = dict.fromkeys(part for of_text in parts for part in of_text or () if part not in self._ids)
            found.update(zip(found, self.method.many([*found])))
            self._ids.keep(found)
            for text, of_text in zip(block, parts):
                if of_text is None:
                    yield self.ids(text, special_tokens=special_tokens)
                else:
                    yield [number for part in of_text for number in (found[part] if part in found else self._ids[part])]

    def _has_added(self, text: str, special_tokens: bool) -> bool:
        return (self._as_written.is_needed(text, special_tokens)
                or (bool(self._normalized) and self._normalized.is_needed(self.method.whole(text), special_tokens)))

    def _words(self, text: str, special_tokens: bool, follows: bool) -> Iterator[Sequence[Piece]]:
        """The pieces of each word of a text. A token that is found as it is written is a word of its own."""
        for start, end, token in self._as_written.cut(text, special_tokens):
            part = text[start:end]
            if token:
                yield [(self._id(token), *self.method.place(text, start, end))]
            elif self._normalized and self._normalized.is_needed(self.method.whole(part), special_tokens):
                whole = self.method.whole_with_offsets(part)
                yield from moved(self._words_of_whole(*whole, special_tokens, follows), start)
            else:
                for raw, place in self.method.placed_parts(part, follows):
                    yield from moved(self._pieces[raw], start + place)

    def _words_of_whole(self, text: str, at: Sequence[int], special_tokens: bool, follows: bool) -> Iterator[Sequence[Piece]]:
        """The same of a normalised text with tokens that are looked for there. ``at``: where its characters came from."""
        for start, end, token in self._normalized.cut(text, special_tokens):
            if token:
                first, last = self.method.place(text, start, end)
                yield [(self._id(token), at[first], at[last - 1] + 1)]
            else:
                yield from self.method.words_of_whole(text[start:end], at[start:end], follows)

    def _rows(self, part: Part, special_tokens: bool) -> list[tuple[Piece, int]]:
        """(piece, the number of its word) of a text, or of a list of words."""
        is_words = isinstance(part, (list, tuple))
        for text in part if is_words else [part]:
            _check_text(text)
        words = ((chain.from_iterable(self._words(word, special_tokens, True)) for word in part) if is_words
                 else self._words(part, special_tokens, False))
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
        true: then the longer of the two texts loses its end, or both do, as the ``frame`` says.
        """
        if pair is not None:
            self.vocab.require("a pair of texts", "[SEP]")
        parts = [self._rows(part, special_tokens) for part in ([text] if pair is None else [text, pair])]
        return self._join(self._fitted(parts, max_length, truncate))

    def encode_ids(self, ids: Sequence[int], *, max_length: int | None = None, truncate: bool = False) -> Encoding:
        """An Encoding of what has been cut into ids already, [CLS] and [SEP] among them, as ``encode`` makes it.

        ``[CLS] a [SEP] b [SEP]`` is a pair, or what the ``frame`` makes of it. [PAD] at the end is no part of the text; ``##``
        goes on with the word before it. What does not stand between [CLS] and [SEP] is taken as it is. ValueError for ids that
        the model does not have.
        """
        vocab, ids = self.vocab, [int(number) for number in ids]
        self._check_ids(ids)
        for number in ids:
            self._check_row(number)
        while ids and ids[-1] == vocab.pad_id and vocab.pad_id in vocab.special_ids:
            ids.pop()
        framed = None not in (vocab.cls_id, vocab.sep_id) and (ids[:1], ids[1:][-1:]) == ([vocab.cls_id], [vocab.sep_id])
        parts = [ids[1:-1]] if framed else [ids]
        if framed and parts[0].count(vocab.sep_id) == self.frame.between:
            middle = parts[0].index(vocab.sep_id)
            behind = middle + self.frame.between
            if set(parts[0][middle:behind]) == {vocab.sep_id}:
                parts = [parts[0][:middle], parts[0][behind:]]
        rows = [self._numbered(part) for part in parts]
        return self._join(self._fitted(rows, max_length, truncate, framed), framed)

    def _numbered(self, ids: Sequence[int]) -> list[tuple[Piece, int]]:
        rows, word = [], -1
        for number in ids:
            word += word < 0 or not self.continues(number)
            rows.append(((number, 0, 0), word))
        return rows

    def _fitted(self, parts: list[list], max_length: int | None, truncate: bool, framed: bool = True) -> list[list]:
        """The parts of a sequence without what is too long; ValueError where nothing may be cut off."""
        limit = self.max_length if max_length is None else max_length
        added = self.frame.size(len(parts)) if framed else 0
        length = added + sum(map(len, parts))
        cls, sep = (name or token for name, token in zip(self.vocab.special[2:4], SPECIAL[2:4]))
        if limit < added:
            raise ValueError(f"max_length is {limit}, but {cls} and {sep} alone take {added} tokens")
        if length > limit and not truncate:
            raise ValueError(
                f"the text has {length} tokens with {cls} and {sep}, more than the limit of {limit}; "
                "shorten or split it, or have its end cut off (truncate=True; on the command line --truncate)"
            )
        kept = self.frame.shorten([len(part) for part in parts], limit - added) if length > limit else map(len, parts)
        return [part[:length] for part, length in zip(parts, kept)]

    def framed(self, ids: Sequence[int]) -> list[int]:
        """``[CLS] ids [SEP]``; ValueError where nothing comes of it."""
        framed = [number for number in (self.vocab.cls_id, *ids, self.vocab.sep_id) if number is not None]
        if not framed:
            self.vocab.require("a text without any word", "[CLS]", "[SEP]")
        return framed

    def _join(self, parts: Sequence[list[tuple[Piece, int]]], framed: bool = True) -> Encoding:
        cls, sep = (self.vocab.cls_id, self.vocab.sep_id) if framed else (None, None)
        rows = [(cls, 0, (0, 0), 1, None)]
        for place, pieces in enumerate(parts, 1):
            kind = self.frame.second if place == 2 else 0
            rows += [(number, kind, (start, end), 0, word) for (number, start, end), word in pieces]
            rows += [(sep, kind, (0, 0), 1, None)] * (self.frame.between if place < len(parts) else 1)
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
        """Readable text from ids, as the ``method`` joins pieces. What it made of case, accents and spaces is lost for good.

        ``skip_special`` leaves out [PAD], [CLS] and the rest, but not [UNK]: it stands for a word. Raises ValueError for ids
        that the vocabulary does not have.
        """
        ids = [int(number) for number in ids]
        self._check_ids(ids)
        if skip_special:
            special = {self.vocab.index[token.content] for token in self.added if token.special}
            skipped = special.union(self.vocab.special_ids) - {self.vocab.unk_id}
            ids = [number for number in ids if number not in skipped]
        return self.method.decode(ids)

    def written(self, number: int, first: bool = False) -> str:
        """The token with this id as BERT writes it, whatever the method: ``##`` before what goes on with a word.

        ``first``: it begins a text, where what has no blank before it begins a word too.
        """
        return self.method.written(self.vocab.tokens[number], first)

    def continues(self, number: int) -> bool:
        """Whether the token with this id goes on with the word of the one before it, as far as it can tell by itself."""
        return self.method.continues(self.vocab.tokens[number])

    def _check_ids(self, ids: Sequence[int]) -> None:
        if ids and not (0 <= min(ids) and max(ids) < len(self.vocab)):
            wrong = next(number for number in ids if not 0 <= number < len(self.vocab))
            raise ValueError(f"id {wrong} is out of range: the vocabulary has ids 0 to {len(self.vocab) - 1}")

    # Folders

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``vocab.txt`` and ``tokenizer_config.json``, which transformers' AutoTokenizer reads as well."""
        saved.save(folder, self)

    def described(self) -> dict[str, Any]:
        """All that makes it besides the list of its tokens, as JSON can hold it: for the state of a run."""
        return saved.described(self)

    @classmethod
    def remade(cls, tokens: Sequence[str], about: Mapping[str, Any], source: str = "its vocabulary") -> Tokenizer:
        """The tokenizer of these tokens that was ``described`` so. KeyError, TypeError or ValueError for what describes none."""
        return cls(**saved.remade(tokens, about, source))

    @classmethod
    def load(cls, source: str | os.PathLike[str], *, cut: str | None = None) -> Tokenizer:
        """Read a folder that ``save`` wrote, or that of a real BERT; or a vocabulary alone. See ``minibert.text.saved``.

        ``cut``: what its files do not say. Raises FileNotFoundError where there is no vocabulary, ValueError for a file that
        cannot be understood.
        """
        return cls(**saved.read(source, cut))


def _check_text(text: object) -> None:
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, got {type(text).__name__}")
