"""The files of a prepared corpus: which they are, in what order they are read, and what of them is held out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from minibert.data.prepared import hdf5, lddl, tf_example
from minibert.data.prepared.instances import Block, Instance, Wanted
from minibert.data.randomness import HELD_OUT, ORDER, generator

FORMATS = {"tfrecord": tf_example, "hdf5": hdf5, "lddl": lddl}
KEPT_ASIDE = "held-out"  # how the names of files begin whose examples are all held out
POOL = 16384  # examples in memory, among which the next one is drawn
_OF_TOKENIZERS = ("vocab.txt", "merges.txt")  # no texts
_START = 1024  # bytes by which a file is told: what is packed begins with a table of its codes


class Part(NamedTuple):
    """The training examples of a corpus, or those held out: some of each block."""

    blocks: Sequence[Block]
    aside: Sequence[int]  # how many of each block are held out
    seed: int
    held_out: bool

    @property
    def counts(self) -> list[int]:
        """How many examples of each block belong to this part."""
        return [aside if self.held_out else block.count - aside for block, aside in zip(self.blocks, self.aside)]

    @property
    def size(self) -> int:
        """How many examples it has."""
        return sum(self.counts)

    def rows(self, number: int) -> np.ndarray:
        """Which examples of a block those are, ascending."""
        count, aside = self.blocks[number].count, self.aside[number]
        drawn = generator(self.seed, HELD_OUT, 0, number).permutation(count) if 0 < aside < count else np.arange(count)
        return np.sort(drawn[:aside] if self.held_out else drawn[aside:])

    def read(self, number: int, wanted: Wanted) -> list[Instance]:
        """The examples of a block that belong to this part. ValueError with file and record for one that cannot be used."""
        block = self.blocks[number]
        found = block.format.read(block, wanted)
        return [found[row] for row in self.rows(number).tolist()]

    def some(self, wanted: Wanted, most: int) -> list[Instance]:
        """At most so many examples, of blocks that the seed draws."""
        found: list[Instance] = []
        for number in generator(self.seed, HELD_OUT, 1).permutation(len(self.blocks)).tolist():
            if len(found) >= most:
                break
            found += self.read(number, wanted)
        return found[:most]

    def pools(self, epoch: int) -> list[list[int]]:
        """The numbers of the blocks in groups of ``POOL`` examples or somewhat more to be read, each of which is shuffled as one.

        The order of the groups is drawn from (seed, epoch), and with it which blocks meet in one. Within a group they are in
        the order of the corpus, so that a corpus of a single group is shuffled just as the text that it was made from.
        """
        pools: list[list[int]] = []
        room = 0
        for number in generator(self.seed, ORDER, epoch, 2**63 - 1).permutation(len(self.blocks)).tolist():
            if room <= 0:
                pools.append([])
                room = POOL
            pools[-1].append(number)
            room -= self.blocks[number].count
        return [sorted(pool) for pool in pools]


class Prepared(NamedTuple):
    """A corpus of prepared examples."""

    name: str
    train: Part
    held_out: Part
    sha256: str  # of all files
    titles: str  # the formats
    passed_over: Sequence[str]  # other files of the folder, by name

    def __str__(self) -> str:
        files = len({block.path for part in (self.train, self.held_out) for block in part.blocks})
        others = f"; passed over: {', '.join(self.passed_over)[:200]}" if self.passed_over else ""
        return (f"{self.name}: {self.titles}, {files:,} file{'s' * (files > 1)}, {self.train.size:,} examples and "
                f"{self.held_out.size:,} held out, sha256 {self.sha256[:12]}{others}")


def is_prepared(source: str) -> bool:
    """Whether a source of texts is a file of prepared examples, or a folder with some. ValueError for a folder with both."""
    path = Path(source)
    if not path.is_dir():
        return path.is_file() and _format(path) is not None
    found, others = _files(path)
    if found and (texts := [name for name in others if name.endswith(".txt") and name not in _OF_TOKENIZERS]):
        raise ValueError(f"{path} holds prepared examples ({found[0].name}) and texts ({texts[0]}): name the files that are "
                         "meant")
    return bool(found)


def find(sources: Sequence[str], held_out: float, seed: int) -> Prepared:
    """The corpus in these files and folders, where a random ``held_out`` share of the examples is kept aside.

    A folder's files are those whose first bytes are a format's, here and below, but for names that begin with a dot or ``_``.
    Where the names of some begin with ``held-out``, these are what is kept aside, and nothing else.
    Raises ValueError for a file that was cut short, and where the training part or the other would have no examples.
    """
    paths, passed_over = [], []
    for source in map(Path, sources):
        some, others = _files(source) if source.is_dir() else ([source], [])
        paths += some
        passed_over += others
    kinds = {path: _format(path) for path in paths}
    if not all(kinds.values()) or not paths:
        other = next((path for path, kind in kinds.items() if not kind), sources[0])
        raise ValueError(f"{other} is not prepared, and other parts of --corpus are: train on texts, or on prepared examples")
    apart = [path for path in paths if path.name.startswith(KEPT_ASIDE)]
    blocks = [block for path in paths if not path.name.startswith(KEPT_ASIDE) for block in kinds[path].blocks(path)]
    aside = [block for path in apart for block in kinds[path].blocks(path)]
    train = Part(blocks, _shares([block.count for block in blocks], 0.0 if apart else held_out), seed, False)
    other = Part(aside, [block.count for block in aside], seed, True) if apart else train._replace(held_out=True)
    name = " + ".join(Path(source).resolve().name for source in sources)
    if not train.size or not other.size:
        raise ValueError(f"the prepared corpus {name} has {train.size} examples to train on and {other.size} held out: it takes "
                         "at least one of each")
    return Prepared(name, train, other, _digest(paths), " and ".join(dict.fromkeys(kind.TITLE for kind in kinds.values())),
                    passed_over)


def _shares(counts: Sequence[int], share: float) -> list[int]:
    """How many of each block are held out, so that of all it is the share, and at least one."""
    until = [round(share * total) for total in accumulate(counts)]
    if share and until and not until[-1]:
        until[-1] = 1
    return [b - a for a, b in zip([0, *until], until)]


def _files(folder: Path) -> tuple[list[Path], list[str]]:
    """The prepared files of a folder, and the names of the others. ValueError where one is called like them and is none."""
    paths = sorted((path for path in folder.rglob("*") if path.is_file() and not
                    any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)), key=lambda path: path.parts)
    kinds = {path: _format(path) for path in paths}
    found, others = ([path for path, kind in kinds.items() if bool(kind) is wanted] for wanted in (True, False))
    endings = {path.suffix for path in found} - {""}
    if damaged := [path for path in others if path.suffix in endings]:
        raise ValueError(f"{damaged[0]} is called like the prepared files beside it, and does not begin like one "
                         f"({damaged[0].stat().st_size:,} bytes): make or copy it again, or take it away")
    return found, [path.name for path in others]


def _format(path: Path) -> ModuleType | None:
    try:
        with open(path, "rb") as file:
            start = file.read(_START)
    except OSError:  # whoever reads it says why
        return None
    return next((module for module in FORMATS.values() if module.begins(start)), None)


def _digest(paths: Sequence[Path]) -> str:
    """Of the bytes of all files, and where each ends."""
    found = hashlib.sha256()
    for path in paths:
        found.update(path.stat().st_size.to_bytes(8, "little"))
        with open(path, "rb") as file:
            while part := file.read(1 << 20):
                found.update(part)
    return found.hexdigest()
