"""What stands around a text and between two, and how they are made to fit.

=========== ============================== ======================= =========================================================
``BERT``    ``[CLS] a [SEP] b [SEP]``      types 0 and 1           the longer text loses its last token, again and again;
                                                                   the second where both are as long (``truncate_seq_pair``
                                                                   in google-research/bert)
``ROBERTA`` ``<s> a </s></s> b </s>``      type 0 alone            the longer text loses its end; where that does not do,
                                                                   each keeps half, and the longer the odd token (the
                                                                   ``tokenizers`` library)
=========== ============================== ======================= =========================================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple


class Frame(NamedTuple):
    """``between``: how many [SEP] stand between two texts; ``second``: the token type of the second text and its [SEP];
    ``shorten``: the lengths that two texts keep, from those that they have and the room for both."""

    between: int
    second: int
    shorten: Callable[[Sequence[int], int], list[int]]

    def size(self, texts: int) -> int:
        """How many tokens it adds to a text, or to two."""
        return 2 + self.between * (texts - 1)


def by_turns(lengths: Sequence[int], room: int) -> list[int]:
    """(9, 4) in 8 becomes (4, 4), (8, 8) in 9 (5, 4)."""
    lengths = list(lengths)
    for _ in range(sum(lengths) - room):
        longest = max(reversed(range(len(lengths))), key=lengths.__getitem__)  # of several longest, max takes the first
        lengths[longest] -= 1
    return lengths


def by_halves(lengths: Sequence[int], room: int) -> list[int]:
    """(9, 4) in 8 becomes (4, 4), (8, 8) in 9 (4, 5)."""
    if sum(lengths) <= room or len(lengths) == 1:
        return [min(lengths[0], room), *lengths[1:]]
    kept = min(*lengths, room // 2)
    return [room - kept, kept] if lengths[0] > lengths[1] else [kept, room - kept]


SHORTEN = {rule.__name__: rule for rule in (by_turns, by_halves)}

BERT = Frame(between=1, second=1, shorten=by_turns)
ROBERTA = Frame(between=2, second=0, shorten=by_halves)
