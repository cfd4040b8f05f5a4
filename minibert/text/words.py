"""BERT's own method: normalised words, cut into WordPieces."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from . import normalize, wordpiece
from .added import AddedToken
from .cut import Cut
from .method import Cache, Method, Piece
from .vocabulary import Vocabulary


class WordPieces(Method):
    """Normalisation and WordPiece with one vocabulary.

    ``lower_case``, ``strip_accents`` (None: as ``lower_case``) and ``split_cjk`` choose the steps of ``normalize``; ``cut``, for
    what is no prose, finds the words instead of them: ``"characters"``, or a regular expression (see ``Cut``).

    A capital sigma at the end of a word becomes a final one, ``"ΟΔΟΣ"`` ``"οδος"`` with ς: so Python lowers it, and so did the
    code that BERT was trained with. The ``tokenizers`` library, and with it transformers, writes σ there.
    """

    def __init__(self, vocab: Vocabulary, added: Sequence[AddedToken], *, lower_case: bool = True,
                 strip_accents: bool | None = None, split_cjk: bool = True, cut: Cut | str | None = None):
        self.vocab = vocab
        self.lower_case = lower_case
        self.strip_accents = strip_accents
        self.split_cjk = split_cjk
        self.cut = Cut(cut) if isinstance(cut, str) else cut
        self.normalizer = normalize.Normalizer(
            lower_case=lower_case, strip_accents=strip_accents, split_cjk=split_cjk, cut=self.cut
        )
        self._unknown = vocab.special[1]
        self._no_words = {*vocab.special, *(token.content for token in added if token.special)} if self.cut else ()
        self._longest = max(map(len, vocab.pieces))
        self._word_ids = Cache(self._look_up)

    @property
    def options(self) -> dict[str, Any]:
        return {"lower_case": self.lower_case, "strip_accents": self.strip_accents, "split_cjk": self.split_cjk,
                "cut": self.cut and self.cut.rule}

    # A part is a raw word: what stands between white space.

    def parts(self, text: str, follows: bool) -> list[str]:
        return normalize.raw_words(text)

    def placed_parts(self, text: str, follows: bool) -> list[tuple[str, int]]:
        return normalize.raw_words_with_offsets(text)

    def ids(self, part: str) -> tuple[int, ...]:
        if not self.cut and part.isascii() and part.isalnum():  # as most new words, and most of these stand in the vocabulary
            word = part.lower() if self.lower_case else part
            number = self.vocab.pieces.get(word)
            return self._look_up(word) if number is None or len(word) > wordpiece.MAX_CHARACTERS else (number,)
        return tuple(chain.from_iterable(map(self._word_ids.__getitem__, self.normalizer.words(part))))

    def words(self, part: str) -> tuple[tuple[Piece, ...], ...]:
        return tuple(self._trace(self.normalizer.words_with_offsets(part)))

    def whole(self, text: str) -> str:
        return self.normalizer.whole(text)

    def whole_with_offsets(self, text: str) -> tuple[str, list[int]]:
        return self.normalizer.whole_with_offsets(text)

    def words_of_whole(self, text: str, at: Sequence[int], follows: bool) -> Iterator[tuple[Piece, ...]]:
        return self._trace(self.normalizer.words_of_whole(text, at))

    def continues(self, token: str) -> bool:
        return token.startswith(wordpiece.CONTINUES)

    def _look_up(self, word: str) -> tuple[int, ...]:
        pieces = ([self._unknown] if word in self._no_words else
                  wordpiece.split(word, self.vocab.pieces, self._longest, self._unknown))
        try:
            return tuple(map(self.vocab.index.__getitem__, pieces))
        except KeyError:
            self.vocab.require(f"{word!r}, a word that its pieces cannot make,", "[UNK]")
            raise

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

    def decode(self, ids: Sequence[int]) -> str:
        """Pieces joined, punctuation set as in print, Chinese characters without spaces; with a ``cut`` all joined as it is."""
        if self.cut:
            return "".join(self.vocab.tokens[number].removeprefix(wordpiece.CONTINUES) for number in ids)
        text = " ".join(self.vocab.tokens[number] for number in ids).replace(f" {wordpiece.CONTINUES}", "")
        for pattern, replacement in _SPACING:
            text = pattern.sub(replacement, text)
        return text


_CJK = "".join(f"{chr(first)}-{chr(last)}" for first, last in normalize.CJK) + "、。，！？；：「」『』《》（）“”"
_SPACING = [
    (re.compile(r" (?=[.,!?;:%)\]}…、。，！？；：」』》）])"), ""),
    (re.compile(r"(?<=[(\[{「『《（]) "), ""),
    (re.compile(r"(?<=\w) (['’]) (?=(?:s|t|re|ve|ll|d|m)\b)", re.IGNORECASE), r"\1"),
    (re.compile(r"(?<=\w) ([-/]) (?=\w)"), r"\1"),
    (re.compile(rf"(?<=[{_CJK}]) (?=[{_CJK}])"), ""),
]
