"""Weights are read without a second copy of the model; what is read into its place is what is read by itself."""

import tracemalloc

import numpy as np
import pytest

from minibert import pretrained
from minibert.pretrained import formats, tensors
from minibert.pretrained.widths import PIECE
from tests.pretrained import examples, writers

X = np.random.default_rng(0).normal(size=(3, PIECE // 8))  # longer than a piece, by other than whole pieces

KINDS = [kind for kind in examples.PROTECTED if "tensorflow" not in kind]  # whose writer here takes a minute for a checksum


@pytest.fixture(scope="module")
def large():
    """10 MB: beside it what else there is of a model in memory weighs little."""
    return examples.tiny(hidden_size=128, num_hidden_layers=6, num_attention_heads=2, intermediate_size=512,
                         max_position_embeddings=9000)


@pytest.mark.parametrize("kind", KINDS)
def test_the_peak_is_a_model_and_its_largest_tensor(tmp_path, kind, large):
    _, parameters, tokenizer = large
    examples.write(tmp_path, kind, large)
    pretrained.load(tmp_path, tokenizer=tokenizer)  # what is imported late
    tracemalloc.start()
    loaded = pretrained.load(tmp_path, tokenizer=tokenizer)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(loaded.parameters.flat, parameters.flat)
    assert peak < 1.2 * parameters.flat.nbytes + max(x.nbytes for _, x in parameters.items())


@pytest.mark.parametrize("write", [tensors.write, writers.torch_zip, writers.torch_legacy])
@pytest.mark.parametrize("stored", ["float64", "float32", "float16"])
@pytest.mark.parametrize("wanted", ["float64", "float32"])
def test_into_its_place(tmp_path, write, stored, wanted):
    path = tmp_path / ("m.safetensors" if write is tensors.write else "m.bin")
    x = X.astype(stored)
    write(path, {"x": x, "one": x[0, 0]})
    out = np.zeros_like(x, wanted)
    with formats.opened(path) as reader:
        assert reader.read_into("x", out) == (stored == wanted)
        assert reader.read_into("one", out[0, :1].reshape(())) == (stored == wanted)
        np.testing.assert_array_equal(reader["x"], x)
    np.testing.assert_array_equal(out, x if stored == wanted else 0)


def test_what_lies_otherwise_in_the_file_is_not(tmp_path):
    """A transposed matrix, a part of a storage, and bfloat16, which NumPy does not have."""
    torch = pytest.importorskip("torch")
    x = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    for new in (True, False):
        torch.save({"turned": x.T, "part": x[1:], "brain": x.bfloat16()}, tmp_path / "m.bin", _use_new_zipfile_serialization=new)
        with formats.opened(tmp_path / "m.bin") as reader:
            for name, right in (("turned", x.T), ("part", x[1:]), ("brain", x)):
                assert not reader.read_into(name, np.zeros(right.shape, np.float32))
                np.testing.assert_array_equal(reader[name], right.numpy())


@pytest.mark.parametrize("kind", ["safetensors", "sharded", "torch_zip", "torch_legacy"])
@pytest.mark.parametrize("cores", [1, 3, 500])
def test_however_many_cores_read(tmp_path, kind, cores, monkeypatch):
    config, parameters, tokenizer = examples.tiny()
    parameters["bert"]["pooler"]["dense"]["bias"][0] = np.nan
    examples.write(tmp_path, kind, (config, parameters, tokenizer))
    monkeypatch.setattr("minibert.pretrained.folder.available_cores", lambda: cores)
    loaded = pretrained.load(tmp_path, tokenizer=tokenizer)
    np.testing.assert_array_equal(loaded.parameters.flat, parameters.flat)
    assert [note for note in loaded.notes if "NaN) in bert.pooler.dense.bias: " in note]


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_the_checksum_is_of_all_pieces(tmp_path, place):
    path = tmp_path / "m.bin"
    writers.torch_zip(path, {"x": X})
    damaged = bytearray(path.read_bytes())
    damaged[int(place * len(damaged))] ^= 1
    path.write_bytes(damaged)
    with formats.opened(path) as reader:
        for read in (lambda: reader.read_into("x", np.zeros_like(X)), lambda: reader["x"]):
            with pytest.raises(ValueError, match=r"m\.bin: .*Bad CRC-32 for file .*\(tensor x\)"):
                read()


def test_a_file_that_shrinks_meanwhile_is_named(tmp_path):
    path = tmp_path / "m.safetensors"
    tensors.write(path, {"x": X})
    with formats.opened(path) as reader:
        with open(path, "r+b") as file:
            file.truncate(path.stat().st_size - 8)
        with pytest.raises(ValueError, match=r"m\.safetensors: the file was cut short: 8 bytes are missing"):
            reader.read_into("x", np.zeros_like(X))


@pytest.mark.parametrize(("numbers", "odd"), [([3e38, 3e38], False), ([3e38, 3e38, -3e38, np.inf], True), ([np.nan], True),
                                              ([np.inf, -np.inf], True), ([], False)])
def test_numbers_whose_sum_overflows_are_no_infinite_ones(tmp_path, numbers, odd):
    config, parameters, tokenizer = examples.tiny()
    parameters["bert"]["pooler"]["dense"]["bias"][:len(numbers)] = numbers
    pretrained.save(tmp_path, config, parameters, tokenizer)
    assert len(pretrained.load(tmp_path).notes) == odd
