"""Many words at once against one by one."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert.text.unigram import Unigram
from minibert.text.unigram_batch import Batch, worth

EQUAL = {"a": -1.0, "aa": -2.0, "aaa": -3.0, "b": -1.0, "ab": -2.0, "aab": -3.0}  # every way is as good, but for rounding
THIRDS = {"a": -0.1, "aa": -0.2, "aaa": -0.3, "ab": -0.7, "b": -0.6, "ba": -0.7, "bab": -1.4, "abc": -9.0, "\0": -1.0,
          "😀a": -2.0}


def batch_of(unigram):
    return Batch([*unigram.scores], [*unigram.scores.values()], unigram.unknown)


def by_batch(unigram, words):
    """The pieces of each word, and that the numbers are theirs."""
    found, names, out = batch_of(unigram).cut(words), [*unigram.scores, None], []
    numbers, lengths = iter(found.numbers.tolist()), iter(found.lengths.tolist())
    for word, count in zip(words, found.counts.tolist()):
        stops = np.cumsum([next(lengths) for _ in range(count)]).tolist()
        pieces = tuple(word[start:stop] for start, stop in zip([0, *stops], stops))
        assert [names[next(numbers)] for _ in pieces] == [piece if piece in unigram.scores else None for piece in pieces]
        out.append(pieces)
    assert [*numbers, *lengths] == []
    return out


@given(st.sampled_from([EQUAL, THIRDS]), st.lists(st.text("aaabbc\0😀\ud800", min_size=1, max_size=40), min_size=1, max_size=12))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_the_ways_are_those_of_one_word_at_a_time(scores, words):
    unigram, words = Unigram(scores, -3.0), sorted(words, key=len, reverse=True)
    assert by_batch(unigram, words) == [unigram.cut(word).pieces for word in words]


def test_pieces_may_be_many_and_long():
    key = np.random.default_rng(0)
    text = "".join(map(chr, key.integers(0x4E00, 0x4E20, 4000)))
    places = [(int(start), int(length)) for start, length in zip(key.integers(0, 3900, 3000), key.geometric(0.2, 3000))]
    unigram = Unigram({text[start:start + length]: float(np.log(key.random())) - length for start, length in places}, -30.0)
    words = sorted((text[start:start + 90] for start in range(0, 4000, 40)), key=len, reverse=True)
    assert by_batch(unigram, words) == [unigram.cut(word).pieces for word in words]


def test_without_pieces_all_is_unknown():
    assert by_batch(Unigram({}, 0.0), ["ab", "c"]) == [("a", "b"), ("c",)]


def test_the_longest_words_are_cut_alone_and_few_words_all_of_them():
    assert worth([]) == 0
    assert worth(["a" * 10] * 3) == 3
    assert worth(["a" * 100_000, "b" * 90_000, *["c" * 10] * 3000]) == 2
