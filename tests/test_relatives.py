"""Every family at the command line: a small random model with a tokenizer of its own kind, through every command and task."""

import json

import numpy as np
import pytest

import minibert
from minibert import plots, pretrained
from minibert.cli import main
from minibert.finetuning import command as finetuning
from minibert.model import pretraining
from minibert.pretrained import families
from minibert.training import start, vocabularies
from minibert.training.options import FAMILIES, Settings

WORDS = "the cat sees a dog . an exception raises the tree".split()
LINES = [" ".join(WORDS[i:] + WORDS[:i]) for i in range(len(WORDS))]
ODD = ("cat", "dog")
OF_TOKENS = [family for family in FAMILIES if family != "textcnn"]  # it has no vectors of tokens: training/test_textcnn.py
EACH = pytest.mark.parametrize("family", OF_TOKENS)


def _json(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def _question(i, line):
    answer = {"text": "cat", "answer_start": line.index("cat")}
    return {"id": str(i), "question": "who sees", "context": line, "answers": [answer]}


TASKS = {  # what is asked for -> the file, how the name of the class ends
    "classify": ("a.tsv", "".join(f"{x}\t{ODD[i % 2]}\n" for i, x in enumerate(LINES)), "ForSequenceClassification"),
    "classify --multi-label": ("a.jsonl", _json({"text": x, "labels": list(ODD[i % 2:])} for i, x in enumerate(LINES)),
                               "ForSequenceClassification"),
    "regress": ("a.tsv", "text\tscore\n" + "".join(f"{x}\t{i / 2}\n" for i, x in enumerate(LINES)), "ForSequenceClassification"),
    "tag": ("a.conll", "\n\n".join("\n".join(f"{w}\t{'B-X' if w in ODD else 'O'}" for w in x.split()) for x in LINES) + "\n",
            "ForTokenClassification"),
    "qa": ("a.json", json.dumps([_question(i, x) for i, x in enumerate(LINES)]), "ForQuestionAnswering"),
    "choice": ("a.jsonl", _json({"sent1": "the", "ending0": x, "ending1": "a dog", "label": i % 2} for i, x in enumerate(LINES)),
               "ForMultipleChoice"),
    "classify --head san": ("a.tsv", "text1\ttext2\tlabel\n" + "".join(f"{x}\tcat\t{ODD[i % 2]}\n" for i, x in
                                                                      enumerate(LINES)), "Model"),
    "rank": ("a.tsv", "question\tsentence\tlabel\n" + "".join(f"{x}\ta cat\t{i % 2}\n{x}\ta dog\t{1 - i % 2}\n"
                                                           for i, x in enumerate(LINES)), "ForMultipleChoice"),
    "embed": ("a.tsv", "".join(f"{x}\t{x[:20]}\n" for x in LINES), "Model"),
    "embed --scored": ("a.tsv", "text\tpair\tscore\n" + "".join(f"{x}\t{x[:20]}\t{i / 11}\n" for i, x in enumerate(LINES)),
                       "Model"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """``folder(family)``: of a model with random weights, made once; of ELECTRA the generator, or the ``discriminator``."""
    made = {}

    def make(family):
        if family not in made:
            called = "electra" if family == "discriminator" else family
            settings = Settings(family=called, vocab_size=300 if family == "roberta" else 60, hidden=12, heads=3, layers=2,
                                intermediate=20, max_length=48, generator_alone=family == "electra")
            tokenizer = vocabularies.LEARNED[families.FAMILIES[called].vocabulary][1](LINES, settings)
            config = start.config_of(settings, tokenizer)
            made[family] = tmp_path_factory.mktemp(family)
            pretrained.save(made[family], config, pretraining.initial_parameters(config), tokenizer)
        return made[family]
    return make


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Pictures take longer than such a training, and the memory settings would hold for all tests that follow."""
    monkeypatch.setattr(finetuning, "keep_freed_memory", lambda: None)
    for name in ("confusion", "confusion_of_each"):
        monkeypatch.setattr(plots, name, lambda matrix, labels, path, *args: path.write_bytes(b"picture"))
    monkeypatch.setattr(plots, "tuning_curve", lambda rows, path, *args: path.write_bytes(b"picture"))


@EACH
def test_it_is_asked_and_looked_into(family, folder, tmp_path, capsys):
    model = str(folder(family))
    mask = minibert.load(model, "cpu").tokenizer.vocab.special[4]
    (tmp_path / "lines.txt").write_text("\n".join(LINES) + "\n", encoding="utf-8")
    lines, titled = str(tmp_path / "lines.txt"), f", {families.FAMILIES[family].title})"
    for argv, shown in ((["info", model, "--length", "8"], "layers (post-LN)" if family == "bert" else titled),
                        (["fill-mask", "--model", model, f"the {mask} raises"], "%"),
                        (["tokenize", "--model", model, "the cat"], "tokens"),
                        (["score", "--model", model, "the cat sees a dog"], "cat"),
                        (["embed", model, lines, "--out", str(tmp_path / "v.npy")], ""),
                        (["search", model, lines, LINES[3]], LINES[3]),
                        (["demo", model, "--export", str(tmp_path / "page.html"), "the cat"], "opens in any browser")):
        assert main(argv) == 0, argv
        assert shown in capsys.readouterr().out, argv
    assert np.load(tmp_path / "v.npy").shape == (len(LINES), 12)


@pytest.mark.parametrize("family", [*OF_TOKENS, "discriminator"])
@pytest.mark.parametrize("format", ["safetensors", "npz", "onnx"])
def test_it_is_converted_and_comes_back(family, format, folder, tmp_path):
    assert main(["convert", str(folder(family)), str(tmp_path / "there"), "--to", format]) == 0
    assert main(["convert", str(tmp_path / "there"), str(tmp_path / "back")]) == 0
    source, there, back = map(pretrained.load, (folder(family), tmp_path / "there", tmp_path / "back"))
    for copy in (there, back):
        assert copy.config.replace(unknown={}) == source.config.replace(unknown={})
        assert not copy.initialised
        np.testing.assert_array_equal(copy.parameters.flat, source.parameters.flat)
        assert copy.tokenizer.encode(LINES[0]).ids == source.tokenizer.encode(LINES[0]).ids
    assert (tmp_path / "back" / "model.safetensors").read_bytes() == (folder(family) / "model.safetensors").read_bytes()


@EACH
def test_what_llama_cpp_does_not_run_is_refused_and_told_what_else_there_is(family, folder, tmp_path, capsys):
    code = main(["convert", str(folder(family)), str(tmp_path / "gguf"), "--to", "gguf"])
    assert code == (0 if family == "bert" else 2)
    assert family == "bert" or "--to onnx" in capsys.readouterr().err


@EACH
@pytest.mark.parametrize("task", TASKS)
def test_it_learns_a_task_and_answers(family, task, folder, tmp_path, capsys):
    name, content, ending = TASKS[task]
    (tmp_path / name).write_text(content, encoding="utf-8")
    file, run = str(tmp_path / name), tmp_path / "run"
    assert main(["finetune", *task.split(), "--model", str(folder(family)), "--train", file, "--dev", file, "--out", str(run),
                 "--epochs", "1", "--batch-size", "4", "--max-length", "40", *(["--stride", "8"] if task == "qa" else [])]) == 0
    values = json.loads((run / "config.json").read_text(encoding="utf-8"))
    assert values["architectures"] == [families.FAMILIES[family].classes + ending]
    capsys.readouterr()
    assert main(["predict", str(run), file]) == 0
    assert len(capsys.readouterr().out.splitlines()) > len(LINES)
