"""Folders with byte pairs: what their files say, and what is refused. Equal ids: ``tests/oracle/test_bytepair_folders.py``."""

import json
import os

import pytest

from minibert.text import Tokenizer
from minibert.text.bytepairs import CHARACTERS, BytePairs
from minibert.text.frame import BERT, ROBERTA
from minibert.text.learn import BYTE_FIRST, learn_bpe

MERGES = [("a", "b"), ("Ġ", "ab"), ("c", "c")]
TOKENS = [*BYTE_FIRST, *CHARACTERS, "ab", "Ġab", "cc"]
BYTES = {"type": "ByteLevel", "add_prefix_space": False}
FREE = {"tokenizer_class": "PreTrainedTokenizerFast"}


def write(folder, **files):
    """Files of a folder: ``merges`` and ``dict`` are lines of text, the others what their JSON holds."""
    names = {"merges": "merges.txt", "dict": "dict.txt", "bpe": "vocab.bpe"}
    for name, values in files.items():
        text = values if isinstance(values, str) else json.dumps(values)
        (folder / names.get(name, f"{name}.json")).write_text(text, encoding="utf-8")
    return folder


def lines(*joins):
    return "".join(f"{left} {right}\n" for left, right in joins)


def index(tokens=TOKENS):
    return {token: number for number, token in enumerate(tokens)}


def load(folder, vocab=None, merges=None, **files):
    merges = "#version: 0.2\n" + lines(*MERGES) if merges is None else merges
    return Tokenizer.load(write(folder, vocab=index() if vocab is None else vocab, merges=merges, **files))


def fast(**changes):
    return {"model": {"type": "BPE", "vocab": index(), "merges": [list(join) for join in MERGES]}, "pre_tokenizer": BYTES,
            "added_tokens": []} | changes


def model(**changes):
    return fast(model=fast()["model"] | changes)


def test_a_bare_folder_is_read_as_roberta_was_trained(tmp_path):
    tokenizer = load(tmp_path)
    assert tokenizer.notes == []
    encoding = tokenizer.encode("ab ab <mask> ccc", "é")
    assert encoding.tokens == ["<s>", "ab", "Ġab", "<mask>", "Ġ", "cc", "c", "</s>", "</s>", "Ã", "©", "</s>"]
    assert set(encoding.token_type_ids) == {0}
    assert (tokenizer.vocab.pad_id, tokenizer.vocab.unk_id, tokenizer.vocab.mask_id) == (1, 3, 4)


