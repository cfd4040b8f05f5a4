"""Byte pairs on joins small enough to do by hand. Equal ids and places: ``tests/oracle/test_bytepairs.py``."""

import pickle
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from minibert.text import Tokenizer, Vocabulary
from minibert.text.added import AddedToken
from minibert.text.bytepairs import CHARACTERS, BytePairs
from minibert.text.frame import ROBERTA

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
NAMES = ("<pad>", "<unk>", "<s>", "</s>", "<mask>")
MERGES = [("a", "b"), ("ab", "c"), ("b", "c"), ("Ġ", "a"), ("Ġ", "abc"), ("c", "c"), ("Ġ", "Ġ"), ("Ã", "©")]


def tokenizer(merges=MERGES, characters=CHARACTERS, **options):
    tokens = [*SPECIAL, *characters, *(left + right for left, right in merges), "<mask>"]
    vocab = Vocabulary(list(dict.fromkeys(tokens)), special=NAMES)
    added = [*(AddedToken(name, special=True, normalized=False) for name in SPECIAL),
             AddedToken("<mask>", special=True, normalized=False, lstrip=True)]
    return Tokenizer(vocab, method=BytePairs, frame=ROBERTA, merges=merges, added=added, **options)


def naive(merges, word):
    """The joins one at a time: of all neighbours those that come first in the list, the leftmost."""
    pieces = [CHARACTERS[byte] for byte in word.encode()]
    while found := [(merges.index(pair), place) for place, pair in enumerate(pairwise(pieces)) if pair in merges]:
        _, place = min(found)
        pieces[place:place + 2] = ["".join(pieces[place:place + 2])]
    return pieces


def test_every_byte_is_a_character_that_can_be_seen():
    assert len(set(CHARACTERS)) == 256
    assert [CHARACTERS[byte] for byte in b"A~\xa1\xff"] == list("A~¡ÿ")
    assert {byte: ord(CHARACTERS[byte]) for byte in (0, 9, 10, 32, 127, 160, 173)} == {
        0: 0x100, 9: 0x109, 10: 0x10A, 32: 0x120, 127: 0x121, 160: 0x142, 173: 0x143}
    assert not any(char.isspace() or unicodedata.category(char)[0] == "C" for char in CHARACTERS)


@pytest.mark.parametrize(("text", "words"), [
    ("it's 12 days,don't!", ["it", "'s", " 12", " days", ",", "don", "'t", "!"]),
    ("IT'S we'll they've", ["IT", "'", "S", " we", "'ll", " they", "'ve"]),  # small letters only
    ("a   b\n\n c ", ["a", "  ", " b", "\n\n", " c", " "]),
    ("½ cup²３", ["½", " cup", "²３"]),
    ("e\u0301 \u00a0x\u3000", ["e", "\u0301", " ", "\u00a0", "x", "\u3000"]),
    ("\x1c a", ["\x1c", " a"]),  # white space to Python, not to Unicode
    ("北京 𝒳𝟙😀", ["北京", " 𝒳", "𝟙", "😀"]),
    ("", []),
])
def test_words(text, words):
    method = tokenizer().method
    assert method.parts(text, False) == words
    assert [text[place:place + len(part)] for part, place in method.placed_parts(text, False)] == words


def test_joins_go_by_their_order_and_from_the_left():
    assert tokenizer().tokenize("abc") == ["abc"]
    assert tokenizer().tokenize("bc") == ["bc"]
    assert tokenizer().tokenize(" abc") == ["Ġabc"]  # a b come first, so Ġ a is never there
    assert tokenizer().tokenize("cccc c") == ["cc", "cc", "Ġ", "c"]
    assert tokenizer().tokenize("é") == ["Ã©"]


@given(st.lists(st.tuples(*[st.text("abĠ", min_size=1, max_size=3)] * 2), max_size=12, unique=True),
       st.lists(st.sampled_from("ab"), max_size=30).map("".join))
@hypothesis(max_examples=400, deadline=None, derandomize=True)
def test_any_list_of_joins_as_done_one_by_one(merges, word):
    parts = [piece for pair in merges for piece in pair]
    ours = tokenizer(merges, [*CHARACTERS, *parts])
    for text in (word, f" {word}"):
        assert ours.tokenize(text) == (naive(merges, text) if text.strip() else [CHARACTERS[0x20]] * len(text))


def test_places_have_no_blank_and_a_character_of_several_pieces_is_the_place_of_each():
    encoding = tokenizer().encode("  abc é½ c")
    assert encoding.tokens == ["<s>", "Ġ", "Ġabc", "Ġ", "Ã©", "Â", "½", "Ġ", "c", "</s>"]
    assert encoding.offsets == [(0, 0), (1, 1), (2, 5), (6, 6), (6, 7), (7, 8), (7, 8), (9, 9), (9, 10), (0, 0)]
    assert encoding.words == [None, 0, 1, 2, 2, 3, 3, 4, 4, None]


