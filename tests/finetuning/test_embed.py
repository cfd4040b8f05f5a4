"""Training sentence vectors: how pairs are read, what is measured, and what can be done with the folder."""

import json

import numpy as np
import pytest

import minibert
from minibert.finetuning import command, models, options, saved
from minibert.finetuning.options import Settings
from minibert.layers import pooling
from minibert.search import Index
from minibert.sentence_vectors import Pooling
from minibert.tasks.labelled import TASKS, asked_for, embed, task_of
from minibert.training.engine import predict
from minibert.training.loop import Loop
from tests.finetuning.conftest import SMALL, parsed


def read(tmp_path, content, name="pairs.tsv", labelled=True, **settings):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    asked = Settings(task="embed", **settings)
    return task_of(asked).read(path, asked, labelled)


def texts(data):
    return [(e.text, e.pair, *e.negatives) for e in data.examples]


@pytest.mark.parametrize(("content", "name", "settings", "expected"), [
    ("how\tso\nwhy\tbecause\n", "a.tsv", {}, [("how", "so"), ("why", "because")]),
    ("how\tso\tnot\nwhy\tbecause\tnever\n", "a.tsv", {}, [("how", "so", "not"), ("why", "because", "never")]),
    ("how\tso\tnot\tno\nwhy\tx\ty\tz\n", "a.tsv", {}, [("how", "so", "not", "no"), ("why", "x", "y", "z")]),
    ("positive\tanchor\nso\thow\nbecause\twhy\n", "a.tsv", {}, [("how", "so"), ("why", "because")]),
    ("query,positive,negative_1,negative_2\nhow,so,not,no\nwhy,x,y,z\n", "a.csv", {}, [("how", "so", "not", "no"),
                                                                                       ("why", "x", "y", "z")]),
    ("id\tsentence1\tsentence2\tscore\n1\thow\tso\t0.5\n2\twhy\tx\t1\n", "a.tsv", {}, [("how", "so"), ("why", "x")]),
    ("how\tso\tnot\nwhy\tx\ty\n", "a.tsv", {"text": "2", "pair": "1"}, [("so", "how", "not"), ("x", "why", "y")]),
    ("was\tdas\tnein\nhow\tso\tnot\nwhy\tx\ty\n", "a.tsv", {"header": True, "negative": "nein"}, [("how", "so", "not"),
                                                                                               ("why", "x", "y")]),
    ("was\tdas\tnein\nhow\tso\tnot\nwhy\tx\ty\n", "a.tsv", {"header": True}, [("how", "so"), ("why", "x")]),
    ('{"query": "how", "positive": "so", "negative": "not"}\n{"query": "why", "positive": "x", "negative": "y"}\n', "a.jsonl",
     {}, [("how", "so", "not"), ("why", "x", "y")]),
])
def test_pairs_are_read_as_they_come(content, name, settings, expected, tmp_path):
    assert texts(read(tmp_path, content, name, **settings)) == expected


@pytest.mark.parametrize(("content", "expected"), [
    ("how\tso\t0.5\nwhy\tx\t1\n", [0.5, 1]), ("0.5\thow\tso\n1\twhy\tx\n", [0.5, 1]),
    ("sentence1\tsentence2\tsimilarity\thow many\nhow\tso\t5\t3\nwhy\tx\t1\t9\n", [5, 1]),
])
def test_scored_pairs_are_read_as_they_come(content, expected, tmp_path):
    data = read(tmp_path, content, scored=True)
    assert [(e.text, e.pair) for e in data.examples] == [("how", "so"), ("why", "x")]
    assert [e.label for e in data.examples] == expected


@pytest.mark.parametrize(("content", "settings", "message"), [
    ("how\nwhy\n", {}, "there are the columns 1; expected two texts that belong together on each line"),
    ("how\t1\nwhy\t2\n", {}, "there are the columns 1, 2; expected two texts"),
    ("how\tso\nwhy\t\n", {}, r"line 2: the second text \(column 2\) is empty"),
    ("how\tso\tnot\nwhy\tx\t\n", {}, r"line 2: the negative \(column 3\) is empty"),
    ("how\tso\nwhy\tx\n", {"scored": True}, "which of them says, as a number, how alike the two texts are"),
    ("how\tso\t1\nwhy\tx\tvery\n", {"scored": True, "label": "3"}, "line 2: the score 'very' is not a number"),
    ("how\tso\t1\nwhy\tx\tinf\n", {"scored": True, "label": "3"}, "line 2: the score 'inf' is not a number"),
    ("how\tso\nwhy\tx\n", {"text": "1", "pair": "1"}, "--pair and --text both name the column 1|--text and --pair both name"),
])
def test_what_cannot_be_read_is_one_sentence(content, settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, content, **settings)


