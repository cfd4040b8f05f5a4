"""Relatives of BERT against transformers: the same file in both, every hidden state, logits, loss and gradient in float64."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from minibert.finetuning import models  # noqa: E402
from minibert.layers.cross_entropy import IGNORE  # noqa: E402
from minibert.model import embeddings, pretraining  # noqa: E402
from minibert.model.model import Inputs, Output  # noqa: E402
from minibert.pretrained import families, folder, tensors  # noqa: E402
from minibert.tasks.batches import Position, Stream, collate, micro_batches  # noqa: E402
from minibert.training.adamw import learning_rate  # noqa: E402
from tests import tiny_model  # noqa: E402
from tests.model.examples import distance  # noqa: E402
from tests.oracle import test_training as bert_training  # noqa: E402
from tests.training.examples import engine  # noqa: E402

TOLERANCE = 1e-12
V = 50
SMALL = {"vocab_size": V, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 40,
         "max_position_embeddings": 20, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
DISTIL = {"vocab_size": V, "dim": 24, "n_layers": 3, "n_heads": 3, "hidden_dim": 40, "max_position_embeddings": 20,
          "dropout": 0.0, "attention_dropout": 0.0, "seq_classif_dropout": 0.0, "qa_dropout": 0.0}
NARROW = {**SMALL, "embedding_size": 10}
ALBERT = {**NARROW, "classifier_dropout_prob": 0.0}
MOBILE = {**NARROW, "intra_bottleneck_size": 18, "num_feedforward_networks": 3, "hidden_act": "relu"}
CONFIGS = {  # family -> keys of its config.json, in the ways that go wrong
    "roberta": {**SMALL, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1},
    "roberta, two types, tanh gelu": {**SMALL, "hidden_act": "gelu_new", "pad_token_id": 1},
    "xlm-roberta": {**SMALL, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1},
    "camembert": {**SMALL, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1},
    "albert": {**ALBERT, "hidden_act": "gelu_new"},
    "albert, groups that do not divide the layers": {**ALBERT, "num_hidden_layers": 4, "num_hidden_groups": 3},
    "albert, inner groups": {**ALBERT, "num_hidden_layers": 4, "num_hidden_groups": 2, "inner_group_num": 2},
    "albert, each layer a group of several": {**ALBERT, "num_hidden_layers": 2, "num_hidden_groups": 2, "inner_group_num": 2},
    "albert, as wide as the encoder": {**ALBERT, "embedding_size": 24},
    "distilbert": {**DISTIL},
    "distilbert, tanh gelu": {**DISTIL, "activation": "gelu_new", "sinusoidal_pos_embds": True},
    "electra": {**NARROW, "summary_last_dropout": 0.0},
    "electra, as wide as the encoder, tanh gelu": {**SMALL, "embedding_size": 24, "hidden_act": "gelu_new",
                                                   "summary_last_dropout": 0.0},
    "mobilebert": {**MOBILE},
    "mobilebert, attention in the bottleneck": {**MOBILE, "use_bottleneck_attention": True, "key_query_shared_bottleneck": False,
                                                "classifier_activation": False},
    "mobilebert, no bottleneck, layer norms, no neighbours": {
        **MOBILE, "use_bottleneck": False, "intra_bottleneck_size": 24, "key_query_shared_bottleneck": False,
        "normalization_type": "layer_norm", "layer_norm_eps": 1e-5, "trigram_input": False},
    "ernie": {**SMALL},
    "ernie, task types": {**SMALL, "use_task_id": True},
}
PRE_TRAINED = {"roberta": ["ForMaskedLM"], "xlm-roberta": ["ForMaskedLM"], "camembert": ["ForMaskedLM"],
               "albert": ["ForPreTraining", "ForMaskedLM"], "distilbert": ["ForMaskedLM"],
               "electra": ["ForMaskedLM", "ForPreTraining"], "ernie": ["ForPreTraining", "ForMaskedLM"],
               "mobilebert": ["ForPreTraining", "ForMaskedLM"]}
TASKS = {"ForSequenceClassification": ("sequence", 3), "ForTokenClassification": ("token", 3),
         "ForQuestionAnswering": ("span", 2), "ForMultipleChoice": ("choice", 1)}


def theirs(case, ending, labels=2, **changes):
    """A model of transformers with random weights, none of which is 0 or 1, in float64."""
    family = case.partition(",")[0]
    kind = getattr(transformers, families.FAMILIES[family].classes + ending)
    torch.manual_seed(0)
    config = kind.config_class(**{**CONFIGS[case], **changes}, num_labels=labels, attn_implementation="eager")
    model = kind(config).double().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.randn(p.shape, dtype=torch.float64) * 0.15 + ("orm.weight" in name and "_embeddings" not in name))
    return model


def saved(model, path):
    """Written by transformers; read as they are, without a tokenizer."""
    model.save_pretrained(path)
    config = families.read_config(path / "config.json")
    return config, path / "model.safetensors"


def read(path, config, layout=None):
    with tensors.opened(path) as reader:
        return folder.read_parameters(reader, config, np.float64, layout)


def batch(config, rows=4):
    """Ids with padding on the right, the left and within; and the mask of what is padding."""
    rng, pad = np.random.default_rng(0), config.pad_token_id
    ids = rng.integers(2, V, (rows, 9))
    ids[:, 1] = 7  # one id again and again
    ids[0, 6:] = ids[1, :3] = ids[2, 4] = ids[2, 7:] = pad
    types = (np.arange(9) >= 5).astype(np.int64) * np.ones((rows, 1), np.int64) if config.type_vocab_size > 1 else ids * 0
    return ids, types, (ids != pad).astype(np.int64)


def given(config, ids, types, mask):
    """What both sides read."""
    arguments = {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}
    if config.type_vocab_size:
        arguments["token_type_ids"] = torch.tensor(types)
    return Inputs(ids, types, mask, position_ids=embeddings.position_ids(ids, mask, config)), arguments


def compare_gradients(g, model, config):
    """Of every tensor, by their names; the key's bias, zero in exact arithmetic, beside the size of the query's."""
    names = families.names(config)
    wanted = dict(model.named_parameters(remove_duplicate=False))
    assert {id(wanted[names.theirs(name)]) for name, _ in g.items()} == {id(p) for p in model.parameters()}
    for name, view in g.items():
        grad = wanted[names.theirs(name)].grad.numpy()
        grad = grad.T if names.lies_turned(names.theirs(name)) else grad
        if name.endswith("word_embeddings.weight"):  # PyTorch gives the row of padding no gradient from the lookup
            view, grad = (np.delete(x, config.pad_token_id, 0) for x in (view, grad))
        if name.endswith("position_embeddings.weight") and config.position_offset:
            view, grad = (np.delete(x, config.position_offset - 1, 0) for x in (view, grad))
        if name.endswith("key.bias"):
            assert np.linalg.norm(view) <= 1e-11 * np.linalg.norm(wanted[names.theirs(name.replace("key", "query"))].grad), name
        else:
            assert distance(view, grad) <= TOLERANCE, name


def compare_states(out, expected, mask):
    assert len(out.hidden_states) == len(expected.hidden_states)
    for ours, tensor in zip(out.hidden_states, expected.hidden_states):
        assert distance(ours * mask[..., None], tensor.detach().numpy() * mask[..., None]) <= TOLERANCE
    for ours, tensor in zip(out.attentions, expected.attentions):
        assert distance(ours * mask[:, None, :, None], tensor.detach().numpy() * mask[:, None, :, None]) <= TOLERANCE


PAIRS = [(case, ending) for case in CONFIGS for ending in PRE_TRAINED[case.partition(",")[0]]]


@pytest.mark.parametrize(("case", "ending"), PAIRS, ids=[" ".join(pair) for pair in PAIRS])
def test_pre_training(case, ending, tmp_path):
    model = theirs(case, ending)
    config, path = saved(model, tmp_path)
    parameters, notes, initialised = read(path, config)
    whole = pretraining.of(config)
    ids, types, mask = batch(config)
    x, arguments = given(config, ids, types, mask)
    rng = np.random.default_rng(1)
    labels = np.where(rng.random(ids.shape) < 0.4, ids, IGNORE) * mask + IGNORE * (1 - mask)
    follows, wrong = rng.integers(0, 2, len(ids)), rng.integers(0, 2, ids.shape)
    targets = {"mlm": labels, "nsp": follows, "replaced": np.where(mask == 1, wrong, IGNORE)}
    if ending == "ForMaskedLM" and "nsp" in config.objectives:  # the file has no such head
        assert {name.rpartition(".")[0] for name in initialised} == {
            *(["bert.pooler.dense"] if config.pooler != "first" else []), "cls.seq_relationship"}
        del targets["nsp"]
    else:
        assert not notes
        assert not initialised
    x = x._replace(targets={name: target for name, target in targets.items() if name in whole.heads})
    out, cache = whole.forward(x, parameters.tree)
    asked = {} if "replaced" in whole.heads else {"labels": torch.tensor(labels)}
    if "nsp" in x.targets:
        asked["sentence_order_label" if config.model_type == "albert" else "next_sentence_label"] = torch.tensor(follows)
    expected = model(**arguments, **asked, output_hidden_states=True, output_attentions=True)
    inner = config.unknown.get("inner_group_num", 1)
    if inner == 1:  # else they show the state after a group and the attention of nobody knows which block
        compare_states(out.bert, expected, mask)
    else:
        assert distance(out.bert.last_hidden_state * mask[..., None],
                        expected.hidden_states[-1].detach().numpy() * mask[..., None]) <= TOLERANCE
    [logits] = [out.logits[name] for name in ("mlm", "replaced") if name in out.logits]
    scores = expected.prediction_logits if hasattr(expected, "prediction_logits") else expected.logits
    scores = scores.detach().numpy().reshape(logits.shape)
    assert distance(logits[mask == 1], scores[mask == 1]) <= TOLERANCE
    loss = expected.loss
    if "replaced" in whole.heads:  # theirs makes float32 of the labels, and with them of the loss
        real = torch.tensor(mask == 1)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(expected.logits[real], torch.tensor(wrong)[real].double())
    assert float(out.loss) == pytest.approx(loss.item(), rel=TOLERANCE)
    loss.backward()
    g = parameters.zeros_like()
    whole.backward(Output(loss=1.0), cache, parameters.tree, g.tree)
    if initialised:
        return compare_without(g, model, config, initialised)
    compare_gradients(g, model, config)


def compare_without(g, model, config, fresh):
    """Gradients where the file had a part of the tensors only."""
    class Some:
        def items(self):
            return ((name, view) for name, view in g.items() if name not in fresh)
    compare_gradients(Some(), model, config)


ALL = [(case, ending) for case in CONFIGS for ending in TASKS]


@pytest.mark.parametrize(("case", "ending"), ALL, ids=[" ".join(pair) for pair in ALL])
def test_tasks(case, ending, tmp_path):
    kind, outputs = TASKS[ending]
    model = theirs(case, ending, labels=3 if kind in ("sequence", "token") else 2)
    config, path = saved(model, tmp_path)
    whole = models.of(config, kind, outputs)
    parameters, notes, initialised = read(path, config, whole.layout())
    assert not initialised
    assert not notes
    ids, types, mask = batch(config)
    x, arguments = given(config, ids, types, mask)
    out, cache = whole.forward(x._replace(choices=2), parameters.tree)
    if kind == "choice":
        arguments = {name: array.reshape(2, 2, 9) for name, array in arguments.items()}
    expected = model(**arguments)
    if kind == "span":  # scores of padding are large and negative here
        got = np.where(mask[:, None] == 1, out.logits[models.HEAD], 0)
        wanted = torch.stack([expected.start_logits, expected.end_logits], 1) * torch.tensor(mask)[:, None]
    else:
        got, wanted = out.logits[models.HEAD], expected.logits
        if kind == "token":
            got, wanted = got * mask[..., None], wanted * torch.tensor(mask)[..., None]
    assert distance(got, wanted.detach().numpy()) <= TOLERANCE
    upstream = np.random.default_rng(2).standard_normal(got.shape)
    upstream = upstream * (mask[:, None] if kind == "span" else mask[..., None] if kind == "token" else 1)
    (wanted * torch.tensor(upstream)).sum().backward()
    g = parameters.zeros_like()
    whole.backward(Output(logits={models.HEAD: upstream}), cache, parameters.tree, g.tree)
    compare_gradients(g, model, config)


@pytest.mark.parametrize("case", ["roberta", "xlm-roberta"])
def test_padding_is_no_position_though_the_mask_shows_it(case, tmp_path):
    model = theirs(case, "ForMaskedLM")
    config, path = saved(model, tmp_path)
    parameters, _, _ = read(path, config)
    ids, types, mask = batch(config)
    for seen in (np.ones_like(mask), None):
        x, arguments = given(config, ids, types, np.ones_like(mask))
        out, _ = pretraining.of(config).forward(x._replace(attention_mask=seen), parameters.tree)
        expected = model(**arguments, output_hidden_states=True)
        for ours, tensor in zip(out.bert.hidden_states, expected.hidden_states):
            assert distance(ours, tensor.detach().numpy()) <= TOLERANCE


def test_task_types(tmp_path):
    model = theirs("ernie, task types", "Model")
    config, path = saved(model, tmp_path)
    parameters, _, _ = read(path, config)
    ids, types, mask = batch(config)
    tasks = np.random.default_rng(3).integers(0, 3, ids.shape)
    x, arguments = given(config, ids, types, mask)
    whole, results = pretraining.of(config), []
    for given_tasks in (tasks, tasks * 0, None):
        out, _ = whole.forward(x._replace(task_type_ids=given_tasks), parameters.tree)
        more = {} if given_tasks is None else {"task_type_ids": torch.tensor(given_tasks)}
        expected = model(**arguments, **more).last_hidden_state.detach().numpy()
        assert distance(out.bert.last_hidden_state * mask[..., None], expected * mask[..., None]) <= TOLERANCE
        results.append(out.bert.last_hidden_state)
    np.testing.assert_array_equal(results[1], results[2])  # none said is the first, not no task
    assert distance(results[0], results[1]) > 0.01


@pytest.mark.parametrize(("case", "ending"), PAIRS + ALL, ids=[" ".join(pair) for pair in PAIRS + ALL])
def test_what_is_saved_opens_in_transformers(case, ending, tmp_path):
    """With nothing missing, nothing left over, and bit for bit the same numbers."""
    model = theirs(case, ending, labels=3 if TASKS.get(ending, ("", 0))[1] == 3 else 2)
    config, path = saved(model, tmp_path / "theirs")
    layout = models.of(config, *TASKS[ending]).layout() if ending in TASKS else None
    parameters, _, initialised = read(path, config, layout)
    ours = tmp_path / "ours"
    ours.mkdir()
    (ours / "config.json").write_text(families.to_json(config), encoding="utf-8")
    folder.save_weights(ours / "model.safetensors", parameters, np.float64, names=families.names(config), without=initialised)
    again, report = type(model).from_pretrained(ours, output_loading_info=True, dtype=torch.float64)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    for name, p in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], p), name
    values = {key: value for key, value in model.config.to_dict().items() if key not in ("dtype", "transformers_version")}
    assert {key: again.config.to_dict()[key] for key in values if key != "_name_or_path"} == {
        key: value for key, value in values.items() if key != "_name_or_path"}


TRAINED = [("roberta", "ForMaskedLM"), ("albert", "ForPreTraining"), ("distilbert", "ForMaskedLM"), ("electra", "ForMaskedLM"),
           ("ernie, task types", "ForPreTraining")]


@pytest.mark.parametrize(("case", "ending"), TRAINED, ids=[" ".join(pair) for pair in TRAINED])
def test_twenty_steps(case, ending, tmp_path):
    """Of AdamW, with clipping, on batches of unequal lengths, in micro-batches on two workers."""
    steps, peak, warmup, clip = bert_training.STEPS, bert_training.PEAK, bert_training.WARMUP, bert_training.CLIP
    tokenizer = tiny_model.make()[2]
    model = theirs(case, ending, vocab_size=len(tokenizer.vocab), pad_token_id=0)
    config, path = saved(model, tmp_path)
    names, parameters = families.names(config), read(path, config).parameters
    rng = np.random.default_rng(0)
    documents = [[rng.integers(5, config.vocab_size, rng.integers(2, 7)).tolist() for _ in range(9)] for _ in range(12)]
    stream = Stream(documents, tokenizer, max_length=16, batch_size=8, seed=0, next_sentence="nsp" in config.objectives)
    position, batches = Position(), []
    for _ in range(steps):
        examples, position = stream.batch(position)
        batches.append(examples)
    curve, expected = [], []
    with engine(config, 2, parameters=parameters, optimiser=bert_training.CONSTANTS, clip_norm=clip) as e:
        for step, examples in enumerate(batches, start=1):
            metrics, norm = e.train(micro_batches(examples, 60), learning_rate(step, peak, warmup, steps))
            curve.append((metrics.loss, norm))
        after = e.parameters

    named = dict(model.named_parameters(remove_duplicate=False))
    mine = {slot.name: named[names.theirs(slot.name)] for slot in parameters.layout.slots.values()}
    step_with = bert_training.torch_adamw(*([mine[slot.name] for slot in parameters.layout.slots.values() if slot.decay == decay]
                                            for decay in (True, False)))
    for step, examples in enumerate(batches, start=1):
        batch = collate(examples)
        mask = np.ones_like(batch.ids) if batch.attention_mask is None else batch.attention_mask.astype(np.int64)
        labels = np.full(batch.ids.size, IGNORE)
        labels[batch.positions] = batch.targets["mlm"]
        asked = {"labels": torch.tensor(labels.reshape(batch.ids.shape))}
        if "nsp" in config.objectives:
            asked["sentence_order_label" if config.model_type == "albert" else "next_sentence_label"] = torch.tensor(
                batch.targets["nsp"])
        types = batch.token_type_ids if config.type_vocab_size > 1 else batch.ids * 0
        model.zero_grad()
        loss = model(**given(config, batch.ids, types, mask)[1], **asked).loss
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        step_with(learning_rate(step, peak, warmup, steps))
        expected.append((loss.item(), norm.item()))
    curve, expected = np.array(curve), np.array(expected)
    assert (curve[:, 1] > clip).any()  # clipping took part
    assert distance(after.flat, parameters.flat) > 0.01  # and the weights moved far beyond rounding
    np.testing.assert_allclose(curve[:, 0], expected[:, 0], rtol=1e-11)
    np.testing.assert_allclose(curve[:, 1], expected[:, 1], rtol=1e-11)
    for name, view in after.items():
        assert distance(view, mine[name].detach().numpy()) <= 1e-11, name
