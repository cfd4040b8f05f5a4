"""Special tokens that are written in the texts of examples: tokens, unless ``--literal`` says that they are words."""

import json

import numpy as np
import pytest

from minibert.finetuning import command, saved
from minibert.finetuning.options import Settings
from minibert.tasks.labelled import TASKS, qa
from tests import tiny_model

TOKENIZER = tiny_model.make()[2]
VOCAB = TOKENIZER.vocab
CASES = {  # content, name of the file, the tokens of its first sequence, how many there are with --literal
    "classify": ("a [SEP] b\tx\n c\ty\n", "a.tsv", "[CLS] a [SEP] b [SEP]", 9),
    "regress": ("a[MASK]b\t1\nc\t2\n", "a.tsv", "[CLS] a [MASK] b [SEP]", 10),
    "choice": (json.dumps({"sent1": "a [SEP]", "ending0": "[MASK] b", "ending1": "c", "label": 0}) + "\n", "a.jsonl",
               "[CLS] a [SEP] [SEP] [MASK] b [SEP]", 16),
    "tag": ("a\tO\n[SEP]\tX\nb[MASK]\tX\n", "a.tsv", "[CLS] a [SEP] b [MASK] [SEP]", 15),
    "qa": (json.dumps([{"id": "1", "question": "[MASK] a", "context": "b [SEP] c d",
                        "answers": [{"text": "c", "answer_start": 8}]}]), "a.json",
           "[CLS] [MASK] a [SEP] b [SEP] c d [SEP]", 18),
}


def features(task, tmp_path, **settings):
    content, name, *_ = CASES[task]
    (tmp_path / name).write_text(content, encoding="utf-8")
    settings = Settings(task=task, max_length=24, **settings)
    examples = TASKS[task].read(tmp_path / name, settings).examples
    labels = {"tag": ["O", "X"], "regress": ["number"]}.get(task, ["x", "y"])
    return examples, TASKS[task].encode(examples, TOKENIZER, labels, settings)[0]


@pytest.mark.parametrize("task", CASES)
def test_they_are_tokens_and_literally_words(task, tmp_path):
    _, _, tokens, length = CASES[task]
    _, found = features(task, tmp_path)
    assert " ".join(VOCAB.tokens[i] for i in found[0].ids[0]) == tokens
    _, found = features(task, tmp_path, literal=True)
    words = [VOCAB.tokens[i] for i in found[0].ids[0]]
    assert len(words) == length
    assert words.count("[SEP]") == 1 + (task in ("choice", "qa"))
    assert "[MASK]" not in words


def test_pairs_are_cut_where_the_second_text_begins(tmp_path):
    (tmp_path / "a.tsv").write_text("a [SEP] b\tc\tx\nd\te [SEP]\ty\n", encoding="utf-8")
    settings = Settings(text="1", pair="2", label="3", max_length=24)
    examples = TASKS["classify"].read(tmp_path / "a.tsv", settings).examples
    found, _ = TASKS["classify"].encode(examples, TOKENIZER, ["x", "y"], settings)
    assert [feature.splits for feature in found] == [(5,), (3,)]


@pytest.mark.parametrize("literal", [False, True])
def test_words_of_a_sentence_keep_their_tags(literal, tmp_path):
    _, (feature,) = features("tag", tmp_path, literal=literal)
    assert [VOCAB.tokens[feature.ids[0][place]] for place in feature.places] == ["a", "[UNK]" if literal else "[SEP]", "b"]
    assert feature.labels[feature.places].tolist() == [0, 1, 1]


@pytest.mark.parametrize("literal", [False, True])
def test_answers_behind_them_stand_where_they_stood(literal, tmp_path):
    (example,), (feature,) = features("qa", tmp_path, literal=literal)
    first, last = feature.labels
    assert VOCAB.tokens[feature.ids[0][first]] == "c"
    assert first == last
    logits = np.zeros((2, feature.length))
    logits[:, first] = 9
    guess, = qa.guess([logits], [feature], [example], ["answer"], Settings(task="qa"))
    assert guess.text == "c"
    logits[0, first - 1] = 20  # the answer may hold such a token
    guess, = qa.guess([logits], [feature], [example], ["answer"], Settings(task="qa"))
    assert guess.text == ("] c" if literal else "[SEP] c")


def test_it_is_said_kept_and_can_be_changed(finetune, predict, files, tmp_path, capsys):
    train, _ = files("classify")
    special = train.read_text(encoding="utf-8").replace(" ", " [SEP] ", 1)
    other = tmp_path / "special.tsv"
    other.write_text(special, encoding="utf-8")
    assert finetune("classify", "--epochs", 1, "--train", other) == 0
    line, = (line for line in capsys.readouterr().out.splitlines() if "[SEP], [MASK]" in line)
    assert line.split()[5:7] == ["1", "0"]
    assert line.endswith("read as these tokens; as words with --literal")
    assert predict(tmp_path / "out", other) == 0
    assert "special tokens written in the text: 1, read as the tokens that they name" in capsys.readouterr().err
    assert predict(tmp_path / "out", other, "--literal") == 0
    assert "special tokens written in the text: 1, read as words" in capsys.readouterr().err

    assert finetune("classify", "--epochs", 1, "--train", other, "--literal", out=tmp_path / "words") == 0
    assert "read as words" in capsys.readouterr().out
    assert saved.load(tmp_path / "words").settings.literal
    assert predict(tmp_path / "words", other) == 0
    assert "read as words" in capsys.readouterr().err
    assert predict(tmp_path / "words", other, "--no-literal") == 0
    assert "read as the tokens" in capsys.readouterr().err


def test_folders_from_before_there_was_a_choice_read_words(finetune, tmp_path):
    assert finetune("classify", "--epochs", 1) == 0
    for name, load in ((saved.READING, lambda: saved.load(tmp_path / "out").settings),
                       (command.SETTINGS, lambda: command._read_settings(tmp_path / "out")[0])):
        path = tmp_path / "out" / name
        values = json.loads(path.read_text(encoding="utf-8"))
        assert load().literal is False
        (values if name == saved.READING else values["settings"]).pop("literal")
        path.write_text(json.dumps(values), encoding="utf-8")
        assert load().literal is True


def test_predict_says_what_it_could_not_read(finetune, predict, tmp_path, capsys):
    assert finetune("classify", "--epochs", 1) == 0
    (tmp_path / "odd.tsv").write_text("राम c\nd\n", encoding="utf-8")
    capsys.readouterr()
    assert predict(tmp_path / "out", tmp_path / "odd.tsv", "--no-header", "--text", "1") == 0
    assert "note: unknown to the model's vocabulary: 1 of 3 tokens (33.3%)" in capsys.readouterr().err
