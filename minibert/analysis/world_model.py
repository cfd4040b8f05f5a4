"""A model of the generated language: trained once, by ``minibert train``, and kept in the cache folder."""

from __future__ import annotations

import argparse
import sys
from contextlib import redirect_stdout
from pathlib import Path

from minibert import pretrained
from minibert.data.corpora import WORLDS
from minibert.files import cache_folder
from minibert.pretrained.folder import Loaded
from minibert.training import command, options

STEPS = {"small": 5500, "full": 7500}
CORPORA = {size: corpus for corpus, size in WORLDS.items()}


def load(size: str = "small", seed: int = 0, steps: int | None = None) -> Loaded:
    """A tiny model (2 layers, 128 numbers, 2 heads) of the ``small`` or ``full`` world. ``seed``: another one. ``steps``: of its
    training, by default those of ``STEPS``.

    The first time it is trained, in some minutes, with progress on standard error; what was interrupted goes on the next time.
    MINIBERT_CACHE names another cache folder. KeyboardInterrupt where Ctrl-C ends it.
    """
    if size not in STEPS:
        raise ValueError(f"the size of a world is {' or '.join(STEPS)}, got {size!r}")
    if steps is not None and steps < 1:
        raise ValueError(f"a model is trained for at least 1 step, got {steps}")
    folder = folder_of(size, seed, steps)
    if not (folder / command.GUESSES).is_file():  # the last file that a run writes
        _train(folder, size, seed, steps or STEPS[size])
    return pretrained.load(folder)


def folder_of(size: str, seed: int, steps: int | None = None) -> Path:
    """Where it is kept."""
    return cache_folder() / f"{CORPORA[size]}-{steps or STEPS[size]}-{seed}"


def _train(folder: Path, size: str, seed: int, steps: int) -> None:
    parser = argparse.ArgumentParser()
    options.add_arguments(parser)
    batch = ["--batch-size", "32", "--learning-rate", "4e-3"]  # with 16 it is stuck at frequencies for most of the steps
    new = ["--corpus", CORPORA[size], "--no-next-sentence", "--steps", str(steps), *batch, "--lanes", "2", "--seed", str(seed),
           "--out", str(folder)]
    begun = (folder / command.checkpoint.FILE).is_file()
    print(f"A model of the generated language is trained once, and kept in {folder}", file=sys.stderr, flush=True)
    with redirect_stdout(sys.stderr):
        code = command.run(parser.parse_args(["--resume", str(folder)] if begun else new))
    if code:
        raise KeyboardInterrupt
