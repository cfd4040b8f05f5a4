"""The runner of miniatures: seeds are kept, those that are missing are measured, and another source counts for nothing."""

import importlib
import json
import pkgutil
from types import SimpleNamespace

import pytest

from benchmarks import miniatures
from benchmarks.miniatures import __main__ as runner

NAMES = [module.name for module in pkgutil.iter_modules(miniatures.__path__) if not module.name.startswith("_")]


def test_what_a_miniature_has():
    for name in NAMES:
        module = importlib.import_module(f"benchmarks.miniatures.{name}")
        for sentence in (module.ASKS, module.CRITERION):
            assert sentence.endswith("."), name
            assert "\n" not in sentence, name
        assert callable(module.run), name
        assert callable(module.met), name


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A miniature that counts its runs."""
    path = tmp_path / "toy.py"
    path.write_text("first", encoding="utf-8")
    ran = []
    module = SimpleNamespace(__file__=str(path), ASKS="Is a seed a number?", CRITERION="It is above -1.", ran=ran,
                             run=lambda seed: ran.append(seed) or {"seed": float(seed)},
                             met=lambda rows: all(row["seed"] > -1 for row in rows))
    monkeypatch.setattr(runner.pkgutil, "iter_modules",
                        lambda path: [SimpleNamespace(name=name) for name in ("toy", "_common")])
    monkeypatch.setattr(runner.importlib, "import_module", lambda name: module)
    return module


def test_seeds_are_measured_once(toy, tmp_path, capsys):
    records = tmp_path / "records.jsonl"
    runner.main(["toy", "--seeds", "1", "--records", str(records)])
    runner.main(["toy", "--seeds", "3", "--records", str(records)])
    assert toy.ran == [0, 1, 2]
    assert [json.loads(line)["seed"] for line in records.read_text(encoding="utf-8").splitlines()] == [0, 1, 2]
    assert "| seed | 1 ± 1 |" in capsys.readouterr().out


def test_another_source_is_measured_again_and_takes_the_place(toy, tmp_path, capsys):
    records = tmp_path / "records.jsonl"
    runner.main(["toy", "--seeds", "1", "--records", str(records)])
    (tmp_path / "toy.py").write_text("second", encoding="utf-8")
    runner.main(["--records", str(records)])
    assert "Not measured yet." in capsys.readouterr().out
    runner.main(["toy", "--seeds", "1", "--records", str(records)])
    assert toy.ran == [0, 0]
    assert len(records.read_text(encoding="utf-8").splitlines()) == 1


def test_a_source_is_also_that_of_a_miniature_whose_text_is_taken(tmp_path, monkeypatch):
    pairs, forgetting = (importlib.import_module(f"benchmarks.miniatures.{name}") for name in ("pairs", "forgetting"))
    before = runner.source(pairs), runner.source(importlib.import_module("benchmarks.miniatures.masks"))
    (tmp_path / "other.py").write_text("another text", encoding="utf-8")
    monkeypatch.setattr(forgetting, "__file__", str(tmp_path / "other.py"))
    assert runner.source(pairs) != before[0]
    assert runner.source(importlib.import_module("benchmarks.miniatures.masks")) == before[1]


def test_an_unknown_name_is_refused(toy, capsys):
    with pytest.raises(SystemExit):
        runner.main(["toys"])
    assert "no miniature toys" in capsys.readouterr().err
