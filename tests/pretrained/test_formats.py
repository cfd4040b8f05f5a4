"""Every format that is read, from files that were written without the package's code, and one that TensorFlow itself wrote."""

import json
import os
import pickle
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

import minibert
from minibert import pretrained
from minibert.crc32c import crc32c, each_masked, masked
from minibert.pretrained import formats, leveldb, npz, pytorch, tensorflow
from minibert.pretrained.names import canonical, lies_transposed
from minibert.pretrained.names import tensorflow as tensorflow_name
from tests import tiny_model
from tests.pretrained import examples, writers
from tests.pretrained.writers import Call, Name, Reference, tensor

BY_TENSORFLOW = Path(__file__).parent / "tensorflow-2.21"


@pytest.fixture(scope="module")
def model():
    return examples.tiny()


@pytest.mark.parametrize("kind", examples.PROTECTED)
def test_every_format_holds_the_same_model(tmp_path, kind, model):
    examples.write(tmp_path, kind, model)
    loaded = pretrained.load(tmp_path)
    np.testing.assert_array_equal(loaded.parameters.flat, model[1].flat)
    assert loaded.notes == []
    assert loaded.initialised == frozenset()
    assert len(minibert.load(tmp_path, "cpu").fill_mask("the [MASK]")) == 5


# Names


def test_names_go_to_tensorflow_and_back(model):
    names = dict(tiny_model.make()[1].items())
    for name in [*names, "classifier.weight", "classifier.bias", "qa_outputs.weight", "qa_outputs.bias"]:
        assert canonical(tensorflow_name(name)) == name
        assert canonical(f"module.{name}") == name
    assert tensorflow_name("bert.encoder.layer.11.output.dense.weight") == "bert/encoder/layer_11/output/dense/kernel"
    assert tensorflow_name("bert.embeddings.word_embeddings.weight") == "bert/embeddings/word_embeddings"
    assert tensorflow_name("cls.predictions.transform.LayerNorm.bias") == "cls/predictions/transform/LayerNorm/beta"
    assert tensorflow_name("cls.predictions.bias") == "cls/predictions/output_bias"
    assert tensorflow_name("cls.seq_relationship.weight") == "cls/seq_relationship/output_weights"
    assert sum(lies_transposed(tensorflow_name(name)) for name in names) == 2 * 6 + 2


def test_two_names_of_one_tensor_are_refused(tmp_path, model):
    arrays = dict(model[1].items())
    arrays["bert.embeddings.LayerNorm.gamma"] = arrays["bert.embeddings.LayerNorm.weight"]
    examples.write(tmp_path, "safetensors", model)
    formats.tensors.write(tmp_path / "model.safetensors", arrays)
    with pytest.raises(ValueError, match=r"LayerNorm\.gamma and \S+LayerNorm\.weight are two names of one"):
        pretrained.load(tmp_path)


# TensorFlow


@pytest.mark.parametrize(("data", "expected"), [
    (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E), (bytes(range(32))[::-1], 0x113FDB5C),
    (b"123456789", 0xE3069283), (b"", 0)])
def test_checksums_of_the_rfc(data, expected):
    assert crc32c(data) == expected == writers.crc32c(data)
    assert masked(data) == writers.mask(expected)


@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 32, 33, 64, 65, 500, 5000])
def test_long_checksums_are_joined_rightly(length, monkeypatch):
    data = np.random.default_rng(length).integers(0, 256, length, np.uint8)
    expected = writers.crc32c(data.tobytes())
    assert crc32c(data) == crc32c(data.tobytes()) == expected
    monkeypatch.setattr("minibert.crc32c._PIECE", 16)
    for at_once in (1, 3, 4, 64):
        monkeypatch.setattr("minibert.crc32c._AT_ONCE", at_once)
        assert crc32c(data) == expected


def test_many_checksums_side_by_side():
    rng = np.random.default_rng(0)
    parts = [rng.bytes(int(n)) for n in [*rng.integers(0, 40, 60), 700, 5001]]
    assert each_masked(parts) == [masked(part) for part in parts] == [writers.mask(writers.crc32c(part)) for part in parts]
    assert each_masked([]) == []


