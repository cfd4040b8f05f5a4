"""Files that are written whole or not at all, and what every reader asks of a file before it looks further.

Everything goes to a temporary name beside its place, reaches the disk, and is then renamed: a rename is one step for the file
system, so that a kill, a crash or a full disk at any moment leaves either the old file or the new one, never half of it. A
temporary file carries our mark and is locked by its writer. One that nobody holds was left by a writer that was killed; whoever
writes to that folder next removes it.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import reprlib
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

try:
    import fcntl
except ImportError:  # Windows, which removes no file that somebody has open: there it needs no lock
    fcntl = None  # type: ignore[assignment]

_MARK = re.compile(r"\..*\.minibert-[0-9a-f]{8}\.tmp(\.[^.]*)?", re.DOTALL)
DEEPEST = 100  # levels of a JSON file; those of a model have three

#: What a file begins with that stands in the place of another one.
_STAND_INS = {
    re.compile(rb"version https://(git-lfs|hawser)\.github\.com/spec/"):
        "a Git LFS pointer, which only says where the file itself is kept: fetch that with git lfs pull, or download it",
    re.compile(rb"\s*<(!doctype\s+html|html[\s>])", re.IGNORECASE):
        "an HTML page, as a download that went wrong leaves it: a browser shows what it says; download the file itself again",
    re.compile(rb"\s*<\?xml[^>]*>\s*<Error>"):
        "a server's error message, not the file that was asked for: read what it says, then download the file again",
}

#: What a file begins with that is no text at all, or not in UTF-8.
_NO_TEXT = {
    b"\x1f\x8b": "compressed (gzip): unpack it first",
    b"BZh": "compressed (bzip2): unpack it first",
    b"\xfd7zXZ": "compressed (xz): unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed (zstd): unpack it first",
    b"PK": "a zip archive, or a document that is one inside (.xlsx, .docx): unpack it, or save its text as CSV or TXT in UTF-8",
    b"\xd0\xcf\x11\xe0": "a document of an old office program (.xls, .doc): save its text as CSV or TXT in UTF-8",
    b"PAR1": "a Parquet file: write its rows as JSON Lines or CSV first",
    b"ARROW1": "an Arrow file: write its rows as JSON Lines or CSV first",
    b"%PDF": "a PDF: save its text as TXT in UTF-8",
    b"\xff\xfe": "UTF-16, as some programs for Windows save text: save it as UTF-8",
    b"\xfe\xff": "UTF-16: save it as UTF-8",
}


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The temporary path to write to; at the end of the block its content takes the place of what stood at ``path``.

    For writers that want a path (``figure.savefig``): the temporary name has the same suffix. A file keeps its mode and owner, a
    symbolic link stays and what it points to is replaced; a device, a FIFO or our own standard output is written to when the
    block is done. An error in the block, or of the disk, removes the temporary file and leaves ``path`` as it was. An OSError
    comes back as one that names ``path`` and says so.
    """
    with (_through if _is_stream(path) else _beside)(Path(path)) as temporary:
        yield temporary


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file to write to, which takes the place of ``path`` when the block ends without an error."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        yield file


