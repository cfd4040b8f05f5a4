"""The exercises of lesson 24, bytes and pieces, and how they are judged."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from lessons.check import Wrong, close, exercise, expect
from minibert.text import Vocabulary, learn_unigram
from minibert.text.bytepairs import CHARACTERS, BytePairs
from minibert.text.learn import BYTE_SPECIAL
from minibert.text.unigram import Unigram


@exercise("(text)", look="Toy numbers: letters as bytes", level="easy")
def tokens_of_bytes(answer: Callable[..., Any]) -> None:
    """Into how many tokens is a text cut by byte pairs that have learned no join at all? Example: "é!" gives 3."""
    for text in ("", "plain text", "é!", "naïve Łódź", "北京 🙂", "a\u0301"):
        right, got = len(text.encode("utf-8")), answer(text)
        if got != right and got == len(text):
            raise Wrong(f"{text!r}: these are its characters; beyond ASCII a character is several bytes")
        expect(got == right, f"{text!r}: expected {right}, got {got}")


@exercise("(symbols, joins)", look="Cutting in the order of learning", level="medium")
def join_in_order(answer: Callable[..., Any]) -> None:
    """The pieces of a word, a list, by byte pairs. symbols: its characters, as a string; joins: a list of pairs (left, right),
    the earliest learned first. Example: "abc" with [("b", "c"), ("a", "b")] gives ["a", "bc"]."""
    fixed = [("abc", [("b", "c"), ("a", "b")]), ("abc", [("a", "b"), ("b", "c")]), ("aaaa", [("a", "a"), ("aa", "aa")]),
             ("aaa", [("a", "a")]), ("", [("a", "b")]), ("abab", []),
             ("abc", [("a", "b"), ("b", "c"), ("a", "bc")])]
    rng = random.Random(24)
    for _ in range(100):
        pieces, joins = ["a", "b", "c"], []
        for _ in range(6):
            pair = rng.choice(pieces), rng.choice(pieces)
            if "".join(pair) not in pieces:
                joins.append(pair)
                pieces.append("".join(pair))
        fixed.append(("".join(rng.choices("abc", k=rng.randint(1, 10))), joins))
    for symbols, joins in fixed:
        right, got = _joined(symbols, joins), list(answer(symbols, list(joins)))
        if got != right:
            known = {*symbols, *(left + right for left, right in joins)}
            hint = "; this takes the longest piece first" if got == _longest_first(symbols, known) else \
                "; a join is made wherever its pair stands" if len(got) > len(right) else ""
            raise Wrong(f"{symbols!r} with {joins}: expected {right}, got {got}{hint}")


def _joined(symbols: str, joins: list[tuple[str, str]]) -> list[str]:
    """As the library does it."""
    vocabulary = Vocabulary(list(dict.fromkeys([*BYTE_SPECIAL, *CHARACTERS, *(left + right for left, right in joins)])),
                            special=BYTE_SPECIAL)
    return [vocabulary.tokens[number] for number in BytePairs(vocabulary, (), merges=joins).ids(symbols)]


def _longest_first(symbols: str, known: Collection[str]) -> list[str]:
    """Every single character is known."""
    pieces = []
    while symbols:
        piece = next(symbols[:end] for end in range(len(symbols), 0, -1) if symbols[:end] in known)
        pieces.append(piece)
        symbols = symbols[len(piece):]
    return pieces


@exercise("(word, pieces)", look="The equation", level="medium")
def number_of_ways(answer: Callable[..., Any]) -> None:
    """In how many ways can a word be cut into pieces of a set? From left to right, as Viterbi, but adding up instead of taking
    the largest: a word may have 60 letters. Example: "unaffable" with {"un", "una", "aff", "ff", "able"} gives 2."""
    for word, pieces, right in [
        ("unaffable", {"un", "una", "aff", "ff", "able"}, 2),
        ("able", {"able"}, 1),
        ("able", {"a", "b", "l"}, 0),
        ("aaaa", {"a", "aa"}, 5),
        ("a" * 60, {"a", "aa", "aaa"}, _tribonacci(60)),
        ("ab" * 30, {"a", "b", "ab"}, 2**30),
    ]:
        got = answer(word, set(pieces))
        if got != right and got == right - 1:
            raise Wrong(f"{word!r} with {sorted(pieces)}: one is missing; is the whole word a way, where it is a piece?")
        expect(got == right, f"{word!r} with {sorted(pieces)}: expected {right:,}, got {got}")


def _tribonacci(n: int) -> int:
    ways = [0, 0, 1]
    for _ in range(n):
        ways.append(sum(ways[-3:]))
    return ways[-1]


@exercise("(word, scores)", look="The equation", level="hard")
def likeliest_pieces(answer: Callable[..., Any]) -> None:
    """The pieces of a word, a list, whose scores have the largest sum; of ways that are equally good, any. scores: piece ->
    logarithm of its probability; every letter of the word is a piece. Words may have 60 letters.
    Example: "ab" with scores -1 for a, -1 for b and -3 for ab gives ["a", "b"]."""
    rng = np.random.default_rng(241)
    cases = [("unaffable", {"un": -2.3, "una": -3.9, "aff": -3.0, "ff": -2.3, "able": -1.6, **dict.fromkeys("unafble", -9.0)})]
    for length in (1, 5, 9, 60):
        scores = {piece: float(score) for piece, score in zip(("a", "b", "ab", "ba", "aab", "abb", "bab"), rng.normal(-3, 1, 7))}
        cases.append(("".join(rng.choice([*"ab"], length)), scores))
    for word, scores in cases:
        right, got = list(Unigram(scores, min(scores.values())).cut(word).pieces), list(answer(word, dict(scores)))
        expect("".join(got) == word, f"{word!r}: the pieces {got} do not give the word")
        unknown = [piece for piece in got if piece not in scores]
        expect(not unknown, f"{word!r}: {unknown} are no pieces")
        reached, best = (sum(scores[piece] for piece in pieces) for pieces in (got, right))
        hint = "; this takes the longest piece first" if got == _longest_first(word, scores) else ""
        expect(reached > best - 1e-9, f"{word!r} with {scores}: {right} has {best:.3f}, {got} only {reached:.3f}{hint}")


@exercise("(word, scores)", look="Learning from every way", level="hard")
def expected_uses(answer: Callable[..., Any]) -> None:
    """How often is each piece used in a word, summed over all ways to cut it, each by its share? A dictionary with every piece of
    scores (piece -> logarithm of its probability; they need not add up to 1). Try all ways: words are short here, and each has
    one. Example: "ab" with probabilities 0.1 for a and b and 0.03 for ab gives a and b 0.25, ab 0.75."""
    rng = np.random.default_rng(242)
    cases = [("ab", {"a": np.log(0.1), "b": np.log(0.1), "ab": np.log(0.03)}), ("aaa", {"a": -1.0, "aa": -1.5})]
    for length in (1, 4, 8):
        scores = {piece: float(score) for piece, score in zip(("a", "b", "ab", "ba", "aba", "bb"), rng.normal(-2, 1, 6))}
        cases.append(("".join(rng.choice([*"ab"], length)), scores))
    for word, scores in cases:
        right, got = learn_unigram.expect({word: 1}, scores), answer(word, dict(scores))
        expect(isinstance(got, dict) and got.keys() == scores.keys(), f"{word!r}: expected a dictionary with {sorted(scores)}")
        best = Unigram(scores, min(scores.values())).cut(word).pieces
        if all(got[piece] == best.count(piece) for piece in scores) and len(best) < len(word):
            raise Wrong(f"{word!r}: only the best way was counted; all of them count, each by its share")
        close([got[piece] for piece in scores], [right.get(piece, 0.0) for piece in scores], f"{word!r}, {[*scores]}", 1e-9)
