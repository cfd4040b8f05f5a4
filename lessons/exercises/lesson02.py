"""The exercises of lesson 2, tokens, and how they are judged."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import combinations, pairwise

import minibert
from lessons.check import Wrong, exercise, expect
from minibert.text import learn, normalize, wordpiece

TITLE = "Bidirectional Encoder Representations from Transformers"


@exercise(look="The question", level="easy")
def tokens_of_title(answer: int) -> None:
    """Into how many tokens does the bundled model's tokenizer cut "Bidirectional Encoder Representations from Transformers",
    which gave BERT its name? ([CLS] and [SEP] not counted.)"""
    count = len(minibert.load().tokenizer.tokenize(TITLE))
    expect(answer != len(TITLE.split()), "these are the words; most of them are rare here, and are cut into pieces")
    expect(answer != count + 2, "do not count [CLS] and [SEP]: ask tokenizer.tokenize, not encode")
    expect(answer == count, f"not {answer}: ask the tokenizer of minibert.load()")


@exercise("(text)", look="Toy text, step by step", level="easy")
def strip_accents(answer: Callable[[str], str]) -> None:
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
        _same(answer(sample), normalize.drop_accents(sample), repr(sample), hint)


@exercise("(text)", look="Toy text, step by step", level="medium")
def split_punctuation(answer: Callable[[str], list[str]]) -> None:
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
        _same(list(answer(sample)), expected, repr(sample), hint)


@exercise("(word, vocabulary)", look="Toy words: the longest piece first", level="hard")
def fewest_pieces(answer: Callable[[str, set], list[str]]) -> None:
    """The pieces of one word, as few as possible, also where the greedy rule takes more or finds none; ["[UNK]"] only where no
    cut fits at all. Of several cuts with as few pieces, any. vocabulary: a set of strings; ## marks what continues a word.
    Example: with {"un", "una", "##aff", "##able"}, "unaffable" gives ["un", "##aff", "##able"]."""
    fixed = [("unaffable", {"un", "una", "##aff", "##able"}), ("un", {"un", "u", "##n"}), ("unx", {"un", "##n"}),
             ("able", {"##able"}), ("abcde", {"abc", "##d", "##e", "ab", "##cde"}), ("ab", {"a", "b"})]
    rng = random.Random(2)
    for _ in range(200):
        vocabulary = {rng.choice(["", "##"]) + "".join(rng.choices("abc", k=rng.randint(1, 3))) for _ in range(12)}
        fixed.append(("".join(rng.choices("abc", k=rng.randint(1, 7))), vocabulary))
    for word, vocabulary in fixed:
        got, what = list(answer(word, set(vocabulary))), f"{word!r} with {sorted(vocabulary)}"
        least = _least(word, vocabulary)
        if least is None:
            _same(got, ["[UNK]"], what, "inside a word only pieces with ## count, and only at its beginning those without")
            continue
        hint = "; this is the greedy cut" if got == wordpiece.split(word, vocabulary) else ""
        expect(got != ["[UNK]"], f"{what}: the word can be cut, into {least} pieces{hint}")
        unknown = [piece for piece in got if piece not in vocabulary]
        expect(not unknown, f"{what}: got {got}, but {unknown} are not in the vocabulary")
        whole = got[0] + "".join(piece.removeprefix("##") for piece in got[1:])
        expect(whole == word and not got[0].startswith("##") and all(piece.startswith("##") for piece in got[1:]),
               f"{what}: {got} does not give the word; all pieces but the first begin with ##")
        expect(len(got) == least, f"{what}: {least} pieces are enough, got {got}{hint}")


def _least(word: str, vocabulary: set[str]) -> int | None:
    """The length of the shortest of all cuts; None where there is none. Tries every set of places to cut at."""
    for cuts in range(len(word)):
        for places in combinations(range(1, len(word)), cuts):
            ends = [0, *places, len(word)]
            if all(("##" if a else "") + word[a:b] in vocabulary for a, b in pairwise(ends)):
                return cuts + 1
    return None


@exercise("(words, counts)", look="Two scores", level="medium")
def likeliest_pair(answer: Callable[[list, list], tuple[str, str]]) -> None:
    """The pair of neighbouring pieces with the highest score f(ab) / (f(a) f(b)), as a tuple (left, right). words: a list of
    words, each a list of its pieces; counts: how often each of them occurs in the text. No two scores are equal.
    Example: [["a", "##b"], ["a", "##c", "##c"]] with counts [3, 2] gives ("a", "##b"): 3/(5 x 3) is more than 2/(5 x 4) and
    2/(4 x 4)."""
    for text, counts, hint in [
        ("ab acc", [3, 2], "f(a) counts a piece wherever it stands"),
        ("aca bbb ca caaa caac cc", [5, 2, 4, 2, 5, 2], "a frequent pair of frequent pieces may score less than a rare one"),
        ("abaa acbaa baba bba bc c", [8, 8, 8, 8, 5, 2], "f(a) counts a piece also at the end of a word"),
        ("acb acbab b baac bbbba bcaba", [2, 9, 6, 6, 6, 8], "a piece may occur several times in a word: count each"),
        ("a ba bacbb bca cbca cbcca", [3, 8, 2, 9, 1, 6], "words of a single piece count for f(a) too"),
        ("ac baabc bacaa bbcca cabbb cccca", [6, 2, 4, 7, 2, 4], "every word counts as often as it occurs"),
    ]:
        words, merges = text.split(), []
        learn.learn([" ".join([word] * count) for word, count in zip(words, counts)], 100, min_frequency=1, score="likelihood",
                    on_merge=lambda step, left, right, score, merges=merges: merges.append((left, right)))
        pieces = [[word[0], *("##" + char for char in word[1:])] for word in words]
        _same(tuple(answer(pieces, list(counts))), merges[0], f"{pieces} with counts {counts}", hint)


def _same(got: object, expected: object, what: str, hint: str) -> None:
    if got != expected:
        raise Wrong(f"{what}: expected {expected!r}, got {got!r}; {hint}")
