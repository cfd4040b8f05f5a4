"""A folder that we save opens in transformers as it is, with the same numbers; and one that transformers saved opens here."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from minibert import pretrained  # noqa: E402
from minibert.layers.cross_entropy import IGNORE  # noqa: E402
from minibert.model import pretraining  # noqa: E402
from minibert.pretrained import tensors  # noqa: E402
from tests import tiny_model  # noqa: E402

TEXTS = ["The [MASK] raises an exception.", "an exception"]


@pytest.fixture(scope="module")
def model():
    return tiny_model.make(hidden_size=24, num_hidden_layers=3, intermediate_size=40)


def ours(config, parameters, tokenizer):
    ids, types, mask = tokenizer.batch([tokenizer.encode(text, "the exception.") for text in TEXTS])
    labels = np.where(ids > 6, ids, IGNORE)
    inputs = pretraining.Inputs(ids, types, mask, labels=labels, next_labels=np.array([0, 1]))
    out, _ = pretraining.forward(inputs, parameters.tree, config)
    return ids, types, mask, labels, out


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_transformers_opens_it_with_the_same_logits(model, tmp_path, dtype):
    config, parameters, tokenizer = model
    pretrained.save(tmp_path, *model, dtype=dtype)
    if dtype == np.float16:  # the rounding is the file's: compare with what it holds
        parameters = pretrained.load(tmp_path).parameters
    ids, types, mask, labels, out = ours(config, parameters, tokenizer)

    theirs, report = transformers.BertForPreTraining.from_pretrained(tmp_path, output_loading_info=True, dtype=torch.float32)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    with torch.no_grad():
        expected = theirs.eval()(torch.tensor(ids), token_type_ids=torch.tensor(types), attention_mask=torch.tensor(mask),
                                 labels=torch.tensor(labels), next_sentence_label=torch.tensor([0, 1]))
    np.testing.assert_allclose(out.logits[mask == 1], expected.prediction_logits.numpy()[mask == 1], atol=1e-4)
    np.testing.assert_allclose(out.next_logits, expected.seq_relationship_logits.numpy(), atol=1e-4)
    assert out.loss == pytest.approx(expected.loss.item(), abs=1e-4)


def test_auto_tokenizer_gives_the_same_ids(model, tmp_path):
    pretrained.save(tmp_path, *model)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in [*TEXTS, "Xylophón, the_ [MASK] zzz!"]:
        assert theirs(text)["input_ids"] == model[2].encode(text).ids


def test_of_two_biases_and_two_decoders_transformers_takes_the_decoder_s(model, tmp_path):
    config, parameters, tokenizer = model
    pretrained.save(tmp_path, *model)
    with tensors.opened(tmp_path / "model.safetensors") as reader:
        arrays = {name: reader[name] for name in reader.shapes}

    def theirs():
        tensors.write(tmp_path / "model.safetensors", arrays, {"format": "pt"})
        model = transformers.BertForPreTraining.from_pretrained(tmp_path).eval()
        with torch.no_grad():
            return model(torch.tensor(ids), token_type_ids=torch.tensor(types), attention_mask=torch.tensor(mask),
                         output_hidden_states=True)

    ids, types, mask, _, _ = ours(config, parameters, tokenizer)
    arrays["cls.predictions.decoder.bias"] = arrays["cls.predictions.bias"] + np.arange(len(tokenizer.vocab), dtype=np.float32)
    expected = theirs()
    tied = ours(config, pretrained.load(tmp_path).parameters, tokenizer)[-1]
    np.testing.assert_allclose(tied.logits[mask == 1], expected.prediction_logits.numpy()[mask == 1], atol=1e-4)

    arrays["cls.predictions.decoder.weight"] = arrays["bert.embeddings.word_embeddings.weight"][::-1].copy()
    expected = theirs()
    # it is not tied there either
    assert not np.allclose(expected.prediction_logits.numpy()[mask == 1], tied.logits[mask == 1], atol=0.1)
    loaded = pretrained.load(tmp_path)
    assert any("cls.predictions.decoder.weight differs" in note for note in loaded.notes)
    last = ours(config, loaded.parameters, tokenizer)[-1].bert.last_hidden_state
    np.testing.assert_allclose(last[mask == 1], expected.hidden_states[-1].numpy()[mask == 1], atol=1e-4)


def test_no_key_that_transformers_writes_of_its_own_accord_is_news(tmp_path):
    config, parameters, tokenizer = tiny_model.make()
    pretrained.save(tmp_path, config, parameters, tokenizer)
    theirs = transformers.GenerationConfig().to_dict() | transformers.BertConfig(**config.replace(unknown={}).to_dict()).to_dict()
    (tmp_path / "config.json").write_text(json.dumps(theirs), encoding="utf-8")
    assert pretrained.load(tmp_path).notes == []


@pytest.mark.parametrize("kind", ["BertForPreTraining", "BertForMaskedLM", "BertModel"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_what_transformers_saved_opens_here(model, tmp_path, kind, dtype):
    config, parameters, tokenizer = model
    pretrained.save(tmp_path / "ours", *model)
    theirs = getattr(transformers, kind).from_pretrained(tmp_path / "ours", dtype=getattr(torch, dtype))
    theirs.save_pretrained(tmp_path / "theirs")
    tokenizer.save(tmp_path / "theirs")

    loaded = pretrained.load(tmp_path / "theirs")
    assert loaded.config.replace(unknown={}) == config.replace(unknown={})
    there = {"BertForPreTraining": "", "BertForMaskedLM": "bert.pooler cls.seq_relationship", "BertModel": "cls."}[kind].split()
    digits = {"float32": 0, "float16": 1e-3, "bfloat16": 8e-3}[dtype]
    for (name, got), (_, expected) in zip(loaded.parameters.items(), parameters.items()):
        if name.startswith(tuple(there)):
            assert any(name in note for note in loaded.notes), name
        else:
            np.testing.assert_allclose(got, expected, rtol=digits, atol=digits / 100)
    narrow = [note for note in loaded.notes if "numbers were stored in" in note]
    assert len(narrow) == (dtype != "float32")
    assert bool(len(loaded.notes) - len(narrow)) == bool(there)
