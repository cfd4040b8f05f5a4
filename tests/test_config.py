import dataclasses
import json

import pytest

from minibert.config import ACTIVATIONS, NORMS, PRESETS, BertConfig
from minibert.layers import activation, norm
from minibert.model import blocks


def test_defaults_are_those_of_bert_base():
    assert BertConfig() == BertConfig.preset("base")
    assert BertConfig().head_size == 64


@pytest.mark.parametrize(("name", "sizes"), {
    "tiny": (2, 128, 2), "mini": (4, 256, 4), "small": (4, 512, 8), "medium": (8, 512, 8), "base": (12, 768, 12),
    "large": (24, 1024, 16),
}.items())
def test_presets(name, sizes):
    config = BertConfig.preset(name)
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == sizes
    assert config.intermediate_size == 4 * config.hidden_size
    assert set(PRESETS) == {"tiny", "mini", "small", "medium", "base", "large"}


def test_a_preset_can_be_changed():
    config = BertConfig.preset("tiny", vocab_size=6000, hidden_dropout_prob=0.0)
    assert (config.vocab_size, config.hidden_size, config.hidden_dropout_prob) == (6000, 128, 0.0)


def test_an_unknown_preset_names_those_there_are():
    with pytest.raises(ValueError, match="preset must be one of tiny, mini, small, medium, base, large, got 'huge'"):
        BertConfig.preset("huge")


@pytest.mark.parametrize(("changes", "message"), [
    ({"num_attention_heads": 7}, "num_attention_heads must divide hidden_size, but 768 / 7 leaves a remainder of 5"),
    ({"vocab_size": 0}, "vocab_size must be a whole number of at least 1, got 0"),
    ({"hidden_size": 12.0}, "hidden_size must be a whole number of at least 1, got 12.0"),
    ({"num_hidden_layers": True}, "num_hidden_layers must be a whole number of at least 1, got True"),
    ({"num_hidden_layers": 10**9}, "num_hidden_layers must be at most 10,000, got 1,000,000,000"),
    ({"hidden_size": 10**30}, r"hidden_size must be below 2\*\*31"),
    ({"hidden_size": 2**30, "num_attention_heads": 1}, "a model has .* numbers, more than 10,000,000,000,000"),
    ({"hidden_act": ["x" * 10**6] * 10}, "hidden_act must be one of"),
    ({"layer_norm_eps": float("inf")}, "layer_norm_eps must be above 0, got inf"),
    ({"max_position_embeddings": "512"}, "max_position_embeddings must be a whole number of at least 1, got '512'"),
    ({"hidden_dropout_prob": 1.0}, "hidden_dropout_prob must be at least 0 and below 1, got 1.0"),
    ({"attention_probs_dropout_prob": -0.1}, "attention_probs_dropout_prob must be at least 0 and below 1, got -0.1"),
    ({"hidden_dropout_prob": float("nan")}, "hidden_dropout_prob must be at least 0 and below 1, got nan"),
    ({"hidden_dropout_prob": None}, "hidden_dropout_prob must be at least 0 and below 1, got None"),
    ({"initializer_range": 0}, "initializer_range must be above 0, got 0"),
    ({"layer_norm_eps": 0.0}, "layer_norm_eps must be above 0, got 0.0"),
    ({"norm_first": 1}, "norm_first must be true or false, got 1"),
    ({"hidden_act": "swish"}, "hidden_act must be one of gelu, gelu_new, gelu_pytorch_tanh, relu, got 'swish'"),
    ({"norm": "rms"}, "norm must be one of layer_norm, no_norm, got 'rms'"),
    ({"bottleneck_size": 100}, "num_attention_heads must divide bottleneck_size, but 100 / 12 leaves a remainder of 4"),
    ({"bottleneck_size": 0}, "bottleneck_size must be a whole number of at least 1, got 0"),
    ({"bottleneck_size": 96, "attention_reads": "all"}, "attention_reads must be one of state, bottleneck, shared, got 'all'"),
    ({"attention_reads": "shared"}, "attention_reads must be state where there is no bottleneck_size, got shared"),
    ({"ffn_count": 0}, "ffn_count must be a whole number of at least 1, got 0"),
    ({"ffn_count": 10**6}, "ffn_count must be at most 833 in each of 12 layers, got 1,000,000"),
    ({"norm_first": True, "norm": "no_norm"}, "norm_first must be false where norm, bottleneck_size or ffn_count are not"),
    ({"word_window": 4}, "word_window must be odd, a word and as many before as after it, got 4"),
    ({"word_window": 2**30 + 1}, "a model has .* numbers, more than 10,000,000,000,000"),
    ({"long_decoder": True}, "long_decoder must be false where embedding_size, 768, is not below hidden_size, 768"),
    ({"long_decoder": 1}, "long_decoder must be true or false, got 1"),
])
def test_what_no_bert_can_have_is_an_error(changes, message):
    with pytest.raises(ValueError, match=message):
        BertConfig(**changes)
    with pytest.raises(ValueError, match=message):
        BertConfig().replace(**changes)


