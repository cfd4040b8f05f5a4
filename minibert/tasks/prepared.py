"""Examples that were prepared beforehand, streamed from their files; and what ``batches`` makes of text, as such examples."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from itertools import accumulate
from types import ModuleType
from typing import Any

import numpy as np

from minibert.data.prepared.instances import Instance, Wanted, original
from minibert.data.prepared.shards import Part
from minibert.data.randomness import ORDER, generator
from minibert.data.sentences import MARKS
from minibert.tasks import batches
from minibert.tasks.batches import Batch, Position, micro_batches
from minibert.tasks.corruption import mask_all, masking
from minibert.tasks.examples import IGNORE, Example, Masked


class Stream:
    """Endless masked examples of prepared files: the counterpart of ``batches.Stream``, with a pool of them in memory.

    An epoch reads every example once, pool after pool, in an order drawn from (seed, epoch). Masks that the files hold are kept;
    where they hold none, or ``anew``, they are drawn from (seed, epoch, example), and with ``static_masks`` repeated after
    ``dupe_factor`` epochs. next_sentence: False asks nothing of a pair. The other options are those of ``batches.Stream``.
    """

    def __init__(
        self,
        part: Part,
        tokenizer: Any,
        *,
        max_length: int,
        batch_size: int,
        seed: int,
        next_sentence: bool = True,
        static_masks: bool = False,
        dupe_factor: int = 1,
        corruption: ModuleType = masking,
        anew: bool = False,
        **masking_options: Any,
    ) -> None:
        self.part, self.wanted = part, Wanted(tokenizer.vocab, max_length)
        self.batch_size, self.seed, self.next_sentence = batch_size, seed, next_sentence
        self.versions = dupe_factor if static_masks else None
        self.corruption, self.rule, self.anew = corruption, corruption.rule(tokenizer, **masking_options), anew
        self._counts = part.counts
        self._firsts = [0, *accumulate(self._counts)]  # how many examples come before each block
        self._epoch: tuple[int, list[list[int]], list[int]] = (-1, [], [])  # its pools, and how many examples come before each
        self._current: tuple[list[int], list[tuple[int, Instance]]] = ([], [])

    def batch(self, position: Sequence[int] = (0, 0)) -> tuple[list[Masked], Position]:
        """The ``batch_size`` masked examples from a position on, and the position after them."""
        epoch, index = position[:2]
        batch: list[Masked] = []
        while len(batch) < self.batch_size:
            number, start, pool = self._pool(epoch, index)
            order = generator(self.seed, ORDER, epoch, number).permutation(len(pool))
            taken = order[index - start:index - start + self.batch_size - len(batch)].tolist()
            version = epoch if self.versions is None else epoch % self.versions
            batch += [self._masked(pool[i][1], (self.seed, version, pool[i][0])) for i in taken]
            index += len(taken)
            if index >= self._firsts[-1]:
                epoch, index = epoch + 1, 0
        return batch, Position(epoch, index)

    def _pool(self, epoch: int, index: int) -> tuple[int, int, list[tuple[int, Instance]]]:
        """The pool that holds the ``index``-th example of an epoch: its number, how many come before it, what is in it."""
        if self._epoch[0] != epoch:
            pools = self.part.pools(epoch)
            self._epoch = epoch, pools, [0, *accumulate(sum(self._counts[block] for block in pool) for pool in pools)]
        _, pools, starts = self._epoch
        number = bisect.bisect_right(starts, index) - 1
        if self._current[0] != pools[number]:
            self._current = ([], [])  # not two of them in memory
            self._current = pools[number], [(self._firsts[block] + i, instance) for block in pools[number]
                                            for i, instance in enumerate(self.part.read(block, self.wanted))]
        return number, starts[number], self._current[1]

    def _masked(self, instance: Instance, key: tuple[int, int, int]) -> Masked:
        label = instance.next_label if self.next_sentence and instance.next_label is not None else IGNORE
        if instance.positions is None or self.anew:
            return self.corruption.mask_example(Example(original(instance), instance.split, label), self.rule, key)
        return Masked(instance.ids, instance.split, label, instance.positions, instance.labels)


def held_out(part: Part, tokenizer: Any, *, max_tokens: int = 512, max_examples: int | None = None, seed: int = 0,
             **options: Any) -> list[Batch]:
    """Batches for evaluation, which never change: ``batches.held_out`` of prepared examples."""
    some = Stream(part, tokenizer, batch_size=min(part.size, max_examples or part.size), seed=seed, static_masks=True, **options)
    return micro_batches(some.batch()[0], max_tokens, pad_id=tokenizer.vocab.pad_id)


def instances(text: batches.Stream, versions: int, masked: bool = True) -> Iterator[Instance]:
    """The examples that a stream makes of its text in so many epochs, as they are to be written, in the order of the text."""
    for version in range(versions):
        for number, example in enumerate(text.examples(version)):
            label = None if example.next_label == IGNORE else example.next_label
            if masked:
                [hidden] = mask_all(text.corruption, [example], text.rule, [(text.seed, version, number)])
                yield Instance(hidden.ids, hidden.split, label, hidden.positions, hidden.labels)
            else:
                yield Instance(example.ids, example.split, label)


def sentences(found: Sequence[Instance], vocab: Any) -> list[list[list[int]]]:
    """The sentences of some examples, by example, nothing hidden: runs of tokens up to a mark that ends one."""
    ends = [vocab.index[mark] for mark in MARKS if mark in vocab.index]
    special = np.array(vocab.special_ids)
    documents = []
    for one in found:
        ids = original(one)
        document = []
        for segment in (ids[1:one.split - 1] if one.next_label is not None else ids[1:-1], ids[one.split:-1]):
            cuts = np.flatnonzero(np.isin(segment, ends)) + 1
            pieces = [piece for piece in np.split(segment, cuts) if len(piece) and not np.isin(piece, special).any()]
            document += [piece.tolist() for piece in pieces]
        if document:
            documents.append(document)
    return documents
