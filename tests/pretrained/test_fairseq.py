"""fairseq's checkpoints of a RoBERTa, written after its source: settings both ways, projections apart and in one, old names."""

import numpy as np
import pytest

from minibert import pretrained
from minibert.pretrained import families, formats
from minibert.text import Tokenizer, Vocabulary
from tests.pretrained import writers
from tests.pretrained.writers import Name, Object, tensor

H, A, F, L, V, P = 6, 2, 10, 2, 11, 9  # hidden size, heads, feed-forward, layers, vocabulary, positions
SETTINGS = {"arch": "roberta_base", "encoder_layers": L, "encoder_embed_dim": H, "encoder_attention_heads": A,
            "activation_fn": "gelu", "encoder_ffn_embed_dim": F, "max_positions": P - 2, "no_token_positional_embeddings": False}
TOKENS = ["<s>", "<pad>", "</s>", "<unk>", *"ACDEFG", "<mask>"]


def arrays(seed=0):
    """The tensors of a model, as fairseq 0.12 calls them."""
    rng = np.random.default_rng(seed)
    shapes = {"embed_tokens.weight": (V, H), "embed_positions.weight": (P, H), "layernorm_embedding.weight": (H,),
              "layernorm_embedding.bias": (H,), "version": (1,)}
    for i in range(L):
        for name in ("self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj", "self_attn.out_proj"):
            shapes |= {f"layers.{i}.{name}.weight": (H, H), f"layers.{i}.{name}.bias": (H,)}
        shapes |= {f"layers.{i}.fc1.weight": (F, H), f"layers.{i}.fc1.bias": (F,), f"layers.{i}.fc2.weight": (H, F),
                   f"layers.{i}.fc2.bias": (H,)}
        for name in ("self_attn_layer_norm", "final_layer_norm"):
            shapes |= {f"layers.{i}.{name}.weight": (H,), f"layers.{i}.{name}.bias": (H,)}
    made = {f"encoder.sentence_encoder.{name}": rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    head = {"bias": (V,), "dense.weight": (H, H), "dense.bias": (H,), "layer_norm.weight": (H,), "layer_norm.bias": (H,)}
    made |= {f"encoder.lm_head.{name}": rng.normal(size=shape).astype(np.float32) for name, shape in head.items()}
    return made | {"encoder.lm_head.weight": made["encoder.sentence_encoder.embed_tokens.weight"]}


def merged(tensors):
    """As until version 0.9: query, key and value one below the other, and ``emb_layer_norm``."""
    made = {name.replace("layernorm_embedding", "emb_layer_norm"): x for name, x in tensors.items() if "_proj." not in name
            or "out_proj" in name}
    for i in range(L):
        for kind in ("weight", "bias"):
            start = f"encoder.sentence_encoder.layers.{i}.self_attn."
            made[f"{start}in_proj_{kind}"] = np.concatenate([tensors[f"{start}{part}_proj.{kind}"] for part in "qkv"])
    return made


def older(tensors):
    """As the first released models: the encoder was called decoder."""
    return {"decoder" + name.removeprefix("encoder"): x for name, x in merged(tensors).items()}


def write(path, tensors, said, writer=writers.torch_legacy):
    extra = (None,) if writer is writers.torch_legacy else ()
    views = {name: tensor(str(i), x, view=extra) for i, (name, x) in enumerate(tensors.items())}
    content = {**said, "model": views, "optimizer_history": [{"criterion_name": "x", "num_updates": 3}],
               "extra_state": {"epoch": 1}, "last_optimizer_state": {"state": {}, "param_groups": []}}
    writer(path, tensors, content=content)


SAID = {"args": {"args": Object((Name("argparse Namespace"), SETTINGS))},
        "cfg": {"args": None, "cfg": {"common": {"seed": 1}, "model": Object((Name("argparse Namespace"), SETTINGS))}},
        "cfg of dictionaries": {"args": None, "cfg": {"model": {**SETTINGS, "_name": "roberta_base"}}}}


def tokenizer():
    return Tokenizer(Vocabulary(TOKENS, special=("<pad>", "<unk>", "<s>", "</s>", "<mask>")), cut="characters", lower_case=False)


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
