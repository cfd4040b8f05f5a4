"""The unigram model: of all ways to cut a text into pieces, the most likely one.

Each piece has a score, the logarithm of how often it occurs, and the pieces of a text are taken to be independent. So the best way
to reach a place ends with a piece that begins at some earlier place, reached in the best way (Viterbi)::

    best(0) = 0        best(end) = max over pieces text[start:end] of  best(start) + score(piece)

A character that is no piece by itself is unknown there, at the lowest score minus 10; unknown characters that follow one another
are one unknown piece. Of ways that are equally good the one whose last piece is longest goes.
"Subword Regularization" (Kudo, 2018, arXiv:1804.10959); ``unigram_model.cc`` in sentencepiece, ``unigram/model.rs`` in tokenizers.

**How it is added up.** ``aab`` may be ``a|ab`` or ``aa|b``, and of ``---- ----`` many ways are exactly as good, but for rounding,
and that decides. tokenizers adds up in 64 bits and begins anew with each word; sentencepiece in 32 bits over the whole line, so that
a word may be cut in one way here and in another there, by what stands before it. ``narrow`` does as the latter. A word is cut
by itself all the same, and remembered: no piece has a word's beginning in its middle, so the best way through a line goes through
each. Only where two ways are as close as the rounding of a line could reach, its sums are done once more as sentencepiece does them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

UNKNOWN_PENALTY = 10.0
CLOSE = 2.0 ** -11  # two ways that differ by less than this for each character may be decided by the rounding of a line …
LARGEST = 2.0 ** 12  # … whose sum is at most this, where float32 has steps of 2**-12 and two sums part by one for each character


class Cut(NamedTuple):
    """How a text is cut."""

    pieces: tuple[str, ...]
    weight: float  # what its scores add to a sum at most
    close: bool  # another way is as good within rounding


class Unigram:
    """``scores``: piece -> score. ``lowest``: the score from which the unknown ones lie ``UNKNOWN_PENALTY`` off."""

    def __init__(self, scores: Mapping[str, float], lowest: float, *, narrow: bool = False):
        self.scores = dict(scores)
        self.unknown = _float32(lowest - UNKNOWN_PENALTY) if narrow else lowest - UNKNOWN_PENALTY
        self.narrow = narrow
        self.heaviest = max(map(abs, (*self.scores.values(), self.unknown)))
        self._lengths = _lengths(self.scores)

    def beginning(self, text: str, start: int) -> Iterator[tuple[int, float]]:
        """(length, score) of each piece that begins at a place."""
        for length in (1, *self._lengths.get(text[start:start + 2], ())):
            score = self.scores.get(text[start:start + length])
            if score is not None and start + length <= len(text):
                yield length, score

    def cut(self, text: str, whole: bool = True) -> Cut:
        """The best way, added up in 64 bits; the text itself as a piece is one only where ``whole`` is true."""
        n, get, lengths, unknown = len(text), self.scores.get, self._lengths.get, self.unknown
        best, begins = [-sys.float_info.max] * (n + 1), [0] * (n + 1)
        best[0], closest = 0.0, sys.float_info.max
        for start in range(n):
            here, last = best[start], n if whole or start else n - 1
            score = here + get(text[start], unknown)
            gap = score - best[start + 1]
            if gap > 0:
                best[start + 1], begins[start + 1] = score, start
            if -closest < gap < closest:
                closest = abs(gap)
            for length in lengths(text[start:start + 2], ()):
                end = start + length
                if end > last:
                    break
                score = get(text[start:end])
                if score is not None:
                    score += here
                    gap = score - best[end]
                    if gap > 0:
                        best[end], begins[end] = score, start
                    if -closest < gap < closest:
                        closest = abs(gap)
        pieces = _back(text, begins)
        return Cut(pieces, sum(abs(get(piece, unknown)) for piece in pieces), closest < CLOSE * n)

    def cut_line(self, words: Sequence[Cut]) -> list[tuple[str, ...]]:
        """The pieces of each word of a line, from how each is cut by itself, by the sums of sentencepiece where they decide."""
        long = self.narrow and sum(word.weight for word in words) > LARGEST
        if not long and not (self.narrow and any(word.close for word in words)):
            return [word.pieces for word in words]
        total, out = 0.0, []
        for word in words:
            pieces = self._cut_narrow("".join(word.pieces), total) if word.close or long else word.pieces
            for piece in pieces:
                total = _float32(self.scores.get(piece, self.unknown) + total)
            out.append(pieces)
        return out

    def _cut_narrow(self, text: str, total: float) -> tuple[str, ...]:
        """The best way from a sum on, in 32 bits."""
        best: list[float | None] = [None] * (len(text) + 1)
        begins = [0] * (len(text) + 1)
        best[0] = total
        for start in range(len(text)):
            for length in (1, *self._lengths.get(text[start:start + 2], ())):
                end = start + length
                if end > len(text):
                    break
                score = self.scores.get(text[start:end])
                if score is None and length > 1:
                    continue
                score = _float32((self.unknown if score is None else score) + best[start])
                if best[end] is None or score > best[end]:
                    best[end], begins[end] = score, start
        return _back(text, begins)


def _back(text: str, begins: Sequence[int]) -> tuple[str, ...]:
    pieces, end = [], len(text)
    while end:
        pieces.append(text[begins[end]:end])
        end = begins[end]
    return tuple(reversed(pieces))


def _lengths(pieces: Mapping[str, float]) -> dict[str, tuple[int, ...]]:
    """First two characters -> how long the pieces are that begin with them: so that few strings are looked up in vain."""
    found: dict[str, set[int]] = {}
    for piece in pieces:
        if len(piece) > 1:
            found.setdefault(piece[:2], set()).add(len(piece))
    return {start: tuple(sorted(lengths)) for start, lengths in found.items()}


def _float32(x: float) -> float:
    return float(np.float32(x))
