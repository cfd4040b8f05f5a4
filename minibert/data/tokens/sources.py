"""Texts as they come, in slices of bounded size: plain files, folders of them, packed ones, columns of tables.

Files are read one after another and cut at blank lines where there are some, so that a slice holds whole documents. Where the
cuts are depends on the texts alone.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from minibert.data.corpora import Layout, Taken, decode, guess_layout
from minibert.files import brief, decode_utf8, loads_json

SLICE = 1 << 20  # bytes of text, about
GUESSED = 1000  # files of a folder, or rows of a table, by which the layout of those behind them is known
PLAIN, ROWS, TABLE = ".txt", ".jsonl", ".parquet"
PACKED = {".gz": "gzip", ".zst": "zstd"}


class Piece(NamedTuple):
    """A text, or a part of one."""

    name: str  # of its file, for messages
    at: int  # bytes of it before this piece
    data: bytes  # UTF-8
    layout: Taken
    alone: bool = False  # is it all the text there is?


class Slice(NamedTuple):
    """What becomes a shard."""

    pieces: tuple[Piece, ...]
    read: int  # bytes of the files that were read when it was complete


def find(sources: Sequence[str]) -> list[Path]:
    """The files of texts: those named, and of a folder all below it that are called like texts, sorted.

    FileNotFoundError where there is none.
    """
    found = []
    for source in sources:
        path = Path(source)
        if path.is_dir():
            files = sorted((file for file in path.rglob("*") if kind(file) and file.is_file()), key=lambda file: file.parts)
            if not files:
                raise FileNotFoundError(f"the folder {source!r} holds no text: expected files that end in {PLAIN}, {ROWS} or "
                                        f"{TABLE}, or in one of the first two and {' or '.join(PACKED)}")
            found += files
        elif path.is_file():
            found.append(path)
        else:
            raise FileNotFoundError(f"there is no file or folder {source!r}; name a UTF-8 text, a folder of texts, or - for "
                                    "standard input")
    return found


def kind(path: Path) -> str:
    """By the name of a file: PLAIN, ROWS or TABLE; empty where it tells none."""
    name = path.name.lower()
    for ending in PACKED:
        name = name.removesuffix(ending)
    return next((ending for ending in (PLAIN, ROWS, TABLE) if name.endswith(ending)), "")


class Texts:
    """The slices of some files. ``layouts``: how many texts were read as each, as far as the slices have been asked for.

    column: of tables (JSON Lines, Parquet), where the text stands.
    """

    def __init__(self, paths: Sequence[Path], layout: Layout, column: str = "text") -> None:
        self.paths, self.layout, self.column = paths, layout, column
        self.layouts: Counter[Taken] = Counter()

    def slices(self) -> Iterator[Slice]:
        """All of them. OSError, or ValueError with file and place, for what cannot be read."""
        waiting: list[Piece] = []
        size = before = 0
        for path in self.paths:
            whole = path.stat().st_size
            for piece, read in self._table(path) if kind(path) in (ROWS, TABLE) else self._plain(path):
                waiting.append(piece)
                size += len(piece.data)
                if size >= SLICE // 2:
                    yield Slice(tuple(waiting), before + min(read, whole))
                    waiting, size = [], 0
            before += whole
        if waiting:
            yield Slice(tuple(waiting), before)

    def _plain(self, path: Path) -> Iterator[tuple[Piece, int]]:
        """A text in pieces, and how much of its file was read for each."""
        with opened(path) as (file, told):
            data, at, taken = file.read(SLICE), 0, None
            while data:
                more = file.read(1) if len(data) >= SLICE else b""
                end = _cut(data) if more else len(data)
                piece, data = data[:end], data[end:] + more
                if taken is None:
                    taken = self._taken(piece, path, at)
                    self.layouts[taken] += 1
                yield Piece(str(path), at, piece, taken, alone=len(self.paths) == 1 and not at and not more), told()
                at += end
                if more:
                    data += file.read(SLICE - len(data))

    def _table(self, path: Path) -> Iterator[tuple[Piece, int]]:
        """A text for each row."""
        rows = _rows(path, self.column)
        first = list(islice(rows, GUESSED))
        taken = self._taken("\n\n".join(text for text, _ in first).encode("utf-8", "surrogatepass"), path, 0)
        self.layouts[taken] += 1
        for number, (text, read) in enumerate(chain(first, rows), start=1):
            if text:
                yield Piece(f"{path}, row {number:,}", 0, text.encode("utf-8", "surrogatepass"), taken), read

    def _taken(self, data: bytes, path: Path, at: int) -> Taken:
        if self.layout != "auto":
            return self.layout
        if self.layouts.total() >= GUESSED:
            return self.layouts.most_common(1)[0][0]
        return guess_layout(text_of(Piece(str(path), at, data, "lines")))


def text_of(piece: Piece) -> str:
    """Its characters, with ``\\n`` for every line end. ValueError for what is not UTF-8."""
    return decode(piece.data, f"{piece.name} (from byte {piece.at:,} on)" if piece.at else piece.name)


def sample(paths: Sequence[Path], most: int, layout: Layout, column: str = "text") -> Iterator[Piece]:
    """Pieces of all files, of at most some ``most`` bytes together: of plain ones from places all over them, of the others what
    comes first. All of the text where it is no more."""
    whole = sum(path.stat().st_size for path in paths)
    if whole <= most and not any(map(_is_packed, paths)):
        for one in Texts(paths, layout, column).slices():
            yield from one.pieces
        return
    for path in paths:
        room = max(1, most * path.stat().st_size // max(1, whole))
        if kind(path) in (ROWS, TABLE) or _is_packed(path):
            for one in Texts([path], layout, column).slices():
                yield from one.pieces
                room -= sum(len(piece.data) for piece in one.pieces)
                if room <= 0:
                    break
            continue
        taken, places = None, max(1, room // _SAMPLED)
        with open(path, "rb") as file:
            for number in range(places):
                at = path.stat().st_size * number // places
                file.seek(at)
                data = file.read(min(room, _SAMPLED))
                start = data.find(b"\n") + 1 if at else 0
                end = _cut(data) if at + len(data) < path.stat().st_size else len(data)
                piece = Piece(str(path), at + start, data[start:max(start, end)], taken or "lines")
                if taken is None:
                    taken = guess_layout(text_of(piece)) if layout == "auto" else layout
                yield piece._replace(layout=taken)


_SAMPLED = 1 << 18  # bytes in a row


def _is_packed(path: Path) -> bool:
    return path.suffix.lower() in PACKED


def _cut(data: bytes) -> int:
    """Behind the last blank line, unless that leaves less than half; else behind the last line end, blank, or character."""
    half = len(data) // 2
    for ends in ((b"\n\n", b"\n\r\n"), (b"\n",), (b"\r",), (b" ",)):
        at = max(data.rfind(end, half) + len(end) if data.rfind(end, half) >= 0 else 0 for end in ends)
        if at:
            return at
    at = len(data)
    while at > len(data) - 4 and at > 1 and data[at - 1] & 0xC0 == 0x80:  # within a character of UTF-8
        at -= 1
    return max(1, at - 1)


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, Any]]:
    """A file of text, unpacked while it is read, and a function that says how many bytes of the file that took."""
    ending, errors = path.suffix.lower(), (EOFError, zlib.error, gzip.BadGzipFile)
    with open(path, "rb") as raw:
        file: Any = raw
        if ending == ".gz":
            file = gzip.GzipFile(fileobj=raw)
        elif ending == ".zst":
            file, error = _zstd(path, raw)
            errors = *errors, error
        try:
            yield file, raw.tell
        except errors as error:
            raise ValueError(f"{path} is damaged or was cut short: it cannot be unpacked ({error}); make or copy it "
                             "again") from None


def _zstd(path: Path, raw: BinaryIO) -> tuple[Any, type[Exception]]:
    """A file that unpacks another, and the error that it raises."""
    try:
        from compression import zstd  # Python 3.14

        return zstd.open(raw), zstd.ZstdError
    except ImportError:
        pass
    try:
        import zstandard
    except ImportError:
        raise ValueError(f'{path} is packed by zstd, and what unpacks it is not installed: pip install "minibert[zstd]", or '
                         "unpack it first") from None
    stream = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
    return io.BufferedReader(stream, SLICE), zstandard.ZstdError


def _rows(path: Path, column: str) -> Iterator[tuple[str, int]]:
    """The texts of a column, and how much of the file was read for each."""
    if kind(path) == TABLE:
        yield from _of_parquet(path, column)
        return
    with opened(path) as (file, told):
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            where = f"{path}, line {number:,}"
            try:
                row = loads_json(decode_utf8(line, where))
            except json.JSONDecodeError as error:
                raise ValueError(f"{where}: not valid JSON ({error})") from None
            if not isinstance(row, dict) or not isinstance(row.get(column), str):
                has = f"the columns {', '.join(map(str, row))[:200]}" if isinstance(row, dict) else brief(row)
                raise ValueError(f"{where}: expected an object with a text called {column}, got {has}; name the column with "
                                 "--column")
            yield row[column], told()


def _of_parquet(path: Path, column: str) -> Iterator[tuple[str, int]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise ValueError(f'{path} is a table in Parquet, and what reads it is not installed: pip install "minibert[parquet]"'
                         ) from None
    size = path.stat().st_size
    try:
        with parquet.ParquetFile(path) as file:
            if column not in file.schema_arrow.names:
                raise ValueError(f"{path} has no column {column}, only {', '.join(file.schema_arrow.names)[:200]}; name one with "
                                 "--column")
            rows, done = max(1, file.metadata.num_rows), 0
            for batch in file.iter_batches(1024, columns=[column]):
                for text in batch.column(0).to_pylist():
                    if not isinstance(text, str):
                        raise ValueError(f"{path}, row {done + 1:,}: expected a text in {column}, got {brief(text)}; name the "
                                         "column with --column")
                    done += 1
                    yield text, size * done // rows
    except (ArrowException, OSError) as error:
        raise ValueError(f"{path} is damaged or no table in Parquet ({str(error)[:200]}); make or copy it again") from None
