"""Normalisation: from a text to its words, before any vocabulary is asked.

Five steps, each a function of its own that maps a string to a string, in the order of ``BasicTokenizer`` in
google-research/bert ``tokenization.py``:

1. ``clean``              NUL, U+FFFD and control characters go, every kind of white space becomes a space;
2. ``split_cjk``          spaces around each Chinese character, so that each is a word;
3. ``str.lower``          lower case;
4. ``strip_accents``      canonical decomposition (NFD), then the combining marks (category Mn) go;
5. ``split_punctuation``  spaces around each punctuation character, so that each is a word.

What white space then separates are the words. The reference applies steps 3 to 5 word by word; on the whole text the
result is the same, since no rule of Unicode looks across a space.

All classes of characters are those of Python's ``unicodedata``, as in the reference's Python code. The ``tokenizers``
library carries tables of its own, of other Unicode versions; see ``DIFFERENCES`` for where the two disagree.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

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


class _Table(dict):
    """A table for ``str.translate`` that asks ``rule`` once for every character it meets, and remembers."""

    def __init__(self, rule: Callable[[str], str]):
        super().__init__()
        self.rule = rule

    def __missing__(self, codepoint: int) -> str:
        result = self[codepoint] = self.rule(chr(codepoint))
        return result


def _clean(char: str) -> str:
    if char in "\0\ufffd" or is_control(char):
        return ""
    return " " if is_whitespace(char) else char


_CLEAN = _Table(_clean)
_SPLIT_CJK = _Table(lambda char: f" {char} " if is_cjk(char) else char)
_DROP_MARKS = _Table(lambda char: "" if unicodedata.category(char) == "Mn" else char)
_SPLIT_PUNCTUATION = _Table(lambda char: f" {char} " if is_punctuation(char) else char)


def clean(text: str) -> str:
    """Step 1: ``"a\\x00b\\tc"`` becomes ``"ab c"``."""
    return text.translate(_CLEAN)


def split_cjk(text: str) -> str:
    """Step 2: ``"北京2008"`` becomes ``" 北  京 2008"``."""
    return text if text.isascii() else text.translate(_SPLIT_CJK)


def strip_accents(text: str) -> str:
    """Step 4: ``"café"`` becomes ``"cafe"``."""
    return text if text.isascii() else unicodedata.normalize("NFD", text).translate(_DROP_MARKS)


def split_punctuation(text: str) -> str:
    """Step 5: ``"don't."`` becomes ``"don ' t . "``."""
    return text.translate(_SPLIT_PUNCTUATION)


def steps(*, lower_case: bool = True, accents: bool | None = None, cjk: bool = True) -> list[Callable[[str], str]]:
    """The functions to apply, in order. ``accents``: whether to strip them; None does what ``lower_case`` says."""
    chosen = [clean]
    if cjk:
        chosen.append(split_cjk)
    if lower_case:
        chosen.append(str.lower)
    if lower_case if accents is None else accents:
        chosen.append(strip_accents)
    return [*chosen, split_punctuation]


def words(text: str, chosen: list[Callable[[str], str]]) -> list[str]:
    """The words of a text after the chosen ``steps``."""
    for step in chosen:
        text = step(text)
    return text.split()


def words_with_offsets(text: str, chosen: list[Callable[[str], str]]) -> list[tuple[str, list[int]]]:
    """The same words, each with one number per character: where in ``text`` that character came from.

    Every step treats characters one by one (what a character becomes may be nothing, or several; the one exception, a
    final sigma, keeps its place), so the positions are carried along by asking the step about each character alone.
    """
    at = list(range(len(text)))
    for step in chosen:
        at = [position for char, position in zip(text, at) for _ in step(char)]
        text = step(text)
    return [(match[0], at[match.start() : match.end()]) for match in re.finditer(r"\S+", text)]


_CONTROL_SPACE = re.compile("[\x0b\x0c\x1c-\x1f\x85]")  # Python takes them for white space, ``clean`` removes them
_RAW_WORD = re.compile(rf"(?:\S|{_CONTROL_SPACE.pattern})+")


def raw_words(text: str) -> list[str]:
    """The text cut at its white space before any step: each raw word can then be normalised (and cached) by itself."""
    return _RAW_WORD.findall(text) if _CONTROL_SPACE.search(text) else text.split()


def raw_words_with_offsets(text: str) -> list[tuple[str, int]]:
    """The same raw words, each with its place in the text."""
    return [(match[0], match.start()) for match in _RAW_WORD.finditer(text)]
