"""``minibert-text.json``: what a prepared text was made of and with, how much there is of it, and its shards in their order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from minibert.data.tokens.shard import fingerprint
from minibert.files import brief, read_json, write_atomically
from minibert.text.tokenizer import Tokenizer

FILE = "minibert-text.json"
MAGIC, VERSION = "minibert text", 1


@dataclass(frozen=True)
class Manifest:
    """What the file says. Pairs are of what is trained on, and of what is held out."""

    tokenizer: str  # its fingerprint, see ``shard``
    vocabulary: int  # tokens in it, V
    layout: str  # how the texts were read, in words
    held_out: float  # share of the documents that were asked for
    bound: int  # documents that have drawn a number below it are held out
    texts: tuple[tuple[str, int, int], ...]  # path, bytes and time of change (ns) of each file
    shards: tuple[tuple[str, str, int], ...]  # name, hash of the files and tokens of each
    documents: tuple[int, int]
    sentences: tuple[int, int]
    tokens: tuple[int, int]
    repeated: float  # share of the lines that are near-duplicates of others
    unknown: float  # share of the tokens that are [UNK]
    unigram_loss: float  # of guessing held-out tokens by frequency, in nats
    lengths: tuple[int, ...]  # how many sentences have 0, 1, … tokens; the last number is of all longer ones as well
    longest: int  # tokens of a sentence

    @property
    def sha256(self) -> str:
        """Of all that a run sees of it."""
        seen = [self.tokenizer, self.bound, [shard[:2] for shard in self.shards]]
        return hashlib.sha256(json.dumps(seen).encode("ascii")).hexdigest()


def is_prepared(source: str) -> bool:
    """Is it the folder of a prepared text?"""
    return (Path(source) / FILE).is_file()


def write(folder: Path, manifest: Manifest) -> None:
    """Write the file: from then on the text is prepared."""
    table = {"magic": MAGIC, "version": VERSION, **asdict(manifest)}
    lines = [f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in table.items()]
    write_atomically(folder / FILE, "{\n" + ",\n".join(lines).replace("], [", "],\n [") + "\n}\n")


def read(folder: Path) -> Manifest:
    """What stands in the file. FileNotFoundError where there is none, ValueError for another magic, version or content."""
    path = folder / FILE
    found = read_json(path, dict)
    if (magic := found.pop("magic", None)) != MAGIC:
        raise ValueError(f"{path}: expected the magic {MAGIC!r}, got {brief(magic)}: this is no text that minibert prepared")
    if (version := found.pop("version", None)) != VERSION:
        raise ValueError(f"{path}: this text is of version {brief(version)}, and version {VERSION} is read here: prepare it "
                         "again, or read it with the minibert that prepared it")
    try:
        manifest = Manifest(**{name: _tuples(value) for name, value in found.items()})
        _check(manifest)
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({str(error)[:200]}): prepare the text again") from None
    return manifest


def tokenizer_of(folder: Path, manifest: Manifest) -> Tokenizer:
    """The tokenizer that lies beside. ValueError where it is not the one that the text was cut with."""
    found = Tokenizer.load(folder)
    if fingerprint(found) != manifest.tokenizer:
        raise ValueError(f"{folder}: the tokenizer there is not the one that its text was cut with: put that back, or prepare "
                         "the text again")
    return found


def changed(manifest: Manifest) -> list[str]:
    """The texts that are no longer as they were, as far as they are still there."""
    found = []
    for name, size, modified in manifest.texts:
        path = Path(name)
        if path.is_file() and (path.stat().st_size, path.stat().st_mtime_ns) != (size, modified):
            found.append(name)
    return found


def texts_of(paths: Sequence[Path]) -> tuple[tuple[str, int, int], ...]:
    """Files as a manifest names them."""
    return tuple((str(path.absolute()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _check(found: Manifest) -> None:
    def need(right: bool, name: str) -> None:
        if not right:
            raise ValueError(f"{name} is {brief(getattr(found, name))}")

    def whole(value: Any, most: int = 2**63) -> bool:
        return type(value) is int and 0 <= value < most

    for name in ("tokenizer", "layout"):
        need(isinstance(getattr(found, name), str), name)
    need(whole(found.vocabulary, 2**31) and found.vocabulary > 0, "vocabulary")
    need(whole(found.bound, 2**64 + 1), "bound")
    need(whole(found.longest), "longest")
    for name in ("documents", "sentences", "tokens"):
        pair = getattr(found, name)
        need(isinstance(pair, tuple) and len(pair) == 2 and all(whole(n) and n > 0 for n in pair), name)
    for name in ("held_out", "repeated", "unknown"):
        need(isinstance(share := getattr(found, name), (int, float)) and 0 <= share <= 1, name)
    need(isinstance(found.unigram_loss, (int, float)), "unigram_loss")
    need(isinstance(found.lengths, tuple) and bool(found.lengths) and all(map(whole, found.lengths)), "lengths")
    need(isinstance(found.texts, tuple) and all(isinstance(row, tuple) and len(row) == 3 and isinstance(row[0], str)
                                                and all(map(whole, row[1:])) for row in found.texts), "texts")
    need(isinstance(found.shards, tuple) and bool(found.shards) and all(
        isinstance(row, tuple) and len(row) == 3 and all(isinstance(part, str) and part.isalnum() for part in row[:2])
        and whole(row[2]) for row in found.shards), "shards")
