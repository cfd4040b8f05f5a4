"""``minibert compress`` as a user runs it, of a teacher that is made in seconds: on texts, and on labelled examples."""

from pathlib import Path

import pytest

from minibert import cli, plots, pretrained
from minibert.compression import command
from minibert.finetuning import command as finetuning
from minibert.model import pretraining
from minibert.training import command as training
from tests import tiny_model
from tests.finetuning.conftest import SMALL, files, heeds_interrupts, parsed, quick  # noqa: F401 - fixtures
from tests.training.conftest import corpus  # noqa: F401 - a fixture

COURSE = "--threads 2 --lanes 2 --device cpu --micro-batch-tokens 64 --learning-rate 0.005".split()
TEXTS = "--max-length 24 --batch-size 4 --steps 6 --eval-every 3 --held-out 0.1".split()
EXAMPLES = "--epochs 2 --batch-size 8 --dropout 0.1".split()
STATES = ("model.safetensors", "training_state.safetensors")


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """Pictures take longer than such a training, and the memory settings would hold for all tests that follow."""
    for module in (command, training, finetuning):
        monkeypatch.setattr(module, "keep_freed_memory", lambda: None)
    for name in ("learning_curve", "tuning_curve"):
        monkeypatch.setattr(plots, name, lambda rows, path, *args, **kwargs: Path(path).write_bytes(b"picture"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """The folder of a model of four layers that guesses masked words."""
    path = tmp_path_factory.mktemp("teacher") / "words"
    config, _, tokenizer = tiny_model.make(hidden_size=24, intermediate_size=48, num_hidden_layers=4, initializer_range=0.15)
    pretrained.save(path, config, pretraining.initial_parameters(config, seed=3), tokenizer)
    return path


@pytest.fixture
def classifier(teacher, files, tmp_path):  # noqa: F811 - a fixture
    """The folder of a teacher that was fine-tuned."""
    train, dev = files("classify")
    out = tmp_path / "classifier"
    assert finetuning.run(parsed("classify", "--model", teacher, "--train", train, "--dev", dev, "--out", out, *SMALL)) == 0
    return out


def run(*argv):
    args = cli.parser().parse_args(["compress", *map(str, argv)])
    return args.run(args)


@pytest.fixture
def words(teacher, corpus):  # noqa: F811 - a fixture
    """``words(recipe, folder, *options)``: a student that learns from texts; the exit code."""
    return lambda recipe, out, *argv, course=(*TEXTS, *COURSE): run(recipe, "--teacher", teacher, "--corpus", corpus,
                                                                    "--out", out, *course, *argv)


@pytest.fixture
def labels(classifier, files):  # noqa: F811 - a fixture
    """``labels(recipe, folder, *options)``: a student that learns from labelled examples; the exit code."""
    train, dev = files("classify")
    return lambda recipe, out, *argv, course=(*EXAMPLES, *COURSE): run(recipe, "--teacher", classifier, "--train", train,
                                                                       "--dev", dev, "--out", out, *course, *argv)


def resume(out, *argv):
    return run("--resume", out, "--threads", 1, "--device", "cpu", *argv)


def refused(message, *argv, error=ValueError):
    with pytest.raises(error, match=message):
        run(*argv)
