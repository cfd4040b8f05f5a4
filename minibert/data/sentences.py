"""Splitting prose into sentences, by hand and by rule, in any script.

A sentence ends at a sign with Unicode's property Sentence_Terminal, the Burmese comma excepted, and at three that it leaves
out: the ellipsis, the Greek question mark, the double shad of Tibetan. Thai and Lao have no such sign: their layout must tell.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

SENTENCE_TERMINAL = """
    0021 002E 003F 0589 061D-061F 06D4 0700-0702 07F9 0837 0839 083D-083E 0964-0965 104A-104B 1362 1367-1368 166E 1735-1736
    17D4-17D5 1803 1809 1944-1945 1AA8-1AAB 1B4E-1B4F 1B5A-1B5B 1B5E-1B5F 1B7D-1B7F 1C3B-1C3C 1C7E-1C7F 2024 203C-203D
    2047-2049 2CF9-2CFB 2E2E 2E3C 2E53-2E54 2E60-2E61 3002 A4FF A60E-A60F A6F3 A6F7 A876-A877 A8CE-A8CF A92F A9C8-A9C9
    AA5D-AA5F AAF0-AAF1 ABEB FE12 FE15-FE16 FE52 FE56-FE57 FF01 FF0E FF1F FF61 10A56-10A57 10F55-10F59 10F86-10F89
    11047-11048 110BE-110C1 11141-11143 111C5-111C6 111CD 111DE-111DF 11238-11239 1123B-1123C 112A9 113D4-113D5 1144B-1144C
    115C2-115C3 115C9-115D7 11641-11642 1173C-1173E 11944 11946 11A42-11A43 11A9B-11A9C 11C41-11C42 11EF7-11EF8 11F43-11F44
    16A6E-16A6F 16AF5 16B37-16B38 16B44 16D6E-16D6F 16E98 1BC9F 1DA88
"""  # code points and ranges of them, hexadecimal: PropList.txt of Unicode 18.0
BURMESE_COMMA = "\u104a"  # the "little section", which the property counts among the ends
LEFT_OUT = "…\u037e\u0f0e"


def characters(table: str) -> set[str]:
    """What a table of code points and ranges holds."""
    ranges = [part.split("-") for part in table.split()]
    return {chr(code) for ends in ranges for code in range(int(ends[0], 16), int(ends[-1], 16) + 1)}


MARKS = characters(SENTENCE_TERMINAL) - {BURMESE_COMMA} | set(LEFT_OUT)
SPACED = set(".․!?…‼‽⁇⁈⁉")  # they end a sentence only before a space ("3.14", "node.js"), the others before anything

INVISIBLE = "\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff"  # signs of direction, joiners, no width: often behind a mark
_CLOSING = rf"""'"’”»)\]」』）】》〉｣{INVISIBLE}"""
_CLOSING_SPACED = _CLOSING + "“‘«›‹"  # before a space these close too: „Halt.“ and »Halt.«; after 。 they would open
_OPENING = "\"'“‘«([_*¿¡„‚»›‹「『（【《〈\u200b\u200e\u200f"

_GREEK_QUESTION = r"(?<=[\u0370-\u03ff\u1f00-\u1fff]);"  # after a letter of Greek, a semicolon is the question mark
_LAST = re.compile(rf"(?:[{''.join(map(re.escape, MARKS))}]|{_GREEK_QUESTION})[{_CLOSING_SPACED}]*(?:\ »)?$")
_WORD_BEFORE = re.compile(r"[^\s(\[\"'“‘„«»‚¿¡]*$")
_ORDINAL = re.compile("[0-9]{1,2}")
_CALENDAR = re.compile(  # German counts days and centuries with a point: "am 3. Oktober", "im 19. Jahrhundert"
    r"(?:Januar|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember|Jahrhundert)\w*"
)
_POINTED = re.compile(r"(?:[^\W\d_]|Chr)\.")  # what goes on after one letter with a point: "z. B.", "n. Chr."

