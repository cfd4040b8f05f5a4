"""The vocabulary and its file."""

import os
import re

import pytest

from minibert.text import Vocabulary

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def test_ids_follow_the_order_of_the_tokens():
    vocab = Vocabulary(["[PAD]", "a", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "##b"])
    assert vocab.tokens == ("[PAD]", "a", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "##b")
    assert len(vocab) == 7
    assert "a" in vocab
    assert "b" not in vocab
    assert vocab.index["##b"] == 6
    assert (vocab.pad_id, vocab.unk_id, vocab.cls_id, vocab.sep_id, vocab.mask_id) == (0, 2, 3, 4, 5)
    assert vocab.special_ids == (0, 2, 3, 4, 5)


def test_a_file_comes_back_as_it_went(tmp_path):
    vocab = Vocabulary([*SPECIAL, "\u2028", "##\u2028", "\x85", "é", "北", "a b"])
    vocab.save(tmp_path / "vocab.txt")
    assert Vocabulary.load(tmp_path / "vocab.txt") == vocab
    assert (tmp_path / "vocab.txt").read_bytes().count(b"\n") == len(vocab)
    assert b"\r" not in (tmp_path / "vocab.txt").read_bytes()
    assert os.listdir(tmp_path) == ["vocab.txt"]


@pytest.mark.parametrize("data", ["{}", "{}\n", "\ufeff{}\n"])
def test_last_newline_and_byte_order_mark_are_no_tokens(tmp_path, data):
    path = tmp_path / "vocab.txt"
    path.write_bytes(data.format("\n".join(SPECIAL)).encode())
    assert Vocabulary.load(path).tokens == tuple(SPECIAL)


def test_windows_line_ends_are_understood(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_bytes("\r\n".join([*SPECIAL, "a", ""]).encode())
    assert Vocabulary.load(path).tokens == (*SPECIAL, "a")


@pytest.mark.parametrize("missing", SPECIAL)
def test_a_missing_special_token_is_missed_only_by_what_needs_it(tmp_path, missing):
    path = tmp_path / "words.txt"
    path.write_text("\n".join(token for token in [*SPECIAL, "a"] if token != missing), encoding="utf-8")
    vocab = Vocabulary.load(path)
    ids = (vocab.unk_id, vocab.cls_id, vocab.sep_id, vocab.mask_id)
    assert [number is None for number in ids] == [token == missing for token in SPECIAL[1:]]
    assert vocab.pad_id == 0
    vocab.require("this", *(token for token in SPECIAL if token != missing))
    with pytest.raises(ValueError) as error:
        vocab.require("guessing words", *SPECIAL)
    assert str(error.value) == f"{path} has no {missing}, which guessing words needs"


def test_a_text_is_no_vocabulary(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("# A model\n\nIt reads.\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"README\.md has none of the special tokens .*begins with '# A model'"):
        Vocabulary.load(path)


def test_of_repeated_lines_the_last_counts_and_blank_ones_count_for_nothing(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*SPECIAL, "cat", "", "dog", "cat", " ", "a"]), encoding="utf-8")
    vocab = Vocabulary.load(path)
    assert vocab.tokens == (*SPECIAL, "[unused:5]", "[unused:6]", "dog", "cat", "[unused:9]", "a")
    assert vocab.notes == [
        f"{path} has tokens in several lines ('cat' in 6 and 9): the last one counts, and the ids of the others are not used",
        f"{path} has blank lines (7, 10): their ids are not used"]
    vocab.save(path)
    assert Vocabulary.load(path) == vocab
    assert Vocabulary.load(path).notes == []


def test_a_duplicate_in_a_list_is_named():
    with pytest.raises(ValueError, match=r"the vocabulary: 'cat' is token 5 and again token 7"):
        Vocabulary([*SPECIAL, "cat", "dog", "cat"])


@pytest.mark.parametrize("end", ["\r", " \n", "\t\n", "\u3000\r\n"])
def test_line_ends_and_blanks_before_them_are_no_part_of_a_token(tmp_path, end):
    path = tmp_path / "vocab.txt"
    path.write_bytes("".join(f"{token}{end}" for token in [*SPECIAL, "a"]).encode())
    assert Vocabulary.load(path).tokens == (*SPECIAL, "a")


def test_an_empty_file_is_said(tmp_path):
    (tmp_path / "vocab.txt").touch()
    with pytest.raises(ValueError, match=r"vocab\.txt is empty"):
        Vocabulary.load(tmp_path / "vocab.txt")


def test_undecodable_bytes_are_placed(tmp_path):
    (tmp_path / "vocab.txt").write_bytes(b"[PAD]\n[UNK]\ncaf\xe9\n")
    with pytest.raises(ValueError, match=r"vocab\.txt is not UTF-8: byte 0xe9 at offset 15 \(line 3\)"):
        Vocabulary.load(tmp_path / "vocab.txt")


@pytest.mark.parametrize("token", ["a\nb", "a\r", "a ", ""])
def test_what_a_line_cannot_hold_cannot_be_a_token(token):
    with pytest.raises(ValueError, match=re.escape(f"token 5 is {token!r}")):
        Vocabulary([*SPECIAL, token])


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "vocab.txt"
    Vocabulary(SPECIAL).save(path)

    def disk_full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(OSError, match="No space left"):
        Vocabulary([*SPECIAL, "new"]).save(path)
    assert Vocabulary.load(path).tokens == tuple(SPECIAL)
    assert os.listdir(tmp_path) == ["vocab.txt"]
