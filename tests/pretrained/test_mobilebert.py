"""MobileBERT's files: exact sizes, transformers' names and TensorFlow's, a matrix that lies the other way round."""

import json
import re

import numpy as np
import pytest

import minibert
from gradcheck.combinations import BODIES
from minibert import memory, pretrained
from minibert.cli import main
from minibert.config import BertConfig
from minibert.model.blocks import mobile
from minibert.parameters import Layout
from minibert.pretrained import families, tensors
from tests import tiny_model
from tests.pretrained import writers


@pytest.mark.parametrize("size", ["base", "base-tiny", "teacher"])
def test_info_counts_a_layer_as_its_tensors_do(size, capsys):
    assert main(["info", f"mobilebert/{size}"]) == 0
    out = capsys.readouterr().out
    layer = sum(int(np.prod(shape)) for shape in mobile.shapes(families.preset("mobilebert", size)).values())
    assert re.search(rf"all 24 layers +24 × {layer:,} +{24 * layer:,} ", out)
    assert max(map(len, out.splitlines()[1:])) <= 100


def test_the_teacher_is_as_large_as_its_tensors():
    config = families.preset("mobilebert", "teacher")
    H, N, I, E = 512, 1024, 4096, 128
    block = (H * N + 3 * N) + 3 * (H * N + N) + (N * N + 3 * N) + 2 * N * I + I + 3 * N + (N * H + 3 * H)
    embeddings = 30522 * E + 514 * H + (3 * E * H + H) + 2 * H
    assert memory.parameter_counts(config)["encoder"] == 24 * block + embeddings


@pytest.fixture(params=["mobilebert", "mobilebert-tiny", "ib-bert"])
def model(request):
    return tiny_model.make(**BODIES[request.param] | {"num_hidden_layers": 2})


def stored(folder):
    with tensors.opened(folder / "model.safetensors") as reader:
        return {name: reader[name] for name in reader.shapes}


def test_the_further_columns_of_the_decoder_lie_the_other_way_round(model, tmp_path):
    config, parameters, _ = model
    pretrained.save(tmp_path, *model)
    extra = parameters["cls"]["predictions"]["extra"]["weight"]
    assert extra.shape == (config.vocab_size, 8)
    np.testing.assert_array_equal(stored(tmp_path)["cls.predictions.dense.weight"], extra.T)
    np.testing.assert_array_equal(pretrained.load(tmp_path).parameters.flat, parameters.flat)
    assert main(["convert", str(tmp_path), str(tmp_path / "copy")]) == 0
    assert (tmp_path / "copy" / "model.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()
    assert main(["convert", str(tmp_path), str(tmp_path / "npz"), "--to", "npz"]) == 0
    np.testing.assert_array_equal(pretrained.load(tmp_path / "npz").parameters.flat, parameters.flat)


ORIGINAL = (  # what the original calls its tensors, ours: its list of variables, one of each kind
    ("bert/embeddings/word_embeddings", "bert.embeddings.word_embeddings.weight"),
    ("bert/embeddings/embedding_transformation/kernel", "bert.embeddings.projection.weight"),
    ("bert/embeddings/FakeLayerNorm/gamma", "bert.embeddings.LayerNorm.weight"),
    ("bert/encoder/layer_7/bottleneck/input/dense/kernel", "bert.encoder.layer.7.bottleneck.input.dense.weight"),
    ("bert/encoder/layer_7/bottleneck/attention/FakeLayerNorm/beta", "bert.encoder.layer.7.bottleneck.attention.LayerNorm.bias"),
    ("bert/encoder/layer_7/attention/self/value/kernel", "bert.encoder.layer.7.attention.self.value.weight"),
    ("bert/encoder/layer_7/attention/output/LayerNorm/gamma", "bert.encoder.layer.7.attention.output.LayerNorm.weight"),
    ("bert/encoder/layer_7/ffn_layer_2/intermediate/dense/bias", "bert.encoder.layer.7.ffn.2.intermediate.dense.bias"),
    ("bert/encoder/layer_7/ffn_layer_2/output/FakeLayerNorm/beta", "bert.encoder.layer.7.ffn.2.output.LayerNorm.bias"),
    ("bert/encoder/layer_7/output/bottleneck/dense/kernel", "bert.encoder.layer.7.output.bottleneck.dense.weight"),
    ("cls/predictions/transform/LayerNorm/gamma", "cls.predictions.transform.LayerNorm.weight"),
    ("cls/predictions/extra_output_weights", "cls.predictions.extra.weight"),
    ("cls/predictions/output_bias", "cls.predictions.bias"),
    ("cls/seq_relationship/output_weights", "cls.seq_relationship.weight"),
)


@pytest.mark.parametrize(("theirs", "ours"), ORIGINAL)
def test_names_of_the_original(theirs, ours):
    names = families.names(families.preset("mobilebert", "base"))
    assert names.ours(theirs) == ours
    assert not names.lies_turned(theirs)  # TensorFlow's reader turns kernels by itself


def test_a_checkpoint_of_the_original_opens(tmp_path):
    """Its configuration names no family."""
    config, parameters, tokenizer = tiny_model.make(**BODIES["mobilebert"] | {"num_hidden_layers": 2})
    values = families.of(config).values(config)
    (tmp_path / "bert_config.json").write_text(json.dumps({k: v for k, v in values.items() if k not in (
        "model_type", "architectures")}), encoding="utf-8")
    tokenizer.save(tmp_path)

    def theirs(name):
        for ours, original in (
                (r"\.weight", "/kernel"), (r"Norm/kernel", "Norm/gamma"), (r"Norm\.bias", "Norm/beta"), ("Layer", "FakeLayer"),
                (r"_embeddings/kernel", "_embeddings"), (r"layer\.(\d)", r"layer_\1"), (r"ffn\.(\d)", r"ffn_layer_\1"),
                (r"projection", "embedding_transformation"), (r"extra/kernel", "extra_output_weights"),
                (r"seq_relationship/kernel", "seq_relationship/output_weights"), (r"ship\.bias", "ship/output_bias"),
                (r"predictions\.bias", "predictions/output_bias"), (r"\.", "/")):
            name = re.sub(ours, original, name)
        return name

    arrays = {theirs(name): x.T if theirs(name).endswith("kernel") else x for name, x in parameters.items()}
    assert {"bert/encoder/layer_1/ffn_layer_0/output/FakeLayerNorm/gamma", "cls/predictions/extra_output_weights"} < {*arrays}
    writers.tensorflow(tmp_path / "mobilebert_variables.ckpt", arrays)
    loaded = pretrained.load(tmp_path)
    assert loaded.config.replace(unknown={}) == config
    np.testing.assert_array_equal(loaded.parameters.flat, parameters.flat)


def test_tensors_that_nobody_reads_are_named(tmp_path):
    config, parameters, tokenizer = tiny_model.make(**BODIES["mobilebert-tiny"] | {"num_hidden_layers": 2})
    pretrained.save(tmp_path, config, parameters, tokenizer)
    values = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert not values["key_query_shared_bottleneck"]
    values["key_query_shared_bottleneck"] = True
    (tmp_path / "config.json").write_text(json.dumps(values), encoding="utf-8")
    shapes = mobile.shapes(config.replace(attention_reads="shared"))
    spare = {f"mobilebert.encoder.layer.{i}.{name}": np.ones(shape, np.float32) for i in range(2)
             for name, shape in shapes.items() if name.startswith("bottleneck.attention.")}
    tensors.write(tmp_path / "model.safetensors", stored(tmp_path) | spare)
    loaded = pretrained.load(tmp_path)
    assert loaded.config.replace(unknown={}) == config
    np.testing.assert_array_equal(loaded.parameters.flat, parameters.flat)
    [note] = loaded.notes
    assert note == f"model.safetensors: these tensors have no place in this model and are not used: {', '.join(sorted(spare))}"


def test_such_tensors_are_a_contradiction_where_the_flags_have_no_use_for_them(tmp_path):
    config, parameters, tokenizer = tiny_model.make(**BODIES["ib-bert"] | {"num_hidden_layers": 2})
    pretrained.save(tmp_path, config, parameters, tokenizer)
    name = "mobilebert.encoder.layer.0.bottleneck.attention.dense.bias"
    tensors.write(tmp_path / "model.safetensors", stored(tmp_path) | {name: np.ones(18, np.float32)})
    with pytest.raises(ValueError, match=re.escape(f"{name}: not expected, found shape (18,)")):
        pretrained.load(tmp_path)


@pytest.mark.parametrize(("values", "message"), [
    ({"use_bottleneck": "yes"}, "use_bottleneck must be true or false, got 'yes'"),
    ({"embedding_size": 600}, "embedding_size must be a whole number of at most hidden_size, 512, got 600"),
    ({"embedding_size": None}, "embedding_size must be a whole number of at most hidden_size, 512, got None"),
    ({"intra_bottleneck_size": "128"}, "bottleneck_size must be a whole number of at least 1, got '128'"),
    ({"intra_bottleneck_size": 130}, "num_attention_heads must divide bottleneck_size, but 130 / 4 leaves a remainder of 2"),
    ({"num_feedforward_networks": 0}, "ffn_count must be a whole number of at least 1, got 0"),
    ({"normalization_type": "group"}, "norm must be one of layer_norm, no_norm, got 'group'"),
])
def test_what_no_mobilebert_can_have(tmp_path, values, message):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "mobilebert", **values}), encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(f"{path}: config: {message}")):
        families.read_config(path)


