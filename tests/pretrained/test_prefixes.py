"""A model under any prefix, in a file of any name, without a config.json: what people's folders look like."""

import numpy as np
import pytest

import minibert
from minibert import pretrained
from minibert.cli import main
from minibert.convert import convert
from minibert.pretrained import formats, prefixes, tensors
from tests import tiny_model
from tests.pretrained import examples, writers
from tests.pretrained.writers import Call, Name, Object, tensor

SIXTY_FOUR = {"hidden_size": 64, "num_attention_heads": 1}  # a head has as many numbers as is usual


def bare(name):
    """As BertModel calls its tensors."""
    return name.removeprefix("bert.")


def store(folder, names, model, file="model.safetensors"):
    """The model in a folder, its tensors called by the function ``names``."""
    examples.write(folder, "safetensors", model)
    (folder / "model.safetensors").unlink()
    tensors.write(folder / file, {names(name): x for name, x in model[1].items()})


# Prefixes


@pytest.mark.parametrize(("prefix", "inner"), [
    ("model.", str), ("_orig_mod.", str), ("_orig_mod.module.", str), ("model.bert_model.", bare), ("bert_model.", bare),
    ("0.auto_model.", bare), ("encoder.", bare), ("a.b-c.1.transformer.", bare)])
def test_a_model_is_found_under_any_prefix(tmp_path, prefix, inner):
    model = examples.tiny()
    store(tmp_path, lambda name: prefix + (inner(name) if name.startswith("bert.") else name), model)
    loaded = pretrained.load(tmp_path)
    there = {name for name, _ in loaded.parameters.items()} - loaded.initialised
    truth = dict(model[1].items())
    assert {name for name in truth if name.startswith("bert.")} <= there
    for name, x in loaded.parameters.items():
        assert name not in there or np.array_equal(x, truth[name]), name
    assert f"model.safetensors: its model stands under '{prefix}', which was left out" in loaded.notes


def test_heads_stand_beside_the_encoder(tmp_path):
    model = examples.tiny()
    store(tmp_path, lambda name: name.replace("bert.", "net.body.") if name.startswith("bert.") else f"net.{name}", model)
    loaded = pretrained.load(tmp_path)
    assert loaded.initialised == frozenset()
    np.testing.assert_array_equal(loaded.parameters.flat, model[1].flat)


@pytest.mark.parametrize(("names", "expected", "prefix"), [
    (["bert.embeddings.word_embeddings.weight", "cls.x"], ["bert.embeddings.word_embeddings.weight", "cls.x"], ""),
    (["embeddings.word_embeddings.weight", "pooler.x"], ["embeddings.word_embeddings.weight", "pooler.x"], ""),
    (["m.bert.embeddings.word_embeddings.weight", "m.cls.x", "other.y"],
     ["bert.embeddings.word_embeddings.weight", "cls.x", "other.y"], "m."),
    (["m/bert/embeddings/word_embeddings", "m/cls/x"], ["bert.embeddings/word_embeddings", "cls/x"], "m/"),
    (["encoder.embeddings.word_embeddings.weight", "encoder.encoder.layer.0.x", "encoder_norm.x"],
     ["bert.embeddings.word_embeddings.weight", "bert.encoder.layer.0.x", "encoder_norm.x"], "encoder."),
    (["a.b", "my_embeddings.word_embeddings.weight"], ["a.b", "my_embeddings.word_embeddings.weight"], ""),
    (["bert.embeddings.word_embeddings/adam_m"], ["bert.embeddings.word_embeddings/adam_m"], "")])
def test_what_is_left_of_names(names, expected, prefix):
    short, found = prefixes.unwrapped(names)
    assert list(short) == names
    assert list(short.values()) == expected
    assert found == prefix


def test_several_encoders_are_refused_by_name(tmp_path):
    model = examples.tiny()
    examples.write(tmp_path, "safetensors", model)
    arrays = {f"{start}.{name}": x for start in ("teacher", "student") for name, x in model[1].items()}
    tensors.write(tmp_path / "model.safetensors", arrays)
    with pytest.raises(ValueError, match=r"there are 2 encoders in it, under 'student\.bert\.' and 'teacher\.bert\.'"):
        pretrained.load(tmp_path)


# Files of any name


