"""A prepared text as a run reads it: window after window, each of a few shards from all over the text."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from minibert.data.randomness import HELD_OUT, ORDER, generator
from minibert.data.tokens import shard
from minibert.data.tokens.manifest import Manifest

WINDOW = 1 << 20  # tokens in memory, about, among whose sentences the next example is made
ASIDE = 1 << 18  # held-out tokens that are looked at, about


class Windows:
    """The training documents of a prepared text: ``windows.read(epoch, number)`` are those of one window.

    Which shards meet in one, and which window comes first, is drawn from (seed, epoch); within it they stand in the order of the
    text, so that a text of a single window is read like any other.
    """

    def __init__(self, folder: Path, manifest: Manifest, seed: int) -> None:
        self.folder, self.manifest, self.seed = folder, manifest, seed
        self._last: tuple[tuple[int, int], list[list[np.ndarray]]] = ((-1, 0), [])
        self.count = min(max(1, round(sum(manifest.tokens) / WINDOW)), len(manifest.shards))

    def __len__(self) -> int:
        """Documents."""
        return self.manifest.documents[0]

    def read(self, epoch: int, number: int) -> list[list[np.ndarray]]:
        """int32 ids by document and sentence. FileNotFoundError or ValueError for a shard that is gone or has changed."""
        if self._last[0] != (epoch, number):
            self._last = ((-1, 0), [])
            order = generator(self.seed, ORDER, epoch, 2**63 - 1).permutation(len(self.manifest.shards))
            self._last = ((epoch, number), [document for i in np.sort(np.array_split(order, self.count)[number]).tolist()
                                            for document in _read(self.folder, self.manifest, i, False)])
        return self._last[1]


def held_out(folder: Path, manifest: Manifest, seed: int) -> list[list[np.ndarray]]:
    """The documents that are held out, or of many as good as ``ASIDE`` tokens of them, of shards that the seed draws."""
    found, tokens = {}, 0
    for i in generator(seed, HELD_OUT, 2).permutation(len(manifest.shards)).tolist():
        if tokens >= ASIDE:
            break
        found[i] = _read(folder, manifest, i, True)
        tokens += sum(len(sentence) for document in found[i] for sentence in document)
    return [document for i in sorted(found) for document in found[i]]


def _read(folder: Path, manifest: Manifest, i: int, aside: bool) -> list[list[np.ndarray]]:
    name, sha256, _ = manifest.shards[i]
    return shard.documents_in(shard.read(folder, name, manifest.vocabulary, sha256), manifest.bound, aside)
