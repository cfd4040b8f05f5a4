"""Zip archives that hold arrays as they are: each member is verified against its checksum and its claims against the file."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, EOFError, KeyError, OverflowError,
            IndexError, UnicodeDecodeError)


class Archive:
    """An open archive: ``.names``, ``.length(name)``, ``.read(name)``."""

    def __init__(self, path: Path, file: zipfile.ZipFile) -> None:
        self.path = path
        self.size = path.stat().st_size
        self._file = file
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
        """A member to read from. Whoever reads all of it has it verified against its checksum; ValueError where that is wrong."""
        self.length(name)
        with _explained(self.path), self._file.open(name) as member:
            yield member

    def read(self, name: str, count: int | None = None) -> bytes:
        """A member, or its first ``count`` bytes. All of it is verified against its checksum; ValueError where that is wrong."""
        with self.stream(name) as member:
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
