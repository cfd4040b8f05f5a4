"""SentencePiece's models: the answers of the library itself to small models of every kind, and what must hold of any model."""

import json
import random
import struct
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert import protobuf
from minibert.text import spm
from minibert.text.charsmap import Charsmap, compiled
from minibert.text.merges import Merges
from minibert.text.sentencepiece import SentencePiece
from minibert.text.unigram import Unigram

FOLDER = Path(__file__).parent / "sentencepiece"  # see tools/peers/sentencepiece_models.py
ANSWERS = json.loads((FOLDER / "answers.json").read_text(encoding="utf-8"))
MODELS = sorted(ANSWERS["answers"])
PLAIN = spm.Spm(("<unk>", "\u2581", "a", "b", "ab", "\u2581a"), (0.0, -2.0, -3.0, -3.0, -3.5, -2.5), (2, 1, 1, 1, 1, 1))


def model(name):
    return SentencePiece(spm.read(FOLDER / f"{name}.model"))


# As the library


@pytest.mark.parametrize("name", MODELS)
def test_pieces_and_places_are_those_of_the_library(name):
    ours = model(name)
    for text, expected in zip(ANSWERS["texts"], ANSWERS["answers"][name]["pieces"]):
        assert ours.pieces(text) == [tuple(piece) for piece in expected], text


@pytest.mark.parametrize("name", MODELS)
def test_ids_alone_are_the_same_fresh_and_remembered(name):
    ours = model(name)
    for _ in range(2):
        for text, expected in zip(ANSWERS["texts"], ANSWERS["answers"][name]["pieces"]):
            assert ours.ids(text) == [number for number, _, _ in expected], text


@pytest.mark.parametrize("name", MODELS)
def test_decoded_texts_are_those_of_the_library(name):
    ours, answers = model(name), ANSWERS["answers"][name]
    for ids, expected in zip(answers["ids"], answers["decoded"]):
        assert ours.decode(ids) == expected, ids


def test_the_models_take_every_way_there_is():
    ways = {name: model(name) for name in MODELS}
    assert {name for name, ours in ways.items() if ours._by_raw_word} == {"unigram", "albert", "bytes", "bpe", "dashes"}
    assert not ways["suffix"]._by_word
    assert not ways["across"]._by_word
    assert ways["bpe_spaces"].unigram is None


def test_sums_in_32_bits_decide_in_lines_of_dashes():
    ours = model("dashes")
    words = ["\u2581a" + "-" * n for n in range(1, 40)]
    narrow = [ours.unigram.cut_line([ours.unigram.cut(before), ours.unigram.cut(word)])[1] for before in words for word in words]
    assert narrow != [ours.unigram.cut(word).pieces for _ in words for word in words]


# The charsmap


@pytest.mark.parametrize("theirs", [True, False])
def test_rules_are_those_that_were_compiled(theirs):
    charsmap = model("unigram").charsmap if theirs else Charsmap(compiled(ANSWERS["rules"]))
    assert {source: charsmap(source) for source in ANSWERS["rules"]} == ANSWERS["rules"]
    assert charsmap("a\u0301Bc\0") == "a\u0301Bc\0"


def test_the_longest_source_goes_and_what_is_kept_stays():
    charsmap = Charsmap(compiled({"a": "x", "ab": "y", "abcd": "z", "\u0301": ""}), keep=["bc"])
    assert charsmap("abcd abc ab a b bc a\u0301") == "z yc y x b bc x"
    assert [*charsmap.chunks("-abc\u0301")] == [(0, "-"), (1, "y"), (3, "c"), (4, "")]
    assert Charsmap()("é\u0301") == "é\u0301"


def test_by_cluster_a_mark_is_lost_with_a_rule_for_its_letter():
    charsmap = Charsmap(compiled({"Ａ": "A", "e\u0301": "é", "\r": " ", "\n": " "}))
    assert charsmap("Ａ\u0301e\u0301\r\n") == "A\u0301é  "
    assert charsmap.by_cluster("Ａ\u0301e\u0301\r\n") == "Aé "
    assert charsmap.by_cluster("Ａ\u0301\u0301") == "A\u0301\u0301"  # seven bytes: character by character
    assert "".join(part for _, part in charsmap.clusters("xＡ\u0301y")) == "xAy"


