"""Normalisation: each step as the reference does it, and where every character came from."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert.text import normalize
from minibert.text.normalize import Normalizer

TEXT = st.text(
    st.one_of(st.characters(),
              st.sampled_from(" \t\n\r\x0b\x0c\x1c\x85\u2028\u00a0\u200b.,'-Éeé\u0301İIΣσ北京ﬁ한\u302e\u1b44")),
    max_size=40,
)
OPTIONS = st.fixed_dictionaries(
    {"lower_case": st.booleans(), "strip_accents": st.sampled_from([None, True, False]), "split_cjk": st.booleans()}
)


def reference(text, lower_case, strip_accents, split_cjk):
    """The reference's algorithm as its description reads, character by character and word by word."""
    cleaned = ""
    for char in text:
        category = unicodedata.category(char)
        if char in " \t\n\r" or category == "Zs":
            cleaned += " "
        elif char not in "\0\ufffd" and not category.startswith("C"):
            cleaned += f" {char} " if split_cjk and normalize.is_cjk(char) else char
    found = []
    for word in cleaned.split():
        if lower_case:
            word = word.lower()
        if strip_accents or (strip_accents is None and lower_case):
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
    assert normalize.space_cjk("北京2008") == " 北  京 2008"
    assert normalize.drop_accents("Café Ångström e\u0301") == "Cafe Angstrom e"
    assert normalize.space_punctuation("don't $5") == "don ' t  $ 5"


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("Héllo, WORLD!", {}, ["hello", ",", "world", "!"]),
        ("Héllo, WORLD!", {"lower_case": False}, ["Héllo", ",", "WORLD", "!"]),
        ("Héllo", {"strip_accents": False}, ["héllo"]),
        ("Héllo", {"lower_case": False, "strip_accents": True}, ["Hello"]),
        ("我爱BERT。", {}, ["我", "爱", "bert", "。"]),
        ("我爱BERT。", {"split_cjk": False}, ["我爱bert", "。"]),
        ("ひらがな 한국", {"strip_accents": False}, ["ひらがな", "한국"]),
        ("ΣΟΦΟΣ", {}, ["σοφος"]),  # a final sigma, as Python lowers it
        ("a\u302e\u1b44", {}, ["a\u1b44\u302e"]),  # marks that stay, put in order
        ("a\u2028b\u2029c\u3000d", {}, ["a", "b", "c", "d"]),
        ("a\x0bb\x85c", {}, ["abc"]),  # control characters vanish before anything is split
        ("", {}, []),
        (" \n\u200b", {}, []),
    ],
)
def test_words(text, options, expected):
    assert Normalizer(**options).words(text) == expected


@pytest.mark.parametrize("char", "!$+<=>^`|~_@#\u2014\u00bf\u3002")
def test_signs_are_punctuation(char):
    assert normalize.is_punctuation(char)


@given(TEXT, OPTIONS)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_words_equal_the_reference_algorithm(text, options):
    normalizer = Normalizer(**options)
    assert normalizer.words(text) == reference(text, **options)


@given(TEXT, OPTIONS)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_offsets_lead_back_to_the_character(text, options):
    normalizer = Normalizer(**options)
    traced = normalizer.words_with_offsets(text)
    assert [word for word, _ in traced] == normalizer.words(text)
    places = [place for _, at in traced for place in at]
    assert places == sorted(places)
    for word, at in traced:
        assert len(at) == len(word)
        for char, place in zip(word.replace("ς", "σ"), at):
            if not unicodedata.combining(char):  # marks may change places among themselves
                assert char in "".join(normalizer.words(text[place]))


@given(TEXT, OPTIONS)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_raw_words_can_be_normalised_one_by_one(text, options):
    normalizer = Normalizer(**options)
    raw = normalize.raw_words(text)
    assert [word for part in raw for word in normalizer.words(part)] == normalizer.words(text)
    placed = normalize.raw_words_with_offsets(text)
    assert [part for part, _ in placed] == raw
    assert all(text.startswith(part, start) for part, start in placed)