def test_what_tensorflow_itself_wrote():
    loaded = pretrained.load(BY_TENSORFLOW)
    assert loaded.notes == []
    expected = np.load(BY_TENSORFLOW / "values.npz")  # as TensorFlow's variables held them
    with tensorflow.opened(BY_TENSORFLOW / "bert_model.ckpt.index") as reader:
        assert reader.shapes.keys() == set(expected.files)
        for name in reader.shapes:
            truth = expected[name].T if lies_transposed(name) else expected[name]
            assert reader.dtypes[name] == truth.dtype.name
            np.testing.assert_array_equal(reader[name], truth)
    ours = dict(loaded.parameters.items())
    np.testing.assert_array_equal(ours["bert.encoder.layer.0.intermediate.dense.weight"],
                                  expected["bert/encoder/layer_0/intermediate/dense/kernel"].T)
    np.testing.assert_array_equal(ours["cls.predictions.bias"], expected["cls/predictions/output_bias"])


def test_half_types_of_tensorflow(tmp_path):
    x = np.array([1.0, -2.5, 3.140625], np.float32)
    writers.tensorflow(tmp_path / "x.ckpt", {"half": x.astype(np.float16), "brain": (x.view(np.uint32) >> 16).astype(np.uint16),
                                             "double": x.astype(np.float64)})
    with formats.opened(tmp_path / "x.ckpt.index") as reader:
        assert reader.dtypes == {"half": "float16", "brain": "bfloat16", "double": "float64"}
        for name in reader.shapes:
            np.testing.assert_array_equal(reader[name], x)


def test_snappy():
    for data in (b"", b"a", b"abc" * 100, bytes(np.random.default_rng(0).integers(0, 4, 3000, np.uint8))):
        assert leveldb.snappy(writers.snappy(data)) == data
    assert leveldb.snappy(bytes([11, 3 << 2, *b"abcd", 3 << 2 | 1, 4])) == b"abcdabcdabc"  # a copy that reaches into itself
    assert leveldb.snappy(bytes([70, 60 << 2, 69]) + bytes(range(70))) == bytes(range(70))
    for broken in (b"", b"\x05\x00a", b"\x04\x0d\x04", b"\xff\xff\xff\xff\x0f\x00a", b"\x02\x08ab"):
        with pytest.raises(ValueError, match="damaged"):
            leveldb.snappy(broken)


def test_what_a_damaged_tensorflow_checkpoint_says(tmp_path, model):
    first, second, index = examples.write(tmp_path, "tensorflow", model)  # sorted: .data-00000, .data-00001, .index
    whole = {path: path.read_bytes() for path in (index, first, second)}

    def after(path, data, message):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=message) as info:
            pretrained.load(tmp_path)
        assert path.name in str(info.value)
        path.write_bytes(whole[path])

    flipped = bytearray(whole[first])
    flipped[40] ^= 1
    after(first, bytes(flipped), r"tensor \S+ is damaged, its checksum is wrong")
    after(first, whole[first][:-4], "the file was cut short")
    flipped = bytearray(whole[index])
    flipped[40] ^= 1
    after(index, bytes(flipped), "the checksum of the block at byte 0 is wrong")
    after(index, whole[index][:-1], "not the index of a TensorFlow checkpoint, or its end was cut off")
    after(index, b"", "not the index of a TensorFlow checkpoint")
    second.unlink()
    with pytest.raises(FileNotFoundError, match=rf"has no {second.name}"):
        pretrained.load(tmp_path)


@pytest.mark.parametrize(("message", "expected"), [
    (writers.field(2, writers.field(2, writers.field(1, 2**40))), "cannot take"),
    (writers.field(3, 5), "data file 6 of 1"),
    (writers.field(4, 2**40), "cut short"),
    (writers.field(5, 2**40), "cannot take"),
    (writers.field(7, b""), "stored in slices"),
    (writers.field(1, 7), "type number 7"),
    (b"\x07", "no field of kind 7"),
])
def test_claims_of_an_index_with_a_right_checksum(tmp_path, message, expected):
    writers.tensorflow(tmp_path / "x.ckpt", {"a": np.ones(3, np.float32)}, spoil=lambda name, entry: entry + message)
    with pytest.raises(ValueError, match=expected), formats.opened(tmp_path / "x.ckpt.index") as reader:
        reader["a"]


# PyTorch


@pytest.fixture
def torch_file(tmp_path):
    return tmp_path / "pytorch_model.bin"