@given(st.dictionaries(st.text("abcé", min_size=1, max_size=3), st.text("abcx", max_size=2), max_size=6),
       st.text("abcéx", max_size=20))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_chunks_are_the_text(rules, text):
    charsmap = Charsmap(compiled(rules))
    expected, at = "", 0
    while at < len(text):
        source = max((source for source in rules if text.startswith(source, at)), key=len, default=text[at])
        expected += rules.get(source, source)
        at += len(source)
    assert charsmap(text) == expected
    assert "".join(part for _, part in charsmap.chunks(text)) == charsmap(text)
    assert "".join(part for _, part in charsmap.clusters(text)) == charsmap.by_cluster(text)


# The best way


def ways(text):
    if not text:
        return [()]
    return [(text[:n], *rest) for n in range(1, len(text) + 1) for rest in ways(text[n:])]


@given(st.dictionaries(st.text("abc", min_size=1, max_size=4), st.integers(-90, -1), min_size=1, max_size=12),
       st.text("abcd", min_size=1, max_size=8))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_the_unigram_model_finds_the_best_of_all_ways(pieces, text):
    unigram = Unigram({piece: float(score) for piece, score in pieces.items()}, -90.0)
    possible = [way for way in ways(text) if all(piece in pieces or len(piece) == 1 for piece in way)]

    def score(way):
        return sum(pieces.get(piece, -100) for piece in way)

    cut = unigram.cut(text)
    assert score(cut.pieces) == max(map(score, possible))
    best_two = sorted(map(score, possible))[-2:]
    if len(best_two) == 2 and best_two[0] == best_two[1]:
        assert cut.close
    rest = [way for way in possible if way != (text,)]
    if rest:
        assert score(unigram.cut(text, whole=False).pieces) == max(map(score, rest))


@given(st.lists(st.sampled_from(["a", "aa", "aaa", "aab", "b", "ab", "-", "--", "a-"]), min_size=1, max_size=200))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_word_by_word_is_the_whole_line_in_32_bits(words):
    rng = np.random.default_rng(len(words))
    pieces = ["a", "b", "-", "\u2581", "aa", "ab", "--", "\u2581a", "aab", "a-"]
    scores = {piece: float(np.float32(-rng.integers(1, 9) / 7)) for piece in pieces}
    narrow = Unigram(scores, min(scores.values()), narrow=True)
    line = ["\u2581" + word for word in words]
    found = narrow.cut_line([narrow.cut(word) for word in line])
    assert sum(found, ()) == narrow._cut_narrow("".join(line), 0.0)


def test_a_long_line_is_added_up_in_32_bits_from_end_to_end():
    scores = {"\u2581": -7.3, "a": -7.1, "aa": -14.2000003, "b": -9.9}
    narrow = Unigram({piece: float(np.float32(score)) for piece, score in scores.items()}, -9.9, narrow=True)
    line = ["\u2581aab"] * 3000
    assert sum(narrow.cut_line([narrow.cut(word) for word in line]), ()) == narrow._cut_narrow("".join(line), 0.0)


def naive_joins(text, scores):
    parts = list(text)
    while True:
        joins = [(scores[a + b], -at) for at, (a, b) in enumerate(pairwise(parts)) if a + b in scores]
        if not joins:
            return tuple(parts)
        at = -max(joins)[1]
        parts[at:at + 2] = [parts[at] + parts[at + 1]]