@pytest.mark.parametrize(("file", "kind"), [("model.pt", "torch_zip"), ("checkpoint.pth", "torch_legacy"),
                                            ("last.ckpt", "torch_zip"), ("weights.bin", "torch_zip"),
                                            ("bert_weights.safetensors", "safetensors"),
                                            ("flax.msgpack", "flax"), ("ernie.pdparams", "paddle")])
def test_the_only_file_is_taken_whatever_it_is_called(tmp_path, file, kind):
    model = examples.tiny()
    [path] = examples.write(tmp_path, kind, model)
    path.rename(tmp_path / file)
    for other in ("optimizer.pt", "training_args.bin", "rng_state_0.pth", "training_state.safetensors", "a.vectors.safetensors"):
        (tmp_path / other).write_bytes(b"not a model")
    loaded = pretrained.load(tmp_path)
    np.testing.assert_array_equal(loaded.parameters.flat, model[1].flat)
    assert loaded.notes == []


def test_of_several_files_one_must_be_named(tmp_path, capsys):
    first, second = examples.tiny(), examples.tiny(seed=1)
    folder = tmp_path / "runs"
    store(folder, str, first, "epoch1.safetensors")
    tensors.write(folder / "epoch2.safetensors", dict(second[1].items()))
    with pytest.raises(ValueError, match=r"several checkpoints \(epoch1\.safetensors, epoch2\.safetensors\); .*--weights FILE"):
        pretrained.load(folder)
    for named, model in (("epoch1.safetensors", first), (folder / "epoch2.safetensors", second)):
        np.testing.assert_array_equal(pretrained.load(folder, weights=named).parameters.flat, model[1].flat)
    with pytest.raises(FileNotFoundError, match=r"runs has no epoch3\.safetensors, and there is no such file"):
        minibert.load(folder, "cpu", weights="epoch3.safetensors")
    assert main(["convert", str(folder), str(tmp_path / "one"), "--weights", "epoch2.safetensors"]) == 0
    np.testing.assert_array_equal(pretrained.load(tmp_path / "one").parameters.flat, second[1].flat)
    for command in (["fill-mask", "the [MASK]", "--model", str(folder)], ["info", str(folder), "--length", "4"],
                    ["score", "the", "--model", str(folder)]):
        assert main(command) == 2
        assert main([*command, "--weights", "epoch1.safetensors"]) == 0
    assert "several checkpoints" in capsys.readouterr().err


def test_a_usual_name_goes_before_another(tmp_path):
    examples.write(tmp_path, "safetensors")
    (tmp_path / "zzz.pt").write_bytes(b"")
    (tmp_path / "aaa.bin").write_bytes(b"")
    assert formats.find(tmp_path).name == "model.safetensors"


# Without a config.json


@pytest.mark.parametrize("kind", ["safetensors", "torch_zip", "tensorflow", "flax", "paddle"])
def test_sizes_are_read_off_the_tensors(tmp_path, kind):
    model = config, parameters, _ = tiny_model.make(**SIXTY_FOUR, num_hidden_layers=3, type_vocab_size=3)
    examples.write(tmp_path, kind, model)
    (tmp_path / "config.json").unlink()
    loaded = pretrained.load(tmp_path)
    assert loaded.config == config
    np.testing.assert_array_equal(loaded.parameters.flat, parameters.flat)
    [note] = loaded.notes
    assert note == (f"{tmp_path} has no config.json: its sizes are those of its tensors (3 layers, hidden size 64), with 1 head "
                    "of 64, a guess that --heads N corrects; activation (gelu) and epsilon (1e-12) are taken to be BERT's")


