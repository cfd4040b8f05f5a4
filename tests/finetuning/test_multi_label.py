"""Several labels a text: how they are written, what is guessed, and how they count."""

import json
import re

import numpy as np
import pytest

from minibert.finetuning import command, options, parts
from minibert.finetuning.look import look
from minibert.finetuning.options import Settings
from minibert.tasks.labelled import TASKS, classify, multi_label
from minibert.text import Reading
from tests import tiny_model
from tests.finetuning.conftest import SMALL, parsed


@pytest.fixture
def read(tmp_path):
    """``read(content, name, labelled)``: the examples of a file with this content."""
    def make(content, name="data.tsv", labelled=True, task=multi_label):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return task.read(path, Settings(multi_label=task is multi_label), labelled)
    return make


@pytest.mark.parametrize(("value", "labels"), [
    ("a", ("a",)), ("b|a", ("a", "b")), (" b | a |", ("a", "b")), ("a|a", ("a",)), ("", ()), (" ", ()), ("[]", ()), ([], ()),
    ('["b", "a"]', ("a", "b")), (["a|b", "c"], ("a|b", "c")), ([3, 27], ("27", "3")), (" [1] ", ("1",)), ("[", ("[",)),
])
def test_how_labels_are_written(value, labels):
    assert multi_label.split(value, "here") == labels
    assert multi_label.split(multi_label.join(labels), "here") == labels


@pytest.mark.parametrize("value", [["a", "a"], [0, 1, 0], [0.0, 1.0], [["a"]], [None], {"a": 1}, 3.5, "['a', 'b']", "['a' 'b']",
                                   "[" * 50_000 + "]"])
def test_what_is_no_list_of_labels_is_refused(value):
    with pytest.raises(ValueError, match=r"^line 3: the labels of a text must be given as a\|b, or as a JSON list") as caught:
        multi_label.split(value, "line 3")
    assert len(str(caught.value)) < 250


def test_an_empty_cell_is_none_of_them_and_a_missing_one_is_not_known(read):
    assert [e.label for e in read("text\tlabels\nx\tb|a\ny\t\n").examples] == [("a", "b"), ()]
    data = read('{"text": "x", "labels": ["a"]}\n{"text": "y", "labels": []}\n{"text": "z", "labels": null}\n{"text": "w"}\n',
                "a.jsonl")
    assert [e.label for e in data.examples] == [("a",), (), None, None]


def test_a_column_of_labels_is_found_though_most_of_it_is_empty(read):
    data = read("one a\t\ntwo b\tx|y\nthree c\t\nfour d\tx\nfive e\t\n")
    assert data.columns == {"text": "1", "label": "2"}
    assert [e.label for e in data.examples] == [(), ("x", "y"), (), ("x",), ()]


def test_an_empty_column_is_not_none_of_them_for_every_text_where_no_labels_are_needed(read):
    content = "text\tlabels\nx\t\ny\t\n"
    assert [e.label for e in read(content, labelled=None).examples] == [None, None]
    assert [e.label for e in read(content).examples] == [(), ()]


def test_labels_that_cannot_be_read_stop_a_training_but_not_a_prediction(read):
    content = '{"text": "x", "labels": [0, 1, 0]}\n{"text": "y", "labels": ["a"]}\n'
    with pytest.raises(ValueError, match=r"a\.jsonl, line 1: the labels of a text must be"):
        read(content, "a.jsonl")
    assert [e.label for e in read(content, "a.jsonl", labelled=None).examples] == [None, ("a",)]


def examples(*labels):
    return [multi_label.Example(f"text {i}", None, each, f"line {i}") for i, each in enumerate(labels)]


def test_the_labels_of_all_texts_and_what_is_no_task():
    assert multi_label.labels(examples(("b",), (), ("a", "b"))) == ["a", "b"]
    assert multi_label.labels(examples(("a",), ())) == ["a"]  # a single one, there or not
    with pytest.raises(ValueError, match=r"all 2 training examples have the labels a\|b: there is nothing to tell apart"):
        multi_label.labels(examples(("a", "b"), ("b", "a")))


def test_a_label_applies_above_one_half_whatever_the_others_do():
    with np.errstate(over="raise", invalid="raise"):
        sure, none, all_of_them = multi_label.guess(np.array([[800.0, -800], [0, -1], [0.1, 2]]), [], [], ["a", "b"], None)
    assert sure == (("a",), 1.0, {"a": 1.0, "b": 0.0})
    assert none.label == ()
    assert all_of_them.label == ("a", "b")
    assert none.confidence == pytest.approx(0.5 / (1 + np.exp(-1)))


def test_features_are_truth_values_also_where_no_label_is_known():
    _, _, tokenizer = tiny_model.make()
    features, cut = multi_label.encode(examples(("b",), (), None), tokenizer, ["a", "b"], Settings(max_length=24))
    assert [feature.labels.tolist() for feature in features] == [[False, True], [False, False], [False, False]]
    assert {feature.labels.dtype for feature in features} == {np.dtype(bool)}
    assert cut == 0
    with pytest.raises(ValueError, match=r"line 0: the label 'c' does not occur in the training data, which has a, b"):
        multi_label.encode(examples(("c",)), tokenizer, ["a", "b"], Settings(max_length=24))


def test_what_a_guess_without_reading_is_worth():
    made = examples(("a",), ("a",), ("a", "b"), ())
    said = "\n".join(multi_label.describe(made))
    assert "1.00 labels a text; 1 texts have none" in said
    assert "always guessing a has a micro F1 of 75.0%" in said
    assert "a          3   75.0%" in said  # of the texts, not of the labels
    same = [multi_label.Guess(("a",), 1.0, {})] * 4
    assert multi_label.score(made, same, ["a", "b"])["f1_micro"] == 0.75


