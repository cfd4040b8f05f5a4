"""Over MPI itself, where mpi4py and its mpiexec are there: the bytes of one process, and one voice when something is wrong."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minibert.training import command
from tests.training.conftest import SMALL, arguments, corpus  # noqa: F401 - a fixture
from tests.training.runs import FINISHED, assert_same_run, names

ROOT = Path(__file__).parents[2]
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
RUN = [*SMALL, "--threads", 1, "--lanes", 2, "--vocab-size", 120, "--steps", 6]


@pytest.fixture(scope="module")
def mpiexec():
    """``mpiexec(n, *arguments)``: so many ranks of a Python program; what they said, and how they ended."""
    pytest.importorskip("mpi4py", reason="mpi4py is not installed: pip install 'minibert[mpi]'")
    if MPIEXEC is None:
        pytest.skip("there is no mpiexec on the path")
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("PMI", "OMPI", "MPI", "COV"))}

    def run(size, *argv):
        return subprocess.run([MPIEXEC, "-n", str(size), sys.executable, *map(str, argv)], cwd=ROOT, capture_output=True,
                              encoding="utf-8", timeout=300, env=bare | {"OMPI_MCA_rmaps_base_oversubscribe": "1"})

    if run(2, "-c", "from mpi4py import MPI; assert MPI.COMM_WORLD.size == 2").returncode:
        pytest.skip("mpiexec starts no two ranks here")
    return run


def test_two_ranks_end_in_the_bytes_of_one_process(mpiexec, tmp_path, corpus):  # noqa: F811
    argv = ["--corpus", corpus, *RUN, "--out"]
    found = mpiexec(2, "-m", "minibert", "train", *argv, tmp_path / "two")
    assert found.returncode == 0, found.stderr
    assert "2 ranks, 2 of them here, by" in found.stdout
    assert found.stdout.count("The run is in") == 1
    assert command.run(arguments(*argv, tmp_path / "one")) == 0
    assert_same_run(tmp_path / "two", tmp_path / "one")
    assert names(tmp_path / "two") == FINISHED


def test_what_all_refuse_is_said_once_and_who_fails_alone_ends_the_others(mpiexec, tmp_path, corpus):  # noqa: F811
    found = mpiexec(2, "-m", "minibert", "train", "--corpus", corpus, *RUN, "--lanes", 3, "--out", tmp_path / "run")
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.count("minibert train: 2 ranks cannot share 3 lanes") == 1
    assert not (tmp_path / "run").exists()

    fails = "from minibert import ranks\nwith ranks.of() as all_ranks:\n if all_ranks.rank: raise ValueError('no such file')\n"
    found = mpiexec(2, "-c", f"from minibert.ranks import mpi\nmpi.PATIENCE = 0.2\n{fails} all_ranks.share(None)")
    assert found.returncode == 2
    assert "minibert: rank 1 of 2 has ended, and the run with it: no such file" in found.stderr


def test_parts_and_strips_arrive_and_what_lies_otherwise_is_refused(mpiexec):
    found = mpiexec(3, "-c", """
import numpy as np
from minibert import ranks
with ranks.of() as all_ranks:
    into = [np.zeros(3, np.float32) for _ in range(3)]
    all_ranks.exchange([np.full(3, 10 * all_ranks.rank + to, np.float32) for to in range(3)], into)
    flat = np.full(7, all_ranks.rank, np.float64)
    all_ranks.gather(flat, [range(4), range(4, 4), range(4, 7)])
    try:
        all_ranks.gather(np.zeros(14)[::2], [range(4), range(4, 4), range(4, 7)])
    except ValueError as error:
        refused = "C-contiguous" in str(error)
    told = all_ranks.share((np.concatenate(into).tolist(), flat.tolist(), refused, all_ranks.size, all_ranks.cores > 0))
    print(repr(told))
""")
    assert found.returncode == 0, found.stderr
    expected = [(np.repeat([to, 10.0 + to, 20.0 + to], 3).tolist(), [0.0] * 4 + [2.0] * 3, True, 3, True) for to in range(3)]
    assert found.stdout.strip() == repr(expected)
