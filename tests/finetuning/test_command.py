"""Fine-tuning as a user runs it: every task learns, is saved, and answers again."""

import csv
import errno
import json
import os
import re
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minibert import pretrained
from minibert.demo.watch import Run
from minibert.finetuning import command, material, parts, saved
from minibert.finetuning.look import look
from minibert.finetuning.options import Settings
from minibert.parameters import Parameters
from minibert.pretrained import tensors
from minibert.tasks.labelled import TASKS, asked_for
from minibert.text import Reading
from minibert.training import loop
from minibert.training.checkpoint import FILE
from minibert.training.loop import Loop
from tests import tiny_model
from tests.finetuning.conftest import SMALL, asked, parsed

ENOUGH = {"classify": ("accuracy", 0.9), "multi_label": ("f1_micro", 0.9), "regress": ("pearson", 0.8),
          "tag": ("f1", 0.8), "choice": ("accuracy", 0.8), "rank": ("accuracy", 0.8),
          "classify_san": ("accuracy", 0.9), "qa": ("f1", 0.6), "embed": ("mrr", 0.8),
          "embed_scored": ("spearman", 0.8)}


def scores(folder):
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["scores"]


def table(text):
    return list(csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))


def weights(folder) -> Parameters:
    return saved.load(folder).parameters


@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_learned_and_answers_the_same_from_its_folder(task, finetune, files, predict, tmp_path, capsys):
    out = tmp_path / "out"
    assert finetune(task, *(("--epochs", 20) if task in ("qa", "choice", "rank", "regress") else ())) == 0
    metric, enough = ENOUGH[task]
    assert scores(out)[metric] > enough
    assert not (out / FILE).exists()  # nothing is left to resume
    said = capsys.readouterr().out
    assert "examples" in said
    assert "best so far" in said
    assert predict(out, files(task)[1]) == 0
    printed = capsys.readouterr()
    assert printed.out == (out / "predictions.tsv").read_text(encoding="utf-8")
    assert f"{metric} {scores(out)[metric]:.4f}" in printed.err
    wrong = table((out / "errors.tsv").read_text(encoding="utf-8"))
    assert all(row["label"] != row["guess"] for row in wrong)


def test_the_best_look_is_kept_not_the_last(finetune, tmp_path, monkeypatch):
    values = iter([0.2, 0.9, 0.5, 0.4])
    kept = []
    monkeypatch.setattr(TASKS["classify"], "score", lambda *args: {"accuracy": next(values, 0.0)})
    original = saved.save

    def note(folder, model):
        kept.append(model.parameters.flat.copy())
        original(folder, model)

    monkeypatch.setattr(saved, "save", note)
    assert finetune("classify", "--epochs", 4) == 0
    assert len(kept) == 2  # the first look and the best one
    np.testing.assert_array_equal(weights(tmp_path / "out").flat, kept[-1])
    assert json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))["best_step"] == 12


def test_early_stopping(finetune, tmp_path, monkeypatch):
    values = iter([0.9, 0.5, 0.5, 0.5, 0.5, 0.5])
    monkeypatch.setattr(TASKS["classify"], "score", lambda *args: {"accuracy": next(values, 0.0)})
    assert finetune("classify", "--epochs", 6, "--patience", 2) == 0
    result = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert result["steps"] == 18  # three of six epochs


@pytest.mark.parametrize(("task", "step"), [("classify", 1), ("classify", 6), ("classify", 9), ("multi_label", 4)])
def test_an_interrupted_and_resumed_run_is_the_uninterrupted_one(task, step, finetune, tmp_path, monkeypatch):
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    assert finetune(task, "--epochs", 3, out=straight) == 0
    original = Loop._step

    def stepped(self):
        original(self)
        if self.progress.step == step:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Loop, "_step", stepped)
    assert finetune(task, "--epochs", 3, out=broken) == 130
    monkeypatch.setattr(Loop, "_step", original)
    assert (broken / FILE).exists()
    assert command.run(parsed("--resume", broken, "--threads", 2, "--device", "cpu")) == 0
    for name in ("model.safetensors", "config.json", "predictions.tsv"):
        assert (broken / name).read_bytes() == (straight / name).read_bytes(), name
    rows = [[row[name] for row in csv.DictReader((folder / "metrics.csv").open(encoding="utf-8")) for name in ("step", "dev_loss")
             if row["dev_loss"]] for folder in (straight, broken)]
    assert rows[0] == rows[1]
    assert command.run(parsed("--resume", broken)) == 0  # complete: nothing happens


