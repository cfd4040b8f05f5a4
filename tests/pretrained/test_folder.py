import errno
import json
import os

import numpy as np
import pytest

import minibert
from minibert import pretrained
from minibert.convert import convert
from minibert.pretrained import folder as module
from minibert.pretrained import formats, tensors
from minibert.pretrained.names import canonical
from minibert.text import Tokenizer, Vocabulary
from tests import tiny_model

FILES = {"config.json", "vocab.txt", "tokenizer_config.json", "model.safetensors"}


@pytest.fixture
def saved(tmp_path):
    folder = tmp_path / "model"
    pretrained.save(folder, *tiny_model.make())
    return folder


def rewrite(folder, change):
    """Pass the tensors of a folder through ``change``, as a dict."""
    with tensors.opened(folder / "model.safetensors") as reader:
        arrays = {name: reader[name] for name in reader.shapes}
    tensors.write(folder / "model.safetensors", change(arrays))


def edit_config(folder, **changes):
    values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(values | changes), encoding="utf-8")


def test_saved_and_loaded_is_the_same(tmp_path):
    config, parameters, tokenizer = tiny_model.make(norm_first=True)
    pretrained.save(tmp_path / "new" / "model", config, parameters, tokenizer)
    assert set(os.listdir(tmp_path / "new" / "model")) == FILES
    loaded = pretrained.load(tmp_path / "new" / "model")
    assert loaded.config.replace(unknown={}) == config
    assert loaded.tokenizer.vocab == tokenizer.vocab
    assert loaded.notes == []
    assert loaded.parameters.flat.dtype == np.float32
    np.testing.assert_array_equal(loaded.parameters.flat, parameters.flat)


