"""Several tasks in one run: one body, a head for each, a step for one of them at a time."""

import csv
import json
import signal
from collections import Counter

import numpy as np
import pytest

from minibert.config import BertConfig
from minibert.demo.watch import Run
from minibert.finetuning import command, models, saved, several
from minibert.finetuning.options import Settings
from minibert.layers.dropout import Key
from minibert.model.model import Inputs
from minibert.parameters import initialise
from minibert.tasks.labelled import TASKS
from minibert.tasks.labelled.features import Turns
from minibert.training.checkpoint import FILE
from minibert.training.loop import Loop
from tests.finetuning.conftest import SMALL, parsed

ALL = {"classify": (), "classify_san": ("head=san",), "multi_label": ("multi-label=yes",), "regress": (), "rank": (), "tag": (),
       "qa": (), "choice": ()}  # the tests' files -> options
SWITCHED = {"classify_san": "classify", "multi_label": "classify"}


@pytest.fixture
def asked(files):
    """``asked("classify", …)``: the options for these tasks, by the names of the tests' files."""
    def of(*names, **sizes):
        options = []
        for name in names:
            kind, (train, dev) = SWITCHED.get(name, name), files(name, sizes.get(name, 48))
            options += ["--task", kind, train, dev, f"name={name}", *ALL[name]]
        return options
    return of


@pytest.fixture
def learn(model, asked, tmp_path):
    """``learn(tasks, *options)``: a run in ``tmp_path / "out"``; the exit code."""
    def run(names, *argv, out=None, **sizes):
        where = "--model", model, "--out", out or tmp_path / "out"
        return command.run(parsed("multi", *asked(*names, **sizes), *where, *SMALL, *argv))
    return run


def result(folder):
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def test_all_tasks_at_once_are_learned_and_each_answers_from_the_folder(learn, files, predict, tmp_path, capsys):
    out = tmp_path / "out"
    assert learn(ALL, "--epochs", 6) == 0
    scores = result(out)["scores"]
    assert scores["classify_accuracy"] > 0.8
    assert scores["classify_san_accuracy"] > 0.8
    assert scores["regress_pearson"] > 0.8
    chosen = ["classify_accuracy", "classify_san_accuracy", "multi_label_f1_micro", "regress_pearson", "rank_accuracy", "tag_f1",
              "qa_f1", "choice_accuracy"]
    assert scores["mean"] == pytest.approx(np.mean([scores[name] for name in chosen]))
    assert not (out / FILE).exists()
    said = capsys.readouterr().out
    assert "the model that was kept" in said
    assert f"predict {out} FILE --task classify" in said
    for name in ALL:
        assert predict(out, files(name)[1], "--task", name) == 0
        said = capsys.readouterr()
        assert said.out == (out / name / "predictions.tsv").read_text(encoding="utf-8"), name
        assert "not used" not in said.err
        assert result(out / name)["scores"] == {key.removeprefix(f"{name}_"): value for key, value in scores.items()
                                                if key.removeprefix(f"{name}_") in result(out / name)["scores"]}


def test_what_is_written_of_each_task(learn, tmp_path):
    assert learn(("classify", "regress"), "--epochs", 2) == 0
    with open(tmp_path / "out" / "metrics.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {"classify_loss", "classify_accuracy", "regress_loss", "dev_classify_accuracy", "dev_regress_pearson",
            "dev_mean"} <= rows[0].keys()
    assert sum(bool(row["classify_loss"]) for row in rows) == sum(bool(row["regress_loss"]) for row in rows) == 12
    assert not any(row["classify_loss"] and row["regress_loss"] for row in rows)  # a step reads one task
    about = result(tmp_path / "out")
    looks = {int(row["step"]): float(row["dev_mean"]) for row in rows if row["dev_mean"]}
    assert looks[about["best_step"]] == max(looks.values())
    report = Run(tmp_path / "out").report()  # the demo's view
    assert [step for step, _ in report["training"]] == [int(row["step"]) for row in rows]
    assert [step for step, _ in report["held_out"]] == list(looks)
    assert list(report["tasks"]) == ["classify"]
    assert about["best_steps"].keys() == {"classify", "regress"}


