"""What a command does before ranks work together: hear whether all were told the same, and reach the devices of the others."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from minibert import __version__, backend
from minibert.ranks import Ranks, nccl


def told_alike(ranks: Ranks, args: argparse.Namespace) -> None:
    """ValueError where ranks were not told the same, or what one process does alone. Its cores are each one's own affair."""
    if ranks.size == 1:
        return
    own = ("threads", "workers", "device", "run", "parser", "debug")
    ranks.agree({"the version of minibert": __version__, "the version of NumPy": np.__version__,
                 **{f"--{name.replace('_', '-')}": value for name, value in vars(args).items() if name not in own}})
    for name in ("profile", "overfit_batch", "describe"):
        if getattr(args, name, None):
            raise ValueError(f"--{name.replace('_', '-')} is for one process: start it without mpiexec")
    if "-" in getattr(args, "corpus", ()):
        raise ValueError("--corpus -: standard input reaches one rank only; give a file that all ranks can read")


def device_of(asked: str, ranks: Ranks) -> tuple[Any, str, Ranks]:
    """The array module, the device in words, and the ranks, who reach one another's GPUs where they are on such."""
    xp, device = backend.choose(asked)
    return xp, device, nccl.between(ranks, xp)
