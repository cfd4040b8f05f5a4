"""The two commands that damage files and kill runs: small versions of both, and do they notice what they look for?"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import damage, kills
from benchmarks.hostile import FORMATS, Format, damaged

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that can be copied"),
              pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")]


def results_of(module, tmp_path, *options):
    figures = tmp_path / "figures.json"
    command = [sys.executable, "-m", f"benchmarks.{module}", "--json", str(figures), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(figures.read_text(encoding="utf-8"))["results"]


def test_some_damaged_files_of_every_format(tmp_path):
    results = results_of("damage", tmp_path, "--count", str(6 * len(FORMATS)), "--seed", "11")
    assert results["failures"] == []
    assert {name: sum(found.values()) for name, found in results["formats"].items()} == dict.fromkeys(FORMATS, 6)
    assert sum(found.get("refused", 0) for found in results["formats"].values()) > len(FORMATS)


def test_some_kills(tmp_path):
    for result in results_of("kills", tmp_path, "--count", "3", "--seed", "5"):
        assert result["failures"] == []
        assert result["kills"] == 3
        assert result["runs"] == result["finished"] > 0


# Do they notice?


def write(folder):
    path = folder / "a.bin"
    path.write_bytes(bytes(range(100)))
    return [path]


def planted(monkeypatch, tmp_path, fault, verified=True):
    """Outcomes of six files of a format whose reader has a fault, and the failures."""
    def read(folder):
        content = (folder / "a.bin").read_bytes()
        if content != bytes(range(100)):
            fault(folder)
        return {"a": content}, []

    monkeypatch.setitem(FORMATS, "planted", Format(write, read, (damaged,), verified))
    found = damage.measure(damage.Trials(["planted"], 0, tmp_path / "files"), 6, deadline=20)
    return found["formats"]["planted"], found["failures"]


def unnamed(folder):
    raise ValueError("it is damaged")


def named(folder):
    raise ValueError(f"{folder / 'a.bin'} is damaged")


def traceback(folder):
    raise KeyError("a.bin")


def end(folder):
    os._exit(3)


def nothing(folder):
    pass


@pytest.mark.parametrize(("fault", "verified", "outcome"), [
    (named, True, "refused"), (unnamed, True, "crash"), (traceback, True, "crash"), (end, True, "crash"),
    (nothing, True, "wrong"), (nothing, False, "other")])
def test_what_a_reader_does_is_noticed(monkeypatch, tmp_path, fault, verified, outcome):
    found, failures = planted(monkeypatch, tmp_path, fault, verified)
    assert found == {outcome: 6}
    assert len(failures) == (0 if outcome in ("refused", "other") else 6)


def test_a_reader_that_does_not_end_is_noticed(monkeypatch, tmp_path):
    monkeypatch.setitem(FORMATS, "planted", Format(write, lambda folder: None, (damaged,)))
    trials = damage.Trials(["planted"], 0, tmp_path / "files")
    monkeypatch.setattr(trials, "run", lambda i: time.sleep(600))
    assert damage.measure(trials, 2, deadline=0.2)["formats"] == {"planted": {"hang": 2}}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process is not refused memory")
def test_a_reader_that_takes_too_much_memory_is_noticed(monkeypatch, tmp_path):
    found, _ = planted(monkeypatch, tmp_path, lambda folder: np.ones(damage.ROOM // 2))
    assert found == {"memory": 6}


def test_the_same_seed_does_the_same(tmp_path):
    files = []
    for i in range(2):
        trials = damage.Trials(["config.json", "npz, resealed"], 3, tmp_path / str(i))
        files.append([trials.harmed(n)[1] for n in range(20)])
    assert files[0] == files[1]


def finished(folder):
    """A folder with the files of a run, as far as they are compared."""
    folder.mkdir()
    (folder / "metrics.csv").write_text("step,seconds,loss\n1,0.5,2\n", encoding="utf-8")
    (folder / "metrics.json").write_text('{"seconds": 1.5, "scores": {"f1": 1}}', encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "log.txt").write_text("resumed", encoding="utf-8")
    return folder


@pytest.mark.parametrize(("name", "content", "said"), [
    ("metrics.csv", "step,seconds,loss\n1,9.5,2\n", None), ("metrics.json", '{"seconds": 2.5, "scores": {"f1": 1}}', None),
    ("log.txt", "other", None), ("metrics.csv", "step,seconds,loss\n1,0.5,3\n", "metrics.csv is another one"),
    ("metrics.json", '{"seconds": 1.5, "scores": {"f1": 0}}', "metrics.json is another one"),
    ("model.safetensors", "weightz", "model.safetensors is another one"),
    (".model.minibert-0123abcd.tmp.safetensors", "half", "its files are .model.minibert-0123abcd")])
def test_what_two_runs_differ_in_is_noticed(tmp_path, name, content, said):
    straight, run = finished(tmp_path / "straight"), finished(tmp_path / "run")
    (run / name).write_text(content, encoding="utf-8")
    found = kills.difference(run, straight)
    assert (found is None) is (said is None)
    assert found is None or found.startswith(said)
