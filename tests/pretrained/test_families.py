"""Families of models: what their files call things, both ways; how many numbers they have; and every command on their folders."""

import json

import numpy as np
import pytest

import minibert
from gradcheck.combinations import BODIES
from minibert import info, memory, pretrained
from minibert.cli import main
from minibert.config import BertConfig
from minibert.finetuning import models
from minibert.finetuning import saved as finetuned
from minibert.finetuning.options import Settings
from minibert.model import bert as body
from minibert.model import embeddings, pretraining
from minibert.parameters import Parameters
from minibert.pretrained import families, tensors
from minibert.pretrained.families import albert
from minibert.tasks.labelled import TASKS, asked_for
from minibert.tasks.labelled.features import micro_batches
from minibert.training.engine import predict
from minibert.workers import Workers
from tests import tiny_model
from tests.model.examples import small_config

RELATIVES = [family for family in families.FAMILIES if family not in (
    "bert", "textcnn", "minibert")]  # the second: training/test_textcnn.py; the third has the names of the first
EACH = pytest.mark.parametrize("family", RELATIVES)
KINDS = {"ForSequenceClassification": ("sequence", 3), "ForTokenClassification": ("token", 3),
         "ForQuestionAnswering": ("span", 2), "ForMultipleChoice": ("choice", 1)}

COUNTS = {  # family, size -> numbers of the encoder with its pooler, if it has one; of the model with its pre-training heads
    ("bert", "base"): (109_482_240, 110_106_428), ("bert", "large"): (335_141_888, 336_226_108),
    ("roberta", "base"): (124_645_632, 124_697_433), ("roberta", "large"): (355_359_744, 355_412_057),
    ("albert", "base"): (11_683_584, 11_813_810), ("albert", "large"): (17_683_968, 17_847_474),
    ("albert", "xlarge"): (58_724_864, None), ("albert", "xxlarge"): (222_595_584, None),
    ("distilbert", "base"): (66_362_880, 66_985_530),
    ("electra", "small"): (None, 13_549_057), ("electra", "base"): (None, 109_483_009), ("electra", "large"): (None, 335_142_913),
    ("electra", "small-generator"): (None, 4_620_026), ("electra", "base-generator"): (None, 33_740_602),
    ("electra", "large-generator"): (None, 51_295_290),
    ("ernie", "base"): (109_482_240, None), ("ernie", "base-tasks"): (109_482_240 + 3 * 768, None),
    ("mobilebert", "base"): (24_581_888, 36_597_564), ("mobilebert", "base-tiny"): (15_485_696, 27_501_372),
    ("mobilebert", "teacher"): (294_205_184, 306_220_860),
    ("xlm-roberta", "base"): (278_043_648, None), ("xlm-roberta", "large"): (559_890_432, None),
    ("camembert", "base"): (110_621_952, None), ("camembert", "large"): (336_661_504, None),
}


def small(family, **changes):
    """A model of the family for the tokenizer of ``tiny_model``: configuration, random parameters, tokenizer."""
    tokenizer = tiny_model.make()[2]
    narrow = {"embedding_size": 4, "bottleneck_size": 6} if family == "mobilebert" else {}
    config = families.preset(family, "tiny", max_length=24, vocab_size=len(tokenizer.vocab), pad_token_id=tokenizer.vocab.pad_id,
                             hidden_size=12, num_attention_heads=3, intermediate_size=20, **narrow, **changes)
    layout = pretraining.layout(config, pooled=True)
    return config, Parameters(layout, np.random.default_rng(0).normal(0, 0.3, layout.size).astype(np.float32)), tokenizer


@pytest.mark.parametrize(("family", "size"), COUNTS, ids=["/".join(key) for key in COUNTS])
def test_numbers_of_the_published_models(family, size):
    config = families.preset(family, size)
    encoder, whole = COUNTS[family, size]
    counts = memory.parameter_counts(config)
    assert counts["encoder"] == (encoder or counts["encoder"])
    assert counts["total"] == pretraining.layout(config).size == (whole or counts["total"])
    text = info.report(info.config_of(f"{family}/{size}"), "it", batch=1, length=1)
    assert all(f"{number:,}" in text for number in (encoder, whole) if number)


def test_every_published_size_is_counted():
    assert {key for key in COUNTS if key[0] != "bert"} == {(family, size) for family in RELATIVES
                                                          for size in families.FAMILIES[family].sizes}