def test_equal_weights_give_equal_files_and_no_decoder(saved, tmp_path):
    pretrained.save(tmp_path / "again", *pretrained.load(saved)[:3])
    for name in FILES:
        assert (saved / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name
    with tensors.opened(saved / "model.safetensors") as reader:
        assert reader.metadata == {"format": "pt"}
        assert not any("decoder" in name for name in reader.shapes)


@pytest.mark.parametrize(("stored", "wanted"), [(np.float16, np.float32), (np.float16, np.float64), (np.float64, np.float32)])
def test_stored_types_are_converted(tmp_path, stored, wanted):
    config, parameters, tokenizer = tiny_model.make()
    pretrained.save(tmp_path, config, parameters, tokenizer, dtype=stored)
    loaded = pretrained.load(tmp_path, dtype=wanted)
    assert loaded.parameters.flat.dtype == wanted
    np.testing.assert_array_equal(loaded.parameters.flat, parameters.flat.astype(stored).astype(wanted))


def test_other_names_for_the_same_tensors(saved):
    expected = pretrained.load(saved).parameters.flat

    def older(arrays):
        renamed = {}
        for name, x in arrays.items():
            if "LayerNorm" in name:
                name = name.replace("weight", "gamma").replace("bias", "beta")
            renamed[name.removeprefix("bert.")] = x
        renamed["embeddings.position_ids"] = np.arange(24)[None]
        renamed["cls.predictions.decoder.weight"] = arrays["bert.embeddings.word_embeddings.weight"]
        renamed["cls.predictions.decoder.bias"] = renamed.pop("cls.predictions.bias")
        return renamed

    rewrite(saved, older)
    loaded = pretrained.load(saved)
    np.testing.assert_array_equal(loaded.parameters.flat, expected)
    assert loaded.notes == []


def test_names_are_ours_in_the_end():
    assert canonical("encoder.layer.0.output.LayerNorm.gamma") == "bert.encoder.layer.0.output.LayerNorm.weight"
    assert canonical("cls.predictions.transform.LayerNorm.beta") == "cls.predictions.transform.LayerNorm.bias"
    for name, _ in tiny_model.make()[1].items():
        assert canonical(name) == name


def test_missing_heads_start_fresh_and_are_reported(saved):
    before = pretrained.load(saved).parameters
    rewrite(saved, lambda arrays: {n: x for n, x in arrays.items() if "seq_relationship" not in n and "pooler" not in n})
    loaded = pretrained.load(saved)
    [note] = loaded.notes
    for part in ("bert.pooler.dense", "cls.seq_relationship"):
        assert f"{part}.weight" in note
        assert f"{part}.bias" in note
    assert "not trained" in note
    assert loaded.initialised == {f"{part}.{kind}" for part in ("bert.pooler.dense", "cls.seq_relationship")
                                  for kind in ("weight", "bias")}
    after = dict(loaded.parameters.items())
    for name, x in before.items():
        assert np.array_equal(after[name], x) == (name not in note), name
    assert after["cls.seq_relationship.weight"].any()
    np.testing.assert_array_equal(loaded.parameters.flat, pretrained.load(saved).parameters.flat)


def test_tensors_without_a_place_are_named(saved):
    rewrite(saved, lambda arrays: arrays | {"classifier.weight": np.zeros((2, 12)), "qa_outputs.bias": np.zeros(2)})
    assert any("classifier.weight, qa_outputs.bias" in note for note in pretrained.load(saved).notes)


def test_every_wrong_tensor_is_listed_with_shapes(saved):
    def spoil(arrays):
        del arrays["bert.encoder.layer.1.attention.self.key.bias"], arrays["bert.embeddings.LayerNorm.weight"]
        arrays["bert.encoder.layer.0.attention.output.dense.weight"] = np.zeros((12, 13))
        arrays["bert.encoder.layer.2.output.dense.bias"] = np.zeros(12)
        return arrays

    rewrite(saved, spoil)
    with pytest.raises(ValueError) as info:
        pretrained.load(saved)
    message = str(info.value)
    assert str(saved / "model.safetensors") in message
    for line in ("bert.encoder.layer.0.attention.output.dense.weight: expected shape (12, 12), found (12, 13)",
                 "bert.embeddings.LayerNorm.weight: expected shape (12,), not found",
                 "bert.encoder.layer.1.attention.self.key.bias: expected shape (12,), not found",
                 "bert.encoder.layer.2.output.dense.bias: not expected, found shape (12,)",
                 "num_hidden_layers is 2, but 3 by the tensors"):
        assert line in message


@pytest.mark.parametrize(("key", "value", "true"), [
    ("num_hidden_layers", 1, 2), ("num_hidden_layers", 3, 2), ("hidden_size", 24, 12), ("intermediate_size", 24, 20),
    ("max_position_embeddings", 512, 24), ("type_vocab_size", 3, 2)])
def test_a_config_that_contradicts_the_tensors(saved, key, value, true):
    edit_config(saved, **{key: value})
    with pytest.raises(ValueError, match=f"{key} is {value}, but {true} by the tensors") as info:
        pretrained.load(saved)
    assert "config.json that was saved with these weights" in str(info.value)


@pytest.mark.parametrize(("size", "reason"), [(61, "its last tokens would have no row"), (9999, "more than padding")])
def test_vocabulary_of_another_size(saved, size, reason):
    edit_config(saved, vocab_size=size)
    with pytest.raises(ValueError, match=rf"vocab\.txt has 62 tokens, but vocab_size in config\.json is {size}: .*{reason}"):
        pretrained.load(saved)


def test_a_table_padded_to_a_round_number_is_read_and_said_so(tmp_path):
    config, parameters, tokenizer = tiny_model.make(vocab_size=64)
    parameters["bert"]["embeddings"]["word_embeddings"]["weight"][62:] = 50  # a row that would win every guess
    parameters["cls"]["predictions"]["bias"][62:] = 99
    pretrained.save(tmp_path, config, parameters, tokenizer)
    loaded = minibert.load(tmp_path, "cpu")
    np.testing.assert_array_equal(loaded.parameters.flat, parameters.flat)
    assert any("2 rows more than vocab.txt has tokens" in note for note in loaded.notes)
    guesses = loaded.fill_mask("the [MASK]", top=62)
    assert {word for word, _ in guesses} == set(tiny_model.TOKENS)
    assert sum(p for _, p in guesses) == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match="top must be from 1 to 62"):
        loaded.fill_mask("the [MASK]", top=63)
    edit_config(tmp_path, vocab_size=65)
    with pytest.raises(ValueError, match=r"expected shape \(65, 12\), found \(64, 12\)"):
        minibert.load(tmp_path, "cpu")