def test_resume_refuses_other_data_and_other_settings(finetune, files, tmp_path, monkeypatch):
    original = Loop._step
    monkeypatch.setattr(Loop, "_step", lambda self: (original(self), signal.raise_signal(signal.SIGINT)))
    out = tmp_path / "out"
    assert finetune("classify") == 130
    with pytest.raises(ValueError, match="--epochs cannot be given as well"):
        command.run(parsed("--resume", out, "--epochs", 2))
    train, _ = files("classify")
    train.write_text(train.read_text(encoding="utf-8") + "c d\tbad\n", encoding="utf-8")
    with pytest.raises(ValueError, match="has changed since the run began"):
        command.run(parsed("--resume", out, "--device", "cpu"))
    with pytest.raises(FileNotFoundError, match="no fine-tuning run to go on with"):
        command.run(parsed("--resume", tmp_path))
    (tmp_path / "training_state.safetensors").touch()
    with pytest.raises(FileNotFoundError, match="it holds one of pre-training: minibert train --resume"):
        command.run(parsed("--resume", tmp_path))


class Killed(BaseException):
    """Ends a run as a kill does: nothing behind it is done."""


def killed_at(monkeypatch, module, name, call):
    """The ``call``-th call of a function does its work, and then the run is dead."""
    original, calls = getattr(module, name), []

    def dying(*args, **kwargs):
        original(*args, **kwargs)
        calls.append(name)
        if len(calls) == call:
            raise Killed

    monkeypatch.setattr(module, name, dying)


def resume(out) -> int:
    return command.run(parsed("--resume", out, "--threads", 2, "--device", "cpu"))


def files_of(folder) -> dict[str, bytes]:
    timed = ("log.txt", "metrics.csv", "metrics.json")
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in timed}


@pytest.fixture
def straight(finetune, tmp_path):
    """A run that was never killed."""
    assert finetune("classify", "--epochs", 3, out=tmp_path / "straight") == 0
    return tmp_path / "straight"


@pytest.mark.parametrize(("module", "name", "call"), [
    (command, "save_state", 1), (command, "save_state", 3), (saved, "save", 1), (command.report, "write", 1)])
