"""What a run records for looking back, what the demo makes of it, and files that open anywhere."""

import json
import re
import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest

import minibert
from minibert import cli, shell
from minibert.analysis import inside, probes
from minibert.commands import demo as command
from minibert.data import corpora
from minibert.demo import export, watch
from minibert.demo.views import Views
from minibert.demo.watch import Run
from minibert.pretrained import bundled
from minibert.training import checkpoint
from minibert.training.loop import read_rows, write_rows
from tests.demo.conftest import unpacked


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small run of two evaluations."""
    folder = tmp_path_factory.mktemp("run")
    words = "the list of names is returned if the file was found and it can be read by all of them".split()
    rng = np.random.default_rng(0)
    text = folder / "text.txt"
    documents = [[" ".join(rng.choice(words, 8)) + "." for _ in range(30)] for _ in range(12)]
    text.write_text("\n\n".join(map("\n".join, documents)), encoding="utf-8")
    out = folder / "a run"
    assert cli.main(["train", "--corpus", str(text), "--out", str(out), "--steps", "4", "--eval-every", "2",
                     "--vocab-size", "120", "--hidden", "16", "--heads", "2", "--layers", "2", "--max-length", "32",
                     "--batch-size", "4", "--threads", "1", "--device", "cpu"]) == 0
    return out


def test_a_run_records_its_probes_at_the_start_and_at_each_evaluation(run):
    head, records = probes.read(run)
    assert [record["step"] for record in records] == [0, 2, 4]
    assert 1 <= len(head["probes"]) <= probes.COUNT
    bert = minibert.load(run)
    for sentence, found in zip(head["probes"], records[-1]["probes"], strict=True):
        question = inside.ask(bert, sentence["text"], hide=[sentence["position"]])
        guess = inside.guesses(bert, question)[0]
        assert guess.truth == sentence["truth"]
        assert guess.probability == pytest.approx(found["probability"], abs=1e-5)


def test_the_command_that_a_run_ends_with_can_be_copied(run):
    line = (run / "log.txt").read_text(encoding="utf-8").rstrip().splitlines()[-1]
    example = line.rpartition(shell.command(run) + " ")[2].strip("'\"")
    assert line == "  " + shell.command("python", "-m", "minibert", "fill-mask", "--model", run, example)
    assert "[MASK]" in example


def test_the_report_has_curves_floors_and_maps(run):
    report = Run(run).report()
    assert report["message"] is None
    assert [step for step, _ in report["held_out"]] == [2, 4]
    assert report["training"][-1] == (4, pytest.approx(read_rows(run / "metrics.csv")[-1]["mlm_loss"]))
    assert (report["steps"], report["step"]) == ([0, 2, 4], 4)
    log = (run / "log.txt").read_text(encoding="utf-8")
    assert f"{report['unigram_loss']:.2f}" == re.search(r"frequency alone +([\d.]+)", log)[1]
    weights = unpacked(report["shown"]["maps"])
    np.testing.assert_allclose(weights.sum(-1), 1, atol=0.05)
    assert len(report["shown"]["tokens"]) == weights.shape[-1]
    head, records = probes.read(run)
    assert report["probes"] == [sentence["text"] for sentence in head["probes"]]
    rows = read_rows(run / "metrics.csv")
    assert report["tasks"] == {name: [(row["step"], pytest.approx(100 * row[column])) for row in rows if row[column] is not None]
                               for name, column in (("masked words", "held_out_mlm_accuracy"), ("nsp", "held_out_nsp_accuracy"))}
    asked = Run(run).report(step=3, probe=10**6)  # the evaluation before, the last sentence
    assert (asked["step"], asked["shown"]["text"]) == (2, head["probes"][-1]["text"])
    assert asked["shown"]["guesses"] == records[1]["probes"][-1]["guesses"]
    json.dumps(report, allow_nan=False)


def test_the_bundled_run_can_be_watched_though_it_recorded_no_probes():
    report = Run(bundled()).report()
    assert (report["unigram_loss"], report["ln_vocabulary"]) == (6.31, 8.7)
    assert len(report["steps"]) == 12
    assert report["shown"] is None
    json.dumps(report, allow_nan=False)


def test_a_run_that_goes_away_or_breaks_is_said(run, bert, serve, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    running = serve(Views(bert, "", lambda: ("", [])), watch=Run(copy).report)
    assert running.ask("GET", "/api/watch")[1]["steps"] == [0, 2, 4]
    assert running.ask("GET", "/api/watch?step=2&probe=1")[1]["step"] == 2
    for wrong in ("step=x", "step=-1", "probe=%C2%B2", "probe=" + "9" * 5000):
        assert running.ask("GET", f"/api/watch?{wrong}")[0] == 400
    (copy / probes.FILE).write_text('{"probes"', encoding="utf-8")
    assert "damaged" in running.ask("GET", "/api/watch")[1]["message"]
    (copy / "metrics.csv").write_text("step\nno number", encoding="utf-8")
    assert "cannot be read" in running.ask("GET", "/api/watch")[1]["message"]
    shutil.rmtree(copy)
    status, answer = running.ask("GET", "/api/watch")
    assert (status, "is gone" in answer["message"]) == (200, True)
    with pytest.raises(FileNotFoundError, match="there is no such folder"):
        Run(copy)
    copy.mkdir()
    assert "not measured anything yet" in Run(copy).report()["message"]


def test_a_long_or_odd_run_is_answered_briefly(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    rows = read_rows(run / "metrics.csv")
    many = [{**rows[0], "step": i, "mlm_loss": 8 - i / 10_000} for i in range(20_001)]
    many[7] = {**many[7], "mlm_loss": float("nan"), "held_out_mlm_loss": float("inf")}
    write_rows(copy / "metrics.csv", many)
    watched = Run(copy)
    report = watched.report()
    assert report["message"].startswith("2 figures of the losses are no finite numbers")
    assert 500 <= len(report["training"]) <= watch.POINTS
    assert report["training"][-1] == (20_000, 6.0)
    assert len(json.dumps(report, allow_nan=False)) < 100_000
    write_rows(copy / "metrics.csv", rows)  # another file, read anew
    assert (watched.report()["message"], len(watched.report()["training"])) == (None, len(rows))


def test_a_file_that_no_run_writes_is_not_read(run, tmp_path, monkeypatch):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    monkeypatch.setitem(watch.LARGEST, "metrics.csv", 10)
    assert "metrics.csv has 0 MiB" in Run(copy).report()["message"]


@pytest.mark.parametrize("change", [
    lambda head, record: record.pop("probes"), lambda head, record: record["probes"].pop(),
    lambda head, record: record.update(step=True), lambda head, record: record["probes"][0].update(shape=[1, 1, 10**9, 10**9]),
    lambda head, record: record["probes"][0].update(shape=7), lambda head, record: record["probes"][0].update(attention="AA=="),
    lambda head, record: record["probes"][0].update(attention=None),
    lambda head, record: record["probes"][0].update(guesses=[["a"]]),
    lambda head, record: record["probes"][0].update(guesses=[["a", float("nan")]]),
    lambda head, record: record["probes"][0].update(probability=float("inf")), lambda head, record: record.update(probes="text"),
    lambda head, record: head.update(unigram_loss=float("nan")), lambda head, record: head.update(ln_vocabulary="8"),
    lambda head, record: head["probes"].append("text"), lambda head, record: head["probes"][0].update(position=99),
    lambda head, record: head["probes"][0].update(tokens="text"), lambda head, record: head["probes"][0].pop("truth")])
def test_damaged_probes_are_said_and_the_curves_still_shown(run, tmp_path, change):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    head, records = probes.read(copy)
    change(head, records[1])
    (copy / probes.FILE).write_text("\n".join(map(json.dumps, (head, *records))), encoding="utf-8")
    report = Run(copy).report(step=2)
    assert f"{probes.FILE} is damaged" in report["message"]
    assert [step for step, _ in report["held_out"]] == [2, 4]
    json.dumps(report, allow_nan=False)


def test_floors_in_a_log_that_is_damaged(tmp_path):
    log = tmp_path / "log.txt"
    for text, found in (("loss of blind guessing  8.70 nats\n", 8.7), ("loss of blind guessing 1.2.3", 1.2),
                        ("loss of blind guessing ...", None), ("x" * watch.LOG_BYTES + "loss of blind guessing 8.70", None)):
        log.write_text(text, encoding="utf-8")
        assert Run(tmp_path).report()["ln_vocabulary"] == found


def test_show_attention_is_a_page_that_asks_nobody(bert, tmp_path):
    page = bert.show_attention("they [MASK] not supported.")
    source = str(page)
    assert not re.search(r"""(?:src|href)=["'](?!data:)|@import|url\(""", source)
    assert "import {" not in source
    data = json.loads(re.search(r'id="data">(.*?)</script>', source, re.DOTALL)[1])
    np.testing.assert_allclose(unpacked(data["texts"][0]["attention"]["weights"]),
                               inside.attention(bert, inside.ask(bert, "they [MASK] not supported.")), atol=1e-5)
    assert data["texts"][0]["guesses"]["guesses"][0]["words"][0]["word"] == "are"
    assert page._repr_html_().startswith("<iframe srcdoc=")
    page.save(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == source
    pair = bert.show_attention("a list.", "it is empty. </script>")
    assert str(pair).count("</script>") == 2
    with pytest.raises(ValueError, match="no text to show"):
        export.page(bert, [])


def test_the_command_exports(tmp_path, capsys):
    path = tmp_path / "a.html"
    assert cli.main(["demo", "--export", str(path), "they [MASK] not supported.", "it is."]) == 0
    assert "opens in any browser" in capsys.readouterr().out
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert cli.main(["demo", "--export", str(path)]) == 2
    assert "--export needs a text" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "says"), [
    (["--port", "70000"], "--port must be from 0 to 65535"), (["no-such-model"], "no such folder"),
    (["--watch", "no-such-run"], "there is no such folder"), (["--text", "no-such-text"], "there is no such file"),
    (["--host", "192.0.2.1"], "cannot be listened on")])
