"""Ranks: processes, on one machine or many, that work on one thing together, and what they tell one another.

``alone`` is one process, and says what every engine offers: ``mpi`` between processes, ``nccl`` between their GPUs, ``threads``
within one process, for tests and lessons. ``begin`` is what a command does first.
"""

from __future__ import annotations

import os

from minibert.ranks.alone import ALONE, Ranks

__all__ = ["ALONE", "KINDS", "SIZES", "Ranks", "launched", "of"]

#: How many ranks there are, as those say who start them: MPICH, Intel MPI, MS-MPI and Slurm; Open MPI; MVAPICH; PMIx under Slurm.
SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
KINDS = ("auto", "mpi", "alone")


def launched() -> int:
    """How many ranks this process was started as one of; 1 where nobody says so."""
    known = SIZES if "PMIX_RANK" in os.environ else SIZES[:-1]
    return max([int(size) for size in map(os.environ.get, known) if size and size.isdigit()], default=1)


def of(asked: str = "auto") -> Ranks:
    """The ranks of this process: by MPI where ``mpi`` is asked for, or with ``auto`` where mpiexec started several.

    RuntimeError, with what to do, where MPI cannot be used or counts others than mpiexec started.
    """
    if asked == "alone" or (asked == "auto" and launched() == 1):
        return ALONE
    from minibert.ranks.mpi import Mpi

    return Mpi(launched())
