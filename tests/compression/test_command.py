"""``minibert compress`` as a user runs it: the student is a model like any other, and an interrupted run goes on bit for bit."""

import json
import shutil

import numpy as np
import pytest

import minibert
from minibert import pretrained
from minibert.finetuning import command as finetuning
from minibert.finetuning import saved
from minibert.model import pretraining
from minibert.pretrained import tensors
from minibert.training import command as training
from minibert.training.loop import read_rows
from tests import tiny_model
from tests.compression.conftest import STATES, refused, resume
from tests.finetuning.conftest import parsed
from tests.training.conftest import arguments
from tests.training.runs import interrupt_after

RECIPES = {
    "distil": ("distil", "--states", "1", "--attentions", "1", "--dropout", "0"),
    "narrow": ("distil", "--hidden", "12", "--states", "1", "--layers", "3,1"),
    "theseus": ("theseus", "--dropout", "0.1"),
    "clip-all": ("theseus", "--clip-all", "--replacing", "constant", "--layers", "1"),
}


@pytest.mark.parametrize("kind", RECIPES)
def test_a_student_of_words(kind, words, tmp_path, monkeypatch, capsys):
    recipe, *argv = RECIPES[kind]
    assert words(recipe, tmp_path / "whole", *argv) == 0
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2)
        assert words(recipe, tmp_path / "run", *argv) == 130
    assert f"minibert compress --resume {tmp_path / 'run'}" in capsys.readouterr().out
    with pytest.raises(ValueError, match="goes on with: minibert compress --resume"):
        training.run(arguments("--resume", tmp_path / "run"))
    assert resume(tmp_path / "run") == 0
    assert resume(tmp_path / "run") == 0  # is complete
    with (tensors.opened(tmp_path / "whole" / STATES[1]) as a, tensors.opened(tmp_path / "run" / STATES[1]) as b):
        for name in ("parameters", "m", "v"):
            np.testing.assert_array_equal(a[name], b[name])
    assert (tmp_path / "whole" / STATES[0]).read_bytes() == (tmp_path / "run" / STATES[0]).read_bytes()
    rows, others = ([{**row, "seconds": 0} for row in read_rows(tmp_path / name / "metrics.csv")] for name in ("whole", "run"))
    assert rows == others
    assert ("soft_loss" in rows[-1]) == (recipe == "distil")

    small = minibert.load(tmp_path / "run", device="cpu")
    assert small.config.num_hidden_layers == (1 if kind == "clip-all" else 2)
    assert len(small.fill_mask("a [MASK] b")) > 1
    assert not pretrained.load(tmp_path / "run").initialised


@pytest.mark.parametrize("kind", RECIPES)
def test_a_student_whose_layers_are_computed_again(kind, words, tmp_path):
    recipe, *argv = RECIPES[kind]
    assert words(recipe, tmp_path / "kept", *argv) == 0
    assert words(recipe, tmp_path / "again", *argv, "--recompute") == 0
    assert len({(tmp_path / name / STATES[0]).read_bytes() for name in ("kept", "again")}) == 1