@pytest.mark.parametrize("family", ["bert", *RELATIVES])
@pytest.mark.parametrize("ending", ["", *KINDS])
def test_every_name_there_and_back(family, ending):
    config = small(family, num_hidden_layers=12)[0]
    layout = models.of(config, *KINDS[ending]).layout() if ending else pretraining.layout(config, pooled=True)
    names = families.names(config.replace(unknown={"architectures": [families.architecture(config, f"Bert{ending}")]}))
    base = f"{families.of(config).base}."
    assert len({names.theirs(name) for name in layout.slots}) == len(layout.slots)
    for name in [*layout.slots, *layout.ties]:
        theirs = names.theirs(name)
        old = theirs.replace("LayerNorm.weight", "LayerNorm.gamma")
        spellings = {theirs, theirs.removeprefix(base), f"module.{theirs}", old, name}
        assert {names.ours(spelling) for spelling in spellings} == {name}


@pytest.mark.parametrize(("family", "theirs", "ours"), [
    ("albert", "bert/encoder/transformer/group_1/inner_group_0/attention_1/self/query/kernel",
     "bert.encoder.layer.1.attention.self.query.weight"),
    ("albert", "bert/encoder/transformer/group_0/inner_group_0/LayerNorm/beta",
     "bert.encoder.layer.0.attention.output.LayerNorm.bias"),
    ("albert", "bert/encoder/transformer/group_0/inner_group_0/LayerNorm_1/gamma",
     "bert.encoder.layer.0.output.LayerNorm.weight"),
    ("albert", "bert/encoder/transformer/group_0/inner_group_0/ffn_1/intermediate/output/dense/bias",
     "bert.encoder.layer.0.output.dense.bias"),
    ("albert", "bert/encoder/embedding_hidden_mapping_in/kernel", "bert.embeddings.projection.weight"),
    ("albert", "bert/pooler/dense/kernel", "bert.pooler.dense.weight"),
    ("albert", "cls/seq_relationship/output_weights", "cls.seq_relationship.weight"),
    ("ernie", "word_embedding", "bert.embeddings.word_embeddings.weight"),
    ("ernie", "encoder_layer_11_multi_head_att_output_fc.b_0", "bert.encoder.layer.11.attention.output.dense.bias"),
    ("ernie", "encoder_layer_3_post_ffn_layer_norm_scale", "bert.encoder.layer.3.output.LayerNorm.weight"),
    ("ernie", "word_embeddings.weight", "word_embeddings.weight"),
    ("roberta", "lm_head.decoder.bias", "cls.predictions.decoder.bias"),
    ("roberta", "classifier.weight", "classifier.weight"),
    ("roberta", "classifier.out_proj.weight", "classifier.weight"),
    ("electra", "sequence_summary.summary.bias", "classifier.dense.bias"),
])
def test_names_that_are_read(family, theirs, ours):
    assert families.names(small(family, num_hidden_layers=12, layer_map=None)[0]).ours(theirs) == ours


@EACH
def test_a_config_there_and_back(family):
    for config in (families.preset(family, "base"), small(family, hidden_act="gelu_new")[0]):
        values = json.loads(families.to_json(config))
        assert values["model_type"] == family
        assert families.FAMILIES[family].config(values).replace(unknown={}) == config
        assert not set(values) & (set(BODIES["offset-no-types"]) - {"type_vocab_size"})
    odd = families.FAMILIES[family].config({**values, "my_note": 3, "norm_first": True})
    assert odd.unknown["my_note"] == 3
    assert not odd.norm_first
    assert "my_note" in families.without_effect(odd)
    assert json.loads(families.to_json(odd))["my_note"] == 3


@pytest.mark.parametrize(("family", "changes", "key"), [
    ("roberta", {"norm_first": True}, "norm_first"),
    ("roberta", {"position_offset": 3}, "position_offset"),
    ("roberta", {"layer_map": (0, 0)}, "layer_map"),
    ("xlm-roberta", {"embedding_size": 4}, "embedding_size"),
    ("distilbert", {"layer_norm_eps": 1e-5}, "layer_norm_eps"),
    ("distilbert", {"type_vocab_size": 2}, "type_vocab_size"),
    ("albert", {"layer_map": (1, 0)}, "layer_map"),
    ("albert", {"embedding_size": None}, "embedding_size"),
    ("electra", {"pooler": "tanh"}, "pooler"),
    ("ernie", {"objectives": ("mlm",)}, "objectives"),
])
def test_what_a_config_cannot_say_is_refused_by_name(family, changes, key, tmp_path):
    config, parameters, tokenizer = small(family)
    config = config.replace(**changes)
    layout = pretraining.layout(config)
    parameters = Parameters(layout, np.zeros(layout.size, np.float32))
    with pytest.raises(ValueError, match=f"config: {key} is "):
        pretrained.save(tmp_path / "refused", config, parameters, tokenizer)
    assert not (tmp_path / "refused").exists()
    as_bert = config.replace(model_type="bert")
    pretrained.save(tmp_path, as_bert, parameters, tokenizer)
    assert pretrained.load(tmp_path).config.replace(unknown={}) == as_bert


