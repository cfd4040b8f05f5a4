"""The unigram model: of all ways to cut a text into pieces, the most likely one.

Each piece has a score, the logarithm of how often it occurs, and the pieces of a text are taken to be independent. So the best
way to reach a place ends with a piece that begins at some earlier place, reached in the best way (Viterbi)::

    best(0) = 0        best(end) = max over pieces text[start:end] of  best(start) + score(piece)

A character that is no piece by itself is unknown there, at the lowest score minus 10; unknown characters that follow one
another are one unknown piece. Of ways that are equally good the one whose last piece is longest goes. "Subword Regularization"
(Kudo, 2018, arXiv:1804.10959); ``unigram_model.cc`` in sentencepiece, ``unigram/model.rs`` in tokenizers.

**How it is added up.** ``aab`` may be ``a|ab`` or ``aa|b``, and of ``---- ----`` many ways are exactly as good, but for
rounding, and that decides. tokenizers adds up in 64 bits and begins anew with each word; sentencepiece in 32 bits over the
whole line, so that a word may be cut in one way here and in another there, by what stands before it. ``narrow`` does as the
latter. A word is cut by itself all the same, and remembered: no piece has a word's beginning in its middle, so the best way
through a line goes through each. Only where two ways are as close as the rounding of a line could reach, its sums are done once
more as sentencepiece does them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np

UNKNOWN_PENALTY = 10.0
CLOSE = 2.0 ** -11  # two ways that differ by less than this for each character may be decided by the rounding of a line …
LARGEST = 2.0 ** 12  # … whose sum is at most this, where float32 has steps of 2**-12 and two sums part by one for each character


Node = dict[str, list]  # character -> [score of the piece that ends with it or None, what may follow]


class Cut(NamedTuple):
    """How a text is cut."""

    pieces: tuple[str, ...]
    weight: float  # no sum goes further from 0 by its scores
    close: bool  # another way is as good within rounding


class Unigram:
    """``scores``: piece -> score. ``lowest``: the score from which the unknown ones lie ``UNKNOWN_PENALTY`` off."""

    def __init__(self, scores: Mapping[str, float], lowest: float, *, narrow: bool = False):
        self.scores = dict(scores)
        self.unknown = _float32(lowest - UNKNOWN_PENALTY) if narrow else lowest - UNKNOWN_PENALTY
        self.narrow = narrow
        self.heaviest = max(map(abs, (*self.scores.values(), self.unknown)))
        self._falls = max(self.scores.values(), default=0.0) <= 0
        self._trie, self._longest = _trie(self.scores), max(map(len, self.scores), default=1)

    def beginning(self, text: str, start: int) -> Iterator[tuple[int, float]]:
        """(end, score) of each piece that begins at a place."""
        node = self._trie
        for end in range(start, len(text)):
            if (entry := node.get(text[end])) is None:
                return
            score, node = entry
            if score is not None:
                yield end + 1, score

    def cut(self, text: str, whole: bool = True) -> Cut:
        """The best way, added up in 64 bits; the text itself as a piece is one only where ``whole`` is true."""
        n, trie, scores, longest, close = len(text), self._trie, self.scores, self._longest, CLOSE * len(text)
        best, begins, near = [-sys.float_info.max] * (n + 1), [0] * (n + 1), [False] * (n + 1)
        best[0] = 0.0
        for start, char in enumerate(text):
            here, node, end = best[start], trie if char in scores else self._with_unknown(char), start
            for char in text[start:start + longest] if whole or start else text[:-1]:
                entry = node.get(char)
                if entry is None:
                    break
                score, node = entry
                end += 1
                if score is not None:
                    score += here
                    other = best[end]
                    if score > other:
                        best[end], begins[end], near[end] = score, start, score - other < close
                    elif other - score < close:
                        near[end] = True
        pieces = _back(text, begins)
        weight = -best[n] if self._falls else sum(abs(self.scores.get(piece, self.unknown)) for piece in pieces)
        return Cut(pieces, weight, True in near and any(near[end] for end in accumulate(map(len, pieces))))

    def _with_unknown(self, char: str) -> Node:
        """A trie for a character that is no piece: it is unknown, unless longer pieces begin with it."""
        _, after = self._trie.get(char, (None, {}))
        return {char: [self.unknown, after]}

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
        for start, char in enumerate(text):
            pieces = [*self.beginning(text, start)]
            pieces += [] if char in self.scores else [(start + 1, self.unknown)]
            for end, score in pieces:
                score = _float32(score + best[start])
                if best[end] is None or score > best[end]:
                    best[end], begins[end] = score, start
        return _back(text, begins)


def _back(text: str, begins: Sequence[int]) -> tuple[str, ...]:
    """The pieces of the best way, from where each begins that ends at a place."""
    pieces, end = [], len(text)
    while end:
        start = begins[end]
        pieces.append(text[start:end])
        end = start
    return tuple(pieces[::-1])


def _trie(scores: Mapping[str, float]) -> Node:
    root: Node = {}
    for piece, score in scores.items():
        node = root
        for char in piece:
            entry = node.setdefault(char, [None, {}])
            node = entry[1]
        entry[0] = score
    return root


def _float32(x: float) -> float:
    return float(np.float32(x))