def test_the_best_mean_is_kept(learn, tmp_path, monkeypatch):
    scores = {"classify": iter([0.9, 0.2, 0.8, 0.8]), "regress": iter([0.1, 0.4, 0.4, 0.4])}  # means 0.5, 0.3, 0.6; and again
    for name, values in scores.items():
        task = TASKS[name]
        monkeypatch.setattr(task, "score", lambda *args, values=values, metric=task.METRIC: {metric: next(values)})
    assert learn(("classify", "regress"), "--epochs", 3) == 0
    about = result(tmp_path / "out")
    assert about["best_step"] == 36
    assert about["best_steps"] == {"classify": 12, "regress": 24}


def test_tasks_are_read_as_often_as_they_have_batches_and_mixed():
    turns = Turns([5, 1, 3], seed=4)
    epochs = [[turns(step) for step in range(len(turns) * epoch, len(turns) * (epoch + 1))] for epoch in range(3)]
    assert all(Counter(epoch) == {0: 5, 1: 1, 2: 3} for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert [Turns([5, 1, 3], 4)(step) for step in range(9)] == epochs[0]
    assert {Turns([4], 1)(step) for step in range(9)} == {0}


def test_a_ratio_reads_the_first_task_whole_and_so_much_of_the_others():
    turns = Turns([5, 40, 20], seed=4, ratio=0.8)
    epochs = [[turns(step) for step in range(9 * epoch, 9 * (epoch + 1))] for epoch in range(200)]
    assert len(turns) == 9
    assert all(Counter(epoch)[0] == 5 for epoch in epochs)
    counts = Counter(task for epoch in epochs for task in epoch)
    assert counts[1] / counts[2] == pytest.approx(2, rel=0.25)  # as they have batches
    assert len(Turns([5, 4], 4, ratio=9)) == 9  # there are no more


def test_a_run_with_a_ratio(learn, tmp_path):
    assert learn(("regress", "classify"), "--ratio", 0.5, "--epochs", 2, regress=16) == 0  # 2 and 6 batches
    assert result(tmp_path / "out")["steps"] == 6
    with pytest.raises(ValueError, match="--ratio: only the task multi has several tasks; classify does without"):
        command.run(parsed("classify", "--train", "x", "--ratio", 2))


@pytest.mark.parametrize("name", ["classify", "tag", "rank"])
def test_one_task_of_several_is_the_task_by_itself(name, learn, finetune, tmp_path):
    """The same head to begin with, the same batches in the same order, the same dropout: the same bytes."""
    options = "--epochs", 2, "--dropout", 0.1
    assert learn([name], *options) == 0
    assert finetune(name, *options, out=tmp_path / "alone") == 0
    ours, alone = saved.load(tmp_path / "out").parameters, saved.load(tmp_path / "alone").parameters
    assert [slot.removeprefix(f"tasks.{name}.") for slot in ours.layout.slots] == list(alone.layout.slots)
    np.testing.assert_array_equal(ours.flat, alone.flat)
    assert (tmp_path / "out" / name / "predictions.tsv").read_bytes() == (tmp_path / "alone" / "predictions.tsv").read_bytes()


@pytest.mark.parametrize("step", [1, 9, 12, 20])
def test_an_interrupted_and_resumed_run_is_the_uninterrupted_one(step, learn, tmp_path, monkeypatch):
    tasks, sizes = ("classify", "regress", "rank"), {"classify": 40, "regress": 20, "rank": 12}  # 5, 3 and 2 batches
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    assert learn(tasks, "--epochs", 3, "--dropout", 0.1, "--lanes", 2, out=straight, **sizes) == 0
    original = Loop._step

    def stepped(self):
        original(self)
        if self.progress.step == step:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Loop, "_step", stepped)
    assert learn(tasks, "--epochs", 3, "--dropout", 0.1, "--lanes", 2, out=broken, **sizes) == 130
    monkeypatch.setattr(Loop, "_step", original)
    assert command.run(parsed("--resume", broken, "--threads", 1, "--device", "cpu")) == 0
    for name in ("model.safetensors", "config.json", "finetuning.json", "rank/predictions.tsv", "report.txt"):
        assert (broken / name).read_bytes() == (straight / name).read_bytes(), name
    assert command.run(parsed("--resume", broken)) == 0


