"""The tokenizer on a vocabulary small enough to check by eye."""

import json
import os
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from minibert.text import Tokenizer, Vocabulary
from minibert.text import method as methods
from minibert.text.saved import NO_LIMIT

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
TOKENS = [
    *SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS), *".,!?;:'()[]-", "北", "京", "the", "cat", "##s", "sat",
    "un", "##aff", "##able", "mask",
]  # fmt: skip
TOKENS = list(dict.fromkeys(TOKENS))


def settings(folder, **values):
    (folder / "tokenizer_config.json").write_text(json.dumps(values), encoding="utf-8")


WORDS = st.lists(st.text(LETTERS, min_size=1, max_size=6), min_size=1, max_size=12).map(" ".join)


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer(Vocabulary(TOKENS))


def test_words_become_pieces(tokenizer):
    assert tokenizer.tokenize("The unaffable Cats sat.") == ["the", "un", "##aff", "##able", "cat", "##s", "sat", "."]
    assert tokenizer.tokenize("北京 ß") == ["北", "京", "[UNK]"]
    assert tokenizer.tokenize("") == []
    assert tokenizer.ids("the cat") == [TOKENS.index("the"), TOKENS.index("cat")]


@pytest.mark.parametrize("together", [None, True])
def test_many_texts_at_once_have_the_ids_that_each_has(tokenizer, monkeypatch, together):
    texts = ["the unaffable cat.", "", "the cats [MASK]", "  ", "unable unable", "the cat"] * 3
    alone = [tokenizer.ids(text, special_tokens=True) for text in texts]
    for block in (1, 30, 10**6):
        monkeypatch.setattr(methods, "BLOCK", block)
        fresh = Tokenizer(tokenizer.vocab)
        fresh.method.many = together and (lambda parts: [tokenizer.method.ids(part) for part in parts])
        assert [*fresh.ids_of(iter(texts), special_tokens=True)] == alone
        assert [*fresh.ids_of(texts)] == [fresh.ids(text) for text in texts]
        assert [*fresh.ids_of([])] == []
    with pytest.raises(TypeError, match="text must be a str, got bytes"):
        [*tokenizer.ids_of(["a", b"b"])]


def test_case_and_accents_are_selectable():
    vocab = Vocabulary([*SPECIAL, "cafe", "café", "Cafe", "Café"])
    text = "Café"
    assert Tokenizer(vocab).tokenize(text) == ["cafe"]
    assert Tokenizer(vocab, strip_accents=False).tokenize(text) == ["café"]
    assert Tokenizer(vocab, lower_case=False).tokenize(text) == ["Café"]
    assert Tokenizer(vocab, lower_case=False, strip_accents=True).tokenize(text) == ["Cafe"]


def test_special_tokens_in_the_text_are_a_switch(tokenizer):
    assert tokenizer.tokenize("the [MASK]sat [mask]") == ["the", "[MASK]", "sat", "[", "mask", "]"]
    assert tokenizer.tokenize("the [MASK]", special_tokens=False) == ["the", "[", "mask", "]"]
    assert tokenizer.vocab.mask_id not in tokenizer.ids("the [MASK]")
    assert tokenizer.vocab.mask_id in tokenizer.ids("the [MASK]", special_tokens=True)
    encoding = tokenizer.encode("the[MASK]")
    assert encoding.tokens == ["[CLS]", "the", "[MASK]", "[SEP]"]
    assert encoding.offsets == [(0, 0), (0, 3), (3, 9), (0, 0)]
    assert encoding.special_tokens_mask == [1, 0, 0, 1]
    assert tokenizer.encode("[MASK]", special_tokens=False).tokens == ["[CLS]", "[", "mask", "]", "[SEP]"]


def test_a_pair_has_two_types(tokenizer):
    encoding = tokenizer.encode("the cat", "sat")
    assert encoding.tokens == ["[CLS]", "the", "cat", "[SEP]", "sat", "[SEP]"]
    assert encoding.token_type_ids == [0, 0, 0, 0, 1, 1]
    assert encoding.special_tokens_mask == [1, 0, 0, 1, 0, 1]
    assert encoding.offsets == [(0, 0), (0, 3), (4, 7), (0, 0), (0, 3), (0, 0)]
    assert len(encoding) == 6
    assert tokenizer.encode("", "").tokens == ["[CLS]", "[SEP]", "[SEP]"]


