import errno
import os
import stat
import sys

import pytest

from minibert.files import replacing, write_atomically, writing


def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_text_and_bytes_are_written_as_they_are(tmp_path):
    write_atomically(tmp_path / "a.txt", "é\n漢\r\n")
    assert (tmp_path / "a.txt").read_bytes() == "é\n漢\r\n".encode()
    write_atomically(str(tmp_path / "a.txt"), b"\x00\xff")
    assert (tmp_path / "a.txt").read_bytes() == b"\x00\xff"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, step):
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")
    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match=r"a\.txt could not be written: No space left on device; nothing was lost") as info:
        write_atomically(path, "new")
    assert info.value.errno == errno.ENOSPC
    assert path.read_text(encoding="utf-8") == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError])
def test_an_error_while_writing_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def write():
        with writing(path) as file:
            file.write(b"half of the new")
            file.flush()
            raise error("in the middle")

    with pytest.raises(error):
        write()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.a\.txt could not be written"):
        write_atomically(tmp_path / "nowhere" / "a.txt", "x")


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs a user whom the file system refuses something")
def test_an_unwritable_folder_is_a_permission_error(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with pytest.raises(PermissionError, match="could not be written"):
            write_atomically(tmp_path / "a.txt", "x")
    finally:
        tmp_path.chmod(stat.S_IRWXU)


def test_replacing_gives_a_path_with_the_same_suffix(tmp_path):
    with replacing(tmp_path / "plot.png") as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"picture")
        assert not (tmp_path / "plot.png").exists()
    assert (tmp_path / "plot.png").read_bytes() == b"picture"
    assert os.listdir(tmp_path) == ["plot.png"]