def test_threads_change_nothing(learn, tmp_path):
    for threads in (1, 2):
        assert learn(("classify", "choice"), "--epochs", 1, "--lanes", 2, "--threads", threads, out=tmp_path / str(threads)) == 0
    assert (tmp_path / "1" / "model.safetensors").read_bytes() == (tmp_path / "2" / "model.safetensors").read_bytes()


def test_a_new_task_begins_from_the_shared_body(learn, files, tmp_path):
    assert learn(("classify", "tag"), "--epochs", 1) == 0
    train, dev = files("regress")
    assert command.run(parsed("regress", "--model", tmp_path / "out", "--train", train, "--dev", dev, "--out", tmp_path / "new",
                              *SMALL, "--epochs", 1, "--learning-rate", 1e-9)) == 0
    ours, before = dict(saved.load(tmp_path / "new").parameters.items()), saved.load(tmp_path / "out", task="classify").parameters
    shared = [name for name, _ in before.items() if name.startswith("bert.")]
    for name, view in before.items():
        if name in shared:
            np.testing.assert_allclose(ours[name], view, atol=1e-6)


def test_several_seeds(learn, tmp_path, capsys):
    assert learn(("classify", "regress"), "--epochs", 1, "--seeds", 2) == 0
    about = result(tmp_path / "out")
    best = max(about["seeds"], key=lambda seed: about["seeds"][seed]["mean"])
    assert about["best_seed"] == int(best)
    assert saved.load(tmp_path / "out", task="regress").name == "regress"
    assert "regress_pearson" in capsys.readouterr().out


def test_where_the_time_goes(learn, capsys):
    assert learn(("classify", "classify_san"), "--profile") == 0
    assert "classify_san" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "message"), [
    (("cluster", "a.tsv"), "a task is one of classify, regress, tag, qa, choice, rank, got 'cluster'"),
    (("embed", "a.tsv"), "it compares all texts of a step, so it is learned by itself"),
    (("classify", "a.tsv", "b.tsv", "c.tsv"), "at most one of dev examples, got 3 files"),
    (("classify", "maxlength=3"), "a task has no option maxlength; it may have name, train, dev"),
    (("classify", "a.tsv", "max-length=long"), "max-length: invalid literal"),
    (("classify", "a.tsv", "header=perhaps"), "header: it must be yes or no, got 'perhaps'"),
    (("classify", "a.tsv", "head=two"), "--head must be one of linear, san, got 'two'"),
    (("regress", "a.tsv", "multi-label=yes"), "--multi-label: several labels a text are for the task classify, not for regress"),
    (("classify", "a.b.tsv"), "letters a to z, digits, - and _, got 'a.b'; give it another name with name=…"),
    (("classify",), "expected a file of training examples")])
def test_what_a_task_cannot_be(words, message):
    with pytest.raises(ValueError, match=message):
        several.parts(Settings(task="multi", tasks=(words,)))


def test_a_task_may_count_more():
    [part] = several.parts(Settings(task="multi", tasks=[("classify", "a.tsv", "loss-weight=2.5")])).values()
    assert part.loss_weight == 2.5
    model = models.of(BertConfig(vocab_size=9, hidden_size=4, num_attention_heads=1, intermediate_size=8), "sequence", 2)
    assert [term.weight for term in models.weighted(model, 2.5).terms] == [2.5]
    with pytest.raises(ValueError, match="--loss-weight must be a finite number above 0, got 0"):
        several.parts(Settings(task="multi", tasks=[("classify", "a.tsv", "loss-weight=0")]))


