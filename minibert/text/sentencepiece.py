"""SentencePiece: a text is written with ``▁`` for its spaces, and cut into pieces by one model or another.

Nothing is taken for a word beforehand: a space is a character like others, so that the pieces give the text back, and Chinese
or Thai need no rules. First the text is normalised (``charsmap``; spaces collapse, one is put before the text), then the model
cuts it (``unigram`` or ``merges``). What no piece has is unknown, or its bytes.

``"Hello world"`` is written ``▁Hello▁world``. Where a piece has ``▁`` nowhere but at its beginning, as nearly always, no piece
reaches from one word into the next, so each word is cut by itself, once, and remembered.
Source: "SentencePiece" (Kudo and Richardson, 2018, arXiv:1808.06226); ``normalizer.cc``, ``sentencepiece_processor.cc``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from itertools import chain, groupby

import numpy as np

from . import spm
from .charsmap import Charsmap
from .merges import Merges
from .method import Cache, Piece
from .spm import BPE, BYTE, BYTES, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED, Spm
from .unigram import LARGEST, Cut, Unigram

SPACE = "\u2581"  # ▁
_LARGEST, _BONUS = float(np.finfo(np.float32).max), 0.1
_SURROGATE = re.compile("[\ud800-\udfff]")  # half a character, which UTF-8 cannot write


class SentencePiece:
    """What a ``.model`` file says, ready for texts; ids, places and decoded texts are those of the ``sentencepiece`` library."""

    def __init__(self, model: Spm, source: str | os.PathLike[str] = "the model"):
        self.spm, self._unknown = model, model.unknown_id
        of_kind = {kind: {piece for piece, found in zip(model.pieces, model.types) if found == kind} for kind in range(1, 7)}
        symbols, unused = of_kind[USER_DEFINED], of_kind[UNUSED]
        try:
            self.charsmap = Charsmap(model.charsmap, symbols)
        except ValueError as error:
            raise ValueError(f"{source}: its precompiled_charsmap is damaged: {error}") from None
        scores = {piece: score for piece, score, kind in zip(model.pieces, model.scores, model.types)
                  if kind in (NORMAL, USER_DEFINED, UNUSED)}
        self.unigram = None if model.model_type == BPE else _unigram(scores, of_kind)
        self._merges = Merges(scores, symbols, unused)
        index = {piece: number for number, piece in enumerate(model.pieces)}
        self.index = {piece: index[piece] for piece in (self.unigram or self._merges).scores}
        self._bytes = [index[name] for name in BYTES] if model.byte_fallback else []
        inside = any(SPACE in piece[1:] for piece in scores)
        self._by_word = not inside and SPACE in self.index and model.escape_whitespaces and not model.whitespace_as_suffix
        self._by_raw_word = (self._by_word and model.add_dummy_prefix and model.remove_extra_whitespaces
                             and not self.charsmap.crosses_spaces and not self.charsmap.makes_spaces
                             and not any(" " in symbol for symbol in symbols))
        self._words = Cache(self._cut)
        self._raw_words, self._raw_ids = Cache(self._cut_raw), Cache(self._ids_of_raw)
        self._most_pieces = LARGEST / self.unigram.heaviest if self.unigram else float("inf")  # of a line whose sum is no matter

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SentencePiece:
        """A ``.model`` file. ValueError, with its name, for what is damaged or cannot be done here."""
        return cls(spm.read(path), path)

    # Text to pieces

    def ids(self, text: str) -> list[int]:
        """The ids of a text: the fast way. Each raw word is normalised and cut once, most come again."""
        if not self._by_raw_word or SPACE in text:
            return [number for number, _, _ in self.pieces(text)]
        raw = list(filter(None, text.split(" ")))
        words = list(map(self._raw_ids.__getitem__, raw))
        if None not in words and len(ids := list(chain.from_iterable(words))) <= self._most_pieces:
            return ids
        cuts = list(chain.from_iterable(map(self._raw_words.__getitem__, raw)))
        if None not in words and sum(cut.weight for cut in cuts) <= LARGEST:
            return ids
        return self._numbers(self._lined(cuts))

    def pieces(self, text: str) -> list[Piece]:
        """(id, start, end) of each piece of a text: from where to where it stands there, a space before it counted in."""
        written, at = self.normalize(text)
        found, start, unknown = [], 0, self._unknown
        for piece in chain.from_iterable(self._cut_line(written)):
            end = start + len(piece)
            number, begin, until = self.index.get(piece, unknown), at[start], at[end]
            if number == unknown and self._bytes:
                found += [(self._bytes[byte], begin, begin) for byte in piece.encode("utf-8")]
                number, begin, _ = found.pop()
            elif number == unknown and found and found[-1][0] == unknown:
                begin = found.pop()[1]
            found.append((number, begin, until))
            start = end
        return found

    def normalize(self, text: str) -> tuple[str, list[int]]:
        """The text as it is cut, and for each of its characters, and for its end, where that came from."""
        spm, space = self.spm, SPACE if self.spm.escape_whitespaces else " "
        text = _SURROGATE.sub("\ufffd", text)
        chunks = [*self.charsmap.chunks(text), (len(text), "")]
        first = 0
        if spm.remove_extra_whitespaces:
            while chunks[first][1] == " ":
                first += 1
        if first == len(chunks) - 1:
            return "", [0]
        before = spm.add_dummy_prefix and not spm.whitespace_as_suffix
        written, at = [space] * before, [chunks[first][0]] * before
        after_space = spm.remove_extra_whitespaces
        for start, part in chunks[first:-1]:
            part = part.lstrip(" ") if after_space else part
            if part:
                written += part.replace(" ", space)
                at += [start] * len(part)
                after_space = spm.remove_extra_whitespaces and part[-1] == " "
        at.append(len(text))
        if spm.remove_extra_whitespaces:
            while written and written[-1] == space:
                written.pop()
                at.pop()
        if spm.add_dummy_prefix and spm.whitespace_as_suffix:
            written.append(space)
            at.append(at[-1])
        return "".join(written), at

    def _cut_line(self, written: str) -> Iterable[Sequence[str]]:
        """The pieces of each word of a normalised text."""
        words = _WORD.findall(written) if self._by_word else [written] * bool(written)
        return self._lined([self._words[word] for word in words])

    def _lined(self, words: Sequence[Cut]) -> Iterable[Sequence[str]]:
        return self.unigram.cut_line(words) if self.unigram else [word.pieces for word in words]

    def _cut(self, word: str) -> Cut:
        return self.unigram.cut(word) if self.unigram else Cut(self._merges.cut(word), 0.0, False)

    def _cut_raw(self, raw: str) -> tuple[Cut, ...]:
        return tuple(self._words[SPACE + word] for word in self.charsmap(_SURROGATE.sub("\ufffd", raw)).split(" ") if word)

    def _ids_of_raw(self, raw: str) -> tuple[int, ...] | None:
        """None where it is not the word alone that decides."""
        words = self._raw_words[raw]
        return None if any(word.close for word in words) else tuple(self._numbers(word.pieces for word in words))

    def _numbers(self, words: Iterable[Sequence[str]]) -> list[int]:
        """The ids of pieces; unknown ones in a row are one, or bytes."""
        unknown, ids = self._unknown, []
        for number, piece in ((self.index.get(piece, unknown), piece) for piece in chain.from_iterable(words)):
            if number == unknown and self._bytes:
                ids += [self._bytes[byte] for byte in piece.encode("utf-8")]
            elif number != unknown or ids[-1:] != [unknown]:
                ids.append(number)
        return ids

    # Back to text

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some pieces. What is unknown is ``unknown_surface``; what is no UTF-8 of byte pieces is U+FFFD."""
        spm, out, begins, spoken = self.spm, [], True, False
        for is_byte, numbers in groupby(ids, lambda number: spm.types[number] == BYTE):
            if is_byte:
                written = bytes(BYTES.index(spm.pieces[number]) for number in numbers).decode("utf-8", "surrogateescape")
                out.append(_SURROGATE.sub("\ufffd", written))
                continue
            for number in numbers:
                begins = begins and not spoken and not any(out)
                written, spoken = self._surface(number, begins)
                out.append(written)
        return "".join(out)

    def _surface(self, number: int, begins: bool) -> tuple[str, bool]:
        """What a piece is in a decoded text, and whether that ends the space before the text."""
        piece, kind = self.spm.pieces[number], self.spm.types[number]
        if kind in (CONTROL, UNKNOWN):
            return "" if kind == CONTROL else self.spm.unknown_surface, False
        dropped = begins and (self.spm.add_dummy_prefix or self.spm.remove_extra_whitespaces) and piece.startswith(SPACE)
        return piece[dropped:].replace(SPACE, " "), dropped and not self.spm.remove_extra_whitespaces


def _unigram(scores: dict[str, float], of_kind: dict[int, set[str]]) -> Unigram:
    """User-defined symbols have scores that no other way reaches, unused pieces none. (0.2.3; before, all symbols had -0.1.)"""
    normal = [scores[piece] for piece in of_kind[NORMAL]]
    highest = max([_BONUS, *normal])
    symbols = {piece: float(np.float32(len(piece.encode("utf-8")) * highest - _BONUS)) for piece in of_kind[USER_DEFINED]}
    usable = {piece: score for piece, score in scores.items() if piece not in of_kind[UNUSED]}
    return Unigram(usable | symbols, min(normal, default=_LARGEST), narrow=True)


_WORD = re.compile(f"{SPACE}[^{SPACE}]*|[^{SPACE}]+")
