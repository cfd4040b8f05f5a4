"""What miniatures of distillation share: a teacher of four layers on the default corpus, and students of two that begin fresh."""

from __future__ import annotations

import atexit
import io
import tempfile
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path

from minibert import pretrained
from minibert.cli import main
from minibert.model import pretraining
from minibert.training.loop import METRICS, read_rows

TEACHER = ("--layers", 4, "--hidden", 128, "--heads", 4, "--vocab-size", 2000, "--no-next-sentence", "--steps", 1200,
           "--eval-every", 1200)
STEPS, RATE = 400, 2e-3
NOTHING = ("--soft", 0, "--hard", 0, "--cosine", 0)


@cache
def teacher() -> Path:
    """Its folder, for as long as the program runs: one for all seeds."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    asked("train", *TEACHER, "--out", Path(folder.name, "teacher"))
    return Path(folder.name, "teacher")


def loss(seed: int, *weights: object) -> float:
    """Of a student that learned by these weights, on held-out text, in nats a hidden word. Without ``--soft`` and the like it is
    alone."""
    known = pretrained.load(teacher(), layout=pretraining.layout)
    config = known.config.replace(num_hidden_layers=2)
    with tempfile.TemporaryDirectory() as folder:
        fresh, out = Path(folder, "fresh"), Path(folder, "student")
        pretrained.save(fresh, config, pretraining.initial_parameters(config, seed), known.tokenizer)
        asked("compress", "distil", "--teacher", teacher(), "--student", fresh, "--no-next-sentence", "--steps", STEPS,
              "--learning-rate", RATE, "--eval-every", STEPS, "--seed", seed, *NOTHING, *weights, "--out", out)
        return float(read_rows(out / METRICS)[-1]["held_out_mlm_loss"])


def asked(*command: object) -> None:
    """Run a command on one thread, and say nothing."""
    said = io.StringIO()
    with redirect_stdout(said):
        code = main([*map(str, command), "--threads", "1", "--lanes", "1"])
    if code:
        raise RuntimeError(said.getvalue())
