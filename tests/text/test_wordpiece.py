"""Greedy longest match."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert.text import wordpiece

VOCABULARY = {"un", "##aff", "##able", "##a", "##ff", "a", "##b", "##ble", "ab", "x"}


@pytest.mark.parametrize(
    ("word", "pieces"),
    [
        ("unaffable", ["un", "##aff", "##able"]),
        ("ab", ["ab"]),
        ("abb", ["ab", "##b"]),
        ("unx", ["[UNK]"]),  # one missing piece, and the whole word is unknown
        ("q", ["[UNK]"]),
        ("a" * 100, ["a"] + ["##a"] * 99),
        ("a" * 101, ["[UNK]"]),
    ],
)
def test_split(word, pieces):
    assert wordpiece.split(word, VOCABULARY) == pieces


def test_a_bound_on_the_length_of_pieces_changes_nothing():
    longest = max(map(len, VOCABULARY))
    for word in ["unaffable", "abb", "unx", "ababab", "a" * 100]:
        assert wordpiece.split(word, VOCABULARY, longest) == wordpiece.split(word, VOCABULARY)


@given(st.text("abunfleq", min_size=1, max_size=12))
@settings(deadline=None, derandomize=True)
def test_pieces_join_to_the_word(word):
    pieces = wordpiece.split(word, VOCABULARY)
    if pieces != ["[UNK]"]:
        assert all(piece in VOCABULARY for piece in pieces)
        assert pieces[0] + "".join(piece[2:] for piece in pieces[1:]) == word
        assert not pieces[0].startswith("##")