def test_the_head_of_a_task_may_drop_more_or_less_than_the_body():
    [part] = several.parts(Settings(task="multi", dropout=0.2, tasks=[("classify", "a.tsv", "head-dropout=0.5")])).values()
    assert (part.dropout, part.head_dropout) == (0.2, 0.5)
    config = BertConfig(vocab_size=9, hidden_size=64, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
                        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    x = Inputs(np.array([[1, 2, 3]]), np.zeros((1, 3), int))
    p = initialise(models.of(config, "sequence", 2).layout(), dtype=np.float64)

    def seen(dropout, body=config):
        out, cache = models.of(body, "sequence", 2, dropout=dropout).forward(x, p, key=Key(0))
        return out.bert.pooled, cache.heads[models.HEAD].dropout.mask

    (plain, none), (pooled, mask) = seen(None), seen(0.5)
    assert none is None
    assert (pooled == plain).all()  # the body's own is untouched
    assert {*mask.reshape(-1)} == {0.0, 2.0}
    assert seen(0.0, config.replace(hidden_dropout_prob=0.3))[1] is None
    for said, why in (("head-dropout=1", "--head-dropout must be at least 0 and below 1, got 1.0"),
                      ("head-dropout=much", "head-dropout: could not convert")):
        with pytest.raises(ValueError, match=why):
            several.parts(Settings(task="multi", tasks=[("classify", "a.tsv", said)]))
    with pytest.raises(ValueError, match="--head-dropout: the head of qa drops nothing"):
        several.parts(Settings(task="multi", tasks=[("qa", "a.json", "head-dropout=0.1")]))


def test_a_run_in_which_a_head_drops_what_the_body_drops_is_the_run_without_a_word_of_it(learn, files, model, tmp_path):
    def weights(*said):
        out = tmp_path / "-".join(said or ("unsaid",))
        assert command.run(parsed("multi", "--task", "classify", *files("classify", 48), "name=a", *said, "--task", "tag",
                                  *files("tag", 48), "name=b", "--model", model, "--out", out, *SMALL, "--epochs", 1,
                                  "--dropout", 0.1)) == 0
        return (out / "model.safetensors").read_bytes()

    assert weights() == weights("head-dropout=0.1") != weights("head-dropout=0.3")


def test_names_come_from_files():
    tasks = [("classify", "x/sst2/train.tsv"), ("regress", "sts-train.tsv"), ("tag", "names.conll"),
             ("qa", "train=a=b.json", "name=q")]
    found = several.parts(Settings(task="multi", tasks=tasks, max_length=64))
    assert list(found) == ["sst2", "sts", "names", "q"]
    assert found["q"] == Settings(task="qa", train="a=b.json", max_length=64)
    with pytest.raises(ValueError, match=r"there is a task sst2 already, of x/sst2/train\.tsv; call one of them something else"):
        several.parts(Settings(task="multi", tasks=[*tasks, ("classify", "sst2.tsv")]))


def test_files_that_are_not_there_and_options_for_one_task(model, files, tmp_path):
    train, dev = files("classify")
    with pytest.raises(FileNotFoundError, match=r"no-dev\.tsv: there is no such file"):
        command.run(parsed("multi", "--model", model, "--task", "classify", train, tmp_path / "no-dev.tsv"))
    with pytest.raises(ValueError, match="--dev: each task of multi names its own files"):
        command.run(parsed("multi", "--task", "classify", train, "--dev", dev))
    with pytest.raises(ValueError, match="several tasks at once are learned by minibert finetune multi"):
        command.run(parsed("multi"))
    with pytest.raises(ValueError, match="several tasks at once are learned by minibert finetune multi"):
        command.run(parsed("classify", "--train", train, "--task", "classify", train))
    with pytest.raises(ValueError, match="--metric must be one of accuracy"):
        command.run(parsed("multi", "--task", "classify", train, "metric=pearson"))


def test_a_folder_of_several_says_which_there_are(learn, files, predict, finetune, tmp_path):
    assert learn(("classify", "regress"), "--epochs", 1) == 0
    with pytest.raises(ValueError, match="several tasks, classify, regress; say which one is meant with --task NAME"):
        predict(tmp_path / "out", files("classify")[1])
    with pytest.raises(ValueError, match="classify, regress; there is no task tag"):
        predict(tmp_path / "out", files("classify")[1], "--task", "tag")
    assert finetune("classify", "--epochs", 1, out=tmp_path / "one") == 0
    with pytest.raises(ValueError, match=r"--task must be one of classify, regress, .*, got 'sst2'"):
        predict(tmp_path / "one", files("classify")[1], "--task", "sst2")
    path = tmp_path / "out" / saved.READING
    path.write_text(json.dumps({"tasks": ["classify"]}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"finetuning\.json is damaged"):
        saved.load(tmp_path / "out", task="classify")
