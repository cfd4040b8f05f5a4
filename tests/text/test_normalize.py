"""Normalisation: each step as the reference does it, and where every character came from."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert.text import normalize

TEXT = st.text(
    st.one_of(st.characters(), st.sampled_from(" \t\n\r\x0b\x0c\x1c\x85\u2028\u00a0\u200b.,'-Éeé\u0301İIΣσ北京ﬁ한")),
    max_size=40,
)
OPTIONS = st.fixed_dictionaries(
    {"lower_case": st.booleans(), "accents": st.sampled_from([None, True, False]), "cjk": st.booleans()}
)


def reference(text, lower_case, accents, cjk):
    """The reference's algorithm as its description reads, character by character and word by word."""
    cleaned = ""
    for char in text:
        category = unicodedata.category(char)
        if char in " \t\n\r" or category == "Zs":
            cleaned += " "
        elif char not in "\0\ufffd" and not category.startswith("C"):
            cleaned += f" {char} " if cjk and normalize.is_cjk(char) else char
    found = []
    for word in cleaned.split():
        if lower_case:
            word = word.lower()
        if accents or (accents is None and lower_case):
            word = "".join(c for c in unicodedata.normalize("NFD", word) if unicodedata.category(c) != "Mn")
        current = ""
        for char in word:
            if normalize.is_punctuation(char):
                found += [current, char]
                current = ""
            else:
                current += char
        found.append(current)
    return " ".join(found).split()


def test_each_step_on_an_example():
    assert normalize.clean("a\0b\ufffd\tc\u200b\u00a0d\r\n") == "ab c d  "
    assert normalize.split_cjk("北京2008") == " 北  京 2008"
    assert normalize.strip_accents("Café Ångström e\u0301") == "Cafe Angstrom e"
    assert normalize.split_punctuation("don't $5") == "don ' t  $ 5"


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("Héllo, WORLD!", {}, ["hello", ",", "world", "!"]),
        ("Héllo, WORLD!", {"lower_case": False}, ["Héllo", ",", "WORLD", "!"]),
        ("Héllo", {"accents": False}, ["héllo"]),
        ("Héllo", {"lower_case": False, "accents": True}, ["Hello"]),
        ("我爱BERT。", {}, ["我", "爱", "bert", "。"]),
        ("我爱BERT。", {"cjk": False}, ["我爱bert", "。"]),
        ("ひらがな 한국", {"accents": False}, ["ひらがな", "한국"]),
        ("ΣΟΦΟΣ", {}, ["σοφος"]),  # a final sigma, as Python lowers it
        ("a\u2028b\u2029c\u3000d", {}, ["a", "b", "c", "d"]),
        ("a\x0bb\x85c", {}, ["abc"]),  # control characters vanish before anything is split
        ("", {}, []),
        (" \n\u200b", {}, []),
    ],
)
def test_words(text, options, expected):
    assert normalize.words(text, normalize.steps(**options)) == expected


@pytest.mark.parametrize("char", "!$+<=>^`|~_@#\u2014\u00bf\u3002")
def test_signs_are_punctuation(char):
    assert normalize.is_punctuation(char)


@given(TEXT, OPTIONS)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_words_equal_the_reference_algorithm(text, options):
    chosen = normalize.steps(**options)
    assert normalize.words(text, chosen) == reference(text, **options)


@given(TEXT, OPTIONS)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_offsets_lead_back_to_the_character(text, options):
    chosen = normalize.steps(**options)
    traced = normalize.words_with_offsets(text, chosen)
    assert [word for word, _ in traced] == normalize.words(text, chosen)
    places = [place for _, at in traced for place in at]
    assert places == sorted(places)
    for word, at in traced:
        assert len(at) == len(word)
        for char, place in zip(word.replace("ς", "σ"), at):
            if not unicodedata.combining(char):  # marks may change places among themselves
                assert char in "".join(normalize.words(text[place], chosen))


@given(TEXT, OPTIONS)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_raw_words_can_be_normalised_one_by_one(text, options):
    chosen = normalize.steps(**options)
    raw = normalize.raw_words(text)
    assert [word for part in raw for word in normalize.words(part, chosen)] == normalize.words(text, chosen)
    placed = normalize.raw_words_with_offsets(text)
    assert [part for part, _ in placed] == raw
    assert all(text.startswith(part, start) for part, start in placed)
