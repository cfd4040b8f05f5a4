"""Splitting prose into sentences, by hand and by rule."""

from __future__ import annotations

import re

# A sentence may end where its mark, with closing quotes and brackets, is followed by a space; Chinese and Japanese
# marks need no space. The lookbehind keeps a long run of dots from being tried again from its every dot.
_END = re.compile(r"""(?<![.!?…])[.!?…]+["'”’»)\]]*\ (?=\S)|[。！？]+["'”’」』）]*\ ?(?=\S)""", re.VERBOSE)
_WORD_BEFORE = re.compile(r"[^\s(\[\"'“‘]*$")
_OPENING = "\"'“‘«([_*¿¡"

_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof sr jr st mt messrs mme mlle gen col maj capt lt sgt rev hon pres gov sen rep "
    "e.g i.e eg ie cf viz vs v al ca approx resp incl excl no nos vol pp p fig figs eq eqs sec ch ed eds "
    "jan feb mar apr jun jul aug sep sept oct nov dec".split()
)


def split_sentences(text: str) -> list[str]:
    """The sentences of one paragraph, whitespace normalised to single spaces.

    A sentence ends at ``.``, ``!``, ``?`` or ``…`` (with the quotes and brackets that close after it) before a space
    and something that does not begin in lower case, and at ``。！？`` anywhere. It does not end after an abbreviation
    ("Dr.", "e.g."), an initial ("J. Smith") or inside a number ("3.14"). Linear in the length of the text.
    """
    text = " ".join(text.split())
    sentences = []
    start = 0
    for match in _END.finditer(text):
        if _ends_here(text, match.start(), match.end()):
            sentences.append(text[start : match.end()].rstrip())
            start = match.end()
    if start < len(text):
        sentences.append(text[start:])
    return sentences


def _ends_here(text: str, mark: int, after: int) -> bool:
    if text[mark] in "。！？":
        return True
    begins = after
    while begins < len(text) - 1 and text[begins] in _OPENING:
        begins += 1
    if text[begins].islower():
        return False
    if text[mark] == "." and text[mark + 1] != ".":
        word = _WORD_BEFORE.search(text, max(0, mark - 20), mark)[0]
        initial = len(word) == 1 and word.isalpha() and word.isupper() and word != "I"
        return not (initial or word.lower() in _ABBREVIATIONS)
    return True