def test_what_is_not_read_is_said_and_so_are_texts_that_repeat(tmp_path):
    data = read(tmp_path, "anchor\tpositive\tscore\nhow\tso\t1\nhow\tx\t2\n")
    assert "not read: score; hard negatives are named with --negative" in data.notes[0]
    assert any("1 anchors or positives stand in an earlier pair" in line for line in embed.describe(data.examples))
    assert embed.describe(read(tmp_path, "how\tso\tn\nwhy\tx\tn\n").examples) == [
        "2 anchors, 3 candidates, 1 hard negative an anchor"]


def test_scores_become_cosines_by_the_largest_there_may_be(tmp_path):
    task = TASKS["embed_scored"]
    for scores, scale in (((0.0, 0.5), "1"), ((0.0, 4.8), "5"), ((-5.0, 2.0), "5"), ((-1.0, 1.0), "1")):
        examples = [task.Example("a", "b", score, "") for score in scores]
        assert task.labels(examples) == [scale]
        assert [guess.label for guess in task.guess([np.float32(0.5)], [], [], [scale], None)] == [0.5 * float(scale)]
    with pytest.raises(ValueError, match="nothing to tell apart"):
        task.labels([task.Example("a", "b", 1.0, "")] * 2)


def test_nothing_to_tell_apart(tmp_path):
    with pytest.raises(ValueError, match="all 2 training examples have the second text 'so'"):
        embed.labels(read(tmp_path, "how\tso\nwhy\tso\n").examples)


def test_a_search_by_hand():
    """Two anchors among three candidates; the first has two positives, of which the farther one comes third."""
    east, north, west = np.eye(2)[0], np.eye(2)[1], -np.eye(2)[0]
    examples = [embed.Example("q", "near", (), True, ""), embed.Example("q", "far", (), True, ""),
                embed.Example("r", "up", (), True, "")]
    guesses = embed.guess([np.stack(pair) for pair in ((east, 3 * east + north), (east, west), (north, east + 2 * north))],
                          [], examples, [], None)
    assert [(guess.label, guess.ranks, guess.rank) for guess in guesses] == [
        ("near", (1, 3), 1), ("near", (1, 3), 3), ("up", (1,), 1)]
    assert embed.score(examples, guesses, []) == {"mrr": 1, "recall_1": (0.5 + 1) / 2, "recall_10": 1}
    assert embed.row(examples[1], guesses[1]) == (("q", "far", "near", guesses[1].confidence, 3), True)


def test_a_model_to_which_all_texts_are_alike_finds_nothing():
    examples = [embed.Example(f"q{i}", f"d{i}", (), True, "") for i in range(4)]
    guesses = embed.guess([np.ones((2, 3))] * 4, [], examples, [], None)
    assert embed.score(examples, guesses, [])["mrr"] == 1 / 4


def test_the_choices_of_pooling_are_those_of_the_layer():
    assert options.POOLINGS == tuple(pooling.KINDS)


@pytest.mark.parametrize(("argv", "message"), [
    (("embed", "--batch-size", 1), "--batch-size must be at least 2 for embed"),
    (("embed", "--temperature", 0), "--temperature must be a finite number above 0"),
    (("embed", "--scored", "--symmetric"), "--symmetric: with --scored each pair is judged by itself"),
    (("classify", "--temperature", 1, "--no-normalise"),
     "--no-normalise, --temperature: only the task embed has vectors of texts; classify does without"),
    (("embed", "--label", "score"), "--label: pairs that belong together need none; with --scored"),
    (("embed", "--stride", 9), "--stride: only the task qa has windows and answers"),
    (("embed", "--class-weights", "balanced"), "--class-weights: the task embed has no classes"),
    (("embed", "--metric", "f1"), "--metric must be one of mrr, recall_1, recall_10 and loss"),
])
def test_options_that_cannot_be(argv, message, files):
    with pytest.raises(ValueError, match=message):
        command.run(parsed(*argv, "--train", files("embed")[0], "--device", "cpu"))


