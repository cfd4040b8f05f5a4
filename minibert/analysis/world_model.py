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

STEPS = {"small": 3000, "full": 6000}
RECIPE = ("--no-next-sentence", "--shift-positions", "--layers", "4", "--hidden", "128", "--heads", "4", "--lanes", "2",
          "--batch-size", "32", "--learning-rate", "3e-3")  # in batches of 16 most steps teach frequencies alone
CORPORA = {size: corpus for corpus, size in WORLDS.items()}


def load(size: str = "small", seed: int = 0, steps: int | None = None) -> Loaded:
    """A model of the ``small`` or ``full`` world (4 layers, 128 numbers, 4 heads). ``seed``: another one. ``steps``: of its
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
            _train(folder, size, seed, steps, begun)
        return pretrained.load(folder)
    except (OSError, ValueError) as error:
        if not trained and not begun:
            raise
        said = getattr(error, "strerror", None) or error
        raise ValueError(f"what is kept of the model of the generated language cannot be used: {said}; delete "
                         f"{folder}, and it is trained anew") from error


def trained_by(size: str, steps: int | None = None) -> list[str]:
    """What ``minibert train`` is told, but for the seed."""
    return ["--corpus", CORPORA[size], "--steps", str(steps or STEPS[size]), *RECIPE]


def folder_of(size: str, seed: int, steps: int | None = None) -> Path:
    """Where it is kept."""
    return cache_folder() / f"{CORPORA[size]}-{steps or STEPS[size]}-{seed}"


def _train(folder: Path, size: str, seed: int, steps: int | None, begun: bool) -> None:
    parser = argparse.ArgumentParser()
    options.add_arguments(parser)
    new = [*trained_by(size, steps), "--seed", str(seed), "--out", str(folder)]
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
