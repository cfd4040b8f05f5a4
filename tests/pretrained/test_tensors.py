import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from minibert.pretrained import tensors


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {"half": rng.normal(size=(3, 5)).astype(np.float16), "single": rng.normal(size=(2, 3, 4)).astype(np.float32),
            "double": rng.normal(size=7), "whole": rng.integers(-9, 9, (4, 1)), "bytes": np.arange(5, dtype=np.uint8),
            "scalar": np.array(1.5), "empty": np.zeros((0, 3)), "strided": np.arange(12.0).reshape(3, 4).T}


def test_the_library_reads_what_was_written(arrays, tmp_path):
    tensors.write(tmp_path / "x.safetensors", arrays, {"format": "pt"})
    theirs = load_file(tmp_path / "x.safetensors")
    with tensors.opened(tmp_path / "x.safetensors") as reader:
        assert reader.metadata == {"format": "pt"}
        for name, x in arrays.items():
            for got in (theirs[name], reader[name]):
                assert (got.dtype, got.shape) == (x.dtype, x.shape), name
                np.testing.assert_array_equal(got, x)
    tensors.write(tmp_path / "y.safetensors", arrays, {"format": "pt"})
    assert (tmp_path / "x.safetensors").read_bytes() == (tmp_path / "y.safetensors").read_bytes()


def test_what_the_library_wrote_is_read(arrays, tmp_path):
    del arrays["strided"]  # the library writes memory as it lies: such an array would come back scrambled
    save_file(arrays, tmp_path / "x.safetensors")
    with tensors.opened(tmp_path / "x.safetensors") as reader:
        assert reader.metadata == {}
        for name, x in arrays.items():
            np.testing.assert_array_equal(reader[name], x)


def test_bfloat16_is_read_by_its_bits(tmp_path):
    x = np.array([[1.0, -2.5], [3.140625, 0.0], [np.inf, 1e38]], np.float32)
    bits = (x.view(np.uint32) >> 16).astype("<u2").tobytes()
    header = json.dumps({"pad": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                         "x": {"dtype": "BF16", "shape": [3, 2], "data_offsets": [4, 16]}}).encode()
    (tmp_path / "x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0\0\0" + bits)
    with tensors.opened(tmp_path / "x.safetensors") as reader:
        assert reader["x"].dtype == np.float32
        np.testing.assert_array_equal(reader["x"], (x.view(np.uint32) >> 16 << 16).view(np.float32))


@pytest.mark.parametrize(("damage", "message"), [
    (lambda data: data[:-9], r"cut short: expected \d+ bytes, found \d+"),
    (lambda data: data[:40], "cut short: 40 bytes"),
    (lambda data: b"", "cut short: 0 bytes"),
    (lambda data: data + b"more", r"damaged: expected \d+ bytes, found \d+"),
    (lambda data: b"PK\x03\x04" + data, "not a safetensors file"),
    (lambda data: b"version https://git-lfs.github.com/spec/v1\n", "not a safetensors file"),
    (lambda data: data.replace(b'"F32"', b'"F32,'), "header of this safetensors file is damaged"),
])
def test_a_damaged_file_is_a_clear_error(tmp_path, damage, message):
    path = tmp_path / "model.safetensors"
    tensors.write(path, {"x": np.ones((3, 4), np.float32)})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=message) as info, tensors.opened(path):
        pass
    assert str(path) in str(info.value)


def test_a_missing_file_and_an_impossible_type(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"), tensors.opened(tmp_path / "x.safetensors"):
        pass
    with pytest.raises(TypeError, match="tensor z: dtype complex128"):
        tensors.write(tmp_path / "x.safetensors", {"z": np.ones(2, complex)})
    assert not list(tmp_path.iterdir())
