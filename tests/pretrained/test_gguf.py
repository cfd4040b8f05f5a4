"""GGUF: files that llama.cpp's own converter made, what is written here, and what files may claim."""

import struct
from pathlib import Path

import numpy as np
import pytest

import minibert
from minibert import pretrained
from minibert.cli import main
from minibert.convert import convert
from minibert.pretrained import formats, gguf
from minibert.text import Tokenizer, Vocabulary
from tests import tiny_model
from tests.pretrained import examples, writers

THEIRS = Path(__file__).parent / "gguf-0.19"
SIZES = {"bert.block_count": 1, "bert.context_length": 8, "bert.embedding_length": 4, "bert.feed_forward_length": 5,
         "bert.attention.head_count": 2, "bert.attention.layer_norm_epsilon": 1e-12}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.gguf"


def read(path, arrays, values=None, **rest):
    writers.gguf(path, arrays, values, **rest)
    with formats.opened(path) as reader:
        return {name: reader[name] for name in reader.shapes}


@pytest.fixture(scope="module")
def values():
    stored = np.load(THEIRS / "values.npz")
    return {name: stored[name] for name in stored.files}


# Files by others


@pytest.mark.parametrize("kind", ["f32", "f16", "q8_0"])
def test_what_llama_cpp_converted(kind, values):
    """The numbers are those that the gguf package takes out of the file."""
    with formats.opened(THEIRS / f"{kind}.gguf") as reader:
        assert len(reader.shapes) == 21
        for name in reader.shapes:
            expected = values[f"{'q8_0' if kind == 'q8_0' else 'f32'} {gguf.theirs(name)}"]
            if kind == "f16" and reader.dtypes[name] == "float16":
                expected = expected.astype(np.float16)
            assert reader.shapes[name] == expected.shape
            np.testing.assert_array_equal(reader[name], expected)
        matrices = {reader.dtypes[name] for name in reader.shapes if ".dense.weight" in name}
        assert matrices == {{"f32": "float32", "f16": "float16", "q8_0": "Q8_0"}[kind]}


@pytest.mark.parametrize("kind", ["f32", "f16", "q8_0"])
def test_such_a_file_alone_is_a_model(tmp_path, kind, values):
    """Sizes, vocabulary and weights are all in it."""
    (tmp_path / "any name.gguf").write_bytes((THEIRS / f"{kind}.gguf").read_bytes())
    loaded = pretrained.load(tmp_path)
    assert loaded.tokenizer.vocab.tokens == tiny_model.TOKENS
    assert loaded.tokenizer.lower_case
    assert (loaded.config.vocab_size, loaded.config.hidden_size, loaded.config.num_attention_heads) == (64, 32, 2)
    assert (loaded.config.layer_norm_eps, loaded.config.hidden_act, loaded.max_length) == (1e-12, "gelu", 8)
    assert {name.split(".")[1] for name in loaded.initialised} == {"pooler", "predictions", "seq_relationship"}
    said = " ".join(loaded.notes)
    assert "any name.gguf does not say which form of GELU" in said
    assert ("Q8_0" in said) is (kind == "q8_0")
    vectors = minibert.load(tmp_path, "cpu").embed(["an exception.", "the"])
    assert vectors.shape == (2, 32)
    np.testing.assert_array_equal(loaded.parameters["bert"]["encoder"]["layer"]["0"]["attention"]["self"]["key"]["bias"],
                                  values["f32 blk.0.attn_k.bias"])


def test_vectors_are_made_as_the_file_says(tmp_path):
    config, parameters, tokenizer = examples.tiny()
    for kind in ("cls", "mean", None):
        gguf.write(tmp_path / "model.gguf", dict(parameters.items()), config, tokenizer, kind)
        assert minibert.load(tmp_path, "cpu").pooling().kind == (kind or "mean")


