"""What every engine of ranks offers, on threads; and how a process finds out with whom it works."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from minibert import cli, ranks
from minibert.ranks import SIZES, mpi
from minibert.ranks.alone import ALONE, Lost, contiguous
from minibert.ranks.threads import together


@pytest.fixture(autouse=True)
def nobody_started_us(monkeypatch):
    for name in (*SIZES, "PMIX_RANK"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_parts_go_to_their_rank_and_strips_to_everybody(size):
    strips = [range(2 * rank, 2 * rank + 2) for rank in range(size)]

    def work(all_ranks):
        rank = all_ranks.rank
        parts = [np.array([10.0 * rank + to] * (to + 1)) for to in range(size)]
        into = [np.zeros(rank + 1) for _ in range(size)]
        all_ranks.exchange(parts, into)
        flat = np.full(2 * size, -1.0)
        flat[2 * rank:2 * rank + 2] = rank
        all_ranks.gather(flat, strips)
        return all_ranks.share(rank), [array.tolist() for array in into], flat.tolist(), all_ranks.moved

    for rank, (shared, into, flat, moved) in enumerate(together(size, work)):
        assert shared == list(range(size))
        assert into == [[10.0 * sender + rank] * (rank + 1) for sender in range(size)]
        assert flat == [r for r in range(size) for _ in range(2)]
        assert moved == 8 * (size - 1) * (rank + 1 + 2)


def test_one_process_is_a_rank_by_itself():
    with ALONE as alone:
        assert (alone.rank, alone.size, alone.first, alone.share("x")) == (0, 1, True, ["x"])
        into = np.zeros(2)
        alone.exchange([np.ones(2)], [into])
        alone.gather(into, [range(2)])
        assert into.tolist() == [1, 1]
        assert alone.at_first(lambda: 5) == 5
        alone.agree({"a": 1})


def test_an_array_that_lies_otherwise_is_refused():
    contiguous(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"shape \(3, 2\).* must be C-contiguous"):
        contiguous(np.zeros((2, 3)).T)
    with pytest.raises(ValueError, match="C-contiguous"):
        together(2, lambda all_ranks: all_ranks.gather(np.zeros(8)[::2], [range(2), range(2, 4)]))


def test_only_the_first_is_asked_and_its_error_is_everybodys():
    asked = []
    assert together(3, lambda all_ranks: all_ranks.at_first(lambda: asked.append(all_ranks.rank) or 7)) == [7, 7, 7]
    assert asked == [0]
    seen = []

    def fails(all_ranks):
        with pytest.raises(FileExistsError, match="it is there"):
            all_ranks.at_first(lambda: (_ for _ in ()).throw(FileExistsError("it is there")))
        seen.append(all_ranks.rank)

    together(2, fails)
    assert sorted(seen) == [0, 1]


def test_what_ranks_do_not_agree_on_is_named():
    def work(all_ranks):
        all_ranks.agree({"--seed": 0, "the text": "a"})
        with pytest.raises(ValueError, match="--seed is 0 at rank 0 and 2 at rank 2; start all of them with the same") as caught:
            all_ranks.agree({"--seed": all_ranks.rank - all_ranks.rank % 2, "the text": "a"})
        return str(caught.value)

    assert len({*together(3, work)}) == 1
    with pytest.raises(ValueError, match="--words is not there at rank 0 and x at rank 1"):
        together(2, lambda all_ranks: all_ranks.agree({"--words": "x"} if all_ranks.rank else {}))


def test_whoever_waits_for_a_lost_rank_hears_of_it():
    lost = []

    def work(all_ranks):
        if all_ranks.rank == 1:
            raise ZeroDivisionError
        with pytest.raises(Lost, match="another rank has ended, and the run with it"):
            all_ranks.share(None)
        lost.append(all_ranks.rank)

    with pytest.raises(ZeroDivisionError):
        together(3, work)
    assert sorted(lost) == [0, 2]


@pytest.mark.parametrize("name", SIZES)
def test_those_who_start_ranks_say_how_many(monkeypatch, name):
    assert ranks.launched() == 1
    assert ranks.of() is ALONE
    monkeypatch.setenv(name, "4")
    if name.startswith("SLURM"):
        assert ranks.launched() == 1  # without PMIx it is a job like any other
        monkeypatch.setenv("PMIX_RANK", "0")
    assert ranks.launched() == 4
    assert ranks.of("alone") is ALONE


def broken(monkeypatch, error):
    class Finder:
        def find_spec(self, name, *_):
            if name.startswith("mpi4py"):
                raise error

    for name in [name for name in sys.modules if name.startswith("mpi4py")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])


def test_without_mpi4py_or_its_library_it_is_said_what_to_install(monkeypatch, capsys):
    broken(monkeypatch, ImportError("No module named 'mpi4py'", name="mpi4py"))
    with pytest.raises(RuntimeError, match="needs mpi4py: pip install 'minibert\\[mpi\\]'"):
        ranks.of("mpi")
    broken(monkeypatch, RuntimeError("cannot load MPI library\nlibmpi.so: no such file"))
    with pytest.raises(RuntimeError, match="finds no MPI library \\(cannot load MPI library\\): pip install mpich"):
        ranks.of("mpi")
    assert cli.main(["train", "--ranks", "mpi"]) == 1
    assert "finds no MPI library" in capsys.readouterr().err


class Counted:
    """A communicator of so many ranks, of which all or one are in error."""

    rank = 1

    def __init__(self, size, together=True):
        self.size, self.together, self.aborted = size, together, None

    def Dup(self):
        return self

    def Split_type(self, _):
        return self

    def allgather(self, thing):
        return [thing] * self.size

    def Ibarrier(self):
        return SimpleNamespace(Test=lambda: self.together)

    def Abort(self, code):
        self.aborted = code
        raise SystemExit(code)


def over(monkeypatch, communicator):
    library = SimpleNamespace(COMM_WORLD=communicator, COMM_TYPE_SHARED=0, Get_library_version=lambda: "MPI 1.0\n")
    package = SimpleNamespace(MPI=library)
    monkeypatch.setitem(sys.modules, "mpi4py", package)
    monkeypatch.setattr(mpi, "PATIENCE", 0.05)


def test_a_library_that_counts_others_than_were_started_is_of_another_make(monkeypatch):
    over(monkeypatch, Counted(1))
    monkeypatch.setenv("PMI_SIZE", "4")
    with pytest.raises(RuntimeError, match="mpiexec started 4 ranks, and the MPI library of mpi4py counts 1: the two are of"):
        ranks.of()


def fails(error):
    with ranks.of("mpi") as all_ranks:
        assert (all_ranks.name, all_ranks.local) == ("MPI 1.0", 4)
        assert all_ranks.cores >= 1
        print("only the first one is heard")
        raise error


@pytest.mark.parametrize(("error", "code"), [(ValueError("no"), 2), (FloatingPointError("no"), 1), (KeyboardInterrupt(), 130)])
def test_a_rank_that_fails_alone_says_so_and_ends_all_and_else_the_first_one_speaks(monkeypatch, capsys, error, code):
    kind = "" if str(error) else type(error).__name__
    for alone in (False, True):
        communicator = Counted(4, together=not alone)
        over(monkeypatch, communicator)
        monkeypatch.setattr(sys, "stdout", sys.stdout)
        with pytest.raises(SystemExit) as ended:
            fails(error)
        assert (ended.value.code, communicator.aborted) == (code, code if alone else None)
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err == alone * f"minibert: rank 1 of 4 has ended, and the run with it: {error!s:.2}{kind}\n"


def test_a_command_that_knows_no_ranks_is_refused(monkeypatch, capsys):
    communicator = Counted(2)
    communicator.rank = 0
    over(monkeypatch, communicator)
    monkeypatch.setenv("PMI_SIZE", "2")
    assert cli.main(["info", "tiny"]) == 2
    assert "this command is for one process, and mpiexec started 2" in capsys.readouterr().err