def test_offsets_of_pieces_accents_and_unknown_words(tokenizer):
    text = "  Ünaffable\x0b ĆÁTS\u0301 ßß 北京"
    encoding = tokenizer.encode(text)
    assert [(token, text[start:end]) for token, (start, end) in zip(encoding.tokens, encoding.offsets)][1:-1] == [
        ("un", "Ün"), ("##aff", "aff"), ("##able", "able"), ("cat", "ĆÁT"), ("##s", "S"), ("[UNK]", "ßß"), ("北", "北"),
        ("京", "京"),
    ]  # fmt: skip


@given(st.text(st.sampled_from("the cats UNAFFABLE éÉ\u0301 .,[MASK]\t\x0b\x85\u200b北京İß"), max_size=60))
@hypothesis(max_examples=300, deadline=None, derandomize=True)
def test_offsets_slice_back_to_the_token(text):
    tokenizer = Tokenizer(Vocabulary(TOKENS))
    encoding = tokenizer.encode(text)
    for token, (start, end) in list(zip(encoding.tokens, encoding.offsets))[1:-1]:
        if token == "[UNK]":
            assert start < end
        elif token == "[MASK]":
            assert text[start:end] == token
        else:
            assert "".join(tokenizer.method.normalizer.words(text[start:end])) == token.removeprefix("##")
    assert encoding.ids[1:-1] == tokenizer.ids(text, special_tokens=True)


def test_too_long_is_said_and_cut_only_on_request(tokenizer):
    with pytest.raises(ValueError, match=r"5 tokens with \[CLS\] and \[SEP\], more than the limit of 4.*truncate=True"):
        tokenizer.encode("the cat sat", max_length=4)
    assert tokenizer.encode("the cat sat", max_length=4, truncate=True).tokens == ["[CLS]", "the", "cat", "[SEP]"]
    assert len(tokenizer.encode("the cat sat", max_length=5)) == 5
    with pytest.raises(ValueError, match="limit of 6"):
        Tokenizer(tokenizer.vocab, max_length=6).encode("a b c", "a b")
    with pytest.raises(ValueError, match=r"max_length is 2, but .* take 3 tokens"):
        tokenizer.encode("a", "b", max_length=2, truncate=True)


@given(st.integers(0, 12), st.integers(0, 12), st.integers(3, 30))
@hypothesis(deadline=None, derandomize=True)
def test_truncation_shortens_the_longer_text_only(first, second, limit):
    tokenizer = Tokenizer(Vocabulary(TOKENS))
    encoding = tokenizer.encode("a " * first, "b " * second, max_length=limit, truncate=True)
    a, b = encoding.tokens.count("a"), encoding.tokens.count("b")
    assert a + b + 3 == min(limit, first + second + 3)
    if first <= second:  # only the second is cut, until both are as long; then they take turns
        assert a == first or b - a in (-1, 0)
    else:
        assert b == second or b - a in (-1, 0)


def test_a_batch_is_padded_to_the_longest(tokenizer):
    ids, types, mask = tokenizer.batch([tokenizer.encode("the cat", "sat"), tokenizer.encode("cat")])
    assert ids.shape == types.shape == mask.shape == (2, 6)
    assert ids.dtype == types.dtype == mask.dtype == np.int64
    assert mask.tolist() == [[1] * 6, [1, 1, 1, 0, 0, 0]]
    assert types.tolist() == [[0, 0, 0, 0, 1, 1], [0] * 6]
    assert ids[1].tolist() == [2, TOKENS.index("cat"), 3, 0, 0, 0]
    assert tokenizer.batch([tokenizer.encode("cat")], length=8)[0].shape == (1, 8)


def test_a_batch_that_cannot_be_made_is_said(tokenizer):
    encoding = tokenizer.encode("the cat")
    with pytest.raises(ValueError, match="no encodings"):
        tokenizer.batch([])
    with pytest.raises(ValueError, match="4 tokens, but length is 3"):
        tokenizer.batch([encoding], length=3)
    small = Tokenizer(Vocabulary(SPECIAL))
    with pytest.raises(ValueError, match=f"id {TOKENS.index('the')} is out of range: the vocabulary has ids 0 to 4"):
        small.batch([encoding])


