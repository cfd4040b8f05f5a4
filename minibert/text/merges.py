"""SentencePiece's byte-pair encoding: neighbours are joined into pieces of the vocabulary, those with the best score first.

Unlike the byte-level kind it has no list of joins. Any two neighbours whose text together is a piece may be joined, and the score
of that piece says when: the trainer gives 0, -1, -2 … in the order in which it made them. Of equal scores the leftmost pair goes.

``frozen`` pieces (user-defined symbols) are found first, the longest at each place, and joined with nothing. ``unused`` ones
serve as steps to longer pieces and are taken apart again where they remain. Source: ``bpe_model.cc`` in sentencepiece.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Collection, Mapping


class Merges:
    """``scores``: piece -> score, the frozen and unused ones among them."""

    def __init__(self, scores: Mapping[str, float], frozen: Collection[str] = (), unused: Collection[str] = ()):
        self.scores, self.frozen, self.unused = scores, frozenset(frozen), frozenset(unused)
        longest_first = sorted(self.frozen, key=len, reverse=True)
        self._parts = re.compile("|".join([*map(re.escape, longest_first), "."]), re.DOTALL)

    def cut(self, text: str) -> tuple[str, ...]:
        """The pieces of a text; a character that is no piece stays by itself."""
        parts: list[str] = self._parts.findall(text)
        after, before = [*range(1, len(parts)), -1], [-1, *range(len(parts) - 1)]
        queue: list[tuple[float, int, int, str]] = []
        made_of: dict[str, tuple[str, str]] = {}

        def offer(left: int, right: int) -> None:
            if left < 0 or right < 0 or parts[left] in self.frozen or parts[right] in self.frozen:
                return
            piece = parts[left] + parts[right]
            score = self.scores.get(piece)
            if score is not None:
                heapq.heappush(queue, (-score, left, right, piece))
                if piece in self.unused:
                    made_of[piece] = parts[left], parts[right]

        for left in range(len(parts) - 1):
            offer(left, left + 1)
        while queue:
            _, left, right, piece = heapq.heappop(queue)
            if not parts[left] or not parts[right] or parts[left] + parts[right] != piece:
                continue  # one of the two has been joined with another since
            parts[left], parts[right] = piece, ""
            after[left] = after[right]
            if after[right] >= 0:
                before[after[right]] = left
            offer(before[left], left)
            offer(left, after[left])
        return tuple(piece for part in parts if part for piece in _taken_apart(part, made_of))


def _taken_apart(piece: str, made_of: Mapping[str, tuple[str, str]]) -> list[str]:
    found, waiting = [], [piece]
    while waiting:
        piece = waiting.pop()
        if piece in made_of:
            waiting += reversed(made_of[piece])
        else:
            found.append(piece)
    return found
