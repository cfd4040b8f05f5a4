"""What CONTRIBUTING says that it takes to add a head and a task is all that it takes."""

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import minibert.tasks.labelled as labelled
from gradcheck.checker import check
from minibert.finetuning import command, models, options, saved
from minibert.layers import cross_entropy
from tests.finetuning.conftest import SMALL, parsed

PAGE = Path(__file__).parents[2] / "CONTRIBUTING.md"


@pytest.fixture
def added(monkeypatch) -> dict[str, ModuleType]:
    """The two modules of the page, entered where it says."""
    head, task = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    found = {}
    for name, source in (("minibert.model.heads.mean", head), ("minibert.tasks.labelled.mean", task)):
        found[name] = ModuleType(name)
        exec(source, found[name].__dict__)
        monkeypatch.setitem(sys.modules, name, found[name])
    head, task = found.values()
    monkeypatch.setattr(models, "KINDS", {**models.KINDS, "mean": (head, "last_hidden_state", cross_entropy)})
    tasks = {**labelled.TASKS, "mean": task}
    for module in (labelled, saved):
        monkeypatch.setattr(module, "TASKS", tasks)
    monkeypatch.setattr(options, "TASKS", (*options.TASKS, "mean"))
    return found


def test_the_head_has_the_right_gradients(added):
    rng = np.random.default_rng(0)
    inputs = {"x": rng.normal(size=(2, 5, 4)), "mask": np.arange(5) < np.array([5, 3])[:, None]}
    assert check(added["minibert.model.heads.mean"], inputs, {"weight": rng.normal(size=(3, 4)), "bias": rng.normal(size=3)}).ok


def test_the_task_is_trained_and_asked_from_the_command_line(added, files, model, predict, tmp_path, capsys):
    train, dev = files("classify")
    assert command.run(parsed("mean", "--model", model, "--train", train, "--dev", dev, *SMALL, "--out", tmp_path / "out")) == 0
    assert predict(tmp_path / "out", dev) == 0
    assert "accuracy" in capsys.readouterr().err
    assert saved.load(tmp_path / "out").parameters.layout.slots.keys() >= {"mean_classifier.weight", "mean_classifier.bias"}
