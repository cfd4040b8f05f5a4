import json

import numpy as np
import pytest

import minibert
from minibert import pretrained
from minibert.cli import main
from minibert.convert import FORMATS, convert
from minibert.pretrained import formats
from tests import tiny_model
from tests.pretrained import examples, writers
from tests.pretrained.test_formats import BY_TENSORFLOW


@pytest.mark.parametrize("source", examples.PROTECTED)
@pytest.mark.parametrize("target", FORMATS)
def test_from_every_format_to_every_other_and_back(tmp_path, source, target):
    model = config, parameters, tokenizer = examples.tiny()
    examples.write(tmp_path / "a", source, model)
    file, _, holds = FORMATS[target]
    said = convert(tmp_path / "a", tmp_path / "b", target)
    assert formats.find(tmp_path / "b").name == file
    loaded = pretrained.load(tmp_path / "b")
    assert loaded.tokenizer.vocab == tokenizer.vocab
    left = {name for name in parameters.layout.slots if not holds(name, config)}
    assert loaded.initialised == left
    assert all(name in " ".join(said[1:]) for name in left)
    assert len(said) == len(loaded.notes) + 1 == (2 if left else 1)
    assert len(left) == (9 if target == "gguf" else 0)
    for name, x in loaded.parameters.items():
        assert name in left or np.array_equal(x, dict(parameters.items())[name])
    convert(tmp_path / "b", tmp_path / "c")
    pretrained.save(tmp_path / "d", config, parameters, tokenizer, without=left)
    assert (tmp_path / "c" / "model.safetensors").read_bytes() == (tmp_path / "d" / "model.safetensors").read_bytes()
    convert(tmp_path / "c", tmp_path / "e", target)
    assert (tmp_path / "e" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_types_stay_unless_another_is_asked_for(tmp_path, dtype):
    config, parameters, tokenizer = tiny_model.make()
    pretrained.save(tmp_path / "a", config, parameters.astype(np.float64), tokenizer, dtype)
    convert(tmp_path / "a", tmp_path / "b", "npz")
    convert(tmp_path / "b", tmp_path / "c")
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "c" / "model.safetensors").read_bytes()
    convert(tmp_path / "a", tmp_path / "d", "safetensors", "float64")
    with formats.opened(tmp_path / "d" / "model.safetensors") as reader:
        assert set(reader.dtypes.values()) == {"float64"}


