"""Flax's MessagePack, PaddlePaddle's pickles, Keras' HDF5: what they may hold, and what a file may claim."""

import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from minibert.pretrained import formats, pickled
from tests.pretrained import writers
from tests.pretrained.writers import extension, msgpack

[KERAS] = Path(__file__).parent.glob("keras-*/tf_model.h5")


def read(path, data):
    path.write_bytes(data)
    with formats.opened(path) as reader:
        return {name: reader[name] for name in reader.shapes}


# Flax


def test_values_of_every_kind_and_length(tmp_path):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    tree = {"x": x, "half": x.astype(np.float16), "brain": np.array([0x3FC0], np.uint16), "one": np.float32(2)[()] * np.ones(()),
            "none": None, "yes": True, "number": -5, "long": 2**40, "text": "a" * 40, "bytes": b"b" * 3,
            "list": [1, "x", {"y": 2}],
            **{f"name{i}": np.full(1, i) for i in range(20)}}
    got = read(tmp_path / "m.msgpack", msgpack(tree))
    assert set(got) == {"x", "half", "brain", "one", *(f"name{i}" for i in range(20))}
    np.testing.assert_array_equal(got["x"], x)
    assert got["half"].dtype == np.float16
    np.testing.assert_array_equal(got["brain"], [1.5])
    assert got["one"] == 2
    assert got["name7"].dtype == np.int64
    for kind, value in ((b"\xca", struct.pack(">f", 1)), (b"\xcb", struct.pack(">d", 1)), (b"\xcc", b"\1"), (b"\xcd", b"\0\1"),
                        (b"\xce", bytes(4)), (b"\xcf", bytes(8)), (b"\xd0", b"\1"), (b"\xd1", bytes(2)), (b"\xd2", bytes(4)),
                        (b"\xd4", b"\5x"), (b"\xd5", b"\5xx"), (b"\xc7", b"\2\5xx"), (b"\xc8", b"\0\1\5x"), (b"\xc4", b"\1x"),
                        (b"\xc5", b"\0\1x"), (b"\xd9", b"\1x"), (b"\xda", b"\0\1x"), (b"\xdc", b"\0\1\xc0"), (b"\xe0", b"")):
        odd = b"\x82" + msgpack("a") + kind + value + msgpack("x") + msgpack(x)
        np.testing.assert_array_equal(read(tmp_path / "m.msgpack", odd)["x"], x, kind)


def test_a_map_of_more_than_65_535(tmp_path):
    head = b"\xdf" + struct.pack(">I", 1)
    got = read(tmp_path / "m.msgpack", head + msgpack("x") + msgpack(np.ones(2)))
    np.testing.assert_array_equal(got["x"], [1, 1])


def _array(shape, dtype, data):
    return b"\x81" + msgpack("x") + extension(1, msgpack([shape, dtype, data]))


@pytest.mark.parametrize(("data", "message"), [
    (b"", "was cut short"), (b"\x81", "was cut short"), (b"\x93\1\2\3", "no map of names"),
    (b"\xc1", "no value begins with the byte"),
    (b"\x91" * 100_000, "nested too deeply"), (b"\x81\xa1x" * 50_000, "nested too deeply"),
    (b"\xdf\xff\xff\xff\xff", "was cut short"), (b"\xdd\xff\xff\xff\xff" + b"\xc0" * 1_100_000, "too many values"),
    (b"\x81\xdb\xff\xff\xff\xff", "a name is"), (b"\x81\1\1", "is no name"), (b"\x82\xa1x\1\xa1x\1", "stands there twice"),
    (b"\x81\xa1\xff\1", "codec can't decode"), (b"\x81\xa1x\xc6\xff\xff\xff\xff", "was cut short"),
    (_array([2], "float32", b"1234"), "cannot take 4 bytes"), (_array([2**62] * 3, "float32", b""), "cannot take 0 bytes"),
    (_array([1] * 9, "float32", b"1234"), "which is none of a BERT"), (_array([-1], "float32", b""), "which is none of a BERT"),
    (_array([1], "object", b"1234"), "which is none of a BERT"), (_array([1], 7, b"1234"), "which is none of a BERT"),
    (b"\x81\xa1x" + extension(1, msgpack([1, 2])), "has no shape, type and bytes"),
    (b"\x81\xa1x" + extension(1, b"\xd4\1\xd4\1" * 9), "has no shape, type and bytes|was cut short"),
    (b"\x81\xa1x\xc7\x50\1" + msgpack([[1], "float32", b"1234"]), "do not fill it"),
    (msgpack({"x": {"__msgpack_chunked_array__": True}}), "no shape, or no chunks"),
    (msgpack({"x": {"__msgpack_chunked_array__": True, "shape": {"0": 2}, "chunks": {"1": np.ones(2)}}}), "not numbered"),
    (msgpack({"x": {"__msgpack_chunked_array__": True, "shape": {"0": 3}, "chunks": {"0": np.ones(2)}}}), "cannot take"),
    (msgpack({"x": {"kernel": np.ones(2), "weight": np.ones(2)}}), "two of its arrays have one name"),
    (msgpack({"x": {"y": 1}}), "holds no arrays"), (msgpack({"x": np.ones(2)}) + b"\0", "should end at byte"),
], ids=range(28))
def test_what_a_damaged_file_of_flax_says(tmp_path, data, message):
    with pytest.raises(ValueError, match=rf"m\.msgpack: .*({message})"):
        read(tmp_path / "m.msgpack", data)


