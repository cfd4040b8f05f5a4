"""Matrices in 8 bits: half a step off at most, and every command opens the folder."""

import numpy as np
import pytest

import minibert
from minibert import pretrained
from minibert.convert import convert
from minibert.pretrained import in_8_bits, tensors
from tests import tiny_model
from tests.compression.conftest import run


@pytest.fixture
def model(tmp_path):
    config, parameters, tokenizer = tiny_model.make(hidden_size=24, intermediate_size=96)
    pretrained.save(tmp_path / "model", config, parameters, tokenizer)
    return tmp_path / "model"


def test_known_answers():
    x = np.array([[1.27, -0.637, 0.004], [0.0, 0.0, 0.0], [-2.54, 2.54, 0.03]], np.float32)
    found = in_8_bits.packed({"a.weight": x, "a.bias": x[0], "b": x})
    assert list(found) == ["a.weight.int8", "a.weight.scale", "a.bias", "b"]
    np.testing.assert_array_equal(found["a.weight.int8"], [[127, -64, 0], [0, 0, 0], [-127, 127, 2]])
    np.testing.assert_allclose(found["a.weight.scale"], [0.01, 0.0, 0.02], rtol=1e-6)
    whole = in_8_bits.unpacked(found["a.weight.int8"], found["a.weight.scale"])
    np.testing.assert_allclose(whole[2], [-2.54, 2.54, 0.04], rtol=1e-6)


def test_a_folder_in_8_bits(model, tmp_path, capsys):
    assert run("quantise", "--teacher", model, "--out", tmp_path / "out") == 0
    assert "as large and as fast as before" in capsys.readouterr().out
    small, large = (pretrained.load(place) for place in (tmp_path / "out", model))
    assert "stored in float32 and int8" not in " ".join(large.notes)
    assert any("int8" in note for note in small.notes)
    for (name, x), (_, y) in zip(large.parameters.items(), small.parameters.items()):
        if x.ndim == 2:
            assert (np.abs(x - y) <= np.abs(x).max(1, keepdims=True) / 254 * 1.0001).all(), name
        else:
            np.testing.assert_array_equal(x, y)
    assert len(minibert.load(tmp_path / "out", device="cpu").fill_mask("a [MASK] b")) > 1
    sizes = [(place / "model.safetensors").stat().st_size for place in (model, tmp_path / "out")]
    assert sizes[1] < 0.6 * sizes[0]  # the names of so small a model take room as well
    convert(tmp_path / "out", tmp_path / "back")
    np.testing.assert_array_equal(pretrained.load(tmp_path / "back").parameters.flat, small.parameters.flat)


@pytest.mark.parametrize("family", ["mobilebert", "roberta"])
def test_families_whose_matrices_lie_otherwise(family, tmp_path):
    from minibert.model import pretraining
    from minibert.pretrained import families

    config = families.preset(family, "base", vocab_size=len(tiny_model.TOKENS), num_hidden_layers=1)
    _, _, tokenizer = tiny_model.make()
    parameters = pretraining.initial_parameters(config)
    pretrained.save(tmp_path / "a", config, parameters, tokenizer)
    run("quantise", "--teacher", tmp_path / "a", "--out", tmp_path / "b")
    found = pretrained.load(tmp_path / "b").parameters
    assert np.abs(found.flat - parameters.flat).max() < 0.001


@pytest.mark.parametrize("scale", [None, np.ones(2, np.float32), np.ones((3, 1), np.float32), np.ones(3)])
def test_a_scale_that_does_not_fit(scale, tmp_path):
    arrays = {"x.int8": np.ones((3, 4), np.int8)} | ({} if scale is None else {"x.scale": scale})
    tensors.write(tmp_path / "a.safetensors", arrays)
    with pytest.raises(ValueError, match="stored in 8 bits"), tensors.opened(tmp_path / "a.safetensors"):
        pass


def test_what_it_needs(model):
    with pytest.raises(ValueError, match="--corpus: the recipe quantise trains nothing"):
        run("quantise", "--teacher", model, "--out", "out", "--corpus", "a")