@pytest.mark.parametrize(
    "text",
    ["the cat sat.", "cats, the cat (un-sat): why?", "it's the cat's, isn't it?", "北京, the cat!", "see [a] or [b]."],
)
def test_decode_reads_like_the_text(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


@given(WORDS)
@hypothesis(deadline=None, derandomize=True)
def test_decode_undoes_encode_on_plain_words(text):
    tokenizer = Tokenizer(Vocabulary(TOKENS))
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_decode_and_special_tokens(tokenizer):
    ids = np.array([*tokenizer.encode("the [MASK] ßß").ids, 0, 0])
    assert tokenizer.decode(ids) == "the [UNK]"
    assert tokenizer.decode(ids, skip_special=False) == "[CLS] the [MASK] [UNK] [SEP] [PAD] [PAD]"
    with pytest.raises(ValueError, match="id -1 is out of range"):
        tokenizer.decode([5, -1])


def test_a_folder_comes_back_as_it_went(tmp_path):
    tokenizer = Tokenizer(
        Vocabulary([*TOKENS, "The", "É"]), lower_case=False, strip_accents=False, split_cjk=False, max_length=64
    )
    tokenizer.save(tmp_path / "run")
    assert sorted(os.listdir(tmp_path / "run")) == ["tokenizer_config.json", "vocab.txt"]
    again = Tokenizer.load(tmp_path / "run")
    assert (again.lower_case, again.strip_accents, again.split_cjk, again.max_length) == (False, False, False, 64)
    text = "The É cat, 北京 unaffable [MASK]"
    assert again.encode(text) == tokenizer.encode(text)
    assert again.ids(text) == tokenizer.ids(text)


def test_a_folder_without_settings_is_judged_by_its_vocabulary(tmp_path):
    Vocabulary(TOKENS).save(tmp_path / "vocab.txt")
    assert Tokenizer.load(tmp_path).lower_case is True
    assert Tokenizer.load(tmp_path).notes == []
    assert Tokenizer.load(tmp_path).max_length == NO_LIMIT
    Vocabulary([*TOKENS, "The", "Cat", "A"]).save(tmp_path / "vocab.txt")
    assert Tokenizer.load(tmp_path).lower_case is False
    assert "the vocabulary has capital letters, so they are kept" in Tokenizer.load(tmp_path).notes[0]
    settings(tmp_path)
    assert Tokenizer.load(tmp_path).lower_case is True
    assert 'write "do_lower_case": false there' in Tokenizer.load(tmp_path).notes[0]
    settings(tmp_path, do_lower_case=True)
    assert Tokenizer.load(tmp_path).lower_case is True
    assert Tokenizer.load(tmp_path).notes == []


def test_folders_that_cannot_be_read_are_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no vocab\.txt in"):
        Tokenizer.load(tmp_path)
    Vocabulary(TOKENS).save(tmp_path / "vocab.txt")
    (tmp_path / "tokenizer_config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"tokenizer_config\.json: not valid JSON"):
        Tokenizer.load(tmp_path)


def test_only_text_is_text(tokenizer):
    for method in (tokenizer.ids, tokenizer.tokenize, tokenizer.encode):
        with pytest.raises(TypeError, match="text must be a str, got bytes"):
            method(b"cat")


def test_the_cache_is_bounded_and_changes_nothing(monkeypatch):
    monkeypatch.setattr("minibert.text.method.CACHED_PARTS", 3)
    tokenizer = Tokenizer(Vocabulary(TOKENS))
    text = "the cat sat unaffable cats the the cat " + "a" * 99
    first = tokenizer.ids(text)
    assert tokenizer.ids(text) == first == Tokenizer(Vocabulary(TOKENS)).ids(text)
    assert len(tokenizer._ids) <= 3
    assert all(len(word) <= 64 for word in tokenizer._ids)


def test_a_tokenizer_can_be_sent_to_another_process(tokenizer):
    encoding = tokenizer.encode("the unaffable cats")
    assert pickle.loads(pickle.dumps(tokenizer)).encode("the unaffable cats") == encoding