def write_atomically(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write ``content`` (text as UTF-8, line ends as they are) to ``path``: all of it, or nothing."""
    with writing(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


def not_over(source: str | os.PathLike[str], path: str | os.PathLike[str] | None) -> None:
    """Before the work: ValueError where what is made from the file ``source`` would take its place, FileNotFoundError where the
    folder is missing that it would stand in."""
    if path is None or _is_stream(path):
        return
    if os.path.exists(path) and os.path.samefile(source, path):
        raise ValueError(f"--out {path} is the file that is read, which would be lost; choose another name")
    if not (folder := Path(path).absolute().parent).is_dir():
        raise FileNotFoundError(f"--out {path}: there is no folder {folder}; make it first, or choose another name")


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Remove what killed writers left in a folder: files that carry our mark and that nobody is writing."""
    with suppress(OSError):  # no such folder, or none that we may look into
        for name in filter(_MARK.fullmatch, os.listdir(folder)):
            with suppress(OSError):  # somebody writes it, or has just removed it
                _remove_idle(os.path.join(folder, name))


def decode_utf8(content: bytes, name: str | os.PathLike[str]) -> str:
    """The text of UTF-8 bytes, without a byte order mark.

    ValueError with the place of the first byte that is not UTF-8, or for what stands in the place of the file or is no text.
    """
    refuse_stand_in(content, name)
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        if what := next((what for start, what in _NO_TEXT.items() if content.startswith(start)), None):
            raise ValueError(f"{name} is {what}") from None
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{name} is not UTF-8: byte 0x{content[error.start]:02x} at offset {error.start:,} (line {line:,}); "
                         "save it as UTF-8") from None


def line_ends(text: str) -> str:
    """With the line ends of Windows, and of old Macs, as ``\\n``. A CR alone ends a line where most do; else a blank."""
    text = re.sub("\r+\n", "\n", text)
    return text.replace("\r", "\n" if text.count("\r") > text.count("\n") else " ")


def refuse_stand_in(start: bytes, name: str | os.PathLike[str]) -> None:
    """ValueError where a file's first bytes are those of a Git LFS pointer or of a server's page, and not of weights or text."""
    start = start[:1024].removeprefix(b"\xef\xbb\xbf")
    for pattern, what in _STAND_INS.items():
        if pattern.match(start):
            raise ValueError(f"{name} is {what}")


def read_json(path: str | os.PathLike[str], kind: type = object) -> Any:
    """The contents of a JSON file. OSError where it cannot be read, else as ``parse_json``."""
    return parse_json(decode_utf8(Path(path).read_bytes(), path), path, kind)


def parse_json(text: str, name: str | os.PathLike[str], kind: type = object) -> Any:
    """What the JSON text of a model or a run describes; ``name`` is what messages call it.

    ValueError for what is no JSON, is not of ``kind`` (dict or list), is nested too deeply, or says two things by one name.
    """
    try:
        values = loads_json(text, object_pairs_hook=_unambiguous)
    except json.JSONDecodeError as error:
        raise ValueError(f"{name}: not valid JSON ({error})") from None
    except ValueError as error:  # a key twice, a number of thousands of digits
        raise ValueError(f"{name}: {error}") from None
    if not isinstance(values, kind):
        raise ValueError(f"{name}: expected a JSON {'object' if kind is dict else 'array'}, got {type(values).__name__}")
    return values


def loads_json(text: str, **options: Any) -> Any:
    """``json.loads``, for what anybody may have written: brackets within brackets without end are a ValueError too."""
    try:
        values = json.loads(text, **options)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    level = [values]
    for _ in range(DEEPEST):
        level = [x for part in level if isinstance(part, (dict, list))
                 for x in (part.values() if isinstance(part, dict) else part)]
        if not level:
            return values
    raise ValueError("it is nested too deeply")


def csv_lines(text: str, name: str | os.PathLike[str], delimiter: str = ",") -> list[tuple[int, list[str]]]:
    """(number of its first line, cells) of every row that is not blank, however long its cells are. ValueError with the line."""
    limit = csv.field_size_limit(min(len(text) + 1, 2**31 - 1))  # the module's own is 131,072 characters
    rows, line = [], 1
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        for row in reader:
            if row:
                rows.append((line, row))
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{name}, line {line}: {error}") from None
    finally:
        csv.field_size_limit(limit)
    return rows


def cache_folder() -> Path:
    """Where what was made once is kept: the folder that MINIBERT_CACHE names, else one where the system keeps such things."""
    if named := os.environ.get("MINIBERT_CACHE"):
        return Path(named)
    if sys.platform == "win32":
        above = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        above = Path.home() / "Library" / "Caches"
    else:
        above = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(above) / "minibert"


