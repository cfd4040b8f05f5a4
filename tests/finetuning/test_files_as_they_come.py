"""Whole runs from files as they come: what a user reads in the report, and what the model learns to tell apart."""

import json

import pytest

from minibert import cli
from minibert.finetuning import command, saved
from tests.finetuning.conftest import SMALL, parsed

A, B = ("an a in it", "yes"), ("a b in it", "no")


def lines(*rows, separator="\t", times=12):
    return "".join(separator.join(row) + "\n" for _ in range(times) for row in rows)


def words(sentence, times=12):
    return (sentence.replace(" / ", "\n") + "\n\n") * times


def squad(*questions):
    qas = [{"id": str(i), "question": "the", "answers": answers, **more} for i, (answers, more) in enumerate(questions)]
    return json.dumps({"data": [{"paragraphs": [{"context": "c d .\nb   e d .", "qas": qas}]}]})


FOUR = words("an DT B-NP O / ab NN I-NP B-PER / raises VB B-VP O")
NUMBERED = words("1\tan\tO\tB-X / 2\tab\tB-PER\tO / 3\traises\tO\tO")
UNIVERSAL = words("1 an _ DET DT _ 2 det _ _ / 2 ab _ NOUN NN _ 3 subj _ _ / 3 raises _ VERB VB _ 0 root _ _").replace(" ", "\t")
SUBWORDS = "".join(json.dumps({"tokens": ["[CLS]", "an", "ab", "##c"], "labels": [-100, 0, 1, -100]}) + "\n" for _ in range(12))
SNLI = "".join(json.dumps({"gold_label": label, "sentence1": "a b", "sentence2": f"c {label[0]}"}) + "\n"
               for label in ["neutral", "entailment", "contradiction", "-"] + 9 * ["neutral", "entailment", "contradiction"])
BLUE = [{"text": "b", "answer_start": 6}]
SPACED = [{"text": "d . b e", "answer_start": 2}]
NOWHERE = [{"text": "z", "answer_start": 0}]


@pytest.mark.parametrize(("name", "content", "task", "options", "labels", "said"), [
    ("conll4.txt", FOUR, "tag", [], ["B-PER", "O"], ["word: 1, label: 4", "12 PER", "the scheme is BIO"]),
    ("conll4.txt", FOUR, "tag", ["--label", 2], ["DT", "NN", "VB"], ["word: 1, label: 2", "no scheme of entities"]),
    ("cr.txt", FOUR.replace("\n", "\r"), "tag", [], ["B-PER", "O"], ["word: 1, label: 4", "12 PER"]),
    ("germeval.tsv", NUMBERED, "tag", ["--text", 2, "--label", 3], ["B-PER", "O"], ["word: 2, label: 3", "12 PER"]),
    ("germeval.tsv", NUMBERED, "tag", ["--label", 4], ["B-X", "O"], ["word: 2, label: 4", "12 X"]),
    ("ewt.conllu", UNIVERSAL, "tag", [], ["DET", "NOUN", "VERB"], ["word: FORM, label: UPOS"]),
    ("ewt.conllu", UNIVERSAL, "tag", ["--label", "XPOS"], ["DT", "NN", "VB"], ["word: FORM, label: XPOS"]),
    ("ewt.conllu", UNIVERSAL, "tag", ["--label", "DEPREL"], ["det", "root", "subj"], ["word: FORM, label: DEPREL"]),
    ("hf.jsonl", SUBWORDS, "tag", [], ["0", "1"], ["label '-100' is taken to say", "24 words have no label"]),
    ("bilou.txt", words("a B-PER / b I-PER / c L-PER / d O / e U-X"), "tag", [], ["B-PER", "I-PER", "L-PER", "O", "U-X"],
     ["24 entities", "the scheme is BILOU"]),
    ("bmes.txt", words("a B-N / b M-N / c E-N / d O / e S-L"), "tag", [], ["B-N", "E-N", "M-N", "O", "S-L"],
     ["24 entities", "the scheme is BMES"]),
    ("msra.tsv", "text_a\tlabel\n" + lines(("a b c", "O B-X O")), "tag", [], ["B-X", "O"],
     ["word: text_a, label: label", "12 X"]),
    ("yn.tsv", lines(("an a in it", "y"), ("a b in it", "n")), "classify", [], ["n", "y"], ["24"]),
    ("acts.tsv", lines(("question", "is it a"), ("statement", "it is b"), ("statement", "so it is b")), "classify", [],
     ["question", "statement"], ["label: 1, text: 2", "36", "'question' stands below it too"]),
    ("intent.csv", "utterance,intent\n" + lines(A, B, separator=","), "classify", [], ["no", "yes"], ["label: intent", "24"]),
    ("cola.tsv", lines(("gj04", "1", "", "it is a ."), ("cj99", "0", "*", "is it b .")), "classify", [], ["0", "1"],
     ["label: 2, text: 4", "24"]),
    ("mac.tsv", "text\tlabel\r" + lines(A, B).replace("\n", "\r"), "classify", [], ["no", "yes"], ["24"]),
    ("semi.csv", "text;label\r\n" + lines(A, B, separator=";").replace("\n", "\r\n"), "classify", [], ["no", "yes"],
     ["24", "separated by semicolons"]),
    ("snli.jsonl", SNLI, "classify", [], ["contradiction", "entailment", "neutral"],
     ["30", "a label '-' is taken to say", "1 of 31 examples have no label and are left out (the first: line 4)"]),
    ("impossible.json", squad(*[(BLUE, {}), (BLUE, {"is_impossible": True})] * 8), "qa", [], ["answer", "no answer"],
     [f"has no answer  {8:>9}   50.0%", "8 with answers beside is_impossible"]),
    ("ws.json", squad(*[(BLUE, {})] * 8, (SPACED, {}), (NOWHERE, {})), "qa", [], ["answer"],
     ["1 with an answer that differs from the text in white space only", "1 with an answer that does not stand in the text"]),
])
def test_learned_from(name, content, task, options, labels, said, model, predict, tmp_path, capsys):
    path, out = tmp_path / name, tmp_path / "out"
    path.write_bytes(content.encode("utf-8"))
    where = "--model", model, "--train", path, "--dev", path, "--out", out
    assert command.run(parsed(task, *where, *SMALL, "--epochs", 1, *options)) == 0
    assert saved.load(out).labels == labels
    report = capsys.readouterr().out
    for part in said:
        if part.isdigit():
            part = f"  examples                  {part:>11}"
        assert part in report
    assert predict(out, path) == 0
    printed = capsys.readouterr()
    assert printed.out == (out / "predictions.tsv").read_text(encoding="utf-8") or name == "snli.jsonl"  # it answers those too