def test_heads_that_cannot_be_guessed_must_be_said(tmp_path, capsys):
    model = config, parameters, _ = examples.tiny()
    source, copy = tmp_path / "source", tmp_path / "copy"
    examples.write(source, "safetensors", model)
    (source / "config.json").unlink()
    with pytest.raises(ValueError, match=r"source has no config\.json, .*size 4 is no multiple of the usual 64 .*--heads N"):
        pretrained.load(source)
    loaded = pretrained.load(source, heads=2)
    assert loaded.config == config
    assert "with 2 heads of 2; " in loaded.notes[0]
    with pytest.raises(ValueError, match="num_attention_heads must divide hidden_size"):
        pretrained.load(source, heads=3)
    assert main(["convert", str(source), str(copy), "--heads", "2"]) == 0
    assert "has no config.json: its sizes are those of its tensors" in capsys.readouterr().out
    again = pretrained.load(copy)
    assert again.config.replace(unknown={}) == config
    assert again.notes == []
    with pytest.raises(ValueError, match=r"config\.json says how many heads the model has; --heads is for a folder without one"):
        pretrained.load(copy, heads=2)
    assert main(["info", str(source), "--heads", "2", "--length", "4"]) == 0
    assert "there is no config.json" in capsys.readouterr().out
    fewer = {name: x[:61] if x.shape[:1] == (62,) else x for name, x in parameters.items()}
    tensors.write(source / "model.safetensors", fewer)
    with pytest.raises(ValueError, match=r"has 62 tokens, but vocab_size in model\.safetensors is 61"):
        convert(source, tmp_path / "third", heads=2)


def test_tensors_that_do_not_tell_are_named(tmp_path):
    store(tmp_path, lambda name: name.replace("encoder.layer.", "encoder.block."), examples.tiny())
    (tmp_path / "config.json").unlink()
    with pytest.raises(ValueError, match=r"its tensors do not tell intermediate_size, num_hidden_layers"):
        pretrained.load(tmp_path)


# What was stored


@pytest.mark.parametrize(("stored", "said"), [("float16", True), ("float32", False), ("float64", False)])
def test_few_digits_are_said(tmp_path, stored, said):
    pretrained.save(tmp_path, *examples.tiny(), dtype=stored)
    notes = pretrained.load(tmp_path).notes
    assert notes == [f"model.safetensors: numbers were stored in {stored}; they have no more digits than that"] * said


def test_nothing_is_said_of_the_bundled_model():
    assert not any("digits" in note for note in pretrained.load(pretrained.bundled()).notes)


# Checkpoints of training programs


def views(model, start=0, extra=()):
    return {name: tensor(str(start + i), x, view=extra) for i, (name, x) in enumerate(model[1].items())}


@pytest.mark.parametrize("write", [writers.torch_zip, writers.torch_legacy])
@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model", "module", "net", "my_own"])
def test_tensors_within_a_dictionary(tmp_path, write, wrapper):
    model = examples.tiny()
    examples.write(tmp_path, "torch_zip", model)
    extra = (None,) if write is writers.torch_legacy else ()
    content = {"epoch": 2, "args": Object((Name("my.program Settings"), {"a": 1})), wrapper: views(model, 0, extra), "loss": None}
    write(tmp_path / "pytorch_model.bin", dict(model[1].items()), content=content)
    loaded = pretrained.load(tmp_path)
    np.testing.assert_array_equal(loaded.parameters.flat, model[1].flat)
    usual = wrapper in ("state_dict", "model_state_dict", "model")
    assert [note for note in loaded.notes if "stands under" in note] == (
        [] if usual else [f"pytorch_model.bin: its model stands under '{wrapper}.', which was left out"])


def test_two_models_in_a_training_run_are_refused(tmp_path):
    model = examples.tiny()
    examples.write(tmp_path, "torch_zip", model)
    content = {"generator": views(model), "discriminator": views(model)}
    writers.torch_zip(tmp_path / "pytorch_model.bin", dict(model[1].items()), content=content)
    with pytest.raises(ValueError, match=r"2 encoders in it, under 'generator\.bert\.' and 'discriminator\.bert\.'"):
        pretrained.load(tmp_path)


def test_an_object_among_the_tensors_stays_what_it_is(tmp_path):
    """Its name is all that is left of it; without tensors beside it the file is refused by that name."""
    x = np.ones(2, np.float32)
    path = tmp_path / "x.pt"
    writers.torch_zip(path, {}, content={"a": tensor("0", x), "b": Object((Name("posix system"), {"x": 1}))}, storages={"0": x})
    with formats.opened(path) as reader:
        assert list(reader.shapes) == ["a"]
        assert reader.extras["b"].name == "posix.system"
        assert reader.extras["b"].attributes == {"x": 1}
    writers.torch_zip(path, {}, content={"b": Call((Name("posix system"), ("true",)))}, storages={})
    with pytest.raises(ValueError, match=r"holds more than tensors: its pickle asks for posix\.system, .*nothing was run"):
        with formats.opened(path):
            pass
