"""Predicting: labels are welcome and not needed, and what a head means follows from configuration and tensors."""

import json
import shutil

import numpy as np
import pytest

from minibert import pretrained
from minibert.finetuning import command, saved
from minibert.finetuning.options import Settings
from minibert.pretrained import tensors
from minibert.tasks.labelled import TASKS, regress
from tests.finetuning.conftest import SMALL, parsed


def json_lines(*rows):
    return "\n".join(map(json.dumps, rows))


QUESTION = {"id": "1", "question": "where", "context": "c a d"}
WITHOUT = [  # a file without labels, or with what stands for one
    ("classify", "a.tsv", "c a d\t-1\nb c d\t-1\n"), ("classify", "a.tsv", "c a d\t?\nb c d\t?\n"),
    ("classify", "a.jsonl", json_lines({"text": "c a d", "label": -1}, {"text": "b c d", "label": -1})),
    ("classify", "a.jsonl", json_lines({"idx": 0, "sentence": "c a d", "label": None}, {"idx": 1, "sentence": "b c d"})),
    ("classify", "a.txt", "c a d\nb c d\n"), ("classify", "a.tsv", "text\tlabel\nc a d\t\nb c d\t\n"),
    ("classify", "a.csv", "id,sentence\n1,c a d\n2,b c d\n"), ("classify", "a.tsv", "c a d\tbeautiful\nb c d\tugly\n"),
    ("multi_label", "a.tsv", "text\tlabels\nc a d\t\nb c d\t\n"), ("multi_label", "a.tsv", "text\tlabels\nc a d\t?\nb c d\t?\n"),
    ("multi_label", "a.jsonl", json_lines({"text": "c a d", "labels": [0, 1, 0]}, {"text": "b c d", "labels": [0, 0, 0]})),
    ("multi_label", "a.jsonl", json_lines({"text": "c a d", "labels": None}, {"text": "b c d", "labels": None})),
    ("multi_label", "a.tsv", "text\tlabels\nc a d\t-\nb c d\tN/A\n"), ("multi_label", "a.txt", "c a d\nb c d\n"),
    ("regress", "a.tsv", "sentence\tscore\nc a d\t-1\nb c d\t-1\n"),
    ("regress", "a.tsv", "sentence\tscore\nc a d\t?\nb c d\tN/A\n"),
    ("regress", "a.tsv", "sentence\tscore\nc a d\t\nb c d\t\n"), ("regress", "a.txt", "c a d\nb c d\n"),
    ("regress", "a.jsonl", json_lines({"sentence": "c a d", "score": None}, {"sentence": "b c d", "score": "nan"})),
    ("tag", "a.conll", "c\t?\na\t?\n\nb\t?\n"), ("tag", "a.conll", "c\na\n\nb\n"),
    ("tag", "a.conll", "c\tX-a\na\tX-b\n\nb\tX-a\n"),
    ("tag", "a.jsonl", json_lines({"tokens": ["c", "a"], "ner_tags": []}, {"tokens": ["b"], "ner_tags": None})),
    ("tag", "a.jsonl", json_lines({"tokens": ["c", "a"], "ner_tags": [-100, -100]}, {"tokens": ["b"], "ner_tags": [-100]})),
    ("qa", "a.json", json.dumps([QUESTION, {**QUESTION, "id": "2"}])),
    ("qa", "a.json", json.dumps([{**QUESTION, "answers": []}, {**QUESTION, "id": "2", "answers": []}])),
    ("qa", "a.json", json.dumps([{**QUESTION, "answers": {"text": [], "answer_start": []}}, {**QUESTION, "answers": None}])),
    ("qa", "a.json", json.dumps([{**QUESTION, "answers": [{"answer_start": 0}]}, {**QUESTION, "answers": [3]}])),
    ("qa", "a.json", json.dumps([{**QUESTION, "answers": [{"text": "TODO", "answer_start": 0}]}] * 2)),
    ("qa", "a.json", json.dumps([{**QUESTION, "context": "c a d?", "answers": [{"text": "?", "answer_start": -1}]}] * 2)),
    ("choice", "a.json", json_lines(*[{"sent1": "the", "ending0": "a c", "ending1": "c d e", "label": -1}] * 2)),
    ("choice", "a.json", json_lines(*[{"sent1": "the", "ending0": "a c", "ending1": "c d e", "label": "?"}] * 2)),
    ("choice", "a.json", json_lines(*[{"sent1": "the", "ending0": "a c", "ending1": "c d e"}] * 2)),
    ("choice", "a.json", json_lines(*[{"sent1": "the", "ending0": "a c", "ending1": "c d e", "label": "neither"}] * 2)),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """``trained(task, finetune)``: the folder of a run, made once."""
    folders = {}

    def make(task, finetune):
        if task not in folders:
            folders[task] = tmp_path_factory.mktemp("trained") / task
            assert finetune(task, "--epochs", 1, out=folders[task]) == 0
        return folders[task]
    return make


@pytest.mark.parametrize(("task", "name", "content"), WITHOUT, ids=lambda value: value if value in TASKS else "")
def test_no_label_is_needed(task, name, content, trained, finetune, predict, tmp_path, capsys):
    folder = trained(task, finetune)
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    capsys.readouterr()
    assert predict(folder, path) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 3  # a header and two examples
    assert "no labels to compare with" in printed.err
    assert "0.0000" not in printed.err  # no figure


def test_guesses_do_not_take_the_place_of_the_examples(trained, finetune, predict, tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("c a d\nb c d\n", encoding="utf-8")
    with pytest.raises(ValueError, match="is the file that is read"):
        predict(trained("classify", finetune), path, "--out", path)
    assert path.read_text(encoding="utf-8") == "c a d\nb c d\n"


def test_scores_are_those_of_the_examples_whose_label_the_model_knows(trained, finetune, predict, tmp_path, capsys):
    folder = trained("classify", finetune)
    path = tmp_path / "mixed.tsv"
    path.write_text("c a d\tgood\nb c d\tbad\na d\tterrible\nd a\tgood\nb d\tterrible\nb c\tgrand\n", encoding="utf-8")
    assert predict(folder, path) == 0
    printed = capsys.readouterr()
    assert "labels that this model does not know: 'terrible' (2), 'grand' (1); it knows bad, good" in printed.err
    assert "these are the scores of 3 examples; 3 have no label to compare with" in printed.err
    rows = [line.split("\t") for line in printed.out.splitlines()[1:]]
    assert [row[2] for row in rows] == ["good", "bad", "terrible", "good", "terrible", "grand"]
    known = [row[2] == row[3] for row in rows if row[2] in ("good", "bad")]
    assert f"accuracy {np.mean(known):.4f}" in printed.err


def test_a_sentence_with_a_tag_that_is_not_known_is_left_out_of_the_scores(trained, finetune, predict, tmp_path, capsys):
    path = tmp_path / "mixed.conll"
    path.write_text("c\tO\na\tB-a\n\nb\tB-b\nd\tX-new\n", encoding="utf-8")
    assert predict(trained("tag", finetune), path) == 0
    assert "'X-new' (1)" in (said := capsys.readouterr().err)
    assert "these are the scores of 1 examples; 1 have no label to compare with" in said


def test_a_table_without_the_header_of_the_training_data_has_scores_too(finetune, predict, tmp_path, capsys):
    assert finetune("multi_label", "--epochs", 1) == 0  # sentence, labels
    path = tmp_path / "plain.tsv"
    path.write_text("c a d\tb|c\nb c d\t\nd e\tc\nb e\t\n", encoding="utf-8")
    capsys.readouterr()
    assert predict(tmp_path / "out", path) == 0
    assert "f1_micro" in capsys.readouterr().err


# --- what a head means -------------------------------------------------------------------------------------------------


@pytest.fixture
def headed(model, tmp_path):
    """``headed(tensors, **config)``: a copy of the model with a head of these tensors, and the pooler only where it is wanted."""
    def make(heads, pooler=True, name="model.safetensors", **changes):
        folder = tmp_path / "headed"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(model, folder)
        loaded = pretrained.load(model)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config = {key: value for key, value in (config | {"architectures": None} | changes).items() if value is not None}
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        kept = {key: view for key, view in loaded.parameters.items()
                if key.startswith("bert.") and (pooler or not key.startswith("bert.pooler."))}
        rng = np.random.default_rng(0)
        kept |= {key: rng.normal(0, 1, shape).astype(np.float32) for key, shape in heads.items()}
        tensors.write(folder / name, kept, {"format": "pt"})
        return folder
    return make


def classifier(outputs):
    return {"classifier.weight": (outputs, 24), "classifier.bias": (outputs,)}


SPAN = {"qa_outputs.weight": (2, 24), "qa_outputs.bias": (2,)}
ONE = {"id2label": {"0": "LABEL_0"}}
THREE = {"id2label": {"0": "x", "1": "y", "2": "z"}}


@pytest.mark.parametrize(("heads", "pooler", "config", "task", "labels"), [
    (classifier(2), True, {}, "classify", ["LABEL_0", "LABEL_1"]),
    (classifier(3), True, {}, "classify", ["LABEL_0", "LABEL_1", "LABEL_2"]),  # by the tensors
    (classifier(3), True, THREE, "classify", ["x", "y", "z"]),
    (classifier(3), True, THREE | {"problem_type": "single_label_classification"}, "classify", ["x", "y", "z"]),
    (classifier(3), True, THREE | {"problem_type": "multi_label_classification"}, "multi_label", ["x", "y", "z"]),
    (classifier(1), True, ONE | {"problem_type": "multi_label_classification"}, "multi_label", ["LABEL_0"]),
    (classifier(3), True, {"problem_type": "regression"}, "regress", ["LABEL_0", "LABEL_1", "LABEL_2"]),
    (classifier(1), True, ONE, "regress", ["LABEL_0"]),  # from_pretrained(num_labels=1)
    (classifier(1), True, {"num_labels": 1}, "regress", ["LABEL_0"]),
    (classifier(1), True, {"problem_type": "regression"}, "regress", ["LABEL_0"]),
    (classifier(1), True, {}, "choice", ["answer"]),  # two labels go without saying: not the head of a text
    (classifier(3), False, THREE, "tag", ["x", "y", "z"]),
    (SPAN, False, {}, "qa", ["answer"]),
    (SPAN, True, {}, "qa", ["answer"]),
])
@pytest.mark.parametrize("architecture", [True, False])
def test_what_a_head_means(heads, pooler, config, task, labels, architecture, headed):
    module = TASKS[task]
    folder = headed(heads, pooler, architectures=[module.ARCHITECTURE] if architecture else None, **config)
    model = saved.load(folder)
    assert model.task is module
    assert model.labels == labels
    assert model.settings.multi_label is (task == "multi_label")
    said = "does not say what the head is for" in "\n".join(model.notes)
    assert said is not architecture


def test_heads_of_the_original_scripts_have_no_architecture_either(headed):
    """run_classifier.py calls its head output_weights and output_bias, run_squad.py cls/squad/output_weights."""
    assert saved.load(headed({"output_weights": (3, 24), "output_bias": (3,)})).task is TASKS["classify"]
    assert saved.load(headed({"cls/squad/output_weights": (2, 24), "cls/squad/output_bias": (2,)})).task is TASKS["qa"]


@pytest.mark.parametrize(("heads", "config", "asked", "message"), [
    (classifier(2), {"problem_type": "many_labels"}, None, r"config\.json: problem_type must be one of single_label_class"),
    (classifier(1), ONE | {"problem_type": "single_label_classification"}, None, "no classes to choose between; it is a number"),
    (classifier(1), ONE, "classify", "no classes to choose between; it is a number"),
    (classifier(5), THREE, None, r"classifier\.weight: expected shape \(3, 24\), found \(5, 24\)"),
    (classifier(2), {"id2label": {"0": "x", "2": "y"}}, None, "id2label must name the classes from 0 on"),
    (classifier(2), {"id2label": ["x", "y"]}, None, "id2label must name the classes from 0 on"),
    (classifier(2), {"problem_type": ["regression"]}, None, "problem_type must be one of"),
    ({}, {"architectures": [["x"]]}, None, "has no head for a task"),
    ({}, {}, None, r"has no head for a task: its config\.json says architectures = None, and there is no tensor called"),
    (SPAN, {}, "classify", r"has no classifier\.bias and no classifier\.weight"),
])
def test_a_head_that_cannot_be_is_refused(heads, config, asked, message, headed):
    folder = headed(heads, **config)
    with pytest.raises(ValueError, match=message):
        saved.load(folder, task=asked)


def test_the_task_that_was_asked_for_wins(headed):
    assert saved.load(headed(classifier(2)), task="regress").task is TASKS["regress"]
    assert saved.load(headed(classifier(1), **ONE), task="choice").task is TASKS["choice"]
    multi = headed(classifier(2), problem_type="multi_label_classification")
    assert saved.load(multi, task="classify").task is TASKS["multi_label"]  # which is what classify is for here
    assert saved.load(headed(classifier(2), problem_type="regression"), task="classify").task is TASKS["classify"]


def test_classes_that_have_only_numbers_are_called_as_in_the_file(headed, predict, tmp_path, capsys):
    folder = headed(classifier(2))
    path = tmp_path / "glue.tsv"
    path.write_text("sentence\tlabel\nc a d\t0\nb c d\t1\n", encoding="utf-8")
    assert predict(folder, path) == 0
    printed = capsys.readouterr()
    assert {line.split("\t")[3] for line in printed.out.splitlines()[1:]} <= {"0", "1"}
    assert "accuracy" in printed.err
    path.write_text("sentence\nc a d\nb c d\n", encoding="utf-8")
    assert predict(folder, path) == 0
    assert "LABEL_" in capsys.readouterr().out


# --- several numbers a text --------------------------------------------------------------------------------------------


def test_several_numbers_are_learned_and_told(model, predict, tmp_path, capsys):
    path = tmp_path / "vad.tsv"
    path.write_text("text\tscore\n" + "".join(f"c {'ab'[i % 2]} {'defghij'[i % 7]}\t{i % 2}|{3 - i % 2}\n" for i in range(30)),
                    encoding="utf-8")
    assert command.run(parsed("regress", "--model", model, "--train", path, "--dev", path, "--out", tmp_path / "out", *SMALL,
                              "--epochs", 20)) == 0
    loaded = saved.load(tmp_path / "out")
    assert loaded.labels == ["LABEL_0", "LABEL_1"]
    assert json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))["scores"]["pearson"] > 0.8
    capsys.readouterr()
    assert predict(tmp_path / "out", path) == 0
    _, _, label, guess, off = capsys.readouterr().out.splitlines()[2].split("\t")
    assert label == "1.0000|2.0000"
    assert float(off) == pytest.approx(np.abs(np.subtract([1, 2], [float(x) for x in guess.split("|")])).mean(), abs=1e-4)