@pytest.mark.parametrize(("family", "values", "message"), [
    ("roberta", {"pad_token_id": None}, "pad_token_id must be a whole number"),
    ("albert", {"num_hidden_groups": 0}, "num_hidden_groups must be a whole number of at least 1"),
    ("albert", {"num_hidden_groups": 13}, "num_hidden_groups must be at most num_hidden_layers"),
    ("albert", {"inner_group_num": 10**9}, "blocks, more than"),
    ("albert", {"embedding_size": "128"}, "embedding_size must be"),
    ("distilbert", {"dim": 30, "n_heads": 4}, "num_attention_heads must divide hidden_size"),
    ("ernie", {"use_task_id": True, "task_type_vocab_size": -1}, "task_type_vocab_size must be"),
    ("electra", {"is_decoder": True}, "this model is an encoder"),
])
def test_a_config_that_no_model_can_have(family, values, message, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": family, **values}), encoding="utf-8")
    with pytest.raises(ValueError, match=message) as error:
        pretrained.read_config(path)
    assert str(path) in str(error.value)


def test_a_family_or_a_size_that_there_is_not():
    with pytest.raises(ValueError, match="family must be one of bert, roberta"):
        families.preset("gpt2", "base")
    with pytest.raises(ValueError, match=r"preset must be one of tiny, .*xxlarge"):
        families.preset("albert", "huge")
    with pytest.raises(ValueError, match="model_type is 'gpt2'"):
        families.to_json(BertConfig(model_type="gpt2"))


def test_groups_are_rounded_as_in_transformers_or_as_in_the_original():
    assert albert.layer_map(4, 3) == (0, 0, 1, 2)
    assert albert.layer_map(2, 2, 2) == (0, 1, 2, 3)
    assert albert.layer_map(4, 2, 2) == (0, 1, 0, 1, 2, 3, 2, 3)
    assert (albert.layer_map(18, 14)[9], albert.layer_map(18, 14, original=True)[9]) == (6, 7)


def test_positions_count_what_is_no_padding():
    config = small_config(position_offset=2, pad_token_id=1)
    ids = np.array([[0, 5, 6, 2, 1, 1], [1, 1, 0, 5, 6, 2], [0, 5, 1, 6, 2, 1]])  # by transformers:
    expected = [[2, 3, 4, 5, 1, 1], [1, 1, 2, 3, 4, 5], [2, 3, 1, 4, 5, 1]]
    np.testing.assert_array_equal(embeddings.position_ids(ids, None, config), expected)
    np.testing.assert_array_equal(embeddings.position_ids(ids, np.ones_like(ids), config), expected)
    mask = (ids != 1).astype(int)
    np.testing.assert_array_equal(embeddings.position_ids(ids, mask, config), expected)
    assert embeddings.position_ids(ids[:1], mask[:1], config) is None  # padding at the end that nobody sees
    assert embeddings.position_ids(ids, mask, config.replace(position_offset=0)) is None
    long = np.full((1, 20), 5)
    long[0, 0] = 1
    with pytest.raises(ValueError, match="19 tokens: the model has 14 positions"):
        embeddings.position_ids(long, None, config)


def test_padding_anywhere_leaves_the_tokens_as_they_are(tmp_path):
    config, parameters, tokenizer = small("roberta")
    pretrained.save(tmp_path, config, parameters, tokenizer)
    bert = minibert.load(tmp_path, "cpu", np.float64)
    ids = tokenizer.encode("the exception").ids
    alone = bert([ids]).last_hidden_state[0]
    left = np.array([[config.pad_token_id] * 3 + ids])
    mask = (left != config.pad_token_id).astype(int)
    positions = embeddings.position_ids(left, mask, config)
    out = body.answer(left, left * 0, mask, bert.parameters["bert"], config, position_ids=positions)
    np.testing.assert_allclose(out.last_hidden_state[0, 3:], alone, rtol=1e-12, atol=1e-13)


@EACH
def test_a_folder_and_back(family, tmp_path):
    config, parameters, tokenizer = small(family)
    pretrained.save(tmp_path, config, parameters, tokenizer)
    loaded = pretrained.load(tmp_path)
    assert loaded.config.replace(unknown={}) == config
    assert not loaded.notes
    assert not loaded.initialised
    np.testing.assert_array_equal(loaded.parameters.flat, parameters.flat)
    with tensors.opened(tmp_path / "model.safetensors") as reader:
        base = families.of(config).base
        assert f"{base}.embeddings.word_embeddings.weight" in reader.shapes
        assert sum(name.startswith("bert.") for name in reader.shapes) == 0
    pretrained.save(tmp_path / "again", *loaded[:3])
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_a_pooler_is_read_where_there_is_one(tmp_path):
    config, parameters, tokenizer = small("roberta")
    layout = pretraining.layout(config)
    assert "bert.pooler.dense.weight" in parameters.layout.slots.keys() - layout.slots.keys()
    pretrained.save(tmp_path / "with", config, parameters, tokenizer)
    assert minibert.load(tmp_path / "with", "cpu")("the exception").pooled.shape == (1, 12)
    pretrained.save(tmp_path / "without", config, Parameters(layout, np.ones(layout.size, np.float32)), tokenizer)
    bert = minibert.load(tmp_path / "without", "cpu")
    assert bert("the exception").pooled is None
    assert not bert.notes


def test_what_is_missing_is_told_by_their_name(tmp_path):
    config, parameters, tokenizer = small("distilbert")
    pretrained.save(tmp_path, config, parameters, tokenizer, without={
        name for name in parameters.layout.slots if name.startswith("cls.")})
    [note] = pretrained.load(tmp_path).notes
    assert "vocab_transform.weight" in note
    pretrained.save(tmp_path / "b", config, parameters, tokenizer, without={"bert.encoder.layer.1.output.dense.weight"})
    with pytest.raises(ValueError, match=r"distilbert\.transformer\.layer\.1\.ffn\.lin2\.weight: .* \(12, 20\), not found"):
        pretrained.load(tmp_path / "b")


GUESS = [family for family in RELATIVES if family != "electra"]


@pytest.mark.parametrize("family", [*GUESS, "electra-generator"])
def test_words_are_guessed(family, tmp_path, capsys):
    changes = {"objectives": ("mlm",)} if family == "electra-generator" else {}
    config, parameters, tokenizer = small(family.partition("-g")[0], **changes)
    pretrained.save(tmp_path, config, parameters, tokenizer)
    assert main(["fill-mask", "--model", str(tmp_path), "the [MASK] raises"]) == 0
    bert = minibert.load(tmp_path, "cpu", np.float64)
    score = bert.score("the exception raises")
    assert np.isfinite(score.total)
    from minibert.analysis import inside

    question = inside.ask(bert, "the exception raises", hide=[2])
    truth = inside.guesses(bert, question)[0].probability
    assert np.log(truth) == pytest.approx(score.log_probs[1], rel=1e-9)
    assert inside.attribution(bert, question, steps=64).error == pytest.approx(0, abs=0.05)
    assert inside.importance(bert, question).gradient.any()
    assert len(inside.layers(bert, question)) == config.num_hidden_layers + 1


def test_a_discriminator_guesses_no_words(tmp_path, capsys):
    config, parameters, tokenizer = small("electra")
    pretrained.save(tmp_path, config, parameters, tokenizer)
    assert main(["fill-mask", "--model", str(tmp_path), "the [MASK] raises"]) == 2
    assert "has no masked-word head: without it no word can be guessed" in capsys.readouterr().err
    assert main(["info", str(tmp_path), "--length", "8"]) == 0
    assert "Heads      replaced words: yes" in capsys.readouterr().out


@EACH
def test_info_and_vectors(family, tmp_path, capsys):
    config, parameters, tokenizer = small(family)
    pretrained.save(tmp_path, config, parameters, tokenizer)
    assert main(["info", str(tmp_path), "--length", "8"]) == 0
    out = capsys.readouterr().out
    assert f"{families.of(config).title}" in out
    assert f"{memory.parameter_counts(config)['total']:,}" in out
    (tmp_path / "texts.txt").write_text("the exception\nan exception raises\n", encoding="utf-8")
    assert main(["embed", str(tmp_path), str(tmp_path / "texts.txt"), "--out", str(tmp_path / "v.npy")]) == 0
    assert np.load(tmp_path / "v.npy").shape == (2, 12)


@pytest.mark.parametrize("family", [*RELATIVES, "electra-generator"])
@pytest.mark.parametrize("task", [name for name, task in TASKS.items() if task.KIND not in models.POOLED])
def test_a_head_for_every_task(family, task, tmp_path):
    """Begun on the pre-trained body, saved, and opened again by what config.json says alone."""
    changes = {"objectives": ("mlm",)} if family == "electra-generator" else {}
    config, parameters, tokenizer = small(family.partition("-g")[0], **changes)
    pretrained.save(tmp_path / "model", config, parameters, tokenizer)
    labels = ["answer"] if task in ("qa", "choice", "rank") else ["number"] if task == "regress" else ["a", "b", "c"]
    settings = Settings(**asked_for(TASKS[task]), train=("x",), model=str(tmp_path / "model"))
    begun = finetuned.begin(tmp_path / "model", TASKS[task], labels, settings, seed=1)
    body = dict(parameters.items())
    for name, view in begun.parameters.items():
        assert name.startswith(("classifier.", "qa_outputs.", "answer.")) != np.array_equal(view, body.get(name)), name
    finetuned.save(tmp_path / "tuned", begun)
    if TASKS[task].KIND != "san":  # no class of transformers has that head, so config.json cannot name it
        (tmp_path / "tuned" / "finetuning.json").unlink()
    again = finetuned.load(tmp_path / "tuned")
    assert again.task is TASKS["choice" if task == "rank" else task]  # one head, and transformers has one name for it
    assert again.labels == labels
    np.testing.assert_array_equal(again.parameters.flat, begun.parameters.flat)


@EACH
def test_what_is_trained_for_vectors_is_what_embed_gives(family, tmp_path):
    config, parameters, tokenizer = small(family)
    pretrained.save(tmp_path / "model", config, parameters, tokenizer)
    begun = finetuned.begin(tmp_path / "model", TASKS["embed"], ["pair"], Settings(task="embed"), seed=1)
    there = dict(parameters.items())
    for name, view in begun.parameters.items():  # there is no head: nothing is new
        np.testing.assert_array_equal(view, there[name])
    finetuned.save(tmp_path / "tuned", begun)
    pair = TASKS["embed"].Example("a b", "c d", (), True, "")  # of one length: MobileBERT reads the neighbours, padding too
    features, _ = begun.task.encode([pair], begun.tokenizer, begun.labels, begun.settings)
    with Workers(1) as workers:
        _, [vectors] = predict(begun.network(), begun.parameters, micro_batches(features), workers)
    found = minibert.load(tmp_path / "tuned", "cpu").embed([pair.text, pair.pair])
    np.testing.assert_allclose(found, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), atol=1e-5)


