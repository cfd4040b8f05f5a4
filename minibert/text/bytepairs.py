r"""Byte-level byte pairs: a text becomes bytes, and neighbouring pieces are joined in the order in which that was learned.

1. The text is cut into words, each with the one blank before it: runs of letters, of digits, of other signs, and the English
   endings ``'s 't 're 've 'm 'll 'd``, in small letters only. Of several blanks the last goes with the word.
2. A word becomes its bytes in UTF-8, and each byte a character that can be seen and written to a file: those that can be already
   stay, the 68 others become U+0100 and what follows, in their order. A blank is ``Ġ``.
3. Of all neighbours in a word that stand in the list of joins, the first of the list are joined, the leftmost of these first;
   again and again. Nothing is unknown, and nothing is lost: ``decode`` gives the text back byte for byte.

"Language Models are Unsupervised Multitask Learners" (Radford et al., 2019) has the idea, openai/gpt-2 ``encoder.py`` the rules;
joining as such is of Sennrich et al. (2016), arXiv:1508.07909. RoBERTa reads texts so.

Letters and digits are Unicode's categories L and N, as Python's ``unicodedata`` knows them: Unicode 13 in Python 3.10, 14 in
3.11, 15 in 3.12, 15.1 in 3.13, 16 in 3.14. White space is its property White_Space. The ``tokenizers`` library has tables of its
own, in version 0.23.3 those of Unicode 16; a text with a letter that one of the two does not know yet may be cut elsewhere. With
Python 3.11 these are 9,392 code points, none of which is assigned in Unicode 14 (``python tests/oracle/test_bytepairs.py``).
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from heapq import heapify, heappop, heappush
from itertools import groupby, pairwise
from typing import Any

from .added import AddedToken
from .method import CACHED_LENGTH, Method, Piece
from .vocabulary import Vocabulary

Join = tuple[str, str]

_SEEN = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_HIDDEN = [byte for byte in range(256) if byte not in _SEEN]
CHARACTERS = "".join(chr(byte if byte in _SEEN else 0x100 + _HIDDEN.index(byte)) for byte in range(256))  # by byte
BLANK = CHARACTERS[0x20]

_NUMBERS = {char: byte for byte, char in enumerate(CHARACTERS)}
_SPACE = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # White_Space; Python's \s has four of ASCII more
_FAR = re.compile("[\U00010000-\U0010ffff]")


class BytePairs(Method):
    """Byte pairs with one vocabulary.

    ``merges``: the joins, first come first; ValueError for one whose parts or result the vocabulary does not have.
    ``add_prefix_space``: a text begins as if a blank stood before it, and so does what follows an added token.
    """

    def __init__(self, vocab: Vocabulary, added: Sequence[AddedToken], *, merges: Iterable[Join], add_prefix_space: bool = False):
        self.vocab = vocab
        self.merges = tuple(map(tuple, merges))
        self.add_prefix_space = add_prefix_space
        self._added = {token.content for token in added}
        self._of_byte = [vocab.pieces.get(char) for char in CHARACTERS]
        try:
            self._joins = [(vocab.pieces[left], vocab.pieces[right], vocab.pieces[left + right]) for left, right in self.merges]
        except KeyError as error:
            raise ValueError(f"{vocab.source}: the vocabulary has no {error.args[0]!r}, which the joins need; the two belong to "
                             "different models") from None
        self._ranks = {(left, right): rank for rank, (left, right, _) in enumerate(self._joins)}
        self._made: dict[int, int] = {}  # token -> the rank of its join
        self._whole = self._made_of_their_bytes()

    @property
    def options(self) -> dict[str, Any]:
        return {"merges": self.merges, "add_prefix_space": self.add_prefix_space}

    def parts(self, text: str, follows: bool) -> list[str]:
        return words_of(text, follows or self.add_prefix_space)

    def placed_parts(self, text: str, follows: bool) -> list[tuple[str, int]]:
        begun = _begun(text, follows or self.add_prefix_space)
        return [(match[0], match.start() + len(text) - len(begun)) for match in _words_in(text).finditer(begun)]

    def ids(self, part: str) -> tuple[int, ...]:
        spelled = encoded(part)
        if (number := self._whole.get(spelled)) is not None:
            return (number,)
        if len(spelled) <= CACHED_LENGTH and (pair := self._two(spelled)):
            return pair
        symbols = list(map(self._of_byte.__getitem__, spelled))
        if None in symbols:
            symbols = [number for number in symbols if number is not None]
        return tuple(self._joined(symbols))

    def _joined(self, symbols: list[int | None]) -> list[int]:
        """Step 3. A heap holds the joins that can be done; one whose neighbours have changed since is passed over."""
        rank_of, size = self._ranks.get, len(symbols)
        heap = [(rank, place) for place, rank in enumerate(map(rank_of, pairwise(symbols))) if rank is not None]
        heapify(heap)
        before, behind = list(range(-1, size)), list(range(1, size + 1))
        while heap:
            rank, place = heappop(heap)
            left, right, joined = self._joins[rank]
            neighbour = behind[place]
            if symbols[place] != left or neighbour == size or symbols[neighbour] != right:
                continue
            symbols[place], symbols[neighbour] = joined, None
            behind[place] = after = behind[neighbour]
            before[after] = place
            if after < size and (rank := rank_of((joined, symbols[after]))) is not None:
                heappush(heap, (rank, place))
            if place and (rank := rank_of((symbols[before[place]], joined))) is not None:
                heappush(heap, (rank, before[place]))
        return [number for number in symbols if number is not None]

    # Most words are one token or two, and which these are can be known without doing the joins.

    def _made_of_their_bytes(self) -> dict[bytes, int]:
        """Bytes -> the token that step 3 makes of them, for those of which it makes a single one."""
        spelled = {number: bytes([byte]) for byte, number in enumerate(self._of_byte) if number is not None}
        for rank, (left, right, joined) in enumerate(self._joins):
            if joined in self._made or joined in spelled:  # of two recipes
                return {}
            if left in spelled and right in spelled and self._seam_holds(left, right):
                spelled[joined] = spelled[left] + spelled[right]
            self._made[joined] = rank
        return {spelling: number for number, spelling in spelled.items()}

    def _seam_holds(self, left: int, right: int) -> bool:
        """Whether no join reaches across the seam between two neighbours before they are what they are.

        Seen backwards: of the two tokens at the seam the one that was joined last is taken apart again, and what lies at the seam
        then must not have been joined sooner than that one was; and so on, until bytes lie there. Where the two were joined by
        the same pair, the left one was first.
        """
        never = len(self._joins)
        while True:
            of_left, of_right = self._made.get(left, -1), self._made.get(right, -1)
            if of_left > of_right:
                before, left = of_left, self._joins[of_left][1]
            elif of_right >= 0:
                before, right = of_right + 1, self._joins[of_right][0]
            else:
                return True
            if self._ranks.get((left, right), never) < before:
                return False

    def _two(self, spelled: bytes) -> tuple[int, ...] | None:
        """The two tokens that step 3 makes of a word: each single, and with a seam that holds and that nothing joins at last."""
        token = self._whole.get
        for place in range(len(spelled) - 1, 0, -1):
            if ((left := token(spelled[:place])) is not None and (right := token(spelled[place:])) is not None
                    and (left, right) not in self._ranks and self._seam_holds(left, right)):
                return left, right
        return None

    def words(self, part: str) -> tuple[tuple[Piece, ...], ...]:
        """A part is a word. A character of several pieces is the place of each; blanks before and behind are no place."""
        pieces, start = [], 0
        numbers = self.ids(part)
        at = [place for place, char in enumerate(part) for byte in char.encode() if self._of_byte[byte] is not None]
        for number in numbers:
            token = self.vocab.tokens[number]
            first, last = at[start], at[start + len(token) - 1] + 1
            first = min(first + len(token) - len(token.lstrip(BLANK)), last)
            pieces.append((number, first, max(last - len(token) + len(token.rstrip(BLANK)), first)))
            start += len(token)
        return (tuple(pieces),)

    def place(self, text: str, start: int, end: int) -> tuple[int, int]:
        found = text[start:end]
        return start + len(found) - len(found.lstrip()), max(end - len(found) + len(found.rstrip()), start)

    def continues(self, token: str) -> bool:
        return not token.startswith(BLANK) and token not in self._added

    def written(self, token: str, first: bool) -> str:
        text = _bytes_of(token).decode("utf-8", "replace")
        if token in self._added or not text.strip() or not text.isprintable() or "\ufffd" in text:
            return token
        return text[1:] if text[0] == " " else text if first else f"##{text}"

    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(_bytes_of(self.vocab.tokens[number]) for number in ids).decode("utf-8", "replace")


def encoded(word: str) -> bytes:
    """The bytes of a word; ValueError where it has none."""
    try:
        return word.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the text has U+{ord(word[error.start]):04X}, half of a character, which UTF-8 cannot write; repair "
                         "the text where it comes from") from None


def words_of(text: str, follows: bool) -> list[str]:
    """Step 1. ``follows``: as if a blank stood before the text."""
    return _words_in(text).findall(_begun(text, follows))


def _begun(text: str, follows: bool) -> str:
    return f" {text}" if follows and text[:1] not in ("", " ") else text


def _bytes_of(token: str) -> bytes:
    """The bytes that a token stands for; an added token, which may have other characters, for itself."""
    try:
        return bytes(_NUMBERS[char] for char in token)
    except KeyError:
        return token.encode()


def _words_in(text: str) -> re.Pattern[str]:
    """What finds the words of a text: for few characters a smaller expression, which is faster."""
    return _pattern(0x80 if text.isascii() else sys.maxunicode + 1 if _FAR.search(text) else 0x10000)


@cache
def _pattern(below: int) -> re.Pattern[str]:
    """Step 1, for texts whose code points are all ``below`` a number."""
    ranges = {"L": "", "N": ""}
    for kind, points in groupby(range(below), lambda point: unicodedata.category(chr(point))[0]):
        if kind in ranges:
            first, *_, last = [*points] * 2
            ranges[kind] += rf"\U{first:08x}-\U{last:08x}"
    letter, digit = ranges.values()
    return re.compile(rf"'(?:[stmd]|re|ve|ll)| ?[{letter}]+| ?[{digit}]+| ?[^{_SPACE}{letter}{digit}]+"
                      rf"|[{_SPACE}]+(?![^{_SPACE}])|[{_SPACE}]+")