@pytest.mark.parametrize(("label", "value"), [
    ("1.5", 1.5), (" -2 ", -2.0), ("1|2", (1.0, 2.0)), ("[1, 2.5]", (1.0, 2.5)), ("[3]", 3.0)])
def test_how_numbers_are_written(label, value, tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text(f"text\tscore\nc\t{label}\n", encoding="utf-8")
    assert regress.read(path, Settings(task="regress")).examples[0].label == value


@pytest.mark.parametrize("label", ["1,5", "1|x", "[]", "[1, [2]]", "nan|1"])
def test_what_is_no_number_is_refused(label, tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text(f"text\tscore\nc\t{label}\n", encoding="utf-8")
    with pytest.raises(ValueError, match="is not a number"):
        regress.read(path, Settings(task="regress"))


def test_as_many_numbers_for_each_text(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("text\tscore\nc\t1|2\nd\t2|1\ne\t3\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"a\.tsv, line 4: expected as many numbers as in line 2, 2, found 1"):
        regress.read(path, Settings(task="regress"))
    made = [regress.Example("c", None, label, f"line {i}") for i, label in enumerate([(1.0, 2.0), (3.0, 1.0)])]
    with pytest.raises(ValueError, match=r"line 0: expected as many numbers as the training examples have, 1, found 2"):
        regress.encode(made, None, ["LABEL_0"], None)
    assert len(regress.describe(made)) == 2 * len(regress.describe([e._replace(label=e.label[0]) for e in made])) == 4
    with pytest.raises(ValueError, match=r"line 0: the label has 2 numbers, but the model gives 1"):
        regress.score(made[:1], [regress.Guess(1.0)], ["LABEL_0"])