@pytest.mark.parametrize("kind", RECIPES)
def test_a_student_of_labelled_examples(kind, labels, classifier, tmp_path, monkeypatch, capsys):
    recipe, *argv = RECIPES[kind]
    assert labels(recipe, tmp_path / "whole", *argv) == 0
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        assert labels(recipe, tmp_path / "run", *argv) == 130
    assert f"minibert compress --resume {tmp_path / 'run'}" in capsys.readouterr().out
    with pytest.raises(ValueError, match="goes on with: minibert compress --resume"):
        finetuning.run(parsed("--resume", tmp_path / "run"))
    assert resume(tmp_path / "run") == 0
    for name in ("model.safetensors", "predictions.tsv", "config.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "run" / name).read_bytes(), name
    model, large = saved.load(tmp_path / "run"), saved.load(classifier)
    assert model.config.num_hidden_layers == (1 if kind == "clip-all" else 2)
    assert model.labels == large.labels
    assert dict(model.parameters.items()).keys() < dict(large.parameters.items()).keys()
    if recipe == "theseus":  # embeddings, pooler and classifier are the teacher's
        there = dict(large.parameters.items())
        for name, view in model.parameters.items():
            assert name.startswith("bert.encoder.layer.") or view.tobytes() == there[name].tobytes(), name


def test_a_student_learns_what_its_teacher_says(labels, classifier, tmp_path):
    """With no label heard, it comes to answer as its teacher does."""
    assert labels("distil", tmp_path / "out", "--hard", "0", "--cosine", "0", "--epochs", "12", "--dropout", "0") == 0
    scores, of_teacher = (json.loads((place / "metrics.json").read_text(encoding="utf-8"))["scores"]["accuracy"]
                          for place in (tmp_path / "out", classifier))
    assert scores >= of_teacher - 0.1


def test_a_student_that_is_given(words, tmp_path, corpus):
    config, _, tokenizer = tiny_model.make(hidden_size=12, intermediate_size=24, num_hidden_layers=2)
    pretrained.save(tmp_path / "student", config, pretraining.initial_parameters(config, seed=4), tokenizer)
    assert words("distil", tmp_path / "out", "--student", tmp_path / "student") == 0
    assert pretrained.load(tmp_path / "out").config.hidden_size == 12


# What is refused.

@pytest.mark.parametrize(("argv", "message"), [
    ((), "name a recipe"), (("distil",), "--teacher DIR is missing"),
    (("distil", "--layers", "5"), "which has 4, got 5"), (("distil", "--layers", "0,9"), "count from 0 to 3, got 9"),
    (("theseus", "--layers", "3"), "4 layers cannot be cut into 3"), (("theseus", "--layers", "0,3"), "theseus begins with the"),
    (("theseus", "--soft", "1"), "--soft: only the recipe distil"), (("distil", "--clip-all"), "only the recipe theseus"),
    (("theseus", "--minutes", "1"), "--minutes: the rate of replacing goes by"),
    (("distil", "--attentions", "1", "--dropout", "0.1"), "makes holes there: give --dropout 0"),
    (("distil", "--attentions", "1", "--heads", "2"), "give --heads 3"),
    (("distil", "--soft", "0", "--hard", "0", "--cosine", "0"), "nothing is learned"),
    (("distil", "--soft", "-1"), "--soft must be a finite number from 0 on"), (("distil", "--temperature", "0"), "above 0"),
    (("distil", "--epochs", "1"), "--epochs: only for labelled examples"), (("distil", "--max-length", "400"), "read at most 24"),
    (("theseus", "--replace-rate", "0"), "--replace-rate must be above 0"), (("distil", "--profile"), "--profile")])
def test_options_that_cannot_be(argv, message, teacher, corpus, tmp_path):
    given = ("--teacher", teacher, "--corpus", corpus, "--out", tmp_path / "out") if argv[:1] and len(argv) > 1 else ()
    refused(message, *argv, *given)
    assert not (tmp_path / "out").exists()


def test_a_teacher_without_the_head_that_is_asked(teacher, classifier, files, corpus, tmp_path):
    refused(r"no head that guesses masked words: take one that has, or name the examples .* --train FILE",
            "distil", "--teacher", classifier, "--corpus", corpus)
    refused("has no head for a task", "distil", "--teacher", teacher, "--train", files("classify")[0])
    refused("--steps: only for texts", "distil", "--teacher", classifier, "--train", files("classify")[0], "--steps", 3)


def test_a_student_of_another_vocabulary_or_with_more_layers(words, tmp_path):
    config, _, tokenizer = tiny_model.make(num_hidden_layers=5)
    pretrained.save(tmp_path / "larger", config, pretraining.initial_parameters(config), tokenizer)
    with pytest.raises(ValueError, match="has 5 layers, and its teacher 4"):
        words("distil", tmp_path / "out", "--student", tmp_path / "larger")
    shutil.copytree(tmp_path / "larger", tmp_path / "other")
    words_of = (tmp_path / "other" / "vocab.txt").read_text(encoding="utf-8").replace("raises", "rises")
    (tmp_path / "other" / "vocab.txt").write_text(words_of, encoding="utf-8")
    with pytest.raises(ValueError, match="is not that of its teacher"):
        words("distil", tmp_path / "out", "--student", tmp_path / "other")
    with pytest.raises(ValueError, match=r"--student takes the sizes .* so --layers cannot"):
        words("distil", tmp_path / "out", "--student", tmp_path / "larger", "--layers", "2")
    assert not (tmp_path / "out").exists()


def test_a_label_that_the_teacher_does_not_know(labels, tmp_path):
    (tmp_path / "other.tsv").write_text("text\tlabel\na b\tnever heard\nb c\tyes\n" * 5, encoding="utf-8")
    with pytest.raises(ValueError, match="the teacher does not know the label"):
        labels("theseus", tmp_path / "out", "--train", tmp_path / "other.tsv", "--dev", tmp_path / "other.tsv")


def test_a_teacher_that_has_changed(words, teacher, tmp_path, monkeypatch):
    shutil.copytree(teacher, tmp_path / "teacher")
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2)
        assert words("distil", tmp_path / "out", "--teacher", tmp_path / "teacher") == 130
    config, _, tokenizer = tiny_model.make(hidden_size=24, intermediate_size=48, num_hidden_layers=4, initializer_range=0.15)
    pretrained.save(tmp_path / "teacher", config, pretraining.initial_parameters(config, seed=9), tokenizer)
    with pytest.raises(ValueError, match="has changed since the run began"):
        resume(tmp_path / "out")
    with pytest.raises(ValueError, match="--soft cannot be given"):
        resume(tmp_path / "out", "--soft", 1)
    with pytest.raises(FileNotFoundError, match="no run with a teacher"):
        resume(teacher)
    (tmp_path / "out" / "compression.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"compression\.json is damaged"):
        resume(tmp_path / "out")