@pytest.mark.parametrize("write", [writers.torch_zip, writers.torch_legacy])
def test_views_of_a_shared_storage(torch_file, write):
    x = np.arange(12, dtype=np.float32)
    extra = (None,) if write is writers.torch_legacy else ()
    write(torch_file, {}, content={
        "whole": tensor("0", x, view=extra), "transposed": tensor("0", x, shape=(4, 3), strides=(1, 4), view=extra),
        "part": tensor("0", x, offset=5, shape=(2, 2), strides=(4, 1), view=extra), "scalar": tensor("0", x, offset=7, shape=(),
        strides=(), view=extra), "empty": tensor("0", x, shape=(0, 3), strides=(3, 1), view=extra),
        "whole_number": tensor("1", np.array([3]), view=extra), "epoch": 3}, storages={"0": x, "1": np.array([3])})
    with pytorch.opened(torch_file) as reader:
        assert reader.shapes["transposed"] == (4, 3)
        np.testing.assert_array_equal(reader["whole"], x)
        np.testing.assert_array_equal(reader["transposed"], x.reshape(3, 4).T)
        np.testing.assert_array_equal(reader["part"], [[5, 6], [9, 10]])
        assert reader["scalar"] == 7
        assert reader["empty"].shape == (0, 3)
        assert reader["whole_number"].dtype == np.int64
        assert "epoch" not in reader.shapes


def test_a_storage_that_is_a_view_of_another(torch_file):
    x = np.arange(12, dtype=np.float32)
    writers.torch_legacy(torch_file, {}, content={"a": tensor("0", x, offset=1, shape=(2,), strides=(1,), view=(("v", 4, 6),))},
                         storages={"0": x})
    with pytorch.opened(torch_file) as reader:
        np.testing.assert_array_equal(reader["a"], [5, 6])


@pytest.mark.parametrize(("change", "message"), [
    ({"shape": (1000,), "strides": (1,)}, "does not fit into its storage of 12"),
    ({"shape": (10**9,), "strides": (0,)}, "does not fit into its storage"),
    ({"shape": (3, 3), "strides": (5, 1)}, "does not fit into its storage"),
    ({"offset": 11, "shape": (2,), "strides": (1,)}, "does not fit into its storage"),
    ({"shape": (3, 4), "strides": (0, 1)}, "elements of a tensor of shape \\(3, 4\\) overlap"),
    ({"shape": (3, 4), "strides": (3, 1)}, "overlap"),
    ({"offset": -1}, "no proper storage, shape or strides"),
    ({"shape": (2, 2), "strides": (1, -1)}, "no proper storage, shape or strides"),
    ({"shape": (2, 2), "strides": (1,)}, "no proper storage, shape or strides"),
    ({"count": 2**62}, "has 48 bytes, expected 4,611,686,018,427,387,904 numbers"),
])
def test_views_beyond_their_storage(torch_file, change, message):
    x = np.arange(12, dtype=np.float32)
    writers.torch_zip(torch_file, {}, content={"a": tensor("0", x, **change)}, storages={"0": x})
    with pytest.raises(ValueError, match=message) as info, pytorch.opened(torch_file) as reader:
        reader["a"]
    assert str(torch_file) in str(info.value)


class Evil:
    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("write", [writers.torch_zip, writers.torch_legacy])
@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("function", [os.system, os.mkdir, eval, exec, __import__, getattr, pickle.loads])
def test_a_hostile_pickle_is_refused_and_runs_nothing(torch_file, write, protocol, function):
    target = torch_file.parent / "ran"
    argument = {os.system: f"mkdir {target}", os.mkdir: str(target)}.get(function, f"__import__('os').mkdir({str(target)!r})")
    content = pickle.dumps({"a": Evil(function, argument)}, protocol)
    write(torch_file, {}, content=content, storages={})
    with pytest.raises(ValueError, match=r"holds more than tensors.*nothing was run") as info, pytorch.opened(torch_file):
        pass
    assert str(torch_file) in str(info.value)
    assert not target.exists()


@pytest.mark.parametrize("content", [
    {"a": Call((Name("torch.load"), ("x",)))},
    {"a": Call((Name("torch._utils _rebuild_tensor_v2.__globals__"), ()))},
    {"a": Call((Name("torch FloatStorage"), (1,)))},
    {"a": Call((Name("collections OrderedDict"), ([((("deep",),), 1)],)))},
    {"a": Reference(("module", "x", "y", "z", "w"))},
    {"a": tensor("0", np.ones(2, np.float32)), (("x",),): 1},
    [1, 2], {}, "text", {"a": 1},
], ids=str)
def test_other_pickles_are_refused(torch_file, content):
    writers.torch_zip(torch_file, {}, content=content, storages={"0": np.ones(2, np.float32)})
    with pytest.raises(ValueError) as info, pytorch.opened(torch_file):
        pass
    assert str(torch_file) in str(info.value)


