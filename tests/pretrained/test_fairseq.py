"""fairseq's checkpoints of a RoBERTa: settings both ways, projections apart and in one, old names."""

import numpy as np
import pytest

from benchmarks.hostile import damaged
from minibert import pretrained
from minibert.pretrained import families, formats
from tests.pretrained import writers
from tests.pretrained.fairseq_models import SAID, A, H, L, P, arrays, merged, older, tokenizer, write
from tests.pretrained.writers import Name, Object


@pytest.mark.parametrize("form", [dict, merged, older])
@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("writer", [writers.torch_legacy, writers.torch_zip])
def test_every_form_is_one_model(tmp_path, form, said, writer):
    truth = arrays()
    write(tmp_path / "checkpoint_best.pt", form(truth), SAID[said], writer)
    loaded = pretrained.load(tmp_path, tokenizer=tokenizer())
    assert loaded.notes == []
    assert loaded.initialised == frozenset()
    config = loaded.config
    assert (config.model_type, config.num_attention_heads, config.num_hidden_layers) == ("roberta", A, L)
    assert (config.layer_norm_eps, config.max_tokens, config.position_offset, config.type_vocab_size) == (1e-5, P - 2, 2, 1)
    ours = dict(loaded.parameters.items())
    layer = "encoder.sentence_encoder.layers.1."
    for name, stored in {"attention.self.query": "self_attn.q_proj", "attention.self.key": "self_attn.k_proj",
                         "attention.self.value": "self_attn.v_proj", "attention.output.dense": "self_attn.out_proj",
                         "attention.output.LayerNorm": "self_attn_layer_norm", "intermediate.dense": "fc1", "output.dense": "fc2",
                         "output.LayerNorm": "final_layer_norm"}.items():
        for kind in ("weight", "bias"):
            np.testing.assert_array_equal(ours[f"bert.encoder.layer.1.{name}.{kind}"], truth[f"{layer}{stored}.{kind}"], name)
    for name, stored in {"bert.embeddings.word_embeddings.weight": "sentence_encoder.embed_tokens.weight",
                         "bert.embeddings.position_embeddings.weight": "sentence_encoder.embed_positions.weight",
                         "bert.embeddings.LayerNorm.bias": "sentence_encoder.layernorm_embedding.bias",
                         "cls.predictions.bias": "lm_head.bias", "cls.predictions.transform.dense.weight": "lm_head.dense.weight",
                         "cls.predictions.transform.LayerNorm.weight": "lm_head.layer_norm.weight"}.items():
        np.testing.assert_array_equal(ours[name], truth[f"encoder.{stored}"], err_msg=name)
    np.testing.assert_array_equal(ours["bert.embeddings.token_type_embeddings.weight"], np.zeros((1, H)))


def test_without_settings_heads_are_said(tmp_path):
    write(tmp_path / "model.pt", arrays(), {"args": None, "cfg": None})
    with pytest.raises(ValueError, match="hidden size 6 is no multiple of the usual 64"):
        pretrained.load(tmp_path, tokenizer=tokenizer())
    loaded = pretrained.load(tmp_path, tokenizer=tokenizer(), heads=A)
    assert loaded.config.layer_norm_eps == 1e-5
    assert loaded.config.position_offset == 2
    assert "are taken to be RoBERTa's" in loaded.notes[0]


@pytest.mark.parametrize(("settings", "message"), [
    ({"encoder_attention_heads": "two"}, "no tensor tells how many attention heads"),
    ({}, "no tensor tells how many attention heads"),
    ({"encoder_attention_heads": A, "activation_fn": [1]}, "hidden_act must be one of"),
    ({"encoder_attention_heads": 4}, "num_attention_heads must divide hidden_size")])
def test_settings_that_cannot_be(tmp_path, settings, message):
    write(tmp_path / "model.pt", arrays(), {"args": Object((Name("argparse Namespace"), settings))})
    with pytest.raises(ValueError, match=rf"model\.pt .*{message}"):
        pretrained.load(tmp_path, tokenizer=tokenizer())


def test_a_matrix_that_is_no_three(tmp_path):
    tensors = merged(arrays())
    name = "encoder.sentence_encoder.layers.0.self_attn.in_proj_weight"
    write(tmp_path / "model.pt", {**tensors, name: tensors[name][:-1]}, SAID["args"])
    with pytest.raises(ValueError, match=r"in_proj_weight has the shape \(17, 6\), which is no query, key and value"):
        pretrained.load(tmp_path, tokenizer=tokenizer())


def test_two_names_of_one_tensor(tmp_path):
    write(tmp_path / "model.pt", {**merged(arrays()), **arrays()}, SAID["args"])
    with pytest.raises(ValueError, match=r"model\.pt: \S+ and \S+ are two names of one tensor"):
        pretrained.load(tmp_path, tokenizer=tokenizer())


def test_what_is_converted_is_a_roberta_of_transformers(tmp_path):
    from minibert.convert import convert

    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "model.pt", arrays(), SAID["cfg"])
    first = pretrained.load(tmp_path / "in", tokenizer=tokenizer())
    convert(tmp_path / "in", tmp_path / "out", tokenizer=tokenizer())
    assert families.read_config(tmp_path / "out" / "config.json").num_attention_heads == A
    with formats.opened(tmp_path / "out" / "model.safetensors") as reader:
        assert "roberta.embeddings.word_embeddings.weight" in reader.shapes
        assert "lm_head.layer_norm.weight" in reader.shapes
    again = pretrained.load(tmp_path / "out", tokenizer=tokenizer())
    np.testing.assert_array_equal(again.parameters.flat, first.parameters.flat)


@pytest.mark.parametrize("writer", [writers.torch_legacy, writers.torch_zip])
def test_damaged_by_the_hundred(tmp_path, writer):
    """An error that names the file, or a model; in an archive with checksums nothing but the right numbers."""
    path = tmp_path / "model.pt"
    write(path, merged(arrays()), SAID["cfg"], writer)
    whole = path.read_bytes()
    truth = dict(pretrained.load(tmp_path, tokenizer=tokenizer()).parameters.items())
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(300):
        path.write_bytes(damaged(whole, rng))
        try:
            loaded = pretrained.load(tmp_path, tokenizer=tokenizer())
        except (ValueError, OSError) as error:
            refused += 1
            said = str(error)
        else:
            said = "model.pt " + " ".join(loaded.notes)
            wrong = [name for name, x in loaded.parameters.items() if not np.array_equal(x, truth[name])]
            assert writer is writers.torch_legacy or all(families.names(loaded.config).theirs(name) in said for name in wrong)
        assert "model.pt" in said
    assert refused > 75