def test_info_and_other_names(tmp_path, capsys):
    (tmp_path / "pytorch_model.bin").write_bytes((THEIRS / "f16.gguf").read_bytes())  # what it is, its beginning says
    assert pretrained.load(tmp_path, tokenizer=Tokenizer(Vocabulary(tiny_model.TOKENS))).config.hidden_size == 32
    (tmp_path / "pytorch_model.bin").rename(tmp_path / "x.gguf")
    assert main(["info", str(tmp_path), "--length", "8"]) == 0
    out = capsys.readouterr().out
    assert "Weights    x.gguf (GGUF), 26.8 kB" in out
    assert "numbers of float16, float32 in 21 tensors" in out
    assert "uncased, accents removed, 62 tokens (2 rows of the table are padding), at most 8 a text" in out
    assert "Sizes" not in out
    assert main(["convert", str(tmp_path), str(tmp_path / "folder")]) == 0
    assert pretrained.load(tmp_path / "folder").tokenizer.vocab.tokens == tiny_model.TOKENS


# What is written


def test_a_model_leaves_and_comes_back(tmp_path):
    config, parameters, tokenizer = examples.tiny(hidden_act="gelu_new", vocab_size=66)
    pretrained.save(tmp_path / "a", config, parameters, tokenizer)
    [_, left] = convert(tmp_path / "a", tmp_path / "b", "gguf")
    assert "bert.pooler.dense.weight" in left
    for file in (tmp_path / "b").iterdir():
        if file.suffix != ".gguf":
            file.unlink()
    loaded = pretrained.load(tmp_path / "b")
    assert loaded.config == config.replace(unknown={})
    assert loaded.tokenizer.vocab == tokenizer.vocab
    assert (loaded.tokenizer.lower_case, loaded.tokenizer.strip_accents, loaded.max_length) == (True, True, 8)
    assert not any("GELU" in note for note in loaded.notes)
    for name, x in loaded.parameters.items():
        assert (name in loaded.initialised) or np.array_equal(x, dict(parameters.items())[name])
    convert(tmp_path / "b", tmp_path / "c", "gguf")
    assert (tmp_path / "c" / "model.gguf").read_bytes() == (tmp_path / "b" / "model.gguf").read_bytes()


def test_halves_are_matrices_only(tmp_path):
    """As llama.cpp wants it: what is added is in float32."""
    pretrained.save(tmp_path / "a", *examples.tiny())
    convert(tmp_path / "a", tmp_path / "b", "gguf", "float16")
    with formats.opened(tmp_path / "b" / "model.gguf") as reader:
        assert {name for name, dtype in reader.dtypes.items() if dtype == "float16"} == {
            name for name in reader.shapes if name.endswith(("dense.weight", "query.weight", "key.weight", "value.weight",
                                                             "word_embeddings.weight"))}
        assert reader.values["general.file_type"] == 1
    with pytest.raises(ValueError, match=r"is of float64, and llama\.cpp reads float32 and float16: convert to one of these"):
        convert(tmp_path / "a", tmp_path / "c", "gguf", "float64")
    assert not (tmp_path / "c").exists() or not list((tmp_path / "c").iterdir())


def test_the_vectors_of_a_sentence_encoder(tmp_path):
    pretrained.save(tmp_path / "a", *examples.tiny())
    (tmp_path / "a" / "1_Pooling").mkdir()
    (tmp_path / "a" / "modules.json").write_text('[{"type": "x.Pooling", "path": "1_Pooling"}]', encoding="utf-8")
    for mode, number in {"pooling_mode_cls_token": 2, "pooling_mode_mean_tokens": 1, "pooling_mode_max_tokens": None}.items():
        (tmp_path / "a" / "1_Pooling" / "config.json").write_text(f'{{"{mode}": true}}', encoding="utf-8")
        convert(tmp_path / "a", tmp_path / "b", "gguf")
        with formats.opened(tmp_path / "b" / "model.gguf") as reader:
            assert reader.values.get("bert.pooling_type") == number


@pytest.mark.parametrize(("changes", "said"), [
    ({"norm_first": True}, "no norm_first True"), ({"embedding_size": 3}, "no embedding_size 3"),
    ({"position_offset": 1}, "no position_offset 1"), ({"type_vocab_size": 0}, "no type_vocab_size 0"),
    ({"num_hidden_layers": 2, "layer_map": (0, 0)}, r"no layer_map \(0, 0\)")])