@pytest.mark.parametrize("content", [
    b"\x80\x02" + b"(" * 1000 + b"t" * 1001 + b".",
    b"\x80\x02}r\xff\xff\xff\x7f.",  # remembers something at place 2**31
    b"\x80\x02X\xff\xff\xff\xffabc.",  # a text of 4 GB
    b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc.",  # one of 8 EB
    b"\x80\x02]" + b"]a" * 500 + b".", b"\x80\x02h\x05.", b"\x80\x02", b"garbage", b"",
    b"\x80\x02)" + b"q\x00h\x00h\x00\x86" * 60 + b"}h\x00Ns.",  # tuples of tuples, 2**60 when hashed
], ids=range(9 + 1))
def test_malicious_pickles_end_at_once(torch_file, content):
    for write in (writers.torch_zip, writers.torch_legacy):
        write(torch_file, {}, content=content, storages={})
        with pytest.raises(ValueError), pytorch.opened(torch_file):
            pass


def test_wrapped_and_prefixed_as_training_scripts_do(tmp_path, model):
    examples.write(tmp_path, "torch_zip", model)
    arrays = {f"module.{name}": x for name, x in model[1].items()}
    content = {"epoch": 2, "state_dict": {name: tensor(str(i), x) for i, (name, x) in enumerate(arrays.items())}}
    writers.torch_zip(tmp_path / "pytorch_model.bin", arrays, content=content, prefix="pytorch_model")
    np.testing.assert_array_equal(pretrained.load(tmp_path).parameters.flat, model[1].flat)


@pytest.mark.parametrize(("damage", "message"), [
    (lambda data: data[:-10], "cut short or is damaged"),
    (lambda data: data[: len(data) // 2], "cut short or is damaged"),
    (lambda data: data[:500] + bytes([data[500] ^ 1]) + data[501:], "."),
    (lambda data: b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
    (lambda data: b"<!DOCTYPE html>\n<title>404</title>", "is an HTML page"),
    (lambda data: b"", "not a file of torch.save"),
])
def test_a_damaged_zip(tmp_path, model, damage, message):
    [path] = examples.write(tmp_path, "torch_zip", model)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=message) as info:
        pretrained.load(tmp_path)
    assert str(path) in str(info.value)


@pytest.mark.parametrize(("damage", "message"), [
    (lambda data: data[:-10], r"was cut short: expected [\d,]+ bytes, found [\d,]+"),
    (lambda data: data + b"x", "is damaged: expected"),
    (lambda data: data[:30], "pickle"),
    (lambda data: data.replace(struct.pack("<q", 20), struct.pack("<q", 21), 1), "."),
])
def test_a_damaged_old_file(tmp_path, model, damage, message):
    [path] = examples.write(tmp_path, "torch_legacy", model)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=message) as info:
        pretrained.load(tmp_path)
    assert str(path) in str(info.value)


def test_a_torchscript_program_and_a_compressed_archive_are_refused(torch_file):
    writers.torch_zip(torch_file, {"a": np.ones(2, np.float32)})
    with zipfile.ZipFile(torch_file, "a") as archive:
        archive.writestr("archive/constants.pkl", b"")
    with pytest.raises(ValueError, match="TorchScript program"), pytorch.opened(torch_file):
        pass
    with zipfile.ZipFile(torch_file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**6))
    with pytest.raises(ValueError, match="is compressed"), pytorch.opened(torch_file):
        pass


# NumPy's archive, shards, tokenizers


def test_numpy_opens_what_was_written(tmp_path, model):
    [path] = examples.write(tmp_path, "npz", model)
    arrays = dict(model[1].items())
    with np.load(path) as theirs:
        np.testing.assert_array_equal(theirs["bert/pooler/dense/kernel"], arrays["bert.pooler.dense.weight"].T)
        np.testing.assert_array_equal(theirs["bert/embeddings/word_embeddings"], arrays["bert.embeddings.word_embeddings.weight"])
        again = dict(theirs)
    writers.npz(path, again)
    np.testing.assert_array_equal(pretrained.load(tmp_path).parameters.flat, model[1].flat)
    npz.write(path, arrays)
    npz.write(tmp_path / "again.npz", arrays)
    assert path.read_bytes() == (tmp_path / "again.npz").read_bytes()


