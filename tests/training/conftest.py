"""``minibert train`` as a user runs it, on a corpus that is learned in seconds."""

import argparse
import random
import signal
from pathlib import Path

import pytest

from minibert import plots
from minibert.training import command, options

SMALL = ("--layers 1 --hidden 32 --heads 2 --max-length 32 --eval-every 6 --batch-size 4 "
         "--micro-batch-tokens 64 --held-out 0.1 --threads 2 --device cpu --learning-rate 0.001 --dropout 0.1").split()


def arguments(*argv) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    options.add_arguments(parser)
    return parser.parse_args([str(arg) for arg in argv])


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    """Documents that each have five words of their own: which words are likely can be told from the context alone."""
    rng = random.Random(0)
    topics = [[start + end for end in ("ba", "do", "ki", "lu", "me")] for start in ("ra", "so", "ti", "vu", "ne", "po")]
    documents = []
    for i in range(60):
        words = topics[i % len(topics)]
        documents.append("\n".join(" ".join(rng.choice(words) for _ in range(7)) + " ." for _ in range(8)))
    path = tmp_path_factory.mktemp("corpus") / "topics.txt"
    path.write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def heeds_interrupts():
    """Ctrl-C as a terminal delivers it, also where the tests run in the background, where a shell has it ignored."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.fixture(autouse=True)
def quick(monkeypatch, request):
    """Pictures take longer than such a training, and the memory settings would hold for all tests that follow."""
    monkeypatch.setattr(command, "keep_freed_memory", lambda: None)
    if "pictures" not in request.fixturenames:
        monkeypatch.setattr(plots, "learning_curve", lambda rows, path, *args, **kwargs: Path(path).write_bytes(b"picture"))


@pytest.fixture
def pictures():
    """For tests that want the real ones."""


@pytest.fixture
def train(corpus):
    """``train(folder, *options)``: a new run; the exit code. Options given later win."""
    def run(out, *argv):
        steps = () if "--minutes" in argv else ("--steps", 12)
        size = () if "--vocab" in argv else ("--vocab-size", 120)
        return command.run(arguments("--corpus", corpus, *SMALL, *size, *steps, "--out", out, *argv))
    return run


@pytest.fixture
def resume():
    """``resume(folder, *options)``: go on with a run; the exit code."""
    def run(out, *argv):
        return command.run(arguments("--resume", out, "--threads", 2, "--device", "cpu", *argv))
    return run