def test_what_llama_cpp_cannot_compute_is_refused(path, changes, said):
    config, parameters, tokenizer = examples.tiny(**changes)
    with pytest.raises(ValueError, match=rf"llama\.cpp's BERT has .*{said}.*: this model cannot be written as GGUF"):
        gguf.write(path, dict(parameters.items()), config, tokenizer)
    assert not path.exists()


@pytest.mark.parametrize(("odd", "settings", "said"), [
    ("odd", {"cut": "characters"}, "no tokenizer cut by"), ("odd", {"split_cjk": False}, "no tokenize_chinese_chars false"),
    ("##[x]", {}, r"token '##\[x\]' of the vocabulary cannot"), ("##", {}, "token '##' of the vocabulary cannot")])
def test_tokenizers_that_llama_cpp_has_not_are_refused(path, odd, settings, said):
    config, parameters, _ = examples.tiny(vocab_size=len(tiny_model.TOKENS) + 1)
    with pytest.raises(ValueError, match=said):
        gguf.write(path, dict(parameters.items()), config, Tokenizer(Vocabulary((*tiny_model.TOKENS, odd)), **settings))


# What files may say


def test_types_and_blocks(path):
    x = np.array([[1.0, -2.5, 3.140625]], np.float32)
    numbers = np.arange(-32, 32, dtype=np.int8)
    blocks = b"".join(struct.pack("<e", scale) + part.tobytes() for scale, part in zip((0.5, -2), numbers.reshape(2, 32)))
    found = read(path, {"a": x, "half": x.astype(np.float16), "brain": (x.view(np.uint32) >> 16).astype(np.uint16),
                        "eight": ((2, 32), blocks)})
    for name in ("a", "half", "brain"):
        np.testing.assert_array_equal(found[name], x)
    np.testing.assert_array_equal(found["eight"], numbers.reshape(2, 32) * np.array([[0.5], [-2]]))


def test_queries_keys_and_values_in_one(path):
    x = np.arange(18, dtype=np.float32)
    blocks = b"".join(struct.pack("<e32b", i + 1, *range(32)) for i in range(6))
    found = read(path, {"blk.3.attn_qkv.weight": x.reshape(6, 3), "blk.3.attn_qkv.bias": x[:6],
                        "blk.4.attn_qkv.weight": ((6, 32), blocks)})
    for i, part in enumerate(("query", "key", "value")):
        np.testing.assert_array_equal(found[f"bert.encoder.layer.3.attention.self.{part}.weight"], x.reshape(3, 2, 3)[i])
        np.testing.assert_array_equal(found[f"bert.encoder.layer.3.attention.self.{part}.bias"], x[:6].reshape(3, 2)[i])
        np.testing.assert_array_equal(found[f"bert.encoder.layer.4.attention.self.{part}.weight"],
                                      np.outer([2 * i + 1, 2 * i + 2], np.arange(32)))