def test_another_model_family_is_named_in_one_line(saved):
    rewrite(saved, lambda arrays: {name.replace("bert.", "gpt.").replace("word", "token"): x for name, x in arrays.items()
                                   if name.startswith("bert.")})
    with pytest.raises(ValueError, match=r"none of its 39 tensors belongs to a BERT encoder \(the first is gpt\.") as info:
        pretrained.load(saved)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("rows", [len(tiny_model.TOKENS), 64])
def test_an_untied_decoder_closes_nothing_but_its_head(saved, rows):
    before = pretrained.load(saved).parameters
    rewrite(saved, lambda arrays: arrays | {"cls.predictions.decoder.weight": np.ones((rows, 12), np.float32)})
    bert = minibert.load(saved, "cpu")
    [note] = bert.notes
    assert note == ("model.safetensors: cls.predictions.decoder.weight differs from bert.embeddings.word_embeddings.weight, and "
                    "here the two are one tensor: the masked-word head is left out")
    assert bert.initialised == {name for name, _ in before.items() if name.startswith("cls.predictions.")}
    after = dict(bert.parameters.items())
    for name, x in before.items():
        assert name in bert.initialised or np.array_equal(after[name], x), name
    assert bert.embed("the exception").shape == (12,)
    with pytest.raises(ValueError, match=r"has no masked-word head \(.*decoder\.weight differs from"):
        bert.fill_mask("the [MASK]")
    convert(saved, saved.parent / "copy", "npz")  # number for number
    with formats.opened(saved.parent / "copy" / "bert_model.npz") as reader:
        assert reader.shapes["cls/predictions/decoder/kernel"] == (rows, 12)
    assert pretrained.load(saved.parent / "copy").initialised == bert.initialised


def test_of_two_biases_the_decoder_s_is_used(saved):
    rewrite(saved, lambda arrays: arrays | {"cls.predictions.decoder.bias": arrays["cls.predictions.bias"] + 1})
    loaded = pretrained.load(saved)
    assert loaded.notes == ["model.safetensors: cls.predictions.bias and cls.predictions.decoder.bias differ; the latter is "
                            "used, as in transformers"]
    expected = tiny_model.make()[1]
    expected["cls"]["predictions"]["bias"] += 1
    np.testing.assert_array_equal(loaded.parameters.flat, expected.flat)


def test_a_vocabulary_without_special_tokens_closes_only_what_needs_them(tmp_path):
    config, parameters, _ = tiny_model.make()
    without = Vocabulary([f"word{i}" if token in ("[UNK]", "[CLS]", "[SEP]", "[MASK]") else token
                          for i, token in enumerate(tiny_model.TOKENS)])
    pretrained.save(tmp_path, config, parameters, Tokenizer(without, max_length=24))
    bert = minibert.load(tmp_path, "cpu")
    assert bert.notes == [f"{tmp_path / 'vocab.txt'} has no [CLS] and no [SEP] for a text: texts are read without"]
    out = bert("the exception", hidden_states=True)
    assert out.tokens == [["the", "exception"]]
    assert len(out.hidden_states) == 3
    assert bert.embed(["the exception", "an exception."]).shape == (2, 12)
    for ask, message in ((lambda: bert.fill_mask("the [MASK]"), r"has no \[MASK\], which a guess needs"),
                         (lambda: bert.embed("the", "cls"), r"has no \[CLS\], which a vector of \[CLS\] needs"),
                         (lambda: bert(("the", "an")), r"has no \[SEP\], which a pair of texts needs"),
                         (lambda: bert.embed("\t"), r"has no \[CLS\], \[SEP\], which a text without any word needs"),
                         (lambda: bert(["the", "\u00df"]), r"has no \[UNK\], which 'ß', a word .* needs")):
        with pytest.raises(ValueError, match=message):
            ask()