@pytest.mark.parametrize(("changes", "key"), [
    ({"word_window": 5}, "word_window"), ({"long_decoder": False}, "long_decoder"), ({"pooler": "relu"}, "pooler"),
    ({"layer_map": (0,) * 24}, "layer_map"), ({"position_offset": 2}, "position_offset"),
])
def test_what_its_file_cannot_say_is_refused(changes, key):
    config = families.preset("mobilebert", "base", **changes)
    with pytest.raises(ValueError, match=f"config: {key} is .*, but a config.json of MobileBERT can only say"):
        families.to_json(config)
    as_bert = config.replace(model_type="bert")
    assert BertConfig.from_dict(json.loads(families.to_json(as_bert))).replace(unknown={}) == as_bert


def test_sizes_between_are_made_in_proportion():
    config = families.preset("mobilebert", "mini", max_length=64, hidden_dropout_prob=0.1)
    assert (config.hidden_size, config.bottleneck_size, config.embedding_size, config.intermediate_size) == (256, 64, 64, 256)
    assert (config.num_hidden_layers, config.head_size, config.ffn_count, config.max_tokens) == (4, 16, 4, 64)
    assert Layout(mobile.shapes(config)).size < 300_000


def test_the_vectors_of_a_text_do_not_depend_on_its_company(tmp_path):
    """A window sees padding behind the last word, so padding must not be there."""
    pretrained.save(tmp_path, *tiny_model.make(**BODIES["mobilebert"] | {"num_hidden_layers": 2}))
    bert = minibert.load(tmp_path, "cpu", np.float64)
    texts = ["the exception", "an exception raises an exception.", "the a", "a"]
    together = bert.embed(texts, "mean")
    alone = np.concatenate([bert.embed([text], "mean") for text in texts])
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    scores = [bert.score(text).total for text in texts]
    np.testing.assert_allclose([score.total for score in bert.score(texts)], scores, rtol=1e-12)