# PaddlePaddle


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_arrays_of_every_kind(tmp_path, protocol):
    rng = np.random.default_rng(protocol)
    arrays = {"a.weight": rng.normal(size=(40, 30)).astype(np.float32), "a.bias": np.zeros(0, np.float32),
              "b.bias": np.arange(3.0),
              "word_embeddings.weight": rng.normal(size=(30, 40)).astype(np.float32), "c": rng.normal(size=(2, 3, 4)),
              "fortran.weight": np.asfortranarray(rng.normal(size=(20, 50))), "half": np.ones(5, np.float16), "one": np.array(7),
              "big": np.arange(600, dtype=">f4")}
    writers.paddle(tmp_path / "m.pdparams", arrays, protocol)
    got = read(tmp_path / "m.pdparams", (tmp_path / "m.pdparams").read_bytes())
    assert got.keys() == arrays.keys()
    for name, x in arrays.items():
        turned = x.ndim == 2 and "embeddings" not in name
        np.testing.assert_array_equal(got[name], x.T if turned else x, name)


def test_long_bytes_stay_in_the_file(tmp_path):
    path = tmp_path / "m.pdparams"
    writers.paddle(path, {"x": np.zeros(10_000, np.float32)})
    with open(path, "rb") as file:
        made = pickled.load(pickled.Leaving(file, path.stat().st_size), formats.paddle.ADMITTED)
    assert isinstance(made["x"].state[-1], pickled.Left)
    assert len(made["x"].state[-1]) == 40_000


@pytest.mark.parametrize(("made", "message"), [
    ([1, 2], "holds no dictionary of arrays"), ({}, "holds no arrays"), ({"x": 1}, "holds no arrays"),
    ({"x": np.array(["a"])}, "is no type of numbers"), ({"x": np.array([1], "M8[s]")}, "is no type of numbers"),
    ({"x": np.array([1j])}, "is no type of numbers"), ({"x": np.array([None])}, "is no type of numbers|has no bytes"),
    ({"x": json.JSONDecodeError}, r"asks for json\.decoder\.JSONDecodeError, which is not admitted; nothing was run"),
    ({"encoder.layers.0.linear1.weight": np.ones(2), "encoder.layer.0.intermediate.dense.weight": np.ones(2)}, "are called")])
def test_what_is_no_file_of_paddle(tmp_path, made, message):
    with pytest.raises(ValueError, match=rf"m\.pdparams: .*({message})"):
        read(tmp_path / "m.pdparams", pickle.dumps(made, 4))


@pytest.mark.parametrize("function", [eval, exec, __import__, pickle.loads])
def test_a_hostile_file_of_paddle_is_refused(tmp_path, function):
    class Evil:
        def __reduce__(self):
            return function, ("1",)

    with pytest.raises(ValueError, match=r"m\.pdparams: it holds more than tensors: .*nothing was run"):
        read(tmp_path / "m.pdparams", pickle.dumps({"x": Evil()}, 4))