def test_tokens_that_the_table_has_no_row_for_are_refused_where_they_are_met(saved):
    (saved / "added_tokens.json").write_text(json.dumps({"[E1]": 62, "[E2]": 63}), encoding="utf-8")
    bert = minibert.load(saved, "cpu")
    assert bert.notes == ["the table of words has no row for [E1], [E2]: added to the tokenizer and not to the model; a text "
                          "with such a token is refused"]
    assert len(bert.fill_mask("the [MASK]", top=62)) == 62
    with pytest.raises(ValueError, match=r"the text has \[E2\], which is token 63, but the model's table .* only 62 rows"):
        bert.embed(["the", "an [E2]"])


def test_a_mask_with_another_name_is_the_one_to_write(saved):
    text = (saved / "vocab.txt").read_text(encoding="utf-8")
    guesses = minibert.load(saved, "cpu").fill_mask("the [MASK] raises", top=3)
    (saved / "vocab.txt").write_text(text.replace("[MASK]", "<mask>"), encoding="utf-8")
    settings = json.loads((saved / "tokenizer_config.json").read_text(encoding="utf-8")) | {"mask_token": "<mask>"}
    (saved / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    bert = minibert.load(saved, "cpu")
    assert bert.fill_mask("the <mask> raises", top=3) == guesses
    with pytest.raises(ValueError, match=r"there is no <mask> in 'the \[MASK\]': write <mask> where"):
        bert.fill_mask("the [MASK]")


def test_whole_numbers_are_refused(saved):
    rewrite(saved, lambda arrays: {name: x.astype(np.int32) if "pooler" in name else x
                                   for name, x in arrays.items()})
    with pytest.raises(ValueError, match=r"pooler\.dense\.\w+ must hold floating-point numbers, found int32"):
        pretrained.load(saved)


@pytest.mark.parametrize("name", sorted(FILES - {"tokenizer_config.json", "config.json"}))
def test_missing_files_are_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"has no {name}"):
        pretrained.load(saved)