_ABBREVIATIONS = frozenset(  # with a capital: only so
    # English
    "mr mrs ms dr prof sr jr st mt messrs mme mlle gen col maj capt lt sgt rev hon pres gov sen rep "
    "e.g i.e eg ie cf viz vs v al ca approx resp incl excl no nos vol pp p fig figs eq eqs sec ch ed eds "
    "jan feb mar apr jun jul aug sep sept oct nov dec "
    # German
    "bzw evtl ggf inkl exkl einschl vgl bspw sog z.b d.h u.a o.ä i.d.r v.chr n.chr s.o s.u z.t "
    "Nr Abb Abs Anm Bd Chr Hl Hr Hrsg Jh Kap Mio Mrd Str Tel Dipl Ing "
    # Spanish, Portuguese, Italian, French, Dutch
    "sra srta dra dña ud uds excmo exmo pág págs núm dott avv mgr dhr mevr bijv d.w.z "
    # Russian
    "г-н г-жа ул акад проф т.е т.д т.п".split()
)


def split_sentences(text: str) -> list[str]:
    """The sentences of one paragraph, whitespace normalised to single spaces.

    A sentence ends at ``.``, ``!``, ``?`` or ``…`` (with the quotes and brackets that close after it) before a space
    and something that does not begin in lower case, and at the marks of other scripts (``。``, ``।``, ``؟``) anywhere. It
    does not end after an abbreviation ("Dr.", "e.g."), an initial ("J. Smith") or inside a number ("3.14"). Linear in the
    length of the text.
    """
    text = " ".join(text.split())
    sentences = []
    start = 0
    for match in _ends(frozenset(MARKS.intersection(text)), ";" in text and not text.isascii()).finditer(text):
        if _ends_here(text, match):
            sentences.append(text[start : match.end()].rstrip())
            start = match.end()
    if start < len(text):
        sentences.append(text[start:])
    return sentences


def ends_sentence(line: str) -> bool:
    """Whether the last thing in a line is a mark that ends sentences, with what closes after it."""
    return _LAST.search(line.rstrip()[-20:]) is not None


def begins_lower(text: str) -> bool:
    """Whether it begins, quotes aside, with a small letter that could be a capital (Georgian and Hindi have none)."""
    letter = text.lstrip(_OPENING)[:1]
    return letter.islower() and letter.title() != letter


@lru_cache(maxsize=64)
def _ends(marks: frozenset[str], greek: bool) -> re.Pattern[str]:
    """Where a sentence may end in a text with these marks: the mark, what closes after it, and the space.

    Group 1 is there where the space must be. (French has one before its guillemet as well.) The lookbehind keeps a long run of
    marks from being tried again from its every sign. A class of few marks is several times as fast as one of all.
    """
    every, spaced, tight = ("".join(map(re.escape, sorted(some))) for some in (marks, marks & SPACED, marks - SPACED))
    begins = rf"(?<![{every}])"
    first = [rf"{begins}[{spaced}]+"] * bool(spaced) + [_GREEK_QUESTION] * greek or ["(?!)"]
    ways = [rf"({'|'.join(first)})[{_CLOSING_SPACED}]*(?:\ »(?=\ ))?\ (?=\S)"]
    if tight:
        marks_ = rf"[{spaced}]*[{tight}][{every}]*" if spaced else rf"[{tight}]+"
        ways.append(rf"{begins}{marks_}[{_CLOSING}]*(?![{every}{_CLOSING}])\ ?(?=\S)")
    return re.compile("|".join(ways))


def _ends_here(text: str, match: re.Match[str]) -> bool:
    mark, after = match.start(), match.end()
    if match[1] is None:  # ends anywhere, but not inside a number, nor where "１．" numbers what follows
        return not (text[mark - 1 : mark].isdigit() and (text[mark] in "．﹒" or text[mark + 1].isdigit()))
    if begins_lower(text[after : after + 20]):
        return False
    if match[1] not in (".", "․"):
        return True
    word = _WORD_BEFORE.search(text, max(0, mark - 20), mark)[0]
    if word in _ABBREVIATIONS or word.lower() in _ABBREVIATIONS:
        return False
    if len(word) == 1 and word.isalpha():
        return not (_is_initial(word) or _POINTED.match(text, after))
    return not (_ORDINAL.fullmatch(word) and _CALENDAR.match(text, after))


def _is_initial(letter: str) -> bool:
    """Of a name: a capital, or a letter of an alphabet without them. One syllable of Korean is a word."""
    return not begins_lower(letter) and letter != "I" and unicodedata.east_asian_width(letter) not in "WF"
