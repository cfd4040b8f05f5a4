import csv
import errno
import gzip
import json
import os
import stat
import subprocess
import sys
from contextlib import suppress

import pytest

from minibert import search
from minibert.data import corpora
from minibert.files import (
    brief,
    csv_lines,
    decode_utf8,
    not_over,
    parse_json,
    remove_leftovers,
    replacing,
    standard_input,
    write_atomically,
    writing,
)


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


# What stands at the path already.


def test_the_mode_of_a_file_is_kept(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    mode = path.stat().st_mode  # Windows knows only whether a file may be written
    write_atomically(path, "new")
    assert path.read_text(encoding="utf-8") == "new"
    assert path.stat().st_mode == mode


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
def test_what_replaces_a_secret_is_never_readable_by_others(tmp_path):
    path = tmp_path / "a.txt"
    path.touch(0o600)
    with writing(path) as file:
        file.write(b"secret")
        [temporary] = set(tmp_path.iterdir()) - {path}
        assert temporary.stat().st_mode & 0o077 == 0


def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    target, link, dangling = tmp_path / "elsewhere" / "a.txt", tmp_path / "link.txt", tmp_path / "dangling.txt"
    target.write_text("old", encoding="utf-8")
    try:
        link.symlink_to(target)
        dangling.symlink_to(tmp_path / "elsewhere" / "b.txt")
    except OSError:
        pytest.skip("this system lets nobody make links")
    for path in (link, dangling):
        write_atomically(path, "new")
        assert path.is_symlink()
    assert target.read_text(encoding="utf-8") == "new"
    assert (tmp_path / "elsewhere" / "b.txt").read_text(encoding="utf-8") == "new"
    assert sorted(os.listdir(tmp_path)) == ["dangling.txt", "elsewhere", "link.txt"]
    assert sorted(os.listdir(target.parent)) == ["a.txt", "b.txt"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_fifo_is_written_through(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_atomically(path, "through")
        assert os.read(reader, 100) == b"through"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert os.listdir(tmp_path) == ["pipe"]


@pytest.mark.skipif(sys.platform != "linux", reason="the devices of Linux")
def test_a_device_is_written_through(tmp_path):
    (tmp_path / "null").symlink_to("/dev/null")
    for path in ("/dev/null", tmp_path / "null"):
        write_atomically(path, "gone")
        assert stat.S_ISCHR(os.stat(path).st_mode)
    (tmp_path / "full").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"full could not be written: No space left on device$"):
        write_atomically(tmp_path / "full", "gone")
    assert sorted(os.listdir(tmp_path)) == ["full", "null"]


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/stdout")
def test_our_own_standard_output_is_added_to(tmp_path):
    """A shell's ``>> all.txt`` with ``--out /dev/stdout``: nobody wants what stood in all.txt to be replaced."""
    path = tmp_path / "all.txt"
    path.write_text("before\n", encoding="utf-8")
    code = "from minibert.files import write_atomically; write_atomically('/dev/stdout', 'after\\n')"
    with open(path, "ab") as file:
        subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
    assert path.read_text(encoding="utf-8") == "before\nafter\n"
    assert os.listdir(tmp_path) == ["all.txt"]


# What killed writers leave.


def leftover(folder, name="a.txt"):
    """The temporary file of a writer that was killed."""
    code = ("import os, sys; from minibert.files import writing\n"
            "with writing(sys.argv[1]) as file:\n    file.write(b'half'); file.flush(); os._exit(9)")
    before = set(folder.iterdir())
    assert subprocess.run([sys.executable, "-c", code, str(folder / name)], check=False).returncode == 9
    [path] = set(folder.iterdir()) - before
    return path


def test_what_a_killed_writer_left_goes_with_the_next_write_in_that_folder(tmp_path):
    for name in ("a.txt", "b" * 100 + "." + "c" * 40, "noname"):
        assert leftover(tmp_path, name).read_bytes() == b"half"
    write_atomically(tmp_path / "b.txt", "x")
    assert os.listdir(tmp_path) == ["b.txt"]


def test_files_of_a_user_and_of_a_writer_at_work_stay(tmp_path):
    theirs = {".my-notes.tmp.md", ".a.123.tmp.txt", ".minibert.tmp", "a.minibert-0123abcd.tmp", ".a.minibert-x.tmp.txt"}
    for name in theirs:
        (tmp_path / name).touch()
    with writing(tmp_path / "a.txt") as file:
        file.write(b"at work")
        remove_leftovers(tmp_path)
        write_atomically(tmp_path / "b.txt", "x")  # removes leftovers too
    assert (tmp_path / "a.txt").read_bytes() == b"at work"
    assert set(os.listdir(tmp_path)) == theirs | {"a.txt", "b.txt"}
    remove_leftovers(tmp_path / "nowhere")


@pytest.mark.skipif(not hasattr(os, "symlink") or sys.platform == "win32", reason="links")
def test_a_link_with_our_mark_is_not_followed(tmp_path):
    target = tmp_path / "target"
    target.write_text("theirs", encoding="utf-8")
    (tmp_path / ".a.minibert-0123abcd.tmp.txt").symlink_to(target)
    remove_leftovers(tmp_path)
    assert target.read_text(encoding="utf-8") == "theirs"


# What every reader asks.


@pytest.mark.parametrize(("start", "what"), [
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "a is a Git LFS pointer"),
    (b"<!DOCTYPE html>\n<html lang=en>", "a is an HTML page"), (b"\xef\xbb\xbf\n <HTML>", "a is an HTML page"),
    (b"<?xml version='1.0'?>\n<Error><Code>AccessDenied</Code></Error>", "a is a server's error message")])
def test_what_stands_in_the_place_of_a_file_is_named(start, what):
    with pytest.raises(ValueError, match=what):
        decode_utf8(start, "a")


@pytest.mark.parametrize(("content", "what"), [
    (gzip.compress(b"a text", mtime=0), "a is compressed"),
    (b"PK\x03\x04\x14\x00\x00\x00\x08\x00\xb5", "a is a zip archive.*xlsx"),
    (b"PAR1\x15\x04\xb5", "a is a Parquet file"), ("a text".encode("utf-16"), "a is UTF-16"),
    ("a text".encode("latin-1") + b"\xe9", "a is not UTF-8: byte 0xe9 at offset 6")])
def test_what_is_no_text_is_not_to_be_saved_as_utf_8(content, what):
    with pytest.raises(ValueError, match=what):
        decode_utf8(content, "a")


def test_a_result_does_not_take_the_place_of_what_it_is_made_from(tmp_path):
    source, link = tmp_path / "a.txt", tmp_path / "link"
    source.write_text("mine", encoding="utf-8")
    not_over(source, None)
    not_over(source, tmp_path / "other")
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere; make it first"):
        not_over(source, tmp_path / "nowhere" / "other")
    not_over(source, os.devnull)
    for path in (source, tmp_path / "." / "a.txt"):
        with pytest.raises(ValueError, match=r"--out .*a\.txt is the file that is read"):
            not_over(source, path)
    with suppress(OSError):  # Windows lets few people make one
        link.symlink_to(source)
        with pytest.raises(ValueError, match=r"--out .*link is the file"):
            not_over(source, link)


def test_texts_to_learn_from_and_to_search_are_asked_too(tmp_path):
    (tmp_path / "page.txt").write_text("<html><body>Not found</body></html>", encoding="utf-8")
    for read in (corpora.read, search.read_lines):
        with pytest.raises(ValueError, match=r"page\.txt is an HTML page"):
            read(str(tmp_path / "page.txt"))
    with pytest.raises(ValueError, match=r"page\.txt is an HTML page"):
        corpora.read(str(tmp_path))


@pytest.mark.parametrize("text", ["version https is a word", "<htmlish> text", "a <!DOCTYPE html>", "<?xml version='1.0'?><a/>",
                                  ""])
def test_other_text_is_text(text):
    assert decode_utf8(text.encode(), "a") == text


@pytest.mark.parametrize(("text", "message"), [
    ("{", "a: not valid JSON"), ("[1]", "a: expected a JSON object, got list"), ("", "a: not valid JSON"),
    ("[" * 100_000, "nested too deeply"), ("[" * 500 + "]" * 500, "nested too deeply"),
    ('{"x": {"y": 1}, "x": {"y": 2}}', "a: 'x' stands there twice, with different values"),
    ('{"z": [{"x": 1, "x": 2}]}', "a: 'x' stands there twice")])
def test_json_that_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_json(text, "a", dict)


def test_json_that_is_read():
    assert parse_json('{"x": 1, "x": 1, "y": [NaN, {}]}', "a", dict).keys() == {"x", "y"}  # twice the same is no question
    deep = "[" * 60 + "]" * 60
    assert parse_json(deep, "a") == json.loads(deep)


def test_messages_stay_short():
    x = ["x"]
    for _ in range(60):
        x = [x, x]  # 2**60 when printed
    for value in (x, "x" * 10**6, list(range(10**6)), {i: i for i in range(10**5)}, 10**3000):
        assert len(brief(value)) < 200
    assert [brief(value) for value in ("x", 12, None, [1, 2])] == ["'x'", "12", "None", "[1, 2]"]


def test_cells_of_any_length(tmp_path):
    long = "x" * 500_000
    limit = csv.field_size_limit()
    assert csv_lines(f'a,b\n\n"{long}","y\nz"\nc,d\n', "a.csv") == [(1, ["a", "b"]), (3, [long, "y\nz"]), (5, ["c", "d"])]
    assert csv.field_size_limit() == limit


def test_standard_input_that_is_closed(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ValueError, match="standard input is closed"):
        standard_input()