def test_missing_folder_and_other_formats(saved):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        pretrained.load(saved / "nowhere")
    (saved / "model.safetensors").rename(saved / "model.tflite")
    with pytest.raises(FileNotFoundError, match=r"has no model\.safetensors; model\.tflite is a model for TensorFlow Lite, which "
                       "is not read here: open the checkpoint"):
        pretrained.load(saved)
    (saved / "model.tflite").rename(saved / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin: this is not a file of torch\.save"):
        pretrained.load(saved)
    for name in ("a.ckpt.index", "b.ckpt.index"):
        (saved / "pytorch_model.bin").unlink(missing_ok=True)
        (saved / name).write_bytes(b"")
    with pytest.raises(ValueError, match=r"several checkpoints \(a\.ckpt\.index, b\.ckpt\.index\)"):
        pretrained.load(saved)


@pytest.mark.parametrize(("kind", "reason"), [("mpnet", "adds relative positions"), ("deberta-v2", "content and position"),
                                              ("gpt2", "Only models of these are read here: bert, roberta,")])
def test_relatives_are_refused_with_the_reason(saved, kind, reason):
    edit_config(saved, model_type=kind)
    (saved / "vocab.txt").unlink()  # theirs is often called otherwise: that is not the point
    with pytest.raises(ValueError, match=f"model_type is '{kind}'.*{reason}"):
        pretrained.load(saved)


def test_a_truncated_file_is_named(saved):
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model\.safetensors: the file was cut short"):
        pretrained.load(saved)


def test_half_precision_on_the_cpu_is_refused(saved):
    with pytest.raises(ValueError, match="float16 is for the GPU"):
        pretrained.load(saved, dtype=np.float16)


def test_keys_without_effect_are_reported(saved):
    idle = {"return_dict": True, "output_attentions": True, "num_beams": 1, "finetuning_task": "mrpc", "pruned_heads": {},
            "another_key": None, "bad_words_ids": [[1]]}
    edit_config(saved, my_own_key=1, architectures=["X"], transformers_version="9", **idle)
    assert pretrained.load(saved).notes == ["config.json: these keys have no effect here: my_own_key"]
    pretrained.save(saved, *pretrained.load(saved)[:3])
    assert json.loads((saved / "config.json").read_text(encoding="utf-8"))["my_own_key"] == 1


def test_what_does_not_belong_together_is_not_saved(tmp_path):
    config, parameters, tokenizer = tiny_model.make()
    with pytest.raises(ValueError, match=r"tokenizer has \d+ tokens, but config\.vocab_size is 61"):
        pretrained.save(tmp_path / "a", config.replace(vocab_size=61), parameters, tokenizer)
    with pytest.raises(ValueError, match="do not have the tensors of this configuration"):
        pretrained.save(tmp_path / "a", config.replace(num_hidden_layers=1), parameters, tokenizer)
    with pytest.raises(ValueError, match="do not have the tensors of this configuration"):
        pretrained.save(tmp_path / "a", config.replace(num_hidden_layers=3), parameters, tokenizer)
    parameters.flat[7] = 1e5
    with pytest.raises(ValueError, match=r"1e\+05 is too large for float16"):
        pretrained.save(tmp_path / "a", config, parameters, tokenizer, dtype=np.float16)


def test_another_model_is_never_overwritten(saved):
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    with pytest.raises(FileExistsError, match="another folder"):
        pretrained.save(saved, *tiny_model.make(hidden_size=24))
    assert before == {path.name: path.read_bytes() for path in saved.iterdir()}
    pretrained.save(saved, *tiny_model.make(seed=1, hidden_dropout_prob=0.3))  # the same sizes: a later state of the model
    assert pretrained.load(saved).config.hidden_dropout_prob == 0.3


def after(calls, function):
    """``function`` for that many calls, then a disk that is full."""
    count = iter(range(calls))

    def limited(*args, **kwargs):
        if next(count, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return function(*args, **kwargs)

    return limited


@pytest.mark.parametrize("renames", range(8))
def test_a_save_that_fails_at_any_file_leaves_a_model(saved, monkeypatch, renames):
    """The first four are of files beside the old model; when they are whole, it is the new one that is there."""
    new = tiny_model.make(seed=1, hidden_dropout_prob=0.3, hidden_act="gelu_new")
    monkeypatch.setattr(os, "replace", after(renames, os.replace))
    with pytest.raises(OSError, match="No space left on device") as info:
        pretrained.save(saved, *new)
    monkeypatch.undo()
    assert str(saved) in str(info.value)
    assert ("nothing was lost" in str(info.value)) == (renames < 4)
    assert ".minibert-saving" not in str(info.value)
    expected_config, expected = new[:2] if renames > 3 else tiny_model.make()[:2]
    loaded = pretrained.load(saved)
    np.testing.assert_array_equal(loaded.parameters.flat, expected.flat)
    assert loaded.config.replace(unknown={}) == expected_config
    assert set(os.listdir(saved)) == FILES


@pytest.mark.parametrize("name", ["pytorch_model.bin", "bert_model.npz", "model.safetensors.index.json", "tf_model.h5",
                                  "x.ckpt.index", "tokenizer.json", "added_tokens.json", "bert_config.json", "finetuning.json"])
def test_what_would_be_left_of_another_model_is_named(saved, name):
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    (saved / name).write_bytes(b"{}")
    with pytest.raises(FileExistsError, match=f"holds .*{name}.*, which would be left of another model beside this one"):
        pretrained.save(saved, *tiny_model.make(seed=1))
    (saved / name).unlink()
    assert before == {path.name: path.read_bytes() for path in saved.iterdir()}


def test_a_disk_that_fills_up_inside_the_weights_leaves_a_model(saved, monkeypatch):
    old = pretrained.load(saved).parameters.flat

    class Small:
        """A file on a disk with room for a few hundred bytes."""

        def __init__(self, *args, **kwargs):
            self.file, self.room = open(*args, **kwargs), 300

        def write(self, data):
            self.room -= len(bytes(data))
            if self.room < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.file.write(data)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def __getattr__(self, name):
            return getattr(self.file, name)

    monkeypatch.setattr("minibert.files.open", Small, raising=False)
    with pytest.raises(OSError, match=r"model\.safetensors could not be written: No space left on device; nothing was lost"):
        module.save_weights(saved / "model.safetensors", tiny_model.make(seed=1)[1])
    monkeypatch.undo()
    assert set(os.listdir(saved)) == FILES
    np.testing.assert_array_equal(pretrained.load(saved).parameters.flat, old)
