"""Normalisation: from a text to its words, before any vocabulary is asked.

Five steps, each a function of its own that maps a string to a string, in the order of ``BasicTokenizer`` in
google-research/bert ``tokenization.py``:

1. ``clean``              NUL, U+FFFD and control characters go, every kind of white space becomes a space;
2. ``space_cjk``          spaces around each Chinese character, so that each is a word;
3. ``str.lower``          lower case;
4. ``drop_accents``       canonical decomposition (NFD), then the combining marks (category Mn) go;
5. ``space_punctuation``  spaces around each punctuation character, so that each is a word.

What white space then separates are the words. The reference applies steps 3 to 5 word by word; on the whole text the
result is the same, since no rule of Unicode looks across a space. And nearly every character becomes the same wherever it
stands, so that ``Normalizer.words`` looks up what all five steps make of it.

All classes of characters are those of Python's ``unicodedata``, as in the reference. The ``tokenizers`` library has
tables of its own, of other Unicode versions. Between two letters it treats these code points otherwise, lower-casing
(counted by ``python tests/oracle/test_tokenizer.py`` with unicodedata 14.0.0, that is Python 3.11, and tokenizers
0.23.3):

======== ======== ============ ======================================================================================
category count    here, there
======== ======== ============ ======================================================================================
Cn       829,834  removed/kept not assigned in Unicode 14: no characters (yet); each newer Python knows a few more
Mn           384  removed/kept combining marks of scripts that its table does not know yet
Lo           256  own word/kept U+2B820 to U+2B91F: its CJK block starts at U+2B920, a slip of one digit
Po Pd Ps Pe  104  own word/kept punctuation newer than its table
Cf            13  removed/kept format characters newer than its table
Mc             2  U+1734 was Mn when its table was made; U+11938 has a decomposition that it does not know
So             1  U+166D was punctuation then
======== ======== ============ ======================================================================================

And one rule: a capital sigma at the end of a word becomes a final sigma here, as Python's ``str.lower`` has it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache, partial, reduce
from typing import Any

from .cut import Cut

CJK = (  # what the reference calls a Chinese character: no kana, no Hangul, they are written in words
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


def is_control(char: str) -> bool:
    """Whether ``clean`` removes a character: category C*, so unassigned code points too, but not tab and newline."""
    return char not in "\t\n\r" and unicodedata.category(char)[0] == "C"


def is_whitespace(char: str) -> bool:
    """Whether ``clean`` makes a space of a character: space, tab, newline, carriage return, category Zs."""
    return char in " \t\n\r" or unicodedata.category(char) == "Zs"


def is_cjk(char: str) -> bool:
    """Whether a character is an ideograph, by the blocks that the reference lists."""
    return any(first <= ord(char) <= last for first, last in CJK)


def is_punctuation(char: str) -> bool:
    """Whether a character is a word of its own: every ASCII sign ($ + < = > ^ ` | ~ too), and category P*."""
    return unicodedata.category(char)[0] == "P" or ("!" <= char <= "~" and not char.isalnum())


class Memory(dict):
    """A table that asks ``rule`` once for every key, and remembers."""

    def __init__(self, rule: Callable[[Any], Any]):
        super().__init__()
        self.rule = rule

    def __missing__(self, key: Any) -> Any:
        result = self[key] = self.rule(key)
        return result


def _table(rule: Callable[[str], str]) -> Memory:
    """For ``str.translate``: what each code point becomes."""
    return Memory(lambda codepoint: rule(chr(codepoint)))


def _clean(char: str) -> str:
    if char in "\0\ufffd" or is_control(char):
        return ""
    return " " if is_whitespace(char) else char


_CLEAN = _table(_clean)
_SPACE_CJK = _table(lambda char: f" {char} " if is_cjk(char) else char)
_DROP_MARKS = _table(lambda char: "" if unicodedata.category(char) == "Mn" else char)
_SPACE_PUNCTUATION = _table(lambda char: f" {char} " if is_punctuation(char) else char)


def clean(text: str) -> str:
    """Step 1: ``"a\\x00b\\tc"`` becomes ``"ab c"``."""
    return text.translate(_CLEAN)


def space_cjk(text: str) -> str:
    """Step 2: ``"北京2008"`` becomes ``" 北  京 2008"``."""
    return text if text.isascii() else text.translate(_SPACE_CJK)


def drop_accents(text: str) -> str:
    """Step 4: ``"café"`` becomes ``"cafe"``."""
    return text if text.isascii() else unicodedata.normalize("NFD", text).translate(_DROP_MARKS)


def space_punctuation(text: str) -> str:
    """Step 5: ``"don't."`` becomes ``"don ' t . "``."""
    return text.translate(_SPACE_PUNCTUATION)


class _LooksAround(Exception):
    """What a character becomes depends on those around it."""


@cache
def _by_all(*steps: Callable[[str], str]) -> Memory:
    """For ``str.translate``: what all the steps make of each character."""
    return Memory(partial(_alone, steps))


def _alone(steps: Sequence[Callable[[str], str]], codepoint: int) -> str:
    """What the steps make of a character wherever it stands.

    Two kinds raise ``_LooksAround``: a capital sigma, of which ``str.lower`` may make a final one, and where accents go, marks
    that are no Mn and stay, since NFD puts marks in order.
    """
    char = chr(codepoint)
    text = reduce(lambda text, step: step(text), steps, char)
    if (char == "Σ" and str.lower in steps) or (drop_accents in steps and any(map(unicodedata.combining, text))):
        raise _LooksAround
    return text


class Normalizer:
    """The chosen steps, in order, in ``steps``. ``strip_accents=None`` does what ``lower_case`` says, as the reference.

    With a ``cut``, that finds the words between white space: steps 2 and 5 fall away.
    """

    def __init__(self, *, lower_case: bool = True, strip_accents: bool | None = None, split_cjk: bool = True,
                 cut: Cut | None = None):
        self.cut = cut
        self.steps: list[Callable[[str], str]] = [clean]
        if split_cjk and not cut:
            self.steps.append(space_cjk)
        if lower_case:
            self.steps.append(str.lower)
        if lower_case if strip_accents is None else strip_accents:
            self.steps.append(drop_accents)
        self.steps.append(self._space_cut if cut else space_punctuation)
        self._by_all = None if cut else _by_all(*self.steps)
        self._lower = lower_case
        self._lengths = Memory(self._length)

    def __call__(self, text: str) -> str:
        """The text after all steps: its words, with white space between them."""
        for step in self.steps:
            text = step(text)
        return text

    def words(self, text: str) -> list[str]:
        """``"Don't stop"`` gives ``["don", "'", "t", "stop"]``.

        As ``self(text).split()``, but all steps at once: one look at each character. In printable ASCII nothing is cleaned, no
        character is Chinese and none has an accent: what is left of the steps is lower case and the cut at signs, a search.
        """
        if self._by_all is None:
            return self(text).split()
        if text.isascii() and text.isprintable():
            text = text.lower() if self._lower else text
            return [text] if text.isalnum() else _ASCII_WORD.findall(text)
        try:
            return text.translate(self._by_all).split()
        except _LooksAround:
            return self(text).split()

    def words_with_offsets(self, text: str) -> list[tuple[str, list[int]]]:
        """The same words, each with one number per character: where in ``text`` that character came from."""
        return self.words_of_whole(*self.whole_with_offsets(text))

    def whole(self, text: str) -> str:
        """The text after all steps but the last: not yet cut at its punctuation."""
        for step in self.steps[:-1]:
            text = step(text)
        return text

    def whole_with_offsets(self, text: str) -> tuple[str, list[int]]:
        """The same, with one number per character: where in ``text`` it came from.

        Every step treats the characters one by one: each becomes nothing, one or several. (What looks at neighbours, a
        final sigma and the order of marks, changes no length.) So a character's share in the result is as long as the
        character alone becomes.
        """
        return self.whole(text), [place for place, char in enumerate(text) for _ in range(self._lengths[char])]

    def words_of_whole(self, text: str, at: Sequence[int]) -> list[tuple[str, list[int]]]:
        """The words of what ``whole_with_offsets`` returned, or of a part of it, each with its characters' numbers."""
        if self.cut:
            return [(run[0][start:end], list(at[run.start() + start:run.start() + end]))
                    for run in _RUN.finditer(text) for start, end in self.cut.spans(run[0])]
        spaced = [place for char, place in zip(text, at) for _ in space_punctuation(char)]
        return [(match[0], spaced[match.start() : match.end()]) for match in _RUN.finditer(space_punctuation(text))]

    def _space_cut(self, text: str) -> str:
        """Step 5 where there is a cut."""
        return " ".join(word for run in _RUN.findall(text) for word in self.cut(run))

    def _length(self, char: str) -> int:
        return len(self.whole(char))


_RUN = re.compile(r"\S+")
_ASCII_WORD = re.compile("[A-Za-z0-9]+|[!-~]")  # a run of letters and digits, or one sign
_CONTROL_SPACE = re.compile("[\x0b\x0c\x1c-\x1f\x85]")  # Python takes them for white space, ``clean`` removes them
_RAW_WORD = re.compile(rf"(?:\S|{_CONTROL_SPACE.pattern})+")


def raw_words(text: str) -> list[str]:
    """The text cut at its white space before any step: each raw word can then be normalised (and cached) by itself."""
    plain = text.isprintable() or not _CONTROL_SPACE.search(text)  # the first is the quicker question
    return text.split() if plain else _RAW_WORD.findall(text)


def raw_words_with_offsets(text: str) -> list[tuple[str, int]]:
    """The same raw words, each with its place in the text."""
    return [(match[0], match.start()) for match in _RAW_WORD.finditer(text)]