def test_scores_by_hand():
    made = examples(("a", "b"), ("a",), ())
    guesses = [multi_label.Guess(labels, 1.0, {}) for labels in (("b", "a"), ("b",), ())]
    scores = multi_label.score(made, guesses, ["a", "b", "c"])
    assert scores == pytest.approx({"f1_micro": 4 / 6, "f1_macro": (2 / 3 + 2 / 3 + 0) / 3, "subset_accuracy": 2 / 3})
    assert multi_label.picture(made, guesses, ["a", "b", "c"])[0].tolist() == [
        [[1, 0], [1, 1]], [[1, 1], [0, 1]], [[3, 0], [0, 0]]]


def test_balanced_weights_make_a_rare_label_count_as_much_where_it_is_as_where_it_is_not():
    _, _, tokenizer = tiny_model.make()
    made = examples(("a", "c"), ("a", "c"), ("a", "c"), ("a", "b", "c"), ("c",))
    features, _ = multi_label.encode(made, tokenizer, ["a", "b", "c"], Settings(max_length=24))
    np.testing.assert_allclose(parts.class_weights("balanced", features, ["a", "b", "c"]), [1 / 4, 4, 1 / 5])
    np.testing.assert_allclose(parts.class_weights("b=3", features, ["a", "b", "c"]), [1, 3, 1])


@pytest.mark.parametrize("weights", ["balanced", "b=30,c=30"])
def test_class_weights_find_more_of_a_label(weights, finetune, tmp_path):
    def guessed(out, *argv):
        assert finetune("multi_label", "--epochs", 1, "--learning-rate", 0.001, *argv, out=tmp_path / out) == 0
        rows = (tmp_path / out / "predictions.tsv").read_text(encoding="utf-8").splitlines()[1:]
        return [sum(json.loads(row.split("\t")[-1]).values()) for row in rows]
    assert np.mean(guessed("a", "--class-weights", weights)) > np.mean(guessed("b"))


def test_the_picture_shows_each_label(finetune, pictures, tmp_path):
    assert finetune("multi_label", "--epochs", 1) == 0
    assert (tmp_path / "out" / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_the_folder_says_what_its_outputs_are(finetune, tmp_path):
    assert finetune("multi_label", "--epochs", 1) == 0
    config = json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))
    assert config["problem_type"] == "multi_label_classification"
    assert config["id2label"] == {"0": "b", "1": "c"}


def test_other_tasks_have_no_several_labels():
    with pytest.raises(ValueError, match="--multi-label: several labels a text are for the task classify, not for regress"):
        options.settings_of(parsed("regress", "--multi-label", "--train", "x"))


def test_several_labels_without_the_option_are_said(read):
    data = read("x one\ta|b\ny two\ta\nz three\tb\nw four\ta\n", "a.tsv", task=classify)
    said = "\n".join(classify.describe(data.examples))
    assert "1 labels look like several, such as 'a|b'" in said
    assert "--multi-label" in said
    assert "--multi-label" not in "\n".join(classify.describe([e._replace(label="a") for e in data.examples]))


def test_labels_that_something_else_separates_are_said(read):
    said = multi_label.describe(read("x one\ta, b\ny two\ta\nz three\tb|c\nw four\ta\n").examples)
    assert "note: 1 labels look like several, such as 'a, b', which is one here; what separates labels is |" in said
    assert "note" not in "".join(multi_label.describe(read("x one\tred, or so|a\ny two\ta\n").examples))


def test_a_sign_for_no_labels_is_none(read):
    data = read("text\tlabels\nx\ta|b\ny\t-\nz\ta\nv\t\nw\tnone\n")
    assert [e.label for e in data.examples] == [("a", "b"), None, ("a",), (), ("none",)]
    assert "a label '-' is taken to say that there is none" in data.notes
    assert any(note.startswith("the label 'none' is taken for a class") for note in data.notes)


def test_a_list_of_labels_without_the_option_is_refused(read):
    with pytest.raises(ValueError, match=r'a\.jsonl, line 1: the label .* must be one, found \["a", "b"\].*--multi-label'):
        read('{"text": "x", "label": ["a", "b"]}\n{"text": "y", "label": "c"}\n', "a.jsonl", task=classify)


def test_without_a_dev_file_every_label_stays_in_training(model, tmp_path, capsys):
    path = tmp_path / "train.tsv"
    path.write_text("text\tlabels\n" + "".join(f"{'abcde'[i % 5]} {'fghij'[i // 5 % 5]}\t{'x|' * (i % 2)}{'rare' * (i == 7)}\n"
                                               for i in range(40)), encoding="utf-8")
    arguments = parsed("classify", "--multi-label", "--model", model, "--train", path, "--out", tmp_path / "out", *SMALL,
                       "--epochs", 1)
    assert command.run(arguments) == 0
    assert re.search(r"rare +1 +2\.8%", capsys.readouterr().out)


def test_the_look_at_it(files):
    train, dev = files("multi_label")
    _, _, tokenizer = tiny_model.make()
    settings = Settings(multi_label=True, max_length=24)
    task = TASKS["multi_label"]
    read = [task.read(path, settings) for path in (train, dev)]
    encoded = [task.encode(data.examples, tokenizer, ["b", "c"], settings) for data in read]
    said = look(task, *read, *(features for features, _ in encoded), (0, 0), 24, [Reading(10, 1, 0)] * 2)
    assert "label: labels, text: sentence" in said
    assert "texts have none" in said