def test_a_mask_takes_the_blanks_before_it():
    encoding = tokenizer().encode("abc  <mask> abc<mask>")
    assert encoding.tokens == ["<s>", "abc", "<mask>", "Ġabc", "<mask>", "</s>"]
    assert encoding.offsets[1:-1] == [(0, 3), (5, 11), (12, 15), (15, 21)]
    assert tokenizer().vocab.mask_id not in tokenizer().ids("abc <mask>")


def test_a_text_may_begin_as_if_behind_a_blank():
    prefixed = tokenizer(add_prefix_space=True)
    assert prefixed.tokenize("abc abc") == ["Ġabc", "Ġabc"]
    assert prefixed.encode("abc<mask>abc").offsets[1:-1] == [(0, 3), (3, 9), (9, 12)]
    assert prefixed.tokenize(" abc") == ["Ġabc"]
    assert prefixed.encode("").tokens == ["<s>", "</s>"]
    assert prefixed.ids("") == []


def test_words_of_a_list_stand_behind_a_blank():
    encoding = tokenizer().encode(["abc", "bc", "<mask>"])
    assert encoding.tokens == ["<s>", "Ġabc", "Ġ", "bc", "<mask>", "</s>"]
    assert encoding.offsets == [(0, 0), (0, 3), (0, 0), (0, 2), (0, 6), (0, 0)]
    assert encoding.words == [None, 0, 1, 1, 2, None]
    assert tokenizer().ids("abc", follows=True) == encoding.ids[1:2]


def test_added_tokens_with_every_flag_are_found_in_a_text_that_nothing_changes():
    ours = tokenizer()
    vocab = Vocabulary([*ours.vocab.tokens, "[E]"], special=NAMES, added=1)
    ours = Tokenizer(vocab, method=BytePairs, frame=ROBERTA, merges=MERGES, added=[*ours.added, AddedToken("[E]", rstrip=True)])
    encoding = ours.encode("é abc[E] abc [e]")
    assert encoding.tokens[1:6] == ["Ã©", "Ġabc", "[E]", "abc", "Ġ"]
    assert encoding.offsets[1:5] == [(0, 1), (2, 5), (5, 8), (9, 12)]
    assert ours.decode(encoding.ids) == "é abc[E]abc [e]"


ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
LIKELY = st.lists(st.sampled_from(["abc", " ", "  ", "\n", "'s", "é", "e\u0301", "½", "北", "😀", "<mask>", "</s>", "\x1c"]),
                  max_size=20).map("".join)


@given(st.one_of(ANY, LIKELY))
@hypothesis(max_examples=600, deadline=None, derandomize=True)
def test_decode_gives_any_text_back_byte_for_byte(text):
    ours = tokenizer()
    ids = ours.ids(text)
    assert ours.decode(ids) == text
    assert ours.encode(text, special_tokens=False).ids[1:-1] == ids
    assert [number for part in ours.method.parts(text, False) for number in ours.method.ids(part)] == ids


def test_every_code_point_comes_back_and_is_of_the_class_that_it_has():
    ours = tokenizer()
    text = "".join(chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000)
    for start in range(0, len(text), 1 << 14):
        parts = ours.method.parts(chunk := text[start:start + (1 << 14)], False)
        assert "".join(parts) == chunk
        kinds = [{unicodedata.category(char)[0] for char in part} for part in parts]
        assert all(kind in ({"L"}, {"N"}) or not kind & {"L", "N"} for kind in kinds)


def test_ids_that_are_no_text_show_what_is_wrong():
    ours = tokenizer()
    assert ours.decode([ours.vocab.index["Ã"], ours.vocab.index["a"]]) == "\ufffda"
    assert ours.decode(ours.encode("abc <mask>").ids, skip_special=False) == "<s>abc<mask></s>"


def test_bytes_that_the_vocabulary_lacks_are_left_out():
    ours = tokenizer(characters=[char for char in CHARACTERS if char != "b"], merges=[("a", "c")])
    assert ours.tokenize("abc") == ["ac"]
    assert ours.encode("xabc").offsets[1:-1] == [(0, 1), (1, 4)]
    assert ours.encode("b").tokens == ["<s>", "</s>"]


def test_half_a_character_is_said():
    for method in (tokenizer().ids, tokenizer().encode):
        with pytest.raises(ValueError, match=r"the text has U\+D83D, half of a character, which UTF-8 cannot write"):
            method("abc \ud83d")


def test_joins_that_the_vocabulary_does_not_have_are_said():
    with pytest.raises(ValueError, match="the vocabulary has no 'xy', which the joins need"):
        BytePairs(tokenizer().vocab, (), merges=[("x", "y")])


def test_a_word_without_end_takes_no_time_that_grows_with_its_square():
    ours = tokenizer([("a", "a"), ("aa", "aa"), ("aaaa", "aaaa")])
    assert ours.ids("a" * 200_000) == [ours.vocab.index["a" * 8]] * 25_000  # with the square this would take hours


def test_it_can_be_sent_to_another_process():
    ours = tokenizer()
    assert pickle.loads(pickle.dumps(ours)).encode("abc é") == ours.encode("abc é")
