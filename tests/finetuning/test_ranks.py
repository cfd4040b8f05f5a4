"""Fine-tuning over several ranks: the files of one process, byte for byte, but for the seconds that were measured."""

import re

import pytest

from minibert.finetuning import command
from minibert.ranks.alone import ALONE
from minibert.ranks.threads import together
from minibert.training.loop import Loop
from tests.finetuning.conftest import SMALL, parsed

RUN = [*SMALL, "--threads", 1, "--dropout", 0.1, "--epochs", 2, "--lanes", 2]


def timeless(folder):
    """Contents by name. The log and the settings name the folder; a state is gone when a run is complete."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "log.txt":
            text = re.sub(rb'"seconds": [\d.]+', b"", path.read_bytes())
            if path.name == "metrics.csv":
                text = b"\n".join(b",".join(cell for i, cell in enumerate(line.split(b",")) if i != 2)
                                  for line in text.splitlines())
            found[path.relative_to(folder).as_posix()] = text
    return found


def test_two_ranks_write_what_one_process_writes(files, model, tmp_path):
    train, dev = files("classify")

    def run(ranks, name, *argv):
        return command.run(parsed("classify", "--train", train, "--dev", dev, "--model", model, *RUN, *argv,
                                  "--out", tmp_path / name), ranks)

    assert run(ALONE, "one") == 0
    assert together(2, lambda ranks: run(ranks, "two")) == [0, 0]
    expected = timeless(tmp_path / "one")
    assert {"model.safetensors", "metrics.json", "metrics.csv"} <= expected.keys()
    assert timeless(tmp_path / "two") == expected

    class Stopping(Loop):
        def _step(self):
            super()._step()
            if self.progress.step == 8:
                raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(command, "Loop", Stopping)
        with pytest.raises(KeyboardInterrupt):
            together(2, lambda ranks: run(ranks, "stopped"))
    assert command.run(parsed("--resume", tmp_path / "stopped", "--threads", 1, "--device", "cpu")) == 0  # by one
    assert timeless(tmp_path / "stopped") == expected


def test_several_seeds_are_each_trained_by_all(files, model, tmp_path):
    train, dev = files("classify", 16)

    def run(ranks, name):
        return command.run(parsed("classify", "--train", train, "--dev", dev, "--model", model, *RUN, "--seeds", 2, "--epochs", 1,
                                  "--out", tmp_path / name), ranks)

    assert run(ALONE, "one") == 0
    assert together(2, lambda ranks: run(ranks, "two")) == [0, 0]
    assert timeless(tmp_path / "two") == timeless(tmp_path / "one")