@pytest.mark.parametrize("data", [
    b"\x80\x02" + b"X" + b"\xff" * 4, b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7f", b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f", b"",
    b"\x80\x02}.more", b"B\xff\xff\xff\xff", b"\x80\x02cnumpy\ndtype\n)R}b.",
    b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n)RNb."])
def test_malicious_files_of_paddle_end_at_once(tmp_path, data):
    with pytest.raises(ValueError, match=r"m\.pdparams: "):
        read(tmp_path / "m.pdparams", data)


# Keras


def test_an_optimiser_s_weights_are_no_model_s(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("bert/model/bert/pooler/dense/kernel:0", data=np.arange(6.0).reshape(2, 3))
        file.create_dataset("optimizer_weights/model/Adam/m:0", data=np.zeros(3))
    with formats.opened(path) as reader:
        assert reader.shapes == {"bert.pooler.dense.weight": (3, 2)}
        np.testing.assert_array_equal(reader["bert.pooler.dense.weight"], np.arange(6.0).reshape(2, 3).T)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", ">f8", "<i4", ">i8", "|u1", "|i1"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 4), (2, 1, 5)])
def test_arrays_of_hdf5(tmp_path, dtype, shape):
    h5py = pytest.importorskip("h5py")
    x = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    with h5py.File(tmp_path / "m.h5", "w") as file:
        for i in range(40):  # more than one leaf of the tree
            file.create_dataset(f"layer/model/part{i}/x", data=x + np.array(i).astype(dtype))
    with formats.opened(tmp_path / "m.h5") as reader:
        assert len(reader.shapes) == 40
        for i in (0, 7, 39):
            np.testing.assert_array_equal(reader[f"part{i}.x"], x + np.array(i).astype(dtype))
            assert reader[f"part{i}.x"].dtype.newbyteorder("=") == x.dtype.newbyteorder("=")


@pytest.mark.parametrize(("options", "message"), [
    ({"compression": "gzip"}, "compressed"), ({"chunks": (2, 2)}, "in chunks"), ({"dtype": "S3"}, "class 3"),
    ({"dtype": "c8"}, "class 6")])
def test_what_keras_does_not_write_is_named(tmp_path, options, message):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.create_dataset("bert/model/x", shape=(4, 4), **{"dtype": "f4", "data": None, **options})
    with pytest.raises(ValueError, match=rf"m\.h5: its array 'bert/model/x'|m\.h5: its array '/bert/model/x': .*{message}"):
        read(tmp_path / "m.h5", (tmp_path / "m.h5").read_bytes())


def test_another_version_of_hdf5_is_named(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "m.h5", "w", libver="latest") as file:
        file.create_dataset("bert/model/x", data=np.zeros(3))
    with pytest.raises(ValueError, match=r"m\.h5: its superblock of version \d is not read here"):
        read(tmp_path / "m.h5", (tmp_path / "m.h5").read_bytes())


def test_circles_end(tmp_path):
    """A tree whose first child is the tree itself, and a group that holds itself."""
    data = bytearray(KERAS.read_bytes())
    tree = data.index(b"TREE")
    data[tree + 32:tree + 40] = struct.pack("<Q", tree)
    with pytest.raises(ValueError, match=r"m\.h5: the file is damaged"):
        read(tmp_path / "m.h5", bytes(data))
    data = bytearray(KERAS.read_bytes())
    root = data[64:72]
    entries = data.index(b"SNOD")
    data[entries + 16:entries + 24] = root
    with pytest.raises(ValueError, match=r"m\.h5: the file is damaged: (its groups are nested too deeply|it leads in circles)"):
        read(tmp_path / "m.h5", bytes(data))


@pytest.mark.parametrize(("data", "message"), [(b"", "was cut short"), (b"PK\3\4" + bytes(100), "is no HDF5 file"),
                                               (b"\x89HDF\r\n\x1a\n" + bytes(100), "superblock")])
def test_what_is_no_hdf5(tmp_path, data, message):
    with pytest.raises(ValueError, match=rf"m\.h5: .*{message}"):
        read(tmp_path / "m.h5", data)
