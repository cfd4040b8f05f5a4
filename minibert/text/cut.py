r"""Cutting what is no prose: molecules, proteins, DNA, logs. A regular expression, or single characters, instead of words.

White space separates here too and is no token. Between it the expression is tried at each place, from the left; what it matches
is a word, and so is each run that it does not match, so that nothing is lost. The vocabulary decides what becomes of a word.

The expression of a folder is somebody else's, and Python's ``re`` cannot be interrupted. So it is bounded beforehand:

- It has at most ``LONGEST`` characters, and sees at most ``WINDOW`` characters of text at a time: no longer word is known anyway.
- Back references, conditions, flags and repeats of what may be empty are refused. The rest is counted: how many ways there are to
  match ``WINDOW`` characters. A repeat of one character has as many as it has lengths, what follows multiplies, alternatives add,
  and a repeat of several ways has their powers. Where that exceeds ``WAYS``, as in ``(a+)+`` or ``a*b*c*``, it is refused.

Every try then takes some milliseconds at worst, and a text a time that grows with its length and not faster.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .wordpiece import MAX_CHARACTERS

try:
    from re import _parser
except ImportError:  # Python 3.10
    import sre_parse as _parser

CHARACTERS = "characters"
LONGEST = 1000
WINDOW = MAX_CHARACTERS
WAYS = 1 << 14


class Cut:
    """``"characters"``, or a regular expression: ``Cut("[A-Z][a-z]?|.")("NaCl")`` gives ``["Na", "Cl"]``.

    ValueError, beginning with ``source``, for an expression that is none, or may take too long.
    """

    def __init__(self, rule: str, source: str = "cut"):
        if not isinstance(rule, str) or not rule:
            raise ValueError(f"{source} must be {CHARACTERS!r} or a regular expression, found {rule!r}")
        self.rule = rule
        self._match = None if rule == CHARACTERS else _compiled(rule, source).match

    def spans(self, run: str) -> Iterator[tuple[int, int]]:
        """(start, end) of each word in a run of text without white space."""
        if self._match is None:
            yield from ((place, place + 1) for place in range(len(run)))
            return
        start = place = 0  # from start to place nothing has matched
        while place < len(run):
            found = self._match(run, place, place + WINDOW)
            if found is None or found.end() == place:
                place += 1
                continue
            if start < place:
                yield start, place
            yield found.span()
            start = place = found.end()
        if start < place:
            yield start, place

    def __call__(self, run: str) -> list[str]:
        return [run[start:end] for start, end in self.spans(run)]


def _compiled(rule: str, source: str) -> re.Pattern[str]:
    shown = rule if len(rule) <= 60 else f"{rule[:59]}…"
    if len(rule) > LONGEST:
        raise ValueError(f"{source}: the expression {shown} has {len(rule):,} characters; at most {LONGEST:,} are read")
    try:
        tree = _parser.parse(rule)
        why = _refused(tree)
        if not why and _ways(tree) > WAYS:
            why = "may match a text in too many ways, which can take forever; give its repeats an upper bound, as in [0-9]{1,9}"
        if not why:
            return re.compile(rule)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{source}: {shown} is no regular expression: {error}") from None
    raise ValueError(f"{source}: the expression {shown} {why}")


def _refused(tree: Any) -> str:
    """Why an expression is not taken, whatever time it needs; empty where it is."""
    if tree.state.flags & ~re.UNICODE:
        return "sets flags, which are not done here; write both cases of a letter instead, as in [Aa]"
    return next((why for name, body in _nodes(tree) if (why := _REFUSED.get(name) or _of_node(name, body))), "")


_REFUSED = dict.fromkeys(("GROUPREF", "GROUPREF_EXISTS", "GROUPREF_IGNORE"),
                         "refers back to a group, which can take forever; write out what the group may be") | dict.fromkeys(
    ("POSSESSIVE_REPEAT", "ATOMIC_GROUP"), "has a possessive repeat or an atomic group, which older Pythons do not know")


def _of_node(name: str, body: Any) -> str:
    if name == "SUBPATTERN" and (body[1] or body[2]):
        return "sets flags, which are not done here; write both cases of a letter instead, as in [Aa]"
    if name in ("MAX_REPEAT", "MIN_REPEAT") and body[2].getwidth()[0] == 0:
        return "repeats what may be empty, which can take forever; let the inner part match at least one character"
    return ""


def _nodes(tree: Any) -> Iterator[tuple[str, Any]]:
    for op, body in tree:
        yield str(op), body
        for part in _parts(str(op), body):
            yield from _nodes(part)


def _parts(name: str, body: Any) -> list[Any]:
    """The expressions inside a node."""
    if name == "BRANCH":
        return body[1]
    return [body[-1]] if name in ("SUBPATTERN", "MAX_REPEAT", "MIN_REPEAT", "ASSERT", "ASSERT_NOT") else []


def _ways(tree: Any) -> int:
    """In how many ways it may match the beginning of ``WINDOW`` characters, at most; not counted further than past ``WAYS``."""
    ways = 1
    for op, body in tree:
        name, parts = str(op), [_ways(part) for part in _parts(str(op), body)]
        if "REPEAT" in name:
            least, most = body[0], min(int(body[1]), WINDOW // body[2].getwidth()[0])
            parts = [sum(_power(parts[0], n) for n in range(least, max(least, most) + 1))]
        ways = min(ways * (sum(parts) if parts else 1), WAYS + 1)
    return ways


def _power(ways: int, n: int) -> int:
    return min(ways ** min(n, WAYS.bit_length()), WAYS + 1)