@given(st.lists(st.text("abc", min_size=2, max_size=5), unique=True, max_size=15), st.text("abcd", max_size=30))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_joins_are_those_of_the_naive_way(pieces, text):
    scores = {piece: -float(number // 2) for number, piece in enumerate(pieces)}
    assert Merges(scores).cut(text) == naive_joins(text, scores)


def test_frozen_pieces_are_joined_with_nothing_and_unused_ones_are_taken_apart():
    scores = {"ab": -1.0, "abc": -2.0, "cd": 0.0, "xy": -3.0, "xyz": -4.0}
    assert Merges(scores, frozen=["cd"]).cut("abcd") == ("ab", "cd")
    assert Merges(scores, unused=["ab"]).cut("abab") == ("a", "b", "a", "b")
    assert Merges(scores, unused=["ab", "abc"]).cut("abcab") == ("a", "b", "c", "a", "b")


# Files


@pytest.mark.parametrize("name", MODELS)
def test_what_is_written_is_read_again(name, tmp_path):
    first = spm.read(FOLDER / f"{name}.model")
    spm.write(tmp_path / "again.model", first)
    again = spm.read(tmp_path / "again.model")
    assert again._replace(trainer=b"") == first._replace(trainer=b"")
    assert SentencePiece(again).ids("Mr. Bennet, 9") == SentencePiece(first).ids("Mr. Bennet, 9")


def without(**changes):
    return spm.dump(PLAIN._replace(**changes))


@pytest.mark.parametrize(("data", "message"), [
    (b"", "it has no pieces"),
    (b"\x07", "no field of kind 7"),
    (without(model_type=4), "its model_type is char; unigram and BPE are read"),
    (without(types=(1,) * 6), "it has 0 unknown pieces"),
    (without(types=(2, 2, 1, 1, 1, 1)), "it has 2 unknown pieces"),
    (without(types=(2, 9, 1, 1, 1, 1)), "a piece has the type 9"),
    (without(pieces=("<unk>", "a", "a", "b", "c", "d")), "'a' stands there as a piece twice"),
    (without(pieces=("<unk>", "", "a", "b", "c", "d")), "a piece is empty"),
    (without(scores=(0.0, float("nan"), 0.0, 0.0, 0.0, 0.0)), "a score is no finite number"),
    (without(byte_fallback=True), "it has 0 pieces for bytes"),
    (without() + protobuf.field(9, "x"), "the file has a field 9, of which nothing is known here"),
    (without() + protobuf.field(1, protobuf.field(7, 1)), "a piece has a field 7"),
    (without() + protobuf.field(1, protobuf.field(1, b"\xff")), "a piece is not UTF-8"),
    (without() + protobuf.field(5, protobuf.field(2, b"xxxx")), "it has a denormalizer_spec"),
    (without() + protobuf.field(2, 7), "trainer_spec is a number where"),
])
def test_what_cannot_be_read_is_said(tmp_path, data, message):
    path = tmp_path / "x.model"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message) as error:
        spm.read(path)
    assert str(error.value).startswith(f"{path}: no model of SentencePiece that can be read here: ")
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(("charsmap", "message"), [
    (b"abc", "its trie should have 6,513,249 bytes, in 0"),
    (struct.pack("<I", 1 << 31) + bytes(100), "its trie should have 2,147,483,648 bytes, in 100"),
    (compiled({"a": "b", "c": "d"})[:-4], "a rule has no target"),
    (compiled({"a": "b"})[:-2] + b"\xff\0", "its targets are not UTF-8"),
    (compiled({"a" * 300: "b"}), "a source has more than 256 bytes"),
    (struct.pack("<3I", 8, 96 << 10, 0), None),
    (struct.pack("<3I", 8, 96 << 10, 97) + b"x\0", None),
])
def test_a_damaged_charsmap_is_said(charsmap, message):
    if message is None:
        assert Charsmap(charsmap)("a") == "a"
        return
    with pytest.raises(ValueError, match=message):
        Charsmap(charsmap)


@pytest.mark.parametrize("name", ["unigram", "bytes", "bpe"])
def test_damaged_files_are_read_or_refused_and_nothing_else(name, tmp_path):
    data = (FOLDER / f"{name}.model").read_bytes()
    rng, path, said = random.Random(name), tmp_path / "x.model", []
    for _ in range(300):
        harmed = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(harmed))
            kind = rng.randrange(4)
            if kind == 0:
                harmed[at] ^= 1 << rng.randrange(8)
            elif kind == 1:
                harmed[at] = rng.randrange(256)
            elif kind == 2:
                del harmed[at:at + rng.randrange(1, 50)]
            else:
                harmed[at:at] = rng.randbytes(rng.randrange(1, 20))
        path.write_bytes(harmed)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                ours = SentencePiece(spm.read(path))
                ours.decode(ours.ids("Mr. Bennet replied, 9 日本 😀"))
                ours.pieces("Mr. Bennet replied, 9 日本 😀")
            except ValueError as error:
                said.append(str(error))
    assert 30 < len(said) < 300
    assert max(map(len, said)) < 500