def test_it_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        BertConfig().hidden_size = 5


def test_a_file_and_back(tmp_path):
    config = BertConfig.preset("mini", norm_first=True, hidden_act="gelu_new", unknown={"my_note": "größer", "list": [1, 2]})
    path = tmp_path / "config.json"
    path.write_text(config.to_json(), encoding="utf-8")
    again = BertConfig.load(path)
    assert again.replace(unknown={}) == config.replace(unknown={})
    assert again.to_json() == config.to_json()
    assert hash(again) == hash(config)


def test_unknown_keys_are_kept_and_reported():
    values = {"hidden_size": 128, "num_attention_heads": 2, "classifier_dropout": None, "transformers_version": "4.0"}
    config = BertConfig.from_dict(values)
    assert config.unknown == {"classifier_dropout": None, "transformers_version": "4.0"}
    assert config.to_dict().items() >= values.items()


@pytest.mark.parametrize(("values", "message"), [
    ({"position_embedding_type": "relative_key"}, "position_embedding_type must be 'absolute', got 'relative_key'"),
    ({"is_decoder": True}, "this model is an encoder"),
    ({"add_cross_attention": True}, "this model is an encoder"),
])
def test_what_would_change_the_model_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        BertConfig.from_dict(values)


@pytest.mark.parametrize("values", [{"position_embedding_type": "absolute"}, {"is_decoder": False}])
def test_what_would_not_is_accepted(values):
    assert BertConfig.from_dict(values).unknown == values


@pytest.mark.parametrize(("text", "message"), [
    ("{", "not valid JSON"),
    ("[1]", "expected a JSON object, got list"),
    (json.dumps({"hidden_size": 100, "num_attention_heads": 3}), "num_attention_heads must divide hidden_size"),
    (json.dumps({"hidden_act": "swish"}), "hidden_act must be one of"),
])
def test_errors_name_the_file(tmp_path, text, message):
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as error:
        BertConfig.load(path)
    assert str(path) in str(error.value)


def test_a_file_that_is_not_text(tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is UTF-16"):
        BertConfig.load(path)
    path.write_bytes(b"{\xff}")
    with pytest.raises(ValueError, match="is not UTF-8: byte 0xff"):
        BertConfig.load(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        BertConfig.load(tmp_path / "config.json")


VARIED = {"embedding_size": 10, "layer_map": (0, 0, 1, 0, 1, 1, 0, 0, 0, 0, 0, 2), "position_offset": 2, "pooler": None,
          "type_vocab_size": 0}


@pytest.mark.parametrize("key", VARIED)
def test_keys_of_our_own_stand_in_a_file_only_where_they_differ_from_bert(key, tmp_path):
    assert set(BertConfig().to_dict()) - {"type_vocab_size"} == set(BertConfig(**VARIED).to_dict()) - set(VARIED)
    config = BertConfig(**{key: VARIED[key]})
    path = tmp_path / "config.json"
    path.write_text(config.to_json(), encoding="utf-8")
    assert BertConfig.load(path).replace(unknown={}) == config
    assert hash(BertConfig.load(path)) == hash(config)
    assert BertConfig.load(path).to_json() == config.to_json() != BertConfig().to_json()


def test_shared_layers_and_offsets():
    assert BertConfig().uses == tuple(range(12))
    assert BertConfig(**VARIED).uses == VARIED["layer_map"]
    assert (BertConfig(**VARIED).embedding_width, BertConfig().embedding_width) == (10, 768)
    assert (BertConfig(**VARIED).max_tokens, BertConfig().max_tokens) == (510, 512)


@pytest.mark.parametrize(("changes", "message"), [
    ({"layer_map": (0, 1)}, r"layer_map must say of each of the 12 layers whose tensors it uses, .*, got \(0, 1\)"),
    ({"layer_map": [0] * 11 + [2]}, "numbered from 0 without a gap"),
    ({"layer_map": [0.0] * 12}, "numbered from 0 without a gap"),
    ({"layer_map": 3}, "layer_map must say of each of the 12 layers"),
    ({"pooler": "mean"}, "pooler must be one of tanh, relu, first, max, None, got 'mean'"),
    ({"embedding_size": 0}, "embedding_size must be a whole number of at least 1, got 0"),
    ({"position_offset": 512}, "position_offset must be below max_position_embeddings, 512, got 512"),
    ({"position_offset": -1}, "position_offset must be a whole number of at least 0, got -1"),
    ({"type_vocab_size": -1}, "type_vocab_size must be a whole number of at least 0, got -1"),
])
def test_keys_of_our_own_that_cannot_be(changes, message):
    with pytest.raises(ValueError, match=message):
        BertConfig(**changes)


def test_the_names_in_a_configuration_are_those_that_there_is_a_pair_for():
    assert activation.FORMS.keys() >= set(ACTIVATIONS)
    assert tuple(norm.KINDS) == NORMS
    assert blocks.KINDS.keys() == {BertConfig(**changes).block for changes in ({}, {"norm_first": True}, {"ffn_count": 2})}
