"""Several files at once: cut off at every step, the folder is of the old save or of the new one."""

import os
import shutil
from pathlib import Path

import pytest

from minibert import swap
from minibert.files import write_atomically

OLD = {"config.json": b"old", "weights": b"old weights", "mine.txt": b"a user's own"}
NEW = {"config.json": b"new", "weights": b"new weights", "mine.txt": b"a user's own", "1_Pooling/config.json": b"new too"}
CALLS = {os: ("replace", "rename", "mkdir", "rmdir", "fsync", "unlink", "open"), shutil: ("rmtree", "copymode")}


class Killed(BaseException):
    """The process is gone: nothing that it would still have done is done."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def save(folder):
    with swap.saving(folder) as staged:
        (staged / "1_Pooling").mkdir()
        for name in NEW.keys() - {"mine.txt"}:
            write_atomically(staged / name, NEW[name])


def cut_off(monkeypatch, calls, error):
    """From the ``calls``-th call to the system on every call raises; returns the function that says whether one did."""
    left, hit = [calls], []

    def limited(function):
        def call(*args, **kwargs):
            if not left[0]:
                hit.append(function)
                raise error
            left[0] -= 1
            return function(*args, **kwargs)
        return call

    for module, names in CALLS.items():
        for name in names:
            monkeypatch.setattr(module, name, limited(getattr(module, name)))
    return lambda: bool(hit)


@pytest.mark.parametrize("error", [Killed(), OSError(28, "No space left on device")], ids=["killed", "full disk"])
def test_wherever_it_is_cut_off_all_is_old_or_all_is_new(tmp_path, error):
    seen = set()
    for calls in range(200):
        folder = tmp_path / str(calls)
        write(folder, OLD)
        with pytest.MonkeyPatch.context() as monkeypatch:
            was_hit = cut_off(monkeypatch, calls, error)
            try:
                save(folder)
            except (Killed, OSError):
                assert was_hit()
        swap.settle(folder)
        found = contents(folder)
        kept = {name: content for name, content in found.items() if not name.startswith(".minibert-saving/")}
        assert kept in (OLD, NEW), calls
        seen.add("new" if kept == NEW else "old")
        save(folder)  # and the next save leaves nothing behind
        assert contents(folder) == NEW
        assert not any(path.name.startswith(".minibert") for path in folder.iterdir())
        if not was_hit():
            break
    assert not was_hit(), "the save was never whole"
    assert seen == {"old", "new"}
    assert calls > 15


@pytest.mark.parametrize("call", ["mkdir", "rename"])
def test_where_nothing_was_changed_that_is_said(tmp_path, monkeypatch, call):
    write(tmp_path, OLD)

    def refuse(*args, **kwargs):
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(OSError, match="could not be written: Permission denied; nothing was lost") as info:
        save(tmp_path)
    assert str(tmp_path) in str(info.value)
    assert contents(tmp_path) == OLD


def test_what_the_last_step_says_is_so(tmp_path, monkeypatch):
    write(tmp_path, OLD)
    replace = os.replace

    def refusing(source, target):
        if Path(target).name == "weights" and Path(target).parent == tmp_path:
            raise OSError(13, "Permission denied")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refusing)
    with pytest.raises(OSError, match=r"a new model is saved there, but not all .*Permission denied.*whoever opens") as info:
        save(tmp_path)
    assert "unchanged" not in str(info.value)
    monkeypatch.undo()
    swap.settle(tmp_path)
    assert contents(tmp_path) == NEW


def test_an_error_of_the_writer_leaves_the_folder_as_it_was(tmp_path):
    write(tmp_path, OLD)

    def fail(staged):
        (staged / "config.json").write_bytes(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), swap.saving(tmp_path) as staged:
        fail(staged)
    assert contents(tmp_path) == OLD
    assert not any(path.name.startswith(".minibert") for path in tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_a_file_keeps_its_mode(tmp_path):
    write(tmp_path, OLD)
    (tmp_path / "weights").chmod(0o600)
    save(tmp_path)
    assert (tmp_path / "weights").stat().st_mode & 0o777 == 0o600


def test_another_process_may_finish_it_at_the_same_time(tmp_path, monkeypatch):
    """A reader and the writer both move what is complete; whoever comes second finds nothing left to do."""
    write(tmp_path, OLD)
    rename, replace = os.rename, os.replace

    def overtaken(source, target):
        monkeypatch.undo()
        swap.settle(tmp_path)  # the other one is quicker
        replace(source, target)

    def then_overtaken(source, target):
        rename(source, target)
        monkeypatch.setattr(os, "replace", overtaken)

    monkeypatch.setattr(os, "rename", then_overtaken)
    save(tmp_path)
    assert contents(tmp_path) == NEW
    assert not any(path.name.startswith(".minibert") for path in tmp_path.iterdir())