@EACH
def test_odd_values_in_a_config_are_refused_in_one_sentence(family, tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / "config.json"
    values = json.loads(families.to_json(families.preset(family, "base")))
    odd = [None, True, -1, 0, 1, 3, 10**6, 10**30, 0.5, float("inf"), "", "128", [], [1, 2], {}, {"a": 1}, ["x"]]
    refused = []
    for _ in range(400):
        changed = {str(key): odd[rng.integers(len(odd))] for key in rng.choice(list(values), 2)}
        path.write_text(json.dumps(values | changed | {"model_type": family}), encoding="utf-8")
        try:
            config = pretrained.read_config(path)
            families.names(config).ours("x")
            families.without_effect(config)
            families.to_json(config)
        except ValueError as error:
            refused.append(str(error))
    assert 100 < len(refused) < 400
    assert all("\n" not in sentence and len(sentence) < 600 for sentence in refused)


@EACH
def test_the_page_opens(family, tmp_path):
    from minibert.demo import views

    pretrained.save(tmp_path, *small(family))
    bert = minibert.load(tmp_path, "cpu")
    page = views.Views(bert, "it", lambda: ("none", []))
    request = views.Request.of({"text": "the exception raises", "hide": [1]})
    assert page.model()["layers"] == bert.config.num_hidden_layers
    assert len(page.tokens(request)["tokens"]) == 5
    assert page.attention(request)["tokens"]


def test_whose_hidden_layer_it_is():
    """That of a head begins fresh with it; choices are judged by the pooler, where there is one."""
    slots = {(family, kind): models.of(small(family)[0], kind, 3).layout().slots for family in ("roberta", "electra", "albert")
             for kind in ("sequence", "choice", "token")}
    pooled = {key for key in slots if "bert.pooler.dense.weight" in slots[key]}
    hidden = {key for key in slots if "classifier.dense.weight" in slots[key]}
    assert pooled == {("roberta", "choice"), ("albert", "sequence"), ("albert", "choice")}
    assert hidden == {("roberta", "sequence"), ("electra", "sequence"), ("electra", "choice")}
