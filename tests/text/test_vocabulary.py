"""The vocabulary and its file."""

import os

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
def test_a_missing_special_token_is_named_with_the_file(tmp_path, missing):
    path = tmp_path / "words.txt"
    path.write_text("\n".join(token for token in [*SPECIAL, "a"] if token != missing), encoding="utf-8")
    with pytest.raises(ValueError) as error:
        Vocabulary.load(path)
    assert f"words.txt has no {missing}" in str(error.value)


def test_a_duplicate_is_named_with_both_lines(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*SPECIAL, "cat", "dog", "cat"]), encoding="utf-8")
    with pytest.raises(ValueError, match=r"vocab\.txt: 'cat' stands in line 6 and again in line 8"):
        Vocabulary.load(path)


def test_an_empty_file_is_said(tmp_path):
    (tmp_path / "vocab.txt").touch()
    with pytest.raises(ValueError, match=r"vocab\.txt is empty"):
        Vocabulary.load(tmp_path / "vocab.txt")


def test_undecodable_bytes_are_placed(tmp_path):
    (tmp_path / "vocab.txt").write_bytes(b"[PAD]\n[UNK]\ncaf\xe9\n")
    with pytest.raises(ValueError, match=r"vocab\.txt is not UTF-8: byte 0xe9 at offset 15 \(line 3\)"):
        Vocabulary.load(tmp_path / "vocab.txt")


def test_a_line_break_cannot_be_a_token():
    with pytest.raises(ValueError, match=r"token 5 is 'a\\nb'"):
        Vocabulary([*SPECIAL, "a\nb"])


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
