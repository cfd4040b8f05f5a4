"""Tokens that are found in a text as they are written, before it is cut into words.

The special tokens are such tokens, and whatever a model was given beside its vocabulary: names, markers, words of a trade.
Flags as in the ``tokenizers`` library (its ``added_vocabulary.rs``), which this follows: at each place the longest token wins.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .vocabulary import Vocabulary


@dataclass(frozen=True)
class AddedToken:
    """One token and how it is found.

    ``special``: it frames or hides a text and is no word of it; such tokens are read as words where literal text is asked for.
    ``normalized``: it is looked for in the normalised text, so that ``[e1]`` is ``[E1]`` where the text is lowered.
    ``single_word``: not inside a word. ``lstrip``, ``rstrip``: the white space before, behind it is part of it.
    """

    content: str
    special: bool = False
    normalized: bool = True
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False


def special_tokens(vocab: Vocabulary) -> tuple[AddedToken, ...]:
    """The special tokens of a vocabulary, found as they are written."""
    return tuple(AddedToken(name, special=True, normalized=False) for name in vocab.special if name in vocab)


Part = tuple[int, int, "AddedToken | None"]  # start, end, and the token that stands there or None for other text


class Finder:
    """Finds tokens in a text. ``written``: what a token is in the texts that are looked through."""

    def __init__(self, tokens: Sequence[AddedToken], written: Callable[[str], str] = str):
        self._tokens = {written(token.content): token for token in reversed(tokens)}  # of two alike the first counts
        self._tokens.pop("", None)
        longest_first = sorted(self._tokens, key=len, reverse=True)
        self._search = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
        self._all_special = all(token.special for token in tokens)

    def __bool__(self) -> bool:
        return self._search is not None

    def is_needed(self, text: str, special: bool) -> bool:
        """Whether ``cut`` may find anything: most texts have nothing to find."""
        return self._search is not None and (special or not self._all_special) and bool(self._search.search(text))

    def cut(self, text: str, special: bool) -> Iterator[Part]:
        """The text in parts. Special tokens are other text where ``special`` is false."""
        done = 0
        for match in self._search.finditer(text) if self else ():
            token, (start, end) = self._tokens[match[0]], match.span()
            if token.special and not special:
                continue
            if token.single_word and (_ends_a_word(text[max(0, start - 1) : start]) or _ends_a_word(text[end : end + 1])):
                continue
            if token.lstrip:
                while start > done and _is_space(text[start - 1]):
                    start -= 1
                start = max(start, done)  # the token before may have taken blanks that this one begins with
            while token.rstrip and end < len(text) and _is_space(text[end]):
                end += 1
            if done < start:
                yield done, start, None
            if start < end:
                yield start, end, token
            done = end
        if done < len(text):
            yield done, len(text), None


def _is_space(char: str) -> bool:
    """Unicode's property White_Space; Python counts four separators of ASCII in."""
    return char.isspace() and not "\x1c" <= char <= "\x1f"


def _ends_a_word(char: str) -> bool:
    """What the library's ``\\w`` matches: letters, marks, digits, connectors, joiners; not the end of a text."""
    if not char:
        return False
    category = unicodedata.category(char)
    return category[0] in "LM" or category in ("Nd", "Nl", "Pc") or char in "\u200c\u200d"