def test_what_cannot_be_opened_is_said(arguments, says, capsys):
    assert cli.main(["demo", "--no-browser", *arguments]) == 2
    assert says in capsys.readouterr().err


def test_the_command_prints_the_address_that_it_took_and_who_can_reach_it(monkeypatch, capsys):
    from minibert.demo import server

    taken = server.bound("127.0.0.1", 0)
    port = taken.getsockname()[1]
    opened, served = threading.Event(), []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.set())

    def run(self, sockets):
        served.append(sockets[0].getsockname())
        self.ready()
        sockets[0].close()

    monkeypatch.setattr(server.Server, "run", run)
    assert cli.main(["demo", "--port", str(port)]) == 0
    out = capsys.readouterr().out
    assert f"port {port} is in use" in out
    assert f"http://127.0.0.1:{served[0][1]}/" in out
    assert "NOTE" not in out
    assert opened.wait(5)
    assert cli.main(["demo", "--port", str(port), "--host", "0.0.0.0", "--no-browser"]) == 0
    assert "every machine that can reach this one" in capsys.readouterr().out
    taken.close()


def test_neighbours_come_from_the_teachers_text_or_what_the_run_held_out(run, tmp_path, monkeypatch):
    text = tmp_path / "stories.txt"
    text.write_text("A cat sat. A dog ran!\nThey are here.", encoding="utf-8")
    bert = minibert.load(run)
    assert command.held_out(bert, str(text)) == ("stories.txt", ["A cat sat.", "A dog ran!", "They are here."])
    name, sentences = command.held_out(bert, None)
    assert name == "the held-out text of text.txt"
    assert sentences[0].endswith(".")
    state = checkpoint.load(run)  # laid out as the run was told
    monkeypatch.setattr(checkpoint, "load", lambda _: replace(state, settings=replace(state.settings, layout="prose")))
    monkeypatch.setattr(corpora, "read", lambda names, layout: pytest.fail(layout))
    with pytest.raises(pytest.fail.Exception, match="prose"):
        command.held_out(bert, None)