def test_the_vocabulary_of_older_files(path):
    """Before the ids of special tokens and the normaliser stood there; brackets stand for a word of their own."""
    unused = [f"[unused{i}]" for i in range(99)]
    tokens = ["[PAD]", *unused, "[UNK]", "[CLS]", "[SEP]", "[MASK]", "▁the", "ing", "▁[", "]", "▁▁x"]
    writers.gguf(path, {"token_embd.weight": np.ones((len(tokens), 4), np.float32)},
                 {**SIZES, "tokenizer.ggml.model": "bert", "tokenizer.ggml.tokens": tokens})
    with formats.opened(path) as reader:
        tokenizer = reader.tokenizer()
        assert reader.config["vocab_size"] == len(tokens)
    assert tokenizer.vocab.tokens[99:] == ("[unused98]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "##ing", "[", "##]", "▁x")
    assert (tokenizer.vocab.cls_id, tokenizer.vocab.mask_id, tokenizer.lower_case) == (101, 103, True)
    assert "does not say whether capital letters are lowered; by its vocabulary they are lowered" in tokenizer.notes[0]


def size(instead):
    """The first size of the tensor, 3, is another one."""
    return {"spoil": lambda name, message: message.replace(struct.pack("<Q", 3), struct.pack("<Q", instead), 1)}


def kind(number):
    """The type of the tensor is another one."""
    return {"spoil": lambda name, message: message[:-12] + struct.pack("<IQ", number, 0)}


@pytest.mark.parametrize(("values", "rest", "said"), [
    ({"general.architecture": "nomic-bert"}, {}, "its model is of the kind 'nomic-bert', not 'bert'"),
    ({}, {"version": 1}, "GGUF in version 1; only 2 and 3"), ({}, {"version": 3 << 24}, "GGUF in version 50331648"),
    ({"general.alignment": 3}, {}, "general.alignment is no power of two"), ({"general.alignment": "x"}, {}, "no power of two"),
    ({"general.alignment": 64}, {}, "the file was cut short|does not begin where"),
    ({}, {"spoil": lambda name, message: message[:-4] + struct.pack("<I", 7)}, "does not begin where the one before it ends"),
    ({}, kind(12), "is of type Q4_K, which is not read here; take the file in F32, F16, BF16 or Q8_0"),
    ({}, kind(99), "is of type number 99"), ({}, kind(8), "whole blocks of 32"), ({}, size(2**63), "sizes that no tensor has"),
    ({}, size(300), "the file was cut short: expected")], ids=range(12))
def test_a_head_that_claims_what_cannot_be(path, values, rest, said):
    with pytest.raises(ValueError, match=said) as info:
        read(path, {"a.weight": np.ones((2, 3), np.float32)}, values, **rest)
    assert str(path) in str(info.value)


def head(tensors, values, *rest):
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, values) + b"".join(rest)


KEY = writers.gguf_text("k")


@pytest.mark.parametrize("content", [
    b"GGUF", b"GGML" + bytes(40), head(2**60, 0, bytes(8)), head(0, 2**60, bytes(8)),
    head(0, 1, KEY, struct.pack("<IIQ", 9, 8, 2**60)), head(0, 1, KEY, struct.pack("<IIQ", 9, 4, 2**61)),  # rows without an end
    head(0, 1, KEY, struct.pack("<IIQ", 9, 9, 1), struct.pack("<IQ", 9, 1) * 9), head(0, 1, struct.pack("<Q", 2**62)),
    head(0, 1, KEY, bytes([13] + [0] * 20)), head(0, 1, struct.pack("<Q", 1), b"\xff", bytes(20)),
    head(0, 2, (KEY + writers.gguf_value(3)) * 2)], ids=range(11))
def test_small_files_that_claim_much(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.gguf: "), formats.opened(path):
        pass


@pytest.mark.parametrize(("values", "said"), [
    ({"tokenizer.ggml.model": "gpt2"}, "its tokenizer is of the kind 'gpt2', not 'bert'"),
    ({"tokenizer.ggml.tokens": [1]}, "word pieces"), ({"tokenizer.ggml.tokens": "a"}, "word pieces"),
    ({"tokenizer.ggml.token_type": [1]}, "2 tokens have other kinds"), ({"tokenizer.ggml.token_type": 3}, "2 tokens have other"),
    ({"tokenizer.ggml.tokens": ["▁a", "▁a"]}, "every token must stand there once"),
    ({"bert.block_count": "x"}, "it does not say bert.block_count"), ({"bert.block_count": 2**31}, "num_hidden_layers"),
    ({"minibert.hidden_act": "silu"}, "hidden_act must be one of")], ids=range(9))
def test_an_inside_that_is_of_another_kind(tmp_path, path, values, said):
    whole = {**SIZES, "tokenizer.ggml.model": "bert", "tokenizer.ggml.tokens": ["[UNK]", "▁a"], **values}
    writers.gguf(path, {"token_embd.weight": np.ones((2, 4), np.float32)}, whole)
    with pytest.raises(ValueError, match=said) as info:
        pretrained.load(tmp_path)
    assert "model.gguf" in str(info.value)