def test_a_folder_comes_back_as_it_went(tmp_path):
    vocab, merges = learn_bpe(["the cat is the cat", "that is that"], 275)
    tokenizer = Tokenizer(vocab, method=BytePairs, frame=ROBERTA, merges=merges, add_prefix_space=True, max_length=64)
    tokenizer.save(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["merges.txt", "tokenizer_config.json", "vocab.json"]
    again = Tokenizer.load(tmp_path)
    assert (again.vocab, again.method.merges, again.max_length) == (vocab, tuple(merges), 64)
    assert again.ids("the cat é") == tokenizer.ids("the cat é")
    assert again.encode("the <mask>").ids == Tokenizer.load(tmp_path).encode("the <mask>").ids


def test_tokens_beside_the_vocabulary_and_every_flag_come_back(tmp_path):
    tokenizer = load(tmp_path, added_tokens={"[E1]": len(TOKENS), "[E2]": len(TOKENS) + 3})
    (tmp_path / "copy").mkdir()
    tokenizer.save(tmp_path / "copy")
    again = Tokenizer.load(tmp_path / "copy")
    assert (again.vocab, set(again.added)) == (tokenizer.vocab, set(tokenizer.added))
    assert again.tokenize("ab[E1] <mask>[E2]") == ["ab", "[E1]", "<mask>", "[E2]"]


def test_another_frame_cannot_be_saved(tmp_path):
    vocab, merges = learn_bpe(["a"], 261)
    with pytest.raises(ValueError, match="cannot say that texts stand in the frame"):
        Tokenizer(vocab, method=BytePairs, frame=BERT, merges=merges).save(tmp_path)


def test_fairseq_names_the_numbers_of_another_vocabulary(tmp_path):
    encoder = [*CHARACTERS, "ab", "Ġab", "cc", "<|endoftext|>"]
    numbered = index(encoder)
    order = ["Ġab", "ab", "<|endoftext|>", "cc", *CHARACTERS]
    dictionary = "".join(f"{numbered[token]} {1000 - i}\n" for i, token in enumerate(order)) + "madeupword0000 0\n"
    write(tmp_path, dict=dictionary, encoder=numbered, bpe="#version: 0.2\n" + lines(*MERGES))
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.vocab.tokens[:8] == ("<s>", "<pad>", "</s>", "<unk>", *order[:4])
    assert tokenizer.vocab.tokens[-2:] == ("madeupword0000", "<mask>")
    assert tokenizer.encode("ab ab <mask>").ids == [0, 5, 4, tokenizer.vocab.mask_id, 2]
    (tmp_path / "copy").mkdir()
    tokenizer.save(tmp_path / "copy")
    assert Tokenizer.load(tmp_path / "copy").encode("ab ab <mask>").ids == tokenizer.encode("ab ab <mask>").ids
    write(tmp_path, dict="7 99\nx 3\n")
    with pytest.raises(ValueError, match=r"dict\.txt, line 2: expected the number of a token of encoder\.json .*, found 'x 3'"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize(("files", "note"), [
    ({"tokenizer": fast(pre_tokenizer=BYTES | {"add_prefix_space": True})}, "add_prefix_space false and tokenizer.json true"),
    ({"tokenizer_config": {"trim_offsets": False}}, "trim_offsets has no effect here"),
    ({"vocab": index([token for token in TOKENS if token != "x"])}, "no token for 1 of the 256 bytes; they are left out"),
])
def test_what_has_no_effect_or_is_lost_is_said(tmp_path, files, note):
    assert [note in found for found in load(tmp_path, **files).notes] == [True]


def test_tokenizer_json_goes_first_and_may_be_old(tmp_path):
    old = model(merges=["a b", "Ġ ab", "c c"], continuing_subword_prefix="", end_of_word_suffix="", dropout=None, fuse_unk=False)
    del old["model"]["type"]
    tokenizer = load(tmp_path, {}, "", tokenizer=old)
    assert tokenizer.tokenize("ab ab") == ["ab", "Ġab"]


@pytest.mark.parametrize(("files", "message"), [
    ({"merges": "#version: 0.2\na b\nab\n"}, r"merges\.txt: join 2 must be two pieces with a blank between them, found 'ab'"),
    ({"merges": "a b c\n"}, r"merges\.txt: join 1 must be two pieces .* found 'a b c'"),
    ({"merges": "a b\n\nb c\n"}, r"merges\.txt: join 2 must be two pieces .* found ''"),
    ({"merges": "x y\n"}, r"vocab\.json: the vocabulary has no 'xy', which the joins need; the two belong to different models"),
    ({"vocab": index(TOKENS[:9]) | {"a": 0}}, r"vocab\.json: the 10 tokens of its vocabulary must have as many ids"),
    ({"vocab": {"<s>": "x"}}, r'vocab\.json: the 1 tokens of its vocabulary must have as many ids, .* "<s>" has "x"'),
    ({"vocab": {}, "merges": ""}, r"vocab\.json is empty"),
    ({"tokenizer_config": {"add_prefix_space": "x"}}, 'add_prefix_space must be true or false, found "x"'),
    ({"tokenizer_config": {"tokenizer_class": "GPT2Tokenizer"}}, 'tokenizer_class is "GPT2Tokenizer"; byte pairs are read'),
    ({"tokenizer": model(merges=None)}, r"tokenizer\.json: the merges of its model must be a list, found null"),
    ({"tokenizer": model(merges=[["a", 1]])}, r"tokenizer\.json: join 1 must be two pieces"),
    ({"tokenizer": model(vocab=["a"])}, r"tokenizer\.json is empty"),
    ({"tokenizer": model(dropout=0.1), "tokenizer_config": FREE}, r"tokenizer\.json asks for model\.dropout 0\.1, which RoBERTa"),
    ({"tokenizer": model(ignore_merges=True, end_of_word_suffix="</w>"), "tokenizer_config": FREE},
     r'asks for model\.end_of_word_suffix "</w>" and model\.ignore_merges true'),
    ({"tokenizer": fast(normalizer={"type": "NFC"}, pre_tokenizer={"type": "Whitespace"}), "tokenizer_config": FREE},
     "asks for a normalizer and a pre_tokenizer that is not ByteLevel"),
    ({"tokenizer": fast(pre_tokenizer=BYTES | {"use_regex": False}), "tokenizer_config": FREE}, "is not ByteLevel"),
    ({"tokenizer": fast(post_processor={"type": "BertProcessing", "cls": ["<s>", 0], "sep": ["</s>", 2]})},
     r"something else of texts than \[CLS\] text \[SEP\] and \[CLS\] text \[SEP\] \[SEP\] text \[SEP\]"),
])
def test_what_cannot_be_read_is_named(tmp_path, files, message):
    with pytest.raises(ValueError, match=message):
        load(tmp_path, **files)


def test_a_missing_half_is_named(tmp_path):
    write(tmp_path, vocab=index())
    with pytest.raises(FileNotFoundError, match=r"no merges\.txt in"):
        Tokenizer.load(tmp_path)
    write(tmp_path, dict="1 1\n")
    os.remove(tmp_path / "vocab.json")
    with pytest.raises(FileNotFoundError, match=r"no encoder\.json, vocab\.bpe in"):
        Tokenizer.load(tmp_path)


def test_no_other_rule_cuts_its_texts(tmp_path):
    write(tmp_path, vocab=index(), merges=lines(*MERGES))
    with pytest.raises(ValueError, match="byte pairs, which finds words by a rule of its own"):
        Tokenizer.load(tmp_path, cut="characters")


def test_what_describes_a_tokenizer_makes_it_again():
    vocab, merges = learn_bpe(["the cat is the cat"], 265)
    tokenizer = Tokenizer(vocab, method=BytePairs, frame=ROBERTA, merges=merges, add_prefix_space=True, max_length=64)
    about = json.loads(json.dumps(tokenizer.described()))
    again = Tokenizer.remade(vocab.tokens, about)
    assert again.encode("the cat <mask>", "é") == tokenizer.encode("the cat <mask>", "é")
    assert (again.vocab, again.frame, again.added, again.max_length) == (vocab, ROBERTA, tokenizer.added, 64)
    with pytest.raises(KeyError):
        Tokenizer.remade(vocab.tokens, about | {"kind": "WordLevel"})


def test_a_dictionary_of_letters_is_cut_by_a_rule(tmp_path):
    """fairseq's models of what is no prose have no byte pairs: a symbol of the dictionary is a token."""
    path = tmp_path / "dict.txt"
    path.write_text("A 30\nC 7 #fairseq:overwrite\nD 1\n", encoding="utf-8")
    tokenizer = Tokenizer.load(path, cut="characters")
    assert tokenizer.vocab.tokens == ("<s>", "<pad>", "</s>", "<unk>", "A", "C", "D", "<mask>")
    assert tokenizer.encode("CaD<mask>A").tokens == ["<s>", "C", "<unk>", "D", "<mask>", "A", "</s>"]
    tokenizer.save(tmp_path / "saved")
    again = Tokenizer.load(tmp_path / "saved")
    assert again.encode("CaD<mask>A").ids == tokenizer.encode("CaD<mask>A").ids == [0, 5, 3, 6, 7, 4, 2]
    path.write_text("A 30\nC\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"dict\.txt, line 2: expected a symbol and a count, found 'C'"):
        Tokenizer.load(path, cut="characters")
