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
    trained = (folder / command.GUESSES).is_file()  # the last file that a run writes
    begun = (folder / command.checkpoint.FILE).is_file()
    try:
        if not trained:
            _train(folder, size, seed, steps or STEPS[size], begun)
        return pretrained.load(folder)
    except (OSError, ValueError) as error:
        if not trained and not begun:
            raise
        said = getattr(error, "strerror", None) or error
        raise ValueError(f"what is kept of the model of the generated language cannot be used: {said}; delete "
                         f"{folder}, and it is trained anew") from error


def folder_of(size: str, seed: int, steps: int | None = None) -> Path:
    """Where it is kept."""
    return cache_folder() / f"{CORPORA[size]}-{steps or STEPS[size]}-{seed}"


def _train(folder: Path, size: str, seed: int, steps: int, begun: bool) -> None:
    parser = argparse.ArgumentParser()
    options.add_arguments(parser)
    batch = ["--batch-size", "32", "--learning-rate", "4e-3"]  # with 16 it is stuck at frequencies for most of the steps
    new = ["--corpus", CORPORA[size], "--no-next-sentence", "--shift-positions", "--steps", str(steps), *batch, "--lanes", "2",
           "--seed", str(seed), "--out", str(folder)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(error.errno, f"{folder}, where the model of the generated language is kept, cannot be made: "
                                   f"{error.strerror}; name another folder with MINIBERT_CACHE") from None
    if not begun and any(folder.iterdir()):
        raise FileExistsError(f"{folder}, where the model of the generated language is kept, is not empty and has nothing saved: "
                              "another run is training it now, or one was killed; wait for it, or delete the folder")
    print(f"A model of the generated language is trained once, and kept in {folder}", file=sys.stderr, flush=True)
    with redirect_stdout(sys.stderr):
        code = command.run(parser.parse_args(["--resume", str(folder)] if begun else new))
    if code:
        raise KeyboardInterrupt
