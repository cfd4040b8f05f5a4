"""``--weights FILE``: every command that opens a model's folder is told which of several files is meant."""

import argparse

import numpy as np
import pytest

from minibert import cli, plots, pretrained
from minibert.cli import main
from minibert.finetuning import command as finetuning
from minibert.finetuning import saved
from minibert.pretrained import gguf, tensors
from minibert.training import command as training
from tests import tiny_model

TEXTS = "".join(f"the {word} raises an exception\tgood\na {word} sees b c d e f\tbad\n"
                for word in "cat dog a b c d e f the an sees raises".split())
COMMANDS = {  # MODEL: the folder, TEXTS: a file of them, OUT: what is written
    "fill-mask": "--model MODEL [MASK]", "generate": "--model MODEL the", "score": "--model MODEL the",
    "embed": "MODEL TEXTS --out OUT", "info": "MODEL",
    "search": "MODEL TEXTS a", "convert": "MODEL OUT", "demo": "MODEL --export OUT the", "predict": "MODEL TEXTS",
    "analyse": "contextual MODEL --data TEXTS --quick --out OUT",
    "finetune": "classify --model MODEL --train TEXTS --out OUT --epochs 1 --max-length 16",
    "train": "--init MODEL --corpus TEXTS --out OUT --steps 2 --max-length 16",
    "compress": "distil --teacher MODEL --corpus TEXTS --layers 1 --out OUT --steps 2 --max-length 16"}
HAVE_IT = {*COMMANDS, "tokenize"}  # which of several files matters where the vocabulary is in them
OPENS_NONE = {"world", "prepare"}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Pictures take longer than such a training, and the memory settings would hold for all tests that follow."""
    for module in (finetuning, training):
        monkeypatch.setattr(module, "keep_freed_memory", lambda: None)
    for name in ("confusion", "tuning_curve", "learning_curve"):
        monkeypatch.setattr(plots, name, lambda *args: None)


@pytest.fixture
def folder(tmp_path):
    """Two models in a folder, neither of whose names goes first. Both have a head for texts."""
    config, parameters, tokenizer = tiny_model.make()
    pretrained.save(tmp_path / "model", config, parameters, tokenizer)
    rng = np.random.default_rng(0)
    head = {"classifier.weight": rng.normal(0, 1, (2, 12)).astype(np.float32), "classifier.bias": np.zeros(2, np.float32)}
    for name, sign in (("one", 1), ("other", -1)):
        tensors.write(tmp_path / "model" / f"{name}.safetensors", {**{name: sign * x for name, x in parameters.items()}, **head})
    (tmp_path / "model" / "model.safetensors").unlink()
    (tmp_path / "texts.tsv").write_text(TEXTS, encoding="utf-8")
    return tmp_path / "model"


def run(name, folder, *more):
    places = {"MODEL": folder, "TEXTS": folder.parent / "texts.tsv", "OUT": folder.parent / "out"}
    return main([name, *(str(places.get(word, word)) for word in COMMANDS[name].split()), *more])


def test_every_command_has_it_or_opens_no_model():
    commands = next(x for x in cli.parser()._actions if isinstance(x, argparse._SubParsersAction)).choices
    assert {name for name, parser in commands.items() if "--weights" in parser._option_string_actions} == HAVE_IT
    assert commands.keys() == HAVE_IT | OPENS_NONE


@pytest.mark.parametrize("name", COMMANDS)
def test_the_file_that_is_named_is_read(name, folder, capsys):
    assert run(name, folder) == 2
    assert ("has several checkpoints (one.safetensors, other.safetensors); name the one to read: --weights FILE"
            in capsys.readouterr().err)
    assert run(name, folder, "--weights", "third.safetensors") == 2
    assert "has no third.safetensors, and there is no such file" in capsys.readouterr().err
    assert run(name, folder, "--weights", "other.safetensors") == 0


@pytest.mark.parametrize("name", ["finetune", "train"])
def test_training_begins_with_it(name, folder):
    """With a step too small to change a number."""
    assert run(name, folder, "--weights", "other.safetensors", "--learning-rate", "1e-30") == 0
    source = dict(pretrained.load(folder, weights="other.safetensors").parameters.items())
    found = dict(saved.load(folder.parent / "out").parameters.items() if name == "finetune" else
                 pretrained.load(folder.parent / "out").parameters.items())
    for part in ("bert.encoder.layer.0.output.dense.weight", "bert.embeddings.word_embeddings.weight"):
        np.testing.assert_array_equal(found[part], source[part])


def test_of_several_files_with_vocabularies_of_their_own(folder, capsys):
    config, parameters, tokenizer = tiny_model.make()
    for name in ("one", "other"):
        gguf.write(folder / f"{name}.gguf", dict(parameters.items()), config, tokenizer)
    for path in [*folder.glob("*.safetensors"), folder / "vocab.txt", folder / "tokenizer_config.json"]:
        path.unlink()
    assert main(["tokenize", "--model", str(folder), "the cat"]) == 2
    assert "several checkpoints" in capsys.readouterr().err
    assert main(["tokenize", "--model", str(folder), "--weights", "one.gguf", "the cat"]) == 0
    assert "##t" in capsys.readouterr().out
    assert main(["tokenize", "--model", str(folder), "--weights", "one.gguf", "--cut", "characters", "the cat"]) == 2
    assert "one.gguf holds the tokenizer too, which finds words as BERT does" in capsys.readouterr().err


def test_a_folder_without_a_configuration_is_fine_tuned(folder):
    (folder / "config.json").unlink()
    assert run("finetune", folder, "--weights", "one.safetensors", "--heads", "3") == 0
    assert saved.load(folder.parent / "out").config.num_attention_heads == 3


def test_where_it_has_no_meaning_it_is_refused(folder, capsys):
    assert main(["train", "--weights", "one.safetensors"]) == 2
    assert "--weights: which file of the folder that --init names; give --init DIR with it" in capsys.readouterr().err
    for arguments in (["the"], ["--vocab", str(folder / "vocab.txt"), "the"]):
        assert main(["tokenize", "--weights", "one.safetensors", *arguments]) == 2
        assert "--weights: which file of the folder that --model names; give --model DIR with it" in capsys.readouterr().err
    for arguments in (["contextual"], ["--scoreboard", "--real", str(folder), "--data", str(folder.parent / "texts.tsv")]):
        assert main(["analyse", *arguments, "--weights", "one.safetensors"]) == 2
        assert "--weights and --heads are for the folder of the MODEL behind the NAME" in capsys.readouterr().err
    assert main(["finetune", "--resume", "runs/x", "--weights", "one.safetensors"]) == 2
    assert "--resume takes its settings from the run, so --weights cannot be given as well" in capsys.readouterr().err