def test_a_killed_run_goes_on_and_nothing_stays_behind(module, name, call, finetune, straight, tmp_path, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        killed_at(patch, module, name, call)
        patch.setattr(command, "clear", lambda out: None)  # a process that is killed clears nothing away
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(Killed):
            finetune("classify", "--epochs", 3, out=out)
    (out / ".model.minibert-0123abcd.tmp.safetensors").write_bytes(b"half")
    (out / ".my-notes.tmp.md").write_text("mine", encoding="utf-8")
    assert resume(out) == 0
    (out / ".my-notes.tmp.md").unlink()
    assert files_of(out) == files_of(straight)
    assert csv_rows(out) == csv_rows(straight)
    assert resume(out) == 0


def csv_rows(folder) -> list[dict]:
    rows = table((folder / "metrics.csv").read_text(encoding="utf-8").replace(",", "\t"))
    return [{name: cell for name, cell in row.items() if name != "seconds"} for row in rows]


def test_the_figures_of_a_state_are_there_as_soon_as_it_goes_on(finetune, straight, tmp_path, monkeypatch):
    """Killed right after the last state, and resumed on the last step: no look comes any more that would write them."""
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        killed_at(patch, command, "save_state", 3)
        with pytest.raises(Killed):
            finetune("classify", "--epochs", 3, out=out)
    assert csv_rows(out) == csv_rows(straight)
    assert resume(out) == 0
    assert csv_rows(out) == csv_rows(straight)


def test_a_finished_run_on_a_read_only_disk_says_that_it_is_finished(straight, monkeypatch, capsys):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    (straight / FILE).write_bytes(b"left by a kill")
    with monkeypatch.context() as patch:
        patch.setattr(command, "log_to", refuse)
        patch.setattr(os, "unlink", refuse)
        assert resume(straight) == 0
    assert "is complete" in capsys.readouterr().out
    assert resume(straight) == 0
    assert not (straight / FILE).exists()


def test_seeds_that_were_killed_leave_no_state(finetune, tmp_path, monkeypatch):
    out = tmp_path / "out"
    assert finetune("classify", "--epochs", 1, "--seeds", 2) == 0
    (out / command.RESULT).unlink()
    (out / "seed-0" / FILE).write_bytes(b"left by a kill")
    assert resume(out) == 0
    assert not list(out.rglob(FILE))
    (out / command.RESULT).unlink()
    (out / "seed-0" / command.RESULT).write_text('{"scores": [1]}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"seed-0.metrics\.json is damaged: it has no scores"):
        resume(out)


@pytest.mark.parametrize("content", ["[]", "{", '{"settings": {"epochs": "x"}, "data": ""}', '{"settings": []}', "[" * 10_000,
                                     '{"settings": {"epochs": 1e30}, "data": ""}'])
def test_settings_of_odd_values_are_named(tmp_path, content):
    (tmp_path / command.SETTINGS).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"settings\.json is damaged"):
        resume(tmp_path)


@pytest.mark.parametrize("progress", [
    {"step": "x"}, {"progress": {"positions": [["x", 0]]}}, {"progress": {"positions": [1]}}, {"best": []}, [1], "[[["])
def test_a_state_of_odd_values_is_named(tmp_path, model, progress):
    parameters = pretrained.load(model).parameters
    engine = SimpleNamespace(parameters=parameters, m=parameters, v=parameters, xp=np)
    text = progress if isinstance(progress, str) else json.dumps(progress)
    tensors.write(tmp_path / FILE, {"parameters": parameters.flat}, {"finetuning": text})
    with pytest.raises(ValueError, match=rf"{FILE}: this is no training state of a fine-tuning run"):
        command.read_state(tmp_path, engine, Settings(), 8)


def test_several_seeds_have_a_mean_and_a_spread(finetune, predict, files, tmp_path, capsys):
    out = tmp_path / "out"
    assert finetune("classify", "--epochs", 1, "--seeds", 3, "--seed", 5) == 0
    result = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    each = [scores(out / f"seed-{seed}")["accuracy"] for seed in (5, 6, 7)]
    assert result["scores"]["accuracy"] == pytest.approx(np.mean(each))
    assert result["standard_deviation"]["accuracy"] == pytest.approx(np.std(each, ddof=1))
    assert scores(out / f"seed-{result['best_seed']}")["accuracy"] == max(each)
    assert "standard deviation" in capsys.readouterr().out
    np.testing.assert_array_equal(weights(out).flat, weights(out / f"seed-{result['best_seed']}").flat)
    assert len({weights(out / f"seed-{seed}")["classifier"]["weight"].tobytes() for seed in (5, 6, 7)}) == 3
    assert predict(out, files("classify")[1]) == 0


def test_the_encoder_comes_from_the_model_and_from_scratch_it_does_not(finetune, model, tmp_path):
    before = dict(pretrained.load(model).parameters.items())
    frozen = ("--freeze", 2, "--epochs", 1, "--learning-rate", 0.001)
    assert finetune("classify", *frozen, out=tmp_path / "a") == 0
    assert finetune("classify", *frozen, "--from-scratch", out=tmp_path / "b") == 0
    for folder, same in (("a", True), ("b", False)):
        after = dict(weights(tmp_path / folder).items())
        for name in ("bert.embeddings.word_embeddings.weight", "bert.encoder.layer.1.output.dense.weight"):
            assert np.array_equal(after[name], before[name]) is same
        assert not np.array_equal(after["bert.pooler.dense.weight"], before["bert.pooler.dense.weight"])


def test_a_tenth_is_kept_aside_where_there_is_no_dev_file(model, files, tmp_path, capsys):
    train, _ = files("classify")
    arguments = parsed("classify", "--model", model, "--train", train, "--out", tmp_path / "out", *SMALL, "--epochs", 1)
    assert command.run(arguments) == 0
    assert len(table((tmp_path / "out" / "predictions.tsv").read_text(encoding="utf-8"))) == 4


def test_predict_without_labels_and_to_a_file(finetune, predict, tmp_path, capsys):
    assert finetune("classify") == 0
    plain = tmp_path / "plain.txt"
    plain.write_text("c a d\nb c d\n", encoding="utf-8")
    assert predict(tmp_path / "out", plain, "--out", tmp_path / "guesses.tsv") == 0
    rows = table((tmp_path / "guesses.tsv").read_text(encoding="utf-8"))
    assert [row["guess"] for row in rows] == ["good", "bad"]
    assert "no labels" in capsys.readouterr().err


def test_the_look_at_the_data(files):
    train, dev = files("classify")
    dev.write_text(dev.read_text(encoding="utf-8") + train.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    long = " ".join(["c"] * 60)
    train.write_text(train.read_text(encoding="utf-8") + f"{long}\tgood\n", encoding="utf-8")
    task = TASKS["classify"]
    _, _, tokenizer = tiny_model.make()
    settings = Settings(train=str(train), max_length=24)
    read = [task.read(path, settings) for path in (train, dev)]
    encoded = [task.encode(data.examples, tokenizer, ["bad", "good"], settings) for data in read]
    said = look(task, *read, *(features for features, _ in encoded), tuple(cut for _, cut in encoded), 24,
                (Reading(90, 9, 0), Reading(10, 5, 3)))
    shares, = (line.split() for line in said.splitlines() if "unknown tokens" in line)
    assert shares[-2:] == ["10.00%", "50.00%"]
    assert "warning: 50% of the tokens are unknown to this model's vocabulary" in said
    special, = (line.split() for line in said.splitlines() if "[SEP], [MASK]" in line)
    assert special[5:7] == ["0", "3"]
    assert "text: 1, label: 2" in said or "label: 2, text: 1" in said
    assert "cut to fit into 24" in said
    assert [line.split()[-2:] for line in said.splitlines() if "cut to fit" in line] == [["1", "0"]]
    assert "dev examples also stand in the training data" in said
    assert "good" in said
    assert "always guessing 'good'" in said


def test_pictures(finetune, pictures, tmp_path):
    assert finetune("classify", "--epochs", 2) == 0
    for name in ("confusion.png", "loss.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")


def test_a_watched_run_shows_its_losses(finetune, tmp_path):
    assert finetune("classify", "--epochs", 2) == 0
    report = Run(tmp_path / "out").report()
    assert [step for step, _ in report["held_out"]] == report["steps"] == [6, 12]
    assert len(report["training"]) == 12
    assert (report["message"], report["unigram_loss"], report["shown"]) == (None, None, None)


def test_a_folder_that_was_only_pretrained_has_no_head(model, predict, files):
    with pytest.raises(ValueError, match=r"no head for a task.*BertForPreTraining.*finetune"):
        predict(model, files("classify")[1])
    with pytest.raises(ValueError, match=r"has no classifier\.bias and no classifier\.weight: .* no head for the task yet"):
        predict(model, files("classify")[1], "--task", "classify")


def test_nothing_is_left_behind_by_a_run_that_could_not_begin(finetune, files, tmp_path):
    with pytest.raises(ValueError, match=r"--max-length is 100, but this model reads at most 24 tokens"):
        finetune("classify", "--max-length", 100)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="freeze must be from 0"):
        finetune("classify", "--freeze", 9, out=tmp_path / "other")


@pytest.mark.parametrize(("task", "names"), [
    ("classify", "accuracy, f1, f1_macro, matthews"), ("multi_label", "f1_micro, f1_macro, subset_accuracy"),
    ("regress", "pearson, spearman, mean_squared_error"), ("tag", "f1, precision, recall, accuracy"),
    ("choice", "accuracy"), ("rank", "accuracy, mrr"),
    ("qa", "exact, f1, has_answer_exact, has_answer_f1, no_answer_exact, no_answer_f1")])
def test_a_wrong_metric_is_refused_before_anything_is_read(task, names, tmp_path):
    with pytest.raises(ValueError, match=f"--metric must be one of {names} and loss, got 'beauty'"):
        command.run(parsed(*asked(task), "--train", "nothing", "--metric", "beauty", "--out", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("task", "metric", "change", "names"), [
    ("classify", "f1", lambda text: text + "c d\tugly\n" * 2, "accuracy, f1_macro, matthews"),  # of two classes only
    ("tag", "recall", lambda text: text.replace("B-", "N"), "f1, accuracy"),  # of entities only
    ("qa", "no_answer_f1", lambda text: text.replace('"answers": []', '"answers": [{"text": "b", "answer_start": 0}]'),
     "exact, f1")])
def test_a_metric_that_these_data_do_not_have_is_refused_before_training(task, metric, change, names, model, files, tmp_path,
                                                                        monkeypatch):
    monkeypatch.setattr(Loop, "_step", lambda self: pytest.fail("it trained"))
    paths = files(task)
    for path in paths:
        path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(ValueError, match=f"--metric must be one of {names} and loss, got '{metric}'"):
        command.run(parsed(task, "--model", model, "--train", paths[0], "--dev", paths[1], "--metric", metric,
                           "--out", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("task", TASKS)
def test_the_guess_that_would_be_right_scores_best_and_by_every_name_there_is(task, files):
    module = TASKS[task]
    examples = module.read(files(task)[1], Settings(**asked_for(module))).examples
    guesses = [module.right(example) for example in examples]
    scores = module.score(examples, guesses, module.labels(examples))
    assert set(scores) <= set(module.METRICS)
    assert module.METRIC in scores
    assert all(value == pytest.approx(0 if name in parts.LOWER_IS_BETTER else 1) for name, value in scores.items())
    assert not any(right is False for _, right in map(module.row, examples, guesses))


def test_the_loss_chooses_among_seeds_too(finetune, tmp_path):
    assert finetune("classify", "--epochs", 1, "--seeds", 2, "--metric", "loss") == 0
    result = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    losses = {seed: scores["loss"] for seed, scores in result["seeds"].items()}
    assert str(result["best_seed"]) == min(losses, key=losses.get)


def test_a_tenth_of_every_class_is_kept_aside_and_none_leaves_training():
    classes = ["a"] * 40 + ["b"] * 20 + ["c"] * 9 + ["d"]
    aside = [classes[i] for i in material.kept_aside([[name] for name in classes])]
    assert sorted(aside) == ["a"] * 4 + ["b"] * 2 + ["c"]
    aside = material.kept_aside([[name] for name in classes])
    assert aside == material.kept_aside([[name] for name in classes])  # drawn always alike
    assert material.kept_aside([[str(i)] for i in range(30)]) == set()  # each the only one
    assert len(material.kept_aside([()] * 45)) == 4  # no classes
    assert len(material.kept_aside([()] * 3)) == 1
    several = [{"x", str(i // 2)} for i in range(40)]  # every second label twice
    aside = material.kept_aside(several)
    assert len(aside) == 4
    assert set().union(*(found for i, found in enumerate(several) if i not in aside)) == set().union(*several)


def test_a_rare_class_stays_in_training_where_there_is_no_dev_file(model, tmp_path, capsys):
    path = tmp_path / "train.tsv"
    path.write_text("text\tlabel\n" + "".join(f"c {'ab'[i % 2]} {'defghij'[i % 7]}\t{'ab'[i % 2]}\n" for i in range(40))
                    + "c c c\tother\n", encoding="utf-8")
    arguments = "classify", "--model", model, "--train", path, *SMALL, "--epochs", 1
    assert command.run(parsed(*arguments, "--out", tmp_path / "out")) == 0
    said = capsys.readouterr().out
    assert re.search(r"examples +37 +4", said)
    assert re.search(r"other +1 +2\.7%", said)
    path.write_text("text\tlabel\n" + "".join(f"c {name}\t{name}\n" for name in "abcdefgh"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"no example can be kept aside .* without a class losing its only one.*--dev"):
        command.run(parsed(*arguments, "--out", tmp_path / "other"))


@pytest.mark.parametrize(("task", "content", "message"), [
    ("tag", "a X\nb Y\nc Z\n", "holds one example.*; a blank line ends a sentence"),
    ("classify", "text\tlabel\na b\tx\n", "holds one example, which is not enough to learn from and to measure on$")])
def test_one_example_is_not_enough(task, content, message, model, tmp_path):
    path = tmp_path / "train.tsv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        command.run(parsed(task, "--model", model, "--train", path, "--out", tmp_path / "out", *SMALL))


@pytest.mark.parametrize(("wanted", "message"), [
    ("good=2,ugly=1", "got 'ugly=1'"), ("good", "got 'good'"), ("good=0,bad=0", "not all of them 0"),
    ("good=nan", "numbers from 0 on")])
def test_wrong_class_weights(wanted, message, finetune):
    with pytest.raises(ValueError, match=message):
        finetune("classify", "--class-weights", wanted)


def test_class_weights_move_the_guesses(finetune, tmp_path):
    def share(out, weights):
        assert finetune("classify", "--epochs", 1, "--class-weights", weights, out=tmp_path / out) == 0
        rows = table((tmp_path / out / "predictions.tsv").read_text(encoding="utf-8"))
        return np.mean([row["guess"] == "good" for row in rows])
    assert share("a", "good=30") > share("b", "bad=30")


def test_a_state_from_before_positions_goes_on(finetune, straight, tmp_path, monkeypatch):
    """Its step alone said which examples come next, and the figures stood in it."""
    out, original = tmp_path / "out", Loop._step

    def interrupted(self):
        original(self)
        if self.progress.step == 7:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Loop, "_step", interrupted)
    assert finetune("classify", "--epochs", 3) == 130
    monkeypatch.undo()
    with tensors.opened(out / FILE) as file:
        state, arrays = json.loads(file.metadata["finetuning"]), {name: np.array(file[name]) for name in ("parameters", "m", "v")}
    progress = {name: value for name, value in state.pop("progress").items() if name not in ("positions", "tokens", "loss_scale")}
    tensors.write(out / FILE, arrays, {"finetuning": json.dumps({**state, **progress, "rows": [{"step": 7, "loss": 0.5}]})})
    assert resume(out) == 0
    for name in ("model.safetensors", "predictions.tsv"):
        assert (out / name).read_bytes() == (straight / name).read_bytes(), name


def test_minutes_instead_of_epochs(finetune, model, files, tmp_path, monkeypatch, capsys):
    class Clock:
        now = 0.0

        def monotonic(self):
            self.now += 0.5
            return self.now

    monkeypatch.setattr(loop, "time", Clock())
    monkeypatch.setattr(loop, "WARM_UP_STEPS", 2)
    monkeypatch.setattr(loop, "TIMED_STEPS", 3)
    train, dev = files("classify")
    where = "--model", model, "--train", train, "--dev", dev, "--out", tmp_path / "out"
    assert command.run(parsed("classify", *where, "--minutes", 0.2, *SMALL[2:])) == 0
    said = capsys.readouterr().out
    total = int(re.search(r"a step: (\d+) steps fit into 0.2 minutes", said)[1])
    monkeypatch.undo()
    monkeypatch.setattr(command, "steps_of_epochs", lambda count, settings: total)
    assert finetune("classify", out=tmp_path / "steps") == 0
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (tmp_path / "steps" / "model.safetensors").read_bytes()
    with pytest.raises(ValueError, match="--epochs and --minutes both say how long"):
        command.run(parsed("classify", "--train", "x", "--epochs", 1, "--minutes", 1))


def test_where_the_time_of_a_step_goes(model, files, tmp_path, capsys):
    train, dev = files("classify")
    arguments = ("classify", "--model", model, "--train", train, "--dev", dev, *SMALL, "--profile", "--out", tmp_path / "out")
    assert command.run(parsed(*arguments)) == 0
    said = capsys.readouterr().out
    assert "task head" in said
    assert "20 steps: " in said
    assert not (tmp_path / "out").exists()


def test_precision_is_for_a_gpu(finetune, tmp_path):
    with pytest.raises(ValueError, match="--precision bfloat16 is for an NVIDIA GPU"):
        finetune("classify", "--precision", "bfloat16")
    assert not (tmp_path / "out").exists()