def test_objects_in_an_archive_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.array([Evil(os.system, "true")], object))
    with pytest.raises(ValueError, match=r"a\.npy"), npz.opened(tmp_path / "x.npz"):
        pass


@pytest.mark.parametrize(("index", "error", "message"), [
    ('{"weight_map": {"a": "../x.safetensors"}}', ValueError, "not the name of a file"),
    ('{"weight_map": {"a": "x.pkl"}}', ValueError, "not the name of a file"),
    ('{"weight_map": {"a": "x.safetensors"}}', FileNotFoundError, r"has no x\.safetensors, which model\.safetensors\.index"),
    ('{"weight_map": {"a": "model-00001-of-00002.safetensors"}}', ValueError, "tensor a should be in"),
    ('{"weight_map": {}}', ValueError, "not an index of weights"), ("[]", ValueError, "not an index of weights"),
    ('{"weight_map": {"a": 1}}', ValueError, "not an index of weights"), ("{", ValueError, "not valid JSON"),
    ("[" * 100_000, ValueError, "nested too deeply"),
])
def test_indices_of_shards(tmp_path, model, index, error, message):
    examples.write(tmp_path, "sharded", model)
    (tmp_path / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    with pytest.raises(error, match=message):
        pretrained.load(tmp_path)


def test_a_tokenizer_without_its_vocab_txt(tmp_path, model):
    examples.write(tmp_path, "safetensors", model)
    (tmp_path / "vocab.txt").rename(tmp_path / "away")
    (tmp_path / "tokenizer_config.json").write_text('{"model_max_length": 8}', encoding="utf-8")
    fast = {"model": {"type": "WordPiece", "vocab": {token: i for i, token in enumerate(tiny_model.TOKENS)}},
            "normalizer": {"type": "BertNormalizer", "lowercase": False, "strip_accents": None, "handle_chinese_chars": True}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(fast), encoding="utf-8")
    tokenizer = pretrained.load(tmp_path).tokenizer
    assert tokenizer.vocab.tokens == tiny_model.TOKENS
    assert not tokenizer.lower_case
    assert tokenizer.max_length == 8
    for wrong in ({"model": {"type": "BPE", "vocab": {}}}, {}, [], {"model": {"type": "WordPiece", "vocab": {"a": 5}}}):
        (tmp_path / "tokenizer.json").write_text(json.dumps(wrong), encoding="utf-8")
        with pytest.raises(ValueError, match=r"tokenizer\.json"):
            pretrained.load(tmp_path)


def test_the_folder_of_the_original_release(tmp_path, model):
    """``bert_config.json`` instead of ``config.json``, no tokenizer_config.json."""
    examples.write(tmp_path, "tensorflow", model)
    (tmp_path / "config.json").rename(tmp_path / "bert_config.json")
    (tmp_path / "tokenizer_config.json").unlink()
    loaded = pretrained.load(tmp_path)
    np.testing.assert_array_equal(loaded.parameters.flat, model[1].flat)
    assert loaded.tokenizer.lower_case


def test_a_folder_with_several_formats_takes_the_first(tmp_path, model):
    examples.write(tmp_path, "npz", model)
    examples.write(tmp_path, "safetensors", model)
    assert formats.find(tmp_path).name == "model.safetensors"
    shutil.copy(tmp_path / "bert_model.npz", tmp_path / "other.npz")
    (tmp_path / "model.safetensors").unlink()
    assert formats.find(tmp_path).name == "bert_model.npz"


def test_numbers_that_are_none_are_pointed_out(tmp_path):
    config, parameters, tokenizer = examples.tiny()
    parameters["bert"]["pooler"]["dense"]["bias"][1] = np.nan
    pretrained.save(tmp_path, config, parameters, tokenizer)
    [note] = pretrained.load(tmp_path).notes
    assert "infinite or none (NaN) in bert.pooler.dense.bias" in note


def test_ordered_dictionaries_of_pairs_are_understood(torch_file):
    """As Python 2 wrote them."""
    x = np.ones(2, np.float32)
    content = Call((Name("collections OrderedDict"), ([["a", tensor("0", x)]],)))
    writers.torch_zip(torch_file, {}, content=content, storages={"0": x})
    with pytorch.opened(torch_file) as reader:
        np.testing.assert_array_equal(reader["a"], x)
