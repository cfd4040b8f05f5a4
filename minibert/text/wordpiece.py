"""WordPiece: a word becomes the pieces that the vocabulary holds.

Greedy, from the left: the longest piece that the vocabulary knows, then the longest that continues it, and so on;
pieces that continue a word are written ``##piece``. Where no piece fits, the whole word is unknown.
``WordpieceTokenizer`` in google-research/bert ``tokenization.py``; "Japanese and Korean voice search" (Schuster and
Nakajima, 2012) has the idea.
"""

from __future__ import annotations

from collections.abc import Container

UNKNOWN = "[UNK]"
CONTINUES = "##"
MAX_CHARACTERS = 100  # a longer word is unknown as a whole, whatever its pieces


def split(word: str, vocabulary: Container[str], longest: int = MAX_CHARACTERS, unknown: str = UNKNOWN) -> list[str]:
    """The pieces of one normalised word: ``"unaffable"`` gives ``["un", "##aff", "##able"]``, or ``["[UNK]"]``.

    ``longest``: no piece has more characters than this (saves asking the vocabulary for what it cannot hold). ``unknown``:
    what a word becomes that cannot be made of pieces.
    """
    if len(word) > MAX_CHARACTERS:
        return [unknown]
    if word in vocabulary:  # as most are; the search below would find the same
        return [word]
    pieces = []
    start = 0
    while start < len(word):
        prefix = CONTINUES if start else ""
        for end in range(min(len(word), start + longest), start, -1):
            piece = prefix + word[start:end]
            if piece in vocabulary:
                break
        else:
            return [unknown]
        pieces.append(piece)
        start = end
    return pieces
