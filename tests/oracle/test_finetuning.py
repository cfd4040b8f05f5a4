"""Fine-tuning against transformers: twenty steps of every task, and folders that both open."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from minibert.finetuning import models, saved  # noqa: E402
from minibert.finetuning.options import Settings  # noqa: E402
from minibert.tasks.labelled import PROBLEM_TYPES, TASKS, asked_for  # noqa: E402
from minibert.tasks.labelled.features import collate, micro_batches  # noqa: E402
from minibert.training.adamw import AdamW, learning_rate  # noqa: E402
from minibert.training.engine import Engine, predict  # noqa: E402
from minibert.workers import Workers  # noqa: E402
from tests import tiny_model  # noqa: E402
from tests.finetuning.conftest import files, finetune, heeds_interrupts, model, predict_arguments, quick  # noqa: E402, F401
from tests.oracle.test_model import reference  # noqa: E402

STEPS, PEAK, BATCH, CLIP = 20, 2e-3, 8, 1.0
HEADED = [name for name, task in TASKS.items() if task.ARCHITECTURE != "BertModel"]  # the others: test_sentence_vectors.py
DTYPES = pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-11), (np.float32, 1e-4)], ids=["float64", "float32"])


def network(task, config, parameters, labels, dtype):
    """transformers' model of a task with the same weights."""
    settings = {"num_labels": len(labels)} if task.KIND not in ("choice", "span") else {}
    settings |= {key: name for key, (name, module) in zip(["problem_type"] * 3, PROBLEM_TYPES.items()) if module is task}
    return reference(getattr(transformers, task.ARCHITECTURE), config, parameters, dtype, **settings)[0]


def torch_inputs(task, features):
    batch = collate(features, range(len(features)))
    mask = np.ones_like(batch.ids) if batch.attention_mask is None else batch.attention_mask.astype(np.int64)
    arrays = {"input_ids": batch.ids, "token_type_ids": batch.token_type_ids, "attention_mask": mask}
    if batch.choices > 1:
        arrays = {name: x.reshape(-1, batch.choices, x.shape[-1]) for name, x in arrays.items()}
    labels = batch.targets["label"]
    arrays |= {"start_positions": labels[:, 0], "end_positions": labels[:, 1]} if task.KIND == "span" else {"labels": labels}
    return {name: torch.tensor(x) for name, x in arrays.items()}


def compare(task, logits, out, features):
    """Our logits with those of transformers' output, without what stands behind the text."""
    expected = torch.stack([out.start_logits, out.end_logits], 1) if task.KIND == "span" else out.logits
    for a, b, feature in zip(logits, expected.numpy(), features):
        n = feature.length
        a, b = (a[:n], b[:n]) if task.KIND == "token" else (a[:, :n], b[:, :n]) if task.KIND == "span" else (a, b)
        np.testing.assert_allclose(a, b, atol=1e-5)


def material(name, files):  # noqa: F811
    """Features of a task, for a model with random weights of its own."""
    name, _, two = name.partition(", ")
    task = TASKS[name]
    config, _, tokenizer = tiny_model.make(hidden_size=24, intermediate_size=48, hidden_dropout_prob=0.0,
                                           attention_probs_dropout_prob=0.0)
    settings = Settings(**asked_for(task), max_length=24)
    examples = task.read(files(name)[0], settings).examples
    labels = task.labels(examples)
    features, _ = task.encode(examples, tokenizer, labels, settings)
    if two:
        labels = ["LABEL_0", "LABEL_1"]
        features = [feature._replace(labels=np.array([feature.labels, feature.length / 10])) for feature in features]
    if task.KIND == "span":  # transformers lets padding take part in the softmax: no padding here
        longest = max(feature.length for feature in features)
        features = [feature for feature in features if feature.length == longest] * 30
    return task, config, features, labels


