"""Branches that a model teaches itself: only they learn, the folder is the same model, and predict can be told a speed."""

import json
import shutil
from collections import Counter

import numpy as np
import pytest

import minibert
from minibert import info
from minibert.compression import command, early_exit, report
from minibert.finetuning import command as finetuning
from minibert.finetuning import models, saved
from minibert.finetuning.options import Settings
from minibert.layers.dropout import Key
from minibert.model.model import Inputs, Output
from minibert.parameters import Parameters, initialise
from minibert.pretrained import tensors
from minibert.tasks.labelled import TASKS
from minibert.training.loop import read_rows
from tests import tiny_model
from tests.compression.conftest import refused, resume, run
from tests.finetuning.conftest import files, predict_arguments
from tests.model.examples import small_config
from tests.training.runs import interrupt_after

MADE = "--epochs 4 --dropout 0.1 --batch-size 8 --threads 2 --lanes 2 --device cpu --micro-batch-tokens 64".split()


def begin(folder, teacher, train, dev, *argv):
    return run("early-exit", "--teacher", teacher, "--train", train, "--dev", dev, "--out", folder, *MADE, *argv)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """The folder of a classifier of four layers, all of it random."""
    path = tmp_path_factory.mktemp("classifier") / "model"
    config, _, tokenizer = tiny_model.make(hidden_size=24, intermediate_size=48, num_hidden_layers=4)
    parameters = initialise(models.of(config, "sequence", 2).layout(), 0.3, 3)
    saved.save(path, saved.Model(TASKS["classify"], config, parameters, tokenizer, ["bad", "good"], Settings(max_length=24), []))
    return path


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """A file of training examples and one of dev examples."""
    return files.__wrapped__(tmp_path_factory.mktemp("examples"))("classify")


@pytest.fixture(scope="module")
def made(classifier, examples, tmp_path_factory):
    """The folder of the same with branches. The pictures are drawn."""
    out = tmp_path_factory.mktemp("made") / "made"
    with pytest.MonkeyPatch.context() as patch:
        for module in (command, finetuning):
            patch.setattr(module, "keep_freed_memory", lambda: None)
        assert begin(out, classifier, *examples) == 0
    return out


def predict(capsys, *argv):
    """Rows of the guesses by column, and what was said."""
    capsys.readouterr()
    assert finetuning.run_predict(predict_arguments(*argv, "--threads", 1, "--device", "cpu")) == 0
    out, err = capsys.readouterr()
    names, *rows = (line.split("\t") for line in out.splitlines())
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}, err


