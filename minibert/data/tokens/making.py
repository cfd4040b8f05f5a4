"""Texts into shards, on all cores.

The texts are read here, slice by slice, and each slice is cut by whoever is free; what comes of it depends on the slice and the
tokenizer alone, so the files are the same for any number of processes. A shard that is there already is not made again.

Of several ranks each reads the texts, cuts its part of the slices and writes those shards, into a folder that all of them see;
the first one writes the manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minibert.data.corpora import layouts_said
from minibert.data.tokens import manifest as manifests
from minibert.data.tokens import shard
from minibert.data.tokens.manifest import Manifest
from minibert.data.tokens.repeated import Repeated, numbers_of
from minibert.data.tokens.shard import Counted
from minibert.data.tokens.sources import Slice, Texts
from minibert.files import remove_leftovers
from minibert.processes import mapping, without_collector
from minibert.ranks import ALONE, Ranks
from minibert.text.tokenizer import Tokenizer


class Made(NamedTuple):
    """What came of a slice."""

    read: int  # bytes of the files that were read when it was complete
    name: str
    sha256: str
    new: bool  # was it made now?
    counted: Counted
    signatures: np.ndarray  # of its lines
    lowest: np.ndarray  # at most two: the lowest numbers that its documents have drawn


class Cutter:
    """Makes shards in a folder, with the tokenizer that lies in it."""

    def __init__(self, folder: Path, bound: int) -> None:
        self.folder, self.bound, self.tokenizer = folder, bound, Tokenizer.load(folder)
        self.fingerprint, self.vocabulary = shard.fingerprint(self.tokenizer), len(self.tokenizer.vocab)
        self.numbers = numbers_of(self.tokenizer.vocab.tokens)

    def __reduce__(self) -> tuple[Any, ...]:
        return Cutter, (self.folder, self.bound)  # another process reads the tokenizer itself

    def __call__(self, one: Slice) -> Made:
        name, found = shard.name_of(one.pieces, self.fingerprint), None
        with suppress(FileNotFoundError, ValueError):
            found = shard.read(self.folder, name, self.vocabulary)
        if new := found is None:
            with without_collector():
                found = shard.cut(one.pieces, self.tokenizer)
            shard.write(self.folder, name, found)
        return Made(one.read, name, shard.digest(self.folder, name), new, shard.counted(found, self.bound, self.vocabulary),
                    shard.signatures(found, self.numbers), np.unique(found.documents["drawn"])[:2])

    def count(self, name: str) -> Counted:
        """What is in a shard."""
        return shard.counted(shard.read(self.folder, name, self.vocabulary), self.bound, self.vocabulary)


def make(folder: Path, texts: Texts, held_out: float, processes: int = 1,
         progress: Callable[[int], object] = lambda read: None, ranks: Ranks = ALONE) -> tuple[Manifest, int]:
    """Prepare texts in a folder that holds their tokenizer. The manifest, which is written last, and how many shards are new.

    held_out: share of the documents. progress: called with the bytes of the files that are done.
    ranks: who else cuts them, with as many processes.
    OSError, or ValueError with file and place, where a text cannot be read or there is too little of it.
    """
    (folder / shard.FOLDER).mkdir(exist_ok=True)
    ranks.at_first(lambda: remove_leftovers(folder / shard.FOLDER))
    cutter = Cutter(folder, shard.bound_of(held_out))
    shards: list[tuple[str, str, int]] = []
    new = 0
    repeated, lowest = Repeated(), np.empty(0, np.uint64)
    counted = Counted.nothing(cutter.vocabulary)
    with mapping(cutter, processes, "that cuts text", "what was made is kept and the same command goes on, with --workers 1 in "
                 "less memory") as mapped:
        for one in _by_all(ranks, mapped, texts.slices()):
            if len(one.signatures):
                counted += one.counted
                repeated.add(one.signatures)
                lowest = np.unique(np.concatenate([lowest, one.lowest]))[:2]
                shards.append((one.name, one.sha256, int(one.counted.tokens.sum())))
                new += one.new
            progress(one.read)
    documents, aside = int(counted.documents.sum()), int(counted.documents[1])
    if not documents:
        raise ValueError(f"there is no text in {_brief(texts.paths)}")
    if (least := min(2 if documents >= 4 else 1, len(lowest))) > aside:  # a small text
        cutter.bound = int(lowest[least - 1]) + 1
        counted = sum((cutter.count(name) for name, *_ in shards), Counted.nothing(cutter.vocabulary))
    if not counted.documents.all():
        raise ValueError(f"{_brief(texts.paths)}: {documents:,} document{'s are' if documents > 1 else ' is'} too few, "
                         "because some are held out to measure on: give more text, or separate documents by a blank line and say "
                         "--layout lines")
    found = _manifest(cutter, texts, held_out, tuple(shards), counted, repeated.share())
    ranks.at_first(lambda: _conclude(folder, found))
    return found, new


def _conclude(folder: Path, found: Manifest) -> None:
    """Write the manifest, of shards that are there, and take away what was made of texts that are no longer part of it."""
    names = {name for name, *_ in found.shards}
    for name in names:
        shard.present(folder, name)
    manifests.write(folder, found)
    for path in (folder / shard.FOLDER).glob("*.npy"):
        if path.name.split(".")[0] not in names:
            path.unlink(missing_ok=True)


def _manifest(cutter: Cutter, texts: Texts, held_out: float, shards: tuple[tuple[str, str, int], ...], total: Counted,
              repeated: float) -> Manifest:
    chances = (total.ids[0] + 1.0) / (total.tokens[0] + cutter.vocabulary)
    unknown = cutter.tokenizer.vocab.unk_id
    return Manifest(
        cutter.fingerprint, cutter.vocabulary, layouts_said(texts.layouts), held_out, cutter.bound,
        manifests.texts_of([path for path in texts.paths if path.parent != cutter.folder]),  # what lies there goes
        shards, *(tuple(map(int, pair)) for pair in total[:3]), repeated,
        0.0 if unknown is None else float(total.ids[:, unknown].sum() / total.tokens.sum()),
        float(-(total.ids[1] * np.log(chances)).sum() / total.tokens[1]), tuple(map(int, total.lengths)), total.longest)


def _brief(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths[:3])) + (f" and {len(paths) - 3:,} more" if len(paths) > 3 else "")


def _by_all(ranks: Ranks, mapped: Callable[[Iterator[Slice]], Iterator[Made]], slices: Iterator[Slice]) -> Iterator[Made]:
    """What came of every slice, in their order: the ranks cut them by turns, and tell one another."""
    mine = mapped(islice(slices, ranks.rank, None, ranks.size))
    while any(found := ranks.share(next(mine, None))):
        yield from filter(None, found)