def brief(value: Any) -> str:
    """``repr`` for messages about what a file holds: short and quick, however large and nested it is."""
    return _brief.repr(value)


def standard_input() -> Any:
    """Standard input as a binary file. ValueError where the shell has closed it."""
    if sys.stdin is None:
        raise ValueError("standard input is closed, so nothing can be read from it; name a text or a file, or redirect one to it")
    return getattr(sys.stdin, "buffer", sys.stdin)


def _is_stream(path: str | os.PathLike[str]) -> bool:
    """Does a write to ``path`` go somewhere, instead of making a file: to a device, a FIFO, our own standard output?"""
    try:
        found = os.stat(path)
    except OSError:  # nothing there, or beyond our reach
        return False
    if stat.S_ISREG(found.st_mode):
        return any(os.path.samestat(found, os.fstat(stream)) for stream in (1, 2) if _is_open(stream))
    return not stat.S_ISDIR(found.st_mode)


def _is_open(stream: int) -> bool:
    try:
        os.fstat(stream)
    except OSError:
        return False
    return True


@contextmanager
def _through(path: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="minibert-") as folder:
        temporary = Path(folder, path.name)
        yield temporary
        try:
            with open(temporary, "rb") as source, open(path, "ab") as sink:
                shutil.copyfileobj(source, sink)
        except OSError as error:
            raise OSError(error.errno, f"{path} could not be written: {error.strerror or error}") from error


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    place = Path(os.path.realpath(path)) if path.is_symlink() else path
    remove_leftovers(place.parent)
    temporary = None
    try:
        before = os.stat(place) if place.exists() else None
        temporary, handle = _locked(place, 0o666 if before is None else 0o600)
        try:
            yield temporary
            if before is not None:
                _keep(before, temporary)
            os.fsync(handle)
            if fcntl:
                os.replace(temporary, place)
        finally:
            os.close(handle)
        if not fcntl:  # Windows renames no file that somebody has open
            os.replace(temporary, place)
        _sync_folder(place.parent)
    except OSError as error:
        raise OSError(error.errno, f"{path} could not be written: {error.strerror or error}; nothing was lost, what stood there "
                      "before is unchanged") from error
    finally:
        with suppress(OSError):  # already renamed, or never made
            if temporary:
                temporary.unlink(missing_ok=True)


def _locked(place: Path, mode: int) -> tuple[Path, int]:
    """A new temporary file beside ``place``, open and locked by us."""
    while True:
        temporary = place.with_name(f".{place.stem[:40]}.minibert-{secrets.token_hex(4)}.tmp{place.suffix[:20]}")
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
        if not fcntl:
            return temporary, handle
        with suppress(OSError):  # a file system without locks: there no leftover is removed either
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return temporary, handle
        os.close(handle)  # taken for a leftover before it was locked


def _remove_idle(path: str) -> None:
    """Remove a temporary file; OSError where somebody writes it."""
    if not fcntl:
        os.unlink(path)
        return
    handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if stat.S_ISREG(os.fstat(handle).st_mode):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
    finally:
        os.close(handle)


def _keep(before: os.stat_result, temporary: Path) -> None:
    """Give a new file the owner, where we may, and the mode of the one that it takes the place of."""
    if hasattr(os, "chown"):
        with suppress(OSError):
            os.chown(temporary, before.st_uid, before.st_gid)
    os.chmod(temporary, stat.S_IMODE(before.st_mode))


def _sync_folder(folder: Path) -> None:
    """Let the rename itself reach the disk. Windows and some network drives cannot, and need not."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        for key, value in pairs:
            if value != values[key]:
                raise ValueError(f"{brief(key)} stands there twice, with different values")
    return values


_brief = reprlib.Repr()
_brief.maxlevel, _brief.maxstring, _brief.maxother = 3, 100, 100