def test_it_goes_on_bit_for_bit_and_only_branches_have_learned(made, classifier, examples, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        assert begin(tmp_path / "run", classifier, *examples) == 130
    assert f"minibert compress --resume {tmp_path / 'run'}" in capsys.readouterr().out
    assert resume(tmp_path / "run") == 0
    for name in ("model.safetensors", "predictions.tsv", "config.json"):
        assert (made / name).read_bytes() == (tmp_path / "run" / name).read_bytes(), name
    model, before = saved.load(made), saved.load(classifier)
    there, branches = dict(before.parameters.items()), Counter()
    for name, view in model.parameters.items():
        if name.startswith("branches."):
            branches[name.split(".")[1]] += 1
        else:
            assert view.tobytes() == there.pop(name).tobytes(), name
    assert not there
    assert branches == {"1": 14, "2": 14, "3": 14}
    settings = json.loads((made / "settings.json").read_text(encoding="utf-8"))["settings"]
    assert (settings["metric"], settings["learning_rate"]) == ("loss", 2e-4)
    rows = read_rows(made / "metrics.csv")
    looks = [row["dev_loss"] for row in rows if row["dev_loss"] is not None]
    assert looks[-1] < looks[0]
    assert {name for name in rows[0] if name.endswith("_loss")} == {"dev_loss", *(f"branch_{i}_loss" for i in (1, 2, 3))}


def test_there_is_nothing_to_compute_again(made, classifier, examples, tmp_path):
    assert begin(tmp_path / "again", classifier, *examples, "--recompute") == 0
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (made / "model.safetensors").read_bytes()


def test_texts_without_labels(made, classifier, examples, tmp_path, capsys):
    """Branches learn the same, for labels say nothing to them; scores are against the teacher's answers."""
    for name, file in zip(("train", "dev"), examples):
        lines = file.read_text(encoding="utf-8").splitlines()
        (tmp_path / name).write_text("".join(line.split("\t")[0] + "\n" for line in lines), encoding="utf-8")
    assert begin(tmp_path / "out", classifier, tmp_path / "train", tmp_path / "dev") == 0
    assert "no example has a label: scores are against what the teacher says" in capsys.readouterr().out
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (made / "model.safetensors").read_bytes()
    guesses, _ = predict(capsys, classifier, tmp_path / "dev")
    rows = (tmp_path / "out" / "predictions.tsv").read_text(encoding="utf-8").splitlines()[1:]
    assert [row.split("\t")[2] for row in rows] == guesses["guess"]


def test_predict_at_a_speed(made, examples, capsys):
    dev = examples[1]
    full, _ = predict(capsys, made, dev)
    assert "layer" not in full
    slow, said = predict(capsys, made, dev, "--speed", 0)
    assert set(slow.pop("layer")) == {"4"}
    assert slow == full
    assert "4.00 of 4 layers in the mean" in said
    fast, said = predict(capsys, made, dev, "--speed", 1)
    assert set(fast["layer"]) == {"1"}
    assert f"left after layer 1: {len(fast['layer'])}, 2: 0, 3: 0, 4: 0; 1.00 of 4 layers in the mean" in said
    some, said = predict(capsys, made, dev, "--speed", 0.6)
    assert f"{np.mean(list(map(int, some['layer']))):.2f} of 4" in said
    assert some.keys() == fast.keys()


def test_everything_else_opens_the_folder(made, classifier, tmp_path):
    assert "Branches   after layer 1, 2, 3: predict --speed" in info.report(info.config_of(str(made)), str(made))
    a, b = (minibert.load(place, device="cpu") for place in (made, classifier))
    assert any(note.endswith("branches.1.attention.value.weight, branches.1.bias, branches.1.dense.bias, and 36 more")
               for note in a.notes), a.notes
    np.testing.assert_array_equal(a("a b").last_hidden_state, b("a b").last_hidden_state)
    assert run("quantise", "--teacher", made, "--out", tmp_path / "small") == 0
    assert saved.load(tmp_path / "small").leaves_early


def test_tensors_that_are_called_like_branches(classifier, tmp_path):
    """A file of another tool may have some; only what can be branches of this model is taken for them."""
    shutil.copytree(classifier, tmp_path / "model")
    with tensors.opened(classifier / "model.safetensors") as reader:
        there = {name: reader[name] for name in reader.shapes}
    extra = {"branches.1.weight": np.zeros((1, 3), np.float32), "branches.x": np.zeros(2, np.float32)}
    tensors.write(tmp_path / "model" / "model.safetensors", there | {"branches.x": extra["branches.x"]}, {"format": "pt"})
    assert not saved.load(tmp_path / "model").leaves_early
    assert "branches.x" in info.report(info.config_of(str(tmp_path / "model")), str(tmp_path / "model"))
    tensors.write(tmp_path / "model" / "model.safetensors", there | extra, {"format": "pt"})
    with pytest.raises(ValueError, match=r"branches\.1"):
        saved.load(tmp_path / "model")


def test_a_report_at_some_speeds(made, examples, monkeypatch, capsys):
    """Fewer products the faster; all of them, and the same score, where nobody is sure enough."""
    monkeypatch.setattr(report, "TURNS", 1)
    monkeypatch.setattr(report, "SPEEDS", (1e-9, 0.8, 1.0))
    capsys.readouterr()
    assert run("report", made, "--dev", examples[1], "--threads", 1) == 0
    full, *rows = (line.split() for line in capsys.readouterr().out.splitlines()[-4:])
    assert [row[1:3] for row in rows] == [["at", speed] for speed in ("1e-09", "0.8", "1.0")]
    products = [float(row[9].replace(",", "")) for row in rows]
    assert products[0] > float(full[7]) > products[2]  # branches were asked, and nobody left; all left after the first layer
    assert products[0] >= products[1] >= products[2]
    assert rows[0][-1] == full[-1]


def test_the_branches_learn_what_the_head_says():
    """With the same numbers dropped of both: the divergence falls, and nothing else moves."""
    whole = early_exit.of(models.of(small_config(num_hidden_layers=3), "sequence", 3))
    layout, rng = whole.layout(), np.random.default_rng(0)
    p = Parameters(layout, rng.normal(0, 0.3, layout.size))
    x = Inputs(rng.integers(0, 11, (4, 5)), np.zeros((4, 5), int), None, {"label": np.zeros(4, int)})
    key, losses = Key(3), []
    for _ in range(40):
        out, cache = whole.forward(x, p.tree, key=key)
        losses.append(float(out.loss))
        g = p.zeros_like()
        whole.backward(Output(loss=1.0), cache, p.tree, g.tree)
        assert not any(view.any() for name, view in g.items() if not name.startswith("branches."))
        p.flat -= 0.5 * g.flat
    assert losses[-1] < 0.1 * losses[0]
    assert list(out.losses) == ["branch_1", "branch_2"]
    best = {name: logits.argmax(-1) for name, logits in out.logits.items()}
    assert whole.correct(x, out) == {name: (best[name] == best[models.HEAD]).sum() for name in out.losses}
    assert whole.forward(x._replace(targets={}), p.tree)[0].loss is None


@pytest.mark.parametrize(("argv", "message"), [
    (("--speed", 1.5), "--speed must be from 0, where every text"), (("--speed", -0.1), "got -0.1")])
def test_a_speed_outside_0_and_1(argv, message, made, examples):
    with pytest.raises(ValueError, match=message):
        finetuning.run_predict(predict_arguments(made, examples[1], "--device", "cpu", *argv))


def test_what_is_refused(classifier, examples, tmp_path):
    given = ("early-exit", "--teacher", classifier, "--train", examples[0])
    with pytest.raises(ValueError, match=r"no branches after which a text could leave, .* leave --speed out, or take one that "
                                         r"minibert compress early-exit made"):
        finetuning.run_predict(predict_arguments(classifier, examples[1], "--device", "cpu", "--speed", 0.5))
    for argv, message in ((given[:3], "--train FILE is missing"), ((*given, "--layers", 2), "--layers: early-exit keeps all"),
                          ((*given, "--soft", 2), "--soft: only the recipe distil"),
                          ((*given, "--adversarial", "fgm"), "--adversarial follows the gradient of the word table")):
        refused(message, *argv)
    model = saved.load(classifier)
    numbers = models.of(model.config, "number", 1)
    saved.save(tmp_path / "numbers", saved.Model(TASKS["regress"], model.config, initialise(numbers.layout()), model.tokenizer,
                                                 ["1"], Settings(task="regress", max_length=24), []))
    refused("the teacher's task is regress: take a model that classifies", "early-exit", "--teacher", tmp_path / "numbers",
            "--train", examples[0])
