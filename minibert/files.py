"""Files that are written whole or not at all.

Everything goes to a temporary name beside its place, reaches the disk, and is then renamed: a rename is one step for the file
system, so that a kill, a crash or a full disk at any moment leaves either the old file or the new one, never half of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The temporary path to write to; at the end of the block it takes the place of ``path``, whatever stood there.

    For writers that want a path (``figure.savefig``): the temporary name has the same suffix. An error in the block, or of the
    disk, removes the temporary file and leaves ``path`` as it was. An OSError comes back as one that names ``path`` and says so.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _explained(error, path) from error
    finally:
        with suppress(OSError):  # already renamed, or never made
            temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file to write to, which takes the place of ``path`` when the block ends without an error."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        yield file


def write_atomically(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write ``content`` (text as UTF-8, line ends as they are) to ``path``: all of it, or nothing."""
    with writing(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


def decode_utf8(content: bytes, name: str | os.PathLike[str]) -> str:
    """The text of UTF-8 bytes, without a byte order mark. ValueError with the place of the first byte that is not UTF-8."""
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{name} is not UTF-8: byte 0x{content[error.start]:02x} at offset {error.start:,} (line {line:,}); "
                         "save it as UTF-8") from None


def _explained(error: OSError, path: Path) -> OSError:
    reason = error.strerror or str(error)
    return OSError(error.errno, f"{path} could not be written: {reason}; nothing was lost, what stood there before is unchanged")


def _sync_folder(folder: Path) -> None:
    """Let the rename itself reach the disk. Windows and some network drives cannot, and need not."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