@pytest.mark.parametrize(("task", "options", "message"), [
    ("tag", ["--pair", 2], "--pair: the task tag reads one text"),
    ("tag", ["--label", 9], "no column '9' for the label; its columns are 1, 2"),
    ("tag", ["--text", "wort"], "no column 'wort' for the text"),
    ("qa", ["--no-header"], "--header and --no-header: the task qa reads JSON"),
    ("qa", ["--label", "antwort"], "has no 'antwort' but id, question, answers"),
    ("qa", ["--text", "passage"], "has no 'passage' but id, question, answers"),
    ("qa", ["--pair", "frage"], "has no 'frage' but id, question, answers"),
    ("choice", ["--no-header"], "--header and --no-header do not apply"),
    ("choice", ["--pair", "start"], "no column 'start' for the pair"),
    ("classify", ["--stride", 64, "--max-query", 8], "--stride, --max-query: only the task qa"),
    ("regress", ["--null-threshold", 1], "--null-threshold: only the task qa"),
    ("regress", ["--class-weights", "balanced"], "regress has no classes"),
    ("classify", ["--text", 1, "--pair", 1], "--text and --pair both name the column 1"),
])
def test_every_option_is_obeyed_or_refused(task, options, message, finetune, tmp_path):
    with pytest.raises(ValueError, match=message):
        finetune(task, *options)
    assert not (tmp_path / "out").exists()


def test_a_header_of_the_training_data_does_not_forbid_json(finetune, predict, tmp_path, capsys):
    assert finetune("classify", "--epochs", 1, "--no-header") == 0
    rows = '{"text": "c a d", "label": "good"}\n{"text": "d b", "label": "bad"}\n'
    (tmp_path / "more.jsonl").write_text(rows, encoding="utf-8")
    assert predict(tmp_path / "out", tmp_path / "more.jsonl") == 0
    assert len(capsys.readouterr().out.split("c a d")) == 2
    with pytest.raises(ValueError, match="do not apply"):
        predict(tmp_path / "out", tmp_path / "more.jsonl", "--header")


def test_the_command_names_the_file_that_has_no_labels(model, tmp_path, capsys):
    (tmp_path / "test.jsonl").write_text('{"sentence": "a", "label": -1}\n{"sentence": "b", "label": -1}\n', encoding="utf-8")
    assert cli.main(["finetune", "classify", "--model", str(model), "--train", str(tmp_path / "test.jsonl"), "--out",
                     str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "test.jsonl: none of the 2 examples has a label; a label '-1' is taken to say that there is none" in said
