"""What stands around texts: one tokenizer in two frames."""

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from minibert.text import Tokenizer, Vocabulary
from minibert.text.frame import BERT, ROBERTA, by_halves, by_turns

TOKENS = ["<pad>", "<unk>", "<s>", "</s>", "<mask>", "a", "b", "##c"]


@pytest.fixture
def roberta():
    return Tokenizer(Vocabulary(TOKENS, special=TOKENS[:5]), frame=ROBERTA)


def test_a_pair_has_two_separators_and_one_type(roberta):
    encoding = roberta.encode("a", "b a")
    assert encoding.tokens == ["<s>", "a", "</s>", "</s>", "b", "a", "</s>"]
    assert encoding.token_type_ids == [0] * 7
    assert encoding.special_tokens_mask == [1, 0, 1, 1, 0, 0, 1]
    assert encoding.words == [None, 0, None, None, 0, 1, None]
    assert roberta.encode("a").tokens == ["<s>", "a", "</s>"]
    assert roberta.encode("", "").tokens == ["<s>", "</s>", "</s>", "</s>"]


@pytest.mark.parametrize("texts", [("a b",), ("a", "b ac"), ("", "b"), ("a", ""), ("", "")])
def test_ids_say_themselves_what_is_a_pair(roberta, texts):
    encoding = roberta.encode(*texts)
    again = roberta.encode_ids([*encoding.ids, 0, 0])
    assert (again.ids, again.special_tokens_mask, again.words) == (encoding.ids, encoding.special_tokens_mask, encoding.words)


def test_separators_apart_are_no_pair(roberta):
    ids = [2, 5, 3, 5, 3, 6, 3]
    assert roberta.encode_ids(ids).special_tokens_mask == [1, 0, 0, 0, 0, 0, 1]
    assert roberta.encode_ids(ids).ids == ids


def test_what_the_frame_takes_is_said_by_its_names(roberta):
    with pytest.raises(ValueError, match="max_length is 3, but <s> and </s> alone take 4 tokens"):
        roberta.encode("a", "b", max_length=3)
    with pytest.raises(ValueError, match="6 tokens with <s> and </s>, more than the limit of 5"):
        roberta.encode("a", "b", max_length=5)


@pytest.mark.parametrize(("lengths", "room", "turns", "halves"), [
    ((9, 4), 8, (4, 4), (4, 4)),
    ((9, 2), 8, (6, 2), (6, 2)),
    ((2, 9), 8, (2, 6), (2, 6)),
    ((8, 8), 9, (5, 4), (4, 5)),  # they part where an odd token is left
    ((7, 8), 11, (6, 5), (5, 6)),
    ((8, 7), 11, (6, 5), (6, 5)),
    ((3, 3), 0, (0, 0), (0, 0)),
])
def test_who_loses_what(lengths, room, turns, halves):
    assert by_turns(lengths, room) == list(turns)
    assert by_halves(lengths, room) == list(halves)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=2), st.integers(0, 40), st.sampled_from([BERT, ROBERTA]))
@hypothesis(deadline=None, derandomize=True)
def test_all_room_is_used_and_no_more(lengths, room, frame):
    kept = frame.shorten(lengths, room)
    assert sum(kept) == min(room, sum(lengths))
    assert all(0 <= n <= length for n, length in zip(kept, lengths))
