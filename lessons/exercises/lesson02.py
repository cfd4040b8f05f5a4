"""The exercises of lesson 2, tokens, and how they are judged."""

from __future__ import annotations

import random
from collections.abc import Callable

from lessons.check import Wrong, exercise, expect
from minibert.text import learn, normalize, wordpiece


@exercise("(text)", look="Toy text, step by step")
def strip_accents(text: Callable[[str], str]) -> None:
    """The text without its accents, as step 4 of the normalisation. Everything else stays as it is.
    Example: "Café 北京" gives "Cafe 北京"."""
    for sample, hint in {
        "plain text": "text without accents must stay as it is",
        "Café": "an accent that is part of its letter (U+00E9) must go: decompose with NFD first",
        "Cafe\u0301": "an accent that is a character of its own (U+0301) must go: look at its category",
        "Ti\u1ebfng Vi\u1ec7t": "a letter may carry two marks: both must go",
        "北京, ¿qué?": "only marks go: Chinese and foreign punctuation are no accents, and stay",
        "ﬁne ½ ²": "NFKD also takes ligatures and fractions apart; the canonical decomposition, NFD, leaves them",
        "ÉCOLE": "lower case is another step: keep the capitals",
        "हिन्दी": "category Mn only: other marks (Mc) are letters' vowels, and stay",
    }.items():
        _same(text(sample), normalize.drop_accents(sample), repr(sample), hint)


@exercise("(text)", look="Toy text, step by step")
def split_punctuation(text: Callable[[str], list[str]]) -> None:
    """The list of words of a text: cut at white space, and every punctuation sign a word of its own. Punctuation is every ASCII
    sign that is no letter or digit, and every character whose Unicode category begins with P.
    Example: "Don't pay $5!" gives ["Don", "'", "t", "pay", "$", "5", "!"]."""
    for sample, hint in {
        "two words": "cut at white space",
        "a.b, c!": "a sign is a word of its own, also inside a word",
        "wait...": "three signs are three words",
        "x_1 = $5 + 2^3": "every ASCII sign counts, also _ $ + = ^, whose Unicode categories do not begin with P",
        "“ja” — 你好。": "signs outside ASCII count by their category: P and something",
        "5 € naïve": "the euro sign is category Sc and not ASCII: no punctuation; accents are letters",
        "": "no words: an empty list",
    }.items():
        expected = normalize.space_punctuation(sample).split()
        _same(list(text(sample)), expected, repr(sample), hint)


@exercise("(word, vocabulary)", look="Toy words: the longest piece first")
def split_word(answer: Callable[[str, set], list[str]]) -> None:
    """The pieces of one normalised word, longest match first, or ["[UNK]"]. vocabulary: a set of strings.
    Example: with {"un", "##able"}, "unable" gives ["un", "##able"]."""
    toy = {"un", "una", "a", "b", "able", "##able", "##ff", "##aff", "##a", "##b"}
    for word, hint in {
        "un": "the whole word is one piece",
        "unable": "inside a word only pieces with ## count; the first piece has none",
        "unaffable": "take the longest piece, not the first that fits",
        "ab": "each piece goes on where the last one ended",
        "unx": "where nothing fits, the whole word is [UNK]: none of its pieces is kept",
        "affable": "a piece with ## cannot begin a word",
    }.items():
        _same(list(answer(word, toy)), wordpiece.split(word, toy), f"{word!r} with {sorted(toy)}", hint)
    rng = random.Random(2)
    for _ in range(300):
        vocabulary = {rng.choice(["", "##"]) + "".join(rng.choices("abc", k=rng.randint(1, 3))) for _ in range(9)}
        word = "".join(rng.choices("abc", k=rng.randint(1, 7)))
        _same(list(answer(word, vocabulary)), wordpiece.split(word, vocabulary), f"{word!r} with {sorted(vocabulary)}",
              "longest first, ## inside, all or nothing")


@exercise("(words, counts)", look="Train a vocabulary by hand")
def best_pair(answer: Callable[[list, list], tuple[str, str]]) -> None:
    """The pair of neighbouring pieces that occurs most often, as a tuple (left, right). words: a list of words, each a list of
    its pieces; counts: how often each of them occurs in the text. Of equal pairs, the first by its text: min of the tuples.
    Example: [["a", "##b"], ["a", "##c"]] with counts [2, 3] gives ("a", "##c")."""
    for words, counts, expected, hint in [
        ([["a", "##b"], ["a", "##c"]], [2, 3], ("a", "##c"), "a pair counts once for every time its word occurs in the text"),
        ([["b", "##a"], ["a", "##b"]], [4, 4], ("a", "##b"), "of equally frequent pairs, the first by its text"),
        ([["a", "##b", "##c", "##b", "##c"], ["d", "##e"]], [2, 3], ("##b", "##c"), "a word may hold a pair twice: add"),
        ([["a"], ["b", "##c"]], [9, 1], ("b", "##c"), "a word of one piece holds no pair"),
        ([["a", "##x"], ["b", "##x"], ["b", "##yy"], ["b", "##yy"]], [3, 3, 2, 2], ("b", "##yy"), "count pairs, not pieces"),
    ]:
        _same(tuple(answer([list(word) for word in words], list(counts))), expected, f"{words} with counts {counts}", hint)
    rng = random.Random(3)
    for _ in range(50):
        words = sorted({"".join(rng.choices("abc", k=rng.randint(2, 5))) for _ in range(6)})
        counts = [rng.randint(1, 5) for _ in words]
        merges: list[tuple[str, str]] = []
        learn.learn([" ".join([word] * count) for word, count in zip(words, counts)], 100, min_frequency=1,
                    on_merge=lambda step, left, right, score, merges=merges: merges.append((left, right)))
        pieces = [[word[0], *("##" + char for char in word[1:])] for word in words]
        _same(tuple(answer(pieces, counts)), merges[0], f"{pieces} with counts {counts}", "add up, then break ties by the text")


@exercise("(pieces, left, right)", look="Train a vocabulary by hand")
def merge(answer: Callable[[list, str, str], list[str]]) -> None:
    """One word after a merge: every left that is followed by right becomes one piece with it, found from the left.
    Example: (["h", "##o", "##t"], "##o", "##t") gives ["h", "##ot"]."""
    for given, expected, hint in [
        ("h ##o ##t | ##o ##t", "h ##ot", "the ## of the right piece goes, that of the left one stays"),
        ("h ##ot | h ##ot", "hot", "a piece that begins a word has no ##, and gets none"),
        ("a ##b ##a ##b | ##a ##b", "a ##b ##ab", "a and ##a are different pieces"),
        ("a ##b ##c ##b ##c | ##b ##c", "a ##bc ##bc", "the pair may stand there several times"),
        ("x ##a ##a ##a | ##a ##a", "x ##aa ##a", "found from the left: no piece can be used twice"),
        ("a ##c ##b | a ##b", "a ##c ##b", "only neighbours are joined"),
    ]:
        word, pair = (part.split() for part in given.split(" | "))
        untouched = list(word)
        _same(list(answer(word, *pair)), expected.split(), f"{untouched}, {pair[0]} + {pair[1]}", hint)
        expect(word == untouched, "the list that came in was changed; make a new one: the old cut may still be needed")


def _same(got: object, expected: object, what: str, hint: str) -> None:
    if got != expected:
        raise Wrong(f"{what}: expected {expected!r}, got {got!r}; {hint}")