@DTYPES
@pytest.mark.parametrize("name", [*HEADED, "regress, two numbers"])
def test_twenty_steps(name, dtype, tolerance, files):  # noqa: F811
    task, config, features, labels = material(name, files)
    rng = np.random.default_rng(0)
    chosen = [rng.permutation(len(features))[:BATCH] for _ in range(STEPS)]
    rates = [learning_rate(step, PEAK, 4, STEPS) for step in range(1, STEPS + 1)]
    whole = models.of(config, task.KIND, len(labels))
    parameters = saved.initialise(whole.layout(), 0.1, 0, dtype)
    net = network(task, config, parameters, labels, dtype).train()
    groups = [{"params": [p for n, p in net.named_parameters() if (n.endswith("bias") or "LayerNorm" in n) == plain],
               "weight_decay": 0.0 if plain else 0.1} for plain in (False, True)]
    adamw = torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.999), eps=1e-6)
    ours, theirs = [], []
    with Workers(2) as workers:
        engine = Engine(whole, parameters, workers, AdamW(weight_decay=0.1), CLIP)
        for places, rate in zip(chosen, rates):
            batch = [features[i] for i in places]
            metrics, norm = engine.train(micro_batches(batch, 60), rate)
            ours.append((float(metrics.loss), float(norm)))
            for group in adamw.param_groups:
                group["lr"] = rate
            adamw.zero_grad()
            inputs = torch_inputs(task, batch)
            if "labels" in inputs and inputs["labels"].dtype in (torch.float64, torch.bool):
                inputs["labels"] = inputs["labels"].to(net.dtype)
            loss = net(**inputs).loss
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(net.parameters(), CLIP)
            adamw.step()
            theirs.append((loss.item(), norm.item()))
    ours, theirs = np.array(ours), np.array(theirs)
    assert ours[-5:, 0].mean() < ours[:5, 0].mean()  # something was learned
    np.testing.assert_allclose(ours[:, 0], theirs[:, 0], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(ours[:, 1], theirs[:, 1], rtol=100 * tolerance)


def test_class_weights_are_those_of_torch():
    from minibert.layers import cross_entropy
    rng = np.random.default_rng(0)
    x, labels, weights = rng.standard_normal((9, 4)), rng.integers(0, 4, 9), rng.random(4)
    labels[2] = cross_entropy.IGNORE
    loss, cache = cross_entropy.forward(x, labels, weights=weights)
    there = torch.tensor(x, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(there, torch.tensor(labels), torch.tensor(weights))
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(cross_entropy.backward(1.0, cache), there.grad.numpy(), atol=1e-14)


@pytest.mark.parametrize("name", HEADED)
def test_a_saved_folder_opens_in_transformers_with_equal_logits(name, finetune, files, tmp_path):  # noqa: F811
    out = tmp_path / "out"
    assert finetune(name, "--epochs", 2) == 0
    ours = saved.load(out)
    task = ours.task
    auto = getattr(transformers, task.ARCHITECTURE.replace("Bert", "AutoModel"))
    net, report = auto.from_pretrained(out, output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    if name in ("classify", "multi_label", "tag"):
        assert [net.config.id2label[i] for i in range(len(ours.labels))] == ours.labels
    examples = task.read(files(name)[1], ours.settings).examples
    features, _ = task.encode(examples, ours.tokenizer, ours.labels, ours.settings)
    batch = collate(features, range(len(features)))
    with Workers(1) as workers:
        _, logits = predict(models.of(ours.config, task.KIND, len(ours.labels)), ours.parameters, [batch], workers)
    inputs = {n: x for n, x in torch_inputs(task, features).items() if "label" not in n and "positions" not in n}
    with torch.no_grad():
        expected = net.eval()(**inputs)
    compare(task, logits, expected, features)
    if task in PROBLEM_TYPES.values():
        assert PROBLEM_TYPES[net.config.problem_type] is task
    again = transformers.AutoTokenizer.from_pretrained(out)
    assert again("the abc")["input_ids"] == ours.tokenizer.encode("the abc").ids


@pytest.mark.parametrize("name", ["classify", "tag", "qa"])
def test_what_transformers_saved_is_opened(name, finetune, files, tmp_path, capsys):  # noqa: F811
    from minibert.finetuning import command
    assert finetune(name, "--epochs", 1) == 0
    ours = saved.load(tmp_path / "out")
    theirs = tmp_path / "theirs"
    kind = getattr(transformers, ours.task.ARCHITECTURE)
    kind.from_pretrained(tmp_path / "out").save_pretrained(theirs)
    ours.tokenizer.save(theirs)
    loaded = saved.load(theirs)
    assert loaded.task is ours.task
    np.testing.assert_array_equal(loaded.parameters.flat, ours.parameters.flat)
    if name != "qa":
        assert loaded.labels == ours.labels
    capsys.readouterr()
    assert command.run_predict(predict_arguments(theirs, files(name)[1], "--device", "cpu")) == 0
    assert len(capsys.readouterr().out.splitlines()) == 17  # a header and sixteen examples


MADE = {  # what transformers makes: the architecture, and what is given to its configuration
    "two classes": ("BertForSequenceClassification", {}, "classify"),
    "three classes": ("BertForSequenceClassification", {"num_labels": 3, "id2label": {0: "x", 1: "y", 2: "z"}}, "classify"),
    "one output": ("BertForSequenceClassification", {"num_labels": 1}, "regress"),
    "number": ("BertForSequenceClassification", {"num_labels": 1, "problem_type": "regression"}, "regress"),
    "numbers": ("BertForSequenceClassification", {"num_labels": 3, "problem_type": "regression"}, "regress"),
    "single": ("BertForSequenceClassification", {"num_labels": 3, "problem_type": "single_label_classification"}, "classify"),
    "several": ("BertForSequenceClassification", {"num_labels": 3, "problem_type": "multi_label_classification"}, "multi_label"),
    "tags": ("BertForTokenClassification", {"num_labels": 3}, "tag"),
    "answers": ("BertForQuestionAnswering", {}, "qa"),
    "choices": ("BertForMultipleChoice", {}, "choice"),
}


@pytest.mark.parametrize("named", [True, False], ids=["architecture", "no architecture"])
@pytest.mark.parametrize("made", MADE)
def test_every_head_that_transformers_makes_is_what_it_is_there(made, named, files, tmp_path, capsys):  # noqa: F811
    architecture, settings, name = MADE[made]
    config, _, tokenizer = tiny_model.make(hidden_size=24, intermediate_size=48)
    fields = {key: value for key, value in config.to_dict().items() if key not in ("architectures", "model_type", "norm_first")}
    net = getattr(transformers, architecture)(transformers.BertConfig(**fields, **settings)).eval()
    net.save_pretrained(tmp_path)
    tokenizer.save(tmp_path)
    if not named:
        stored = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
        del stored["architectures"]
        (tmp_path / "config.json").write_text(json.dumps(stored), encoding="utf-8")
    ours = saved.load(tmp_path)
    task = TASKS[name]
    assert ours.task is task
    if "num_labels" in settings:
        assert ours.labels == [net.config.id2label[i] for i in range(net.config.num_labels)]
    examples = [e._replace(**{task.LABEL: None}) for e in task.read(files(name)[1], Settings(**asked_for(task))).examples]
    features, _ = task.encode(examples, tokenizer, ours.labels, ours.settings)
    batch = collate(features, range(len(features)))
    with Workers(1) as workers:
        _, logits = predict(models.of(ours.config, task.KIND, len(ours.labels)), ours.parameters, [batch], workers)
    with torch.no_grad():
        out = net(**{n: x for n, x in torch_inputs(task, features).items() if "label" not in n and "positions" not in n})
    compare(task, logits, out, features)
    guesses = task.guess(logits, features, examples, ours.labels, ours.settings)
    if made == "several":
        assert [[name in guess.label for name in ours.labels] for guess in guesses] == (torch.sigmoid(out.logits) > 0.5).tolist()
    elif task.KIND == "number":
        np.testing.assert_allclose([np.atleast_1d(guess.label) for guess in guesses], out.logits.numpy(), atol=1e-5)