@pytest.mark.parametrize("task", ["embed", "embed_scored"])
def test_the_folder_says_how_its_vectors_are_made(task, finetune, files, tmp_path):
    out = tmp_path / "out"
    assert finetune(task, "--epochs", 1, "--pooling", "cls", "--max-length", 12) == 0
    assert Pooling.of(out) == Pooling("cls", True, 12)
    bert = minibert.load(out, "cpu")
    model = saved.load(out)
    examples = model.task.read(files(task)[1], model.settings).examples
    vectors = [bert.embed([getattr(e, role) for e in examples]) for role in ("text", "pair")]
    np.testing.assert_allclose((vectors[0] ** 2).sum(1), 1, rtol=1e-5)
    features, _ = model.task.encode(examples, model.tokenizer, model.labels, model.settings)
    with command.Workers(1) as workers:
        _, logits = predict(model.network(), model.parameters, command.micro_batches(features), workers)
    if task == "embed":
        logits = [x[0] @ x[1] / np.linalg.norm(x[0]) / np.linalg.norm(x[1]) for x in logits]
    np.testing.assert_allclose((vectors[0] * vectors[1]).sum(1), logits, atol=1e-5)  # what was trained is what is used
    lines = tmp_path / "lines.txt"
    lines.write_text("".join(e.pair + "\n" for e in examples), encoding="utf-8")
    [found] = Index.of(bert, lines, bert.pooling(), cache=False).search(examples[0].text, 1)
    assert found.score == pytest.approx((vectors[1] @ vectors[0][0]).max(), abs=1e-5)


def test_a_folder_that_says_how_is_followed(finetune, tmp_path, files):
    assert finetune("embed", "--epochs", 1, "--pooling", "max", "--no-normalise") == 0
    first = saved.load(tmp_path / "out")
    assert (first.settings.pooling, first.settings.normalise) == ("max", False)
    again = "embed", "--model", tmp_path / "out", "--train", files("embed")[0], *SMALL, "--epochs", 1, "--out", tmp_path / "again"
    assert command.run(parsed(*again)) == 0
    assert Pooling.of(tmp_path / "again") == Pooling("max", False, 24)
    (tmp_path / "out" / saved.READING).unlink()  # a sentence encoder of other people
    found = saved.load(tmp_path / "out")
    assert found.task is TASKS["embed"]
    assert (found.settings.pooling, found.settings.normalise) == ("max", False)


def test_a_body_alone_is_for_no_task_unless_it_is_asked_for(model, files, predict, capsys):
    with pytest.raises(ValueError, match="has no head for a task"):
        saved.load(model)
    assert predict(model, files("embed")[1], "--task", "embed") == 0
    assert "mrr 0." in capsys.readouterr().err


def test_the_best_of_several_seeds_is_a_sentence_encoder_too(finetune, tmp_path):
    assert finetune("embed", "--epochs", 1, "--seeds", 2) == 0
    assert Pooling.of(tmp_path / "out") == Pooling("mean", True, 24)
    best = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))["best_seed"]
    for name in saved.files(tmp_path / "out"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "out" / f"seed-{best}" / name).read_bytes()


@pytest.mark.parametrize("task", ["embed", "embed_scored"])
def test_interrupted_and_resumed_is_the_run_that_was_not(task, finetune, tmp_path, monkeypatch):
    options = "--epochs", 2, "--dropout", 0.1
    assert finetune(task, *options) == 0
    step = Loop._step

    def stop(self):
        step(self)
        if self.progress.step == 7:
            raise KeyboardInterrupt
    monkeypatch.setattr(Loop, "_step", stop)
    with pytest.raises(KeyboardInterrupt):
        finetune(task, *options, out=tmp_path / "cut")
    monkeypatch.setattr(Loop, "_step", step)
    assert command.run(parsed("--resume", tmp_path / "cut", "--threads", 2, "--device", "cpu")) == 0
    for name in ("model.safetensors", "predictions.tsv", "modules.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_accumulated_batches_are_compared_each_in_itself(model):
    """As where frameworks accumulate gradients: 2 batches of 4 are no batch of 8."""
    settings = Settings(task="embed", batch_size=4, accumulate=2)
    [term] = saved.begin(model, embed, ["pair"], settings, 0).network().terms
    assert term.options == {"temperature": 0.05, "symmetric": False, "rows": 4}


def test_the_tasks_that_make_vectors_need_no_head():
    assert {*models.POOLED, "san"} == {task.KIND for task in TASKS.values() if task.ARCHITECTURE == "BertModel"}


def test_a_model_from_before_pooling_was_asked_for(finetune, tmp_path):
    assert finetune("classify", "--epochs", 1) == 0
    path = tmp_path / "out" / saved.READING
    reading = json.loads(path.read_text(encoding="utf-8"))
    for name in ("scored", "pooling", "normalise"):
        del reading[name]
    path.write_text(json.dumps(reading), encoding="utf-8")
    assert saved.load(tmp_path / "out").task is TASKS["classify"]


def test_the_settings_of_a_task_mean_that_task():
    for task in TASKS.values():
        assert task_of(Settings(**asked_for(task))) is task