def test_nothing_is_made_up_and_nothing_lost(tmp_path):
    config, parameters, tokenizer = examples.tiny()
    arrays = {name.removeprefix("bert."): x for name, x in parameters.items() if name.startswith("bert.")}
    arrays |= {"classifier.weight": np.ones((3, 4), np.float32), "classifier.bias": np.zeros(3, np.float32)}
    examples.write(tmp_path / "a", "torch_zip", (config, parameters, tokenizer))
    writers.torch_zip(tmp_path / "a" / "pytorch_model.bin", arrays)
    (tmp_path / "a" / "1_Pooling").mkdir()
    (tmp_path / "a" / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    (tmp_path / "a" / "modules.json").write_text(json.dumps([{"type": "x.Transformer", "path": ""},
                                                             {"type": "x.Pooling", "path": "1_Pooling"}]))
    convert(tmp_path / "a", tmp_path / "b", "npz")
    with np.load(tmp_path / "b" / "bert_model.npz") as theirs:
        assert not any("predictions" in name for name in theirs)
        np.testing.assert_array_equal(theirs["output_weights"], arrays["classifier.weight"])
    convert(tmp_path / "b", tmp_path / "c")
    with formats.opened(tmp_path / "c" / "model.safetensors") as reader:
        assert {name.removeprefix("bert.") for name in reader.shapes} == arrays.keys()
        np.testing.assert_array_equal(reader["classifier.weight"], arrays["classifier.weight"])
    bert = minibert.load(tmp_path / "c", "cpu")
    assert bert.pooling().kind == "cls"
    with pytest.raises(ValueError, match=r"has no masked-word head \(cls\.predictions\.bias"):
        bert.fill_mask("the [MASK]")
    bert.save(tmp_path / "d")  # what was never trained is not passed off as trained
    assert pretrained.load(tmp_path / "d").initialised == bert.initialised


def test_a_classifier_leaves_where_it_is_said_what_it_judges(tmp_path):
    config, parameters, tokenizer = examples.tiny()
    arrays = {"classifier.weight": np.ones((3, 4), np.float32), "classifier.bias": np.zeros(3, np.float32)}
    for name, unknown in {"token": {"architectures": ["BertForTokenClassification"]}, "unsaid": {}}.items():
        examples.write(tmp_path / name, "torch_zip", (config.replace(unknown=unknown), parameters, tokenizer))
        writers.torch_zip(tmp_path / name / "pytorch_model.bin", {**dict(parameters.items()), **arrays})
        said = convert(tmp_path / name, tmp_path / f"{name}-onnx", "onnx")
        assert any("left out, for onnx has no place for them: classifier.bias, classifier.weight" in line
                   for line in said) is (name == "unsaid")
        with formats.opened(tmp_path / f"{name}-onnx" / "model.onnx") as reader:
            assert ("classifier.weight" in reader.shapes) is (name == "token")


def test_what_tensorflow_wrote_becomes_a_folder(tmp_path, capsys):
    assert main(["convert", str(BY_TENSORFLOW), str(tmp_path / "new")]) == 0
    assert "bert_model.ckpt.index (TensorFlow checkpoint, float32) -> " in capsys.readouterr().out
    new, old = pretrained.load(tmp_path / "new"), pretrained.load(BY_TENSORFLOW)
    np.testing.assert_array_equal(new.parameters.flat, old.parameters.flat)
    assert main(["fill-mask", "--model", str(BY_TENSORFLOW), "the [MASK]"]) == 0
    assert len(capsys.readouterr().out.strip().splitlines()) == 5


def test_refusals(tmp_path, capsys):
    examples.write(tmp_path / "a", "safetensors")
    pretrained.save(tmp_path / "other", *tiny_model.make())
    before = (tmp_path / "other" / "model.safetensors").read_bytes()
    for arguments, message in ([["a", "other"], "holds a model of other sizes"], [["a", "a"], "is the source itself"],
                               [["nowhere", "b"], "no such folder"]):
        assert main(["convert", *(str(tmp_path / name) for name in arguments)]) == 2
        assert message in capsys.readouterr().err
    assert (tmp_path / "other" / "model.safetensors").read_bytes() == before
    with pytest.raises(ValueError, match="format must be one of safetensors, npz, onnx, gguf, got 'h5'"):
        convert(tmp_path / "a", tmp_path / "b", "h5")
    config, parameters, tokenizer = examples.tiny()
    parameters.flat[3] = 1e6
    examples.write(tmp_path / "large", "safetensors", (config, parameters, tokenizer))
    with pytest.raises(ValueError, match=r"has a number of size 1e\+06, too large for float16"):
        convert(tmp_path / "large", tmp_path / "b", dtype="float16")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("kind", examples.PROTECTED)
def test_info_describes_every_format(tmp_path, kind, capsys):
    files = examples.write(tmp_path, kind)
    assert main(["info", str(tmp_path), "--length", "8"]) == 0
    out = capsys.readouterr().out
    assert f"Weights    {formats.find(tmp_path).name}" in out
    assert "numbers of float32 in 30 tensors" in out
    assert "pooler: yes; masked words: yes; next sentence: yes" in out
    assert "uncased, accents removed, 62 tokens, at most 8 a text" in out
    files[0].write_bytes(files[0].read_bytes()[:-1] if kind != "sharded" else b"")
    assert main(["info", str(tmp_path), "--length", "8"]) == 2
    assert files[0].name in capsys.readouterr().err


def test_info_says_what_is_missing_and_what_is_of_another_family(tmp_path, capsys):
    examples.write(tmp_path, "safetensors")
    (tmp_path / "vocab.txt").unlink()
    assert main(["info", str(tmp_path), "--length", "8"]) == 0
    assert "there is no vocab.txt" in capsys.readouterr().out
    (tmp_path / "model.safetensors").unlink()
    assert main(["info", str(tmp_path), "--length", "8"]) == 0
    assert "No weights in this folder" in capsys.readouterr().out
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "mpnet"}))
    assert main(["info", str(tmp_path)]) == 2
    assert "adds relative positions" in capsys.readouterr().err


def test_one_folder_is_of_one_model(tmp_path, capsys):
    """Two models of the same sizes: the weights of one never lie beside the configuration of the other."""
    pretrained.save(tmp_path / "a", *tiny_model.make())
    pretrained.save(tmp_path / "b", *tiny_model.make(seed=1, hidden_act="gelu_new"))
    convert(tmp_path / "a", tmp_path / "d")
    before = {path.name: path.read_bytes() for path in (tmp_path / "d").iterdir()}
    assert main(["convert", str(tmp_path / "b"), str(tmp_path / "d"), "--to", "npz"]) == 2
    assert "holds model.safetensors, which would be left of another model beside this one" in capsys.readouterr().err
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "d").iterdir()}
    convert(tmp_path / "b", tmp_path / "d")  # the same files: all are replaced
    assert pretrained.load(tmp_path / "d").config.hidden_act == "gelu_new"
    (tmp_path / "d" / "modules.json").write_text("[]", encoding="utf-8")
    with pytest.raises(FileExistsError, match=r"holds modules\.json, which would be left"):
        convert(tmp_path / "a", tmp_path / "d")


def test_a_destination_that_is_a_file_is_named(tmp_path):
    examples.write(tmp_path / "source", "safetensors")
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError, match=r"file is a file; a checkpoint is written as a folder"):
        convert(tmp_path / "source", tmp_path / "file")
