"""Zip archives that hold arrays as they are: each member is verified against its checksum and its claims against the file."""

from __future__ import annotations

import io
import os
import struct
import threading
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

_DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, EOFError, KeyError, OverflowError,
            IndexError, UnicodeDecodeError)


class _Member(io.RawIOBase):
    """A stored member from its place in the file: no copy is made of what is read. Its last byte has it verified."""

    def __init__(self, file: IO[bytes], info: zipfile.ZipInfo) -> None:
        file.seek(info.header_offset + 26)  # where its own header says how long its name is, and what stands between the two
        file.seek(info.header_offset + 30 + sum(struct.unpack("<HH", file.read(4))))
        self._file, self._info, self._left, self._sum = file, info, info.file_size, 0

    def readinto(self, out: Any) -> int:
        part = memoryview(out)[:self._left]
        if self._file.readinto(part) < len(part):
            raise EOFError
        self._left -= len(part)
        self._sum = zlib.crc32(part, self._sum)
        if part and not self._left and self._sum != self._info.CRC:
            raise zipfile.BadZipFile(f"Bad CRC-32 for file {self._info.filename!r}")
        return len(part)


class Archive:
    """An open archive: ``.names``, ``.length(name)``, ``.read(name)``, ``.stream(name)``, which any thread may ask."""

    def __init__(self, path: Path, file: zipfile.ZipFile) -> None:
        self.path = path
        self.size = path.stat().st_size
        self._file, self._lock = file, threading.Lock()
        self.names = file.namelist()
        if twice := [name for name, count in Counter(self.names).items() if count > 1]:
            raise ValueError(f"{path}: {twice[0]} stands in the archive twice; which one is meant?")
        if sum(info.compress_size for info in file.infolist()) > self.size:
            raise ValueError(f"{path}: its members claim more bytes than the {self.size:,} of the file: it is damaged; copy or "
                             "download it again")

    def length(self, name: str) -> int:
        """Bytes of a member; ValueError where it claims what the file cannot hold."""
        info = self._file.getinfo(name)
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise ValueError(f"{self.path}: {name} is compressed, which no usual writer of checkpoints does; it is not read here")
        if info.file_size > self.size:
            raise ValueError(f"{self.path}: {name} claims {info.file_size:,} bytes, but the whole file has {self.size:,}: "
                             "it is damaged; copy or download it again")
        return info.file_size

    @contextmanager
    def stream(self, name: str) -> Iterator[IO[bytes]]:
        """A member to read into arrays. All of it is verified against its checksum; ValueError where that is wrong."""
        self.length(name)
        with _explained(self.path):
            with self._lock:
                self._file.open(name).close()  # the library compares the member's own header with the archive's
            with open(self.path, "rb") as file:
                yield _Member(file, self._file.getinfo(name))

    def read(self, name: str, count: int | None = None) -> bytes:
        """A member, or its first ``count`` bytes. All of it is verified against its checksum; ValueError where that is wrong."""
        self.length(name)
        with _explained(self.path), self._file.open(name) as member:
            return member.read() if count is None else member.read(count)


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Archive]:
    """Open an archive to read from. ValueError for a file that was cut short or damaged."""
    path = Path(path)
    with _explained(path):
        file = zipfile.ZipFile(path)
    with file:
        yield Archive(path, file)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """An error of the zip library as a ValueError that names the file."""
    try:
        yield
    except (*_DAMAGED, ValueError) as error:
        raise ValueError(f"{path}: the file was cut short or is damaged ({error}); copy or download it again") from None
    except OSError as error:
        if error.filename:  # that there is no such file, or that it must not be read
            raise
        raise ValueError(f"{path}: the file is damaged ({error}); copy or download it again") from None
