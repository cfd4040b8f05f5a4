"""A model that is made afresh, and small sets of examples that can be learned in seconds."""

import argparse
import json
import signal
from pathlib import Path

import numpy as np
import pytest

from minibert import plots, pretrained
from minibert.finetuning import command, options
from minibert.model import pretraining
from tests import tiny_model

SMALL = "--epochs 8 --batch-size 8 --learning-rate 0.01 --threads 2 --device cpu --dropout 0 --micro-batch-tokens 64".split()


def parsed(*argv) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    options.add_arguments(parser)
    return parser.parse_args([str(arg) for arg in argv])


def asked(task: str) -> tuple[str, ...]:
    """How the command line asks for the task of a module."""
    return {"multi_label": ("classify", "--multi-label"), "embed_scored": ("embed", "--scored"),
            "classify_san": ("classify", "--head", "san")}.get(task, (task,))


def predict_arguments(*argv) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    options.add_predict_arguments(parser)
    return parser.parse_args([str(arg) for arg in argv])


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """The folder of a model without any training."""
    path = tmp_path_factory.mktemp("models") / "model"
    config, _, tokenizer = tiny_model.make(hidden_size=24, intermediate_size=48, initializer_range=0.15)
    pretrained.save(path, config, pretraining.initial_parameters(config, seed=3), tokenizer)
    return path


@pytest.fixture(autouse=True)
def quick(monkeypatch, request):
    """Pictures take longer than such a training, and the memory settings would hold for all tests that follow."""
    monkeypatch.setattr(command, "keep_freed_memory", lambda: None)
    if "pictures" not in request.fixturenames:
        for name in ("confusion", "confusion_of_each"):
            monkeypatch.setattr(plots, name, lambda matrix, labels, path, *args: Path(path).write_bytes(b"picture"))
        monkeypatch.setattr(plots, "tuning_curve", lambda rows, path, *args: Path(path).write_bytes(b"picture"))


@pytest.fixture
def pictures():
    """For tests that want the real ones."""


@pytest.fixture(autouse=True)
def heeds_interrupts():
    """Ctrl-C as a terminal delivers it, also where the tests run in the background, where a shell has it ignored."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


def sentences(count: int, seed: int = 0) -> list[list[str]]:
    """Sentences of one-letter words; none of them holds both an ``a`` and a ``b``, each has one of the two."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(count):
        words = rng.choice(list("cdefghij"), rng.integers(2, 8)).tolist()
        words[rng.integers(len(words))] = "ab"[i % 2]
        made.append(words)
    return made


@pytest.fixture
def files(tmp_path):
    """``files(task)``: (train, dev) for a task that hangs on whether there is an ``a`` or a ``b``."""
    def make(task: str, count: int = 48) -> tuple[Path, Path]:
        paths = []
        for name, n, seed in (("train", count, 0), ("dev", 16, 1)):
            path = tmp_path / f"{task}-{name}{'.json' if task in ('qa', 'choice') else '.tsv'}"
            path.write_text(_WRITERS[task](sentences(n, seed)), encoding="utf-8")
            paths.append(path)
        return tuple(paths)
    return make


def _kind(words):
    return "good" if "a" in words else "bad"


def _labels(words):
    return "|".join(word for word in words if word in "bc")


def _squad(made):
    qas = []
    for i, words in enumerate(made):
        context = " ".join(words)
        answers = [{"text": "a", "answer_start": context.index("a")}] if "a" in words else []
        qas.append({"context": context, "qas": [{"id": f"q{i}", "question": "where", "answers": answers}]})
    return json.dumps({"version": "v2.0", "data": [{"paragraphs": qas}]})


def _swag(words):
    return json.dumps({"sent1": "the", "ending0": " ".join(words), "ending1": "c d e", "label": int("b" in words)})


def _candidates(i, words):
    """A question, which is i in letters, with two candidates."""
    question = " ".join("cdefghij"[int(digit)] for digit in f"{i:03o}")
    return f"{question}\t{' '.join(words)}\t{int('a' in words)}\n{question}\tc d e\t{int('b' in words)}\n"


def _triplet(i, words):
    """Letters and the same in another order belong together."""
    return f"{' '.join(words)}\t{' '.join(words[::-1])} the\t{' '.join(words[:-1])} {'xyz'[i % 3]}\n"


def _scored(i, words):
    """From 0 to 4: half of the pairs share their letters, the other half has none in common."""
    return f"{' '.join(words)}\t{' '.join(words[::-1]) if i % 4 < 2 else ' '.join('klmno'[:len(words)])}\t{4 * (i % 4 < 2)}\n"


_WRITERS = {
    "classify": lambda made: "".join(f"{' '.join(words)}\t{_kind(words)}\n" for words in made),
    "classify_san": lambda made: "sentence1\tsentence2\tlabel\n" + "".join(
        f"the\t{' '.join(words)}\t{_kind(words)}\n" for words in made),
    "multi_label": lambda made: "sentence\tlabels\n" + "".join(f"{' '.join(words)}\t{_labels(words)}\n" for words in made),
    "regress": lambda made: "sentence\tscore\n" + "".join(f"{' '.join(words)}\t{1 + 2 * ('a' in words)}\n" for words in made),
    "tag": lambda made: "\n".join("".join(f"{w}\t{f'B-{w}' if w in 'ab' else 'O'}\n" for w in words)
                                  for words in made),
    "choice": lambda made: "\n".join(map(_swag, made)),
    "rank": lambda made: "question\tsentence\tlabel\n" + "".join(map(_candidates, range(len(made)), made)),
    "qa": _squad,
    "embed": lambda made: "anchor\tpositive\tnegative\n" + "".join(map(_triplet, range(len(made)), made)),
    "embed_scored": lambda made: "sentence1\tsentence2\tscore\n" + "".join(map(_scored, range(len(made)), made)),
}


@pytest.fixture
def finetune(model, files, tmp_path):
    """``finetune(task, *options)``: a run in ``tmp_path / "out"``; the exit code. Options given later win."""
    def run(task, *argv, out=None):
        train, dev = files(task)
        where = "--model", model, "--train", train, "--dev", dev, "--out", out or tmp_path / "out"
        return command.run(parsed(*asked(task), *where, *SMALL, *argv))
    return run


@pytest.fixture
def predict():
    """``predict(folder, file, *options)``: the exit code."""
    return lambda *argv: command.run_predict(predict_arguments(*argv, "--device", "cpu", "--threads", 2))
