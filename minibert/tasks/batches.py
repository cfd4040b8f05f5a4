"""Micro-batches: sequences of similar length side by side, and the endless stream of them that training reads."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minibert.data.documents import Document
from minibert.data.randomness import ORDER, generator
from minibert.data.tokens.windows import Windows
from minibert.tasks.corruption import mask_all, masking
from minibert.tasks.examples import IGNORE, Example, Masked, arrays
from minibert.tasks.marks import Places
from minibert.tasks.segments import SEGMENTS
from minibert.tasks.segments.full_sentences import packed
from minibert.tasks.segments.prefix import sees
from minibert.tasks.words import WORDS


class Batch(NamedTuple):
    """A rectangle of N sequences, with what each term of the loss compares with. Integers, but for the mask and some targets."""

    ids: np.ndarray  # (N, T) int64
    token_type_ids: np.ndarray  # (N, T) int64: 0 for the first text and padding, 1 for the second
    attention_mask: np.ndarray | None  # (N, T) bool: True for tokens, False for padding; None where nothing is padded; or which
    # keys each query may see (N, T, T), a token itself always
    targets: Mapping[str, np.ndarray]  # by term
    positions: np.ndarray | None = None  # (M,) int64: flat indices b·T + t of the tokens that are asked for, ascending; None: all
    choices: int = 1  # so many neighbouring sequences are the choices of one example
    places: Sequence[int] = ()  # of its examples in the list that was cut
    position_ids: np.ndarray | None = None  # (N, T) rows of the position table; None: counted from the first token on

    @property
    def lengths(self) -> np.ndarray:
        """``(N,)``: tokens of each sequence, without padding."""
        mask = self.attention_mask
        if mask is None:
            return np.full(len(self.ids), self.ids.shape[1])
        return (mask.diagonal(axis1=1, axis2=2) if mask.ndim == 3 else mask).sum(1)

    @property
    def tokens(self) -> int:
        """Tokens without padding."""
        return int(self.lengths.sum())


def rectangle(sequences: Sequence[np.ndarray], splits: Sequence[int], pad_id: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ids and token types ``(N, T)`` of sequences, padded to the longest, and where their tokens are: ``(N, T)`` bool.

    ``splits``: of each sequence, where its second text begins. ValueError where there are none.
    """
    if not sequences:
        raise ValueError("cannot make a batch of no examples")
    lengths = np.array([len(ids) for ids in sequences])
    places = np.arange(int(lengths.max()))
    real = places < lengths[:, None]
    ids = np.full(real.shape, pad_id, np.int64)
    ids[real] = np.concatenate(sequences)
    return ids, (real & (places >= np.array(splits)[:, None])).astype(np.int64), real


def groups(widths: Sequence[int], limit: int, rows: int = 1) -> list[list[int]]:
    """Numbers of examples, the longest first, in groups of at most ``limit`` tokens each, padding counted.

    ``widths``: tokens of the longest sequence of each example, which has ``rows`` of them. One that is longer than ``limit`` is
    a group of its own. Sorting is stable, so the same examples always give the same groups.
    """
    if limit < 1:
        raise ValueError(f"max_tokens must be at least 1, got {limit}")
    found: list[list[int]] = []
    for i in sorted(range(len(widths)), key=lambda i: -widths[i]):
        if not found or rows * (len(found[-1]) + 1) * widths[found[-1][0]] > limit:
            found.append([])
        found[-1].append(i)
    return found


def collate(examples: Sequence[Masked], *, pad_id: int = 0) -> Batch:
    """One batch of masked examples in their order.

    Its targets: ``mlm`` ``(M,)``, the ids at the masked positions, and ``nsp`` ``(B,)``, 0 where b follows, 1 where it is from
    elsewhere, IGNORE where there is no pair. And by their terms those that the examples have besides: ``(M,)`` at the same
    positions (``replaced``: the numbers that decide what a generator's guesses are), ``(B,)``, or ``(B, T)`` with IGNORE in the
    padding.

    Raises ValueError where there are none.
    """
    ids, types, real = rectangle([example.ids for example in examples], [example.split for example in examples], pad_id)
    first = examples[0]
    mask = sees(types, real) if first.prefix else None if real.all() else real
    return Batch(ids, types, mask, {
        "mlm": np.concatenate([example.labels for example in examples]),
        "nsp": np.array([example.next_label for example in examples], dtype=np.int64),
        **{name: np.concatenate([example.others[name] for example in examples]) for name in first.others},
        **{name: _together([example.targets[name] for example in examples], real) for name in first.targets},
    }, np.concatenate([b * ids.shape[1] + example.positions for b, example in enumerate(examples)]))


def _together(targets: Sequence[Any], real: np.ndarray) -> np.ndarray:
    """A label of each example ``(B,)``, or of each of its tokens ``(B, T)``."""
    if np.ndim(targets[0]) == 0:
        return np.array(targets, np.int64)
    found = np.full(real.shape, IGNORE, np.int64)
    found[real] = np.concatenate(targets)
    return found


class Streamed(Sequence):
    """What ``make`` makes of the numbers up to ``count``, anew whenever it is asked for, and kept by nobody."""

    def __init__(self, make: Callable[[int], Any], count: int) -> None:
        self.make, self.numbers = make, range(count)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, i: int) -> Any:
        return self.make(self.numbers[i])


def each(change: Callable[[Batch], Batch], found: Sequence[Batch]) -> Sequence[Batch]:
    """Batches, each of them changed; streamed ones still are."""
    return Streamed(lambda i: change(found[i]), len(found)) if isinstance(found, Streamed) else [*map(change, found)]


def micro_batches(examples: Sequence[Masked], max_tokens: int = 512, *, pad_id: int = 0,
                  streamed: bool = False) -> Sequence[Batch]:
    """The examples as batches of similar length, longest first, each of at most ``max_tokens`` tokens with padding.

    Sums and counts do not depend on ``max_tokens``. ``streamed``: see ``Streamed``; for steps that are too large to be held.
    """
    rows = groups([len(e.ids) for e in examples], max_tokens)
    found = Streamed(lambda i: collate([examples[row] for row in rows[i]], pad_id=pad_id), len(rows))
    return found if streamed else list(found)


def whole(cut: Callable[..., list[Batch]], size: int) -> Callable[[Sequence[Any]], list[Batch]]:
    """``cut`` for a model whose examples look at one another in training (batch norm): every ``size`` neighbours are one batch.

    They depend on the examples alone: not on their lengths, not on lanes, not on who computes them.
    """
    def batches(examples: Sequence[Any]) -> list[Batch]:
        parts = [examples[start:start + size] for start in range(0, len(examples), size)]
        return [batch for part in parts for batch in cut(part, max_tokens=2**62)]

    return batches


def shifted(cut: Callable[..., Sequence[Batch]], room: int, first: int = 0) -> Callable[..., Sequence[Batch]]:
    """``cut``, whose sequences begin at any of ``room`` positions that leaves space for them, and not at the first.

    Which one the ids of a sequence decide, so it is always the same for the same example, however examples are cut. ``first``:
    rows of the position table that stand before the first position. Source: Kiyono et al. 2021, "SHAPE: Shifted Absolute
    Position Embedding for Transformers", arXiv:2109.05644.
    """
    def of(batch: Batch) -> Batch:
        ids = batch.ids.astype("<i8")
        starts = [zlib.crc32(row[:n].tobytes()) % (room - n + 1) for row, n in zip(ids, batch.lengths.tolist())]
        places = np.minimum(np.array(starts)[:, None] + np.arange(ids.shape[1]), room - 1)  # padding needs no place of its own
        return batch._replace(position_ids=first + places)

    return lambda examples, **options: each(of, cut(examples, **options))


class Position(NamedTuple):
    """Where a stream stands: these numbers and the stream's arguments are all it takes to continue exactly."""

    epoch: int = 0
    index: int = 0  # examples of this epoch, or of the window, already used
    window: int = 0  # of the text, where it is not in memory as a whole


class Stream:
    """Endless masked examples of a corpus, reproducible from a position.

    The examples of an epoch are drawn from (seed, epoch), shuffled by (seed, epoch) and masked by (seed, epoch,
    example); each epoch draws new ones. A batch that reaches the end of an epoch is filled from the next::

        position = Position()
        while True:
            examples, position = stream.batch(position)

    documents: token ids by document and sentence, without special tokens; or ``Windows`` of them, each of which is then read,
    shuffled and used up for itself. next_sentence: sentence pairs, or what ``alone`` makes of sentences without pairs, packed
    ones by default; a corpus of a single document has no pairs.
    static_masks: the epochs repeat ``dupe_factor`` versions of the examples and their masks, as the reference does, instead
    of drawing new ones.
    pairs: of ``SEGMENTS``, what goes into an example and is asked of it as a whole. corruption: the module of
    ``tasks.corruption`` that hides; its other options (``whole_word``, ``rate``, ``mask_share``, ``random_share``) are passed on
    to its ``rule``. last_rate: where the ``rate`` ends, see ``at``. words: of ``WORDS``, what else is asked of the words.

    ValueError for ``documents`` that lack a mark which one of these must know (``marks``).
    """

    def __init__(
        self,
        documents: Iterable[Document] | Windows,
        tokenizer: Any,
        *,
        max_length: int,
        batch_size: int,
        seed: int,
        next_sentence: bool = True,
        static_masks: bool = False,
        dupe_factor: int = 1,
        pairs: str = "next",
        corruption: ModuleType = masking,
        alone: Callable[..., list[Example]] = packed,
        words: Sequence[str] = (),
        last_rate: float | None = None,
        **masking_options: Any,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if dupe_factor < 1:
            raise ValueError(f"dupe_factor must be at least 1, got {dupe_factor}")
        self.questions = [(WORDS[name], WORDS[name].rule(tokenizer)) for name in words]
        modules = corruption, *(module for module, _ in self.questions)
        marks = {name for module in modules for name in getattr(module, "MARKS", ())}
        self.marks = sorted(marks)
        self.windows = documents if isinstance(documents, Windows) else None
        self.tokenizer = tokenizer
        self.places: Places | None = None
        if not self.windows:
            self._take(documents)
        self.max_length = max_length
        self.batch_size = batch_size
        self.seed = seed
        self.asked, self.next_sentence, self.alone = SEGMENTS[pairs], next_sentence, alone
        self.versions = dupe_factor if static_masks else None
        self.corruption, self.rule = corruption, corruption.rule(tokenizer, **masking_options)
        self.rates = None if last_rate is None else (self.rule.rate, last_rate)
        self._current: tuple[tuple[int, int], list[Example]] = ((-1, 0), [])

    def _take(self, documents: Iterable[Document]) -> None:
        self.places = Places(documents, self.marks, self.tokenizer.vocab) if self.marks else None
        self.documents = self.places.documents if self.places else arrays(documents)

    def at(self, done: float) -> None:
        """A share of the run is done: what is hidden goes in a line from ``rate`` to ``last_rate``.

        "Dynamic Masking Rate Schedules for MLM Pretraining" (Ankner et al. 2023, arXiv 2305.15096), from 0.3 to 0.15.
        """
        if self.rates:
            first, last = self.rates
            self.rule = self.rule._replace(rate=first + (last - first) * done)

    def examples(self, epoch: int, window: int = 0) -> list[Example]:
        """The unmasked examples of an epoch, or of a window of it, in the order of the text; those asked for last are kept."""
        version = self._version(epoch)
        if self._current[0] != (version, window):
            if self.windows:
                self._current = ((-1, 0), [])  # not two of them in memory
                self._take(self.windows.read(version, window))
            self._current = ((version, window), self._made(version + (window << 32)))
        return self._current[1]

    def _made(self, epoch: int) -> list[Example]:
        paired = self.next_sentence and len(self.documents) >= self.asked.documents
        make = self.asked.make if paired or self.asked.term is None else self.alone
        given = self.places or self
        if self.windows and not given.documents:
            return []
        examples = make(given.documents, given.tokenizer, max_length=self.max_length, seed=self.seed, epoch=epoch)
        return [*map(self.places.looked_up, examples)] if self.places else examples

    def batch(self, position: Sequence[int] = (0, 0)) -> tuple[list[Masked], Position]:
        """The ``batch_size`` masked examples from a position on, and the position after them."""
        epoch, index, window = Position(*position)
        batch: list[Example] = []
        keys: list[tuple[int, int, int]] = []
        while len(batch) < self.batch_size:
            examples = self.examples(epoch, window)
            order = generator(self.seed, ORDER, epoch, window).permutation(len(examples))
            taken = order[index : index + self.batch_size - len(batch)].tolist()
            version = self._version(epoch)
            batch += [examples[i] for i in taken]
            keys += [(self.seed, version, i + (window << 32)) for i in taken]
            index += len(taken)
            if index >= len(examples):
                window, index = window + 1, 0
                if not self.windows or window == self.windows.count:
                    epoch, window = epoch + 1, 0
        masked = mask_all(self.corruption, batch, self.rule, keys)
        for module, rule in self.questions:
            masked = [module.ask(*row, rule, key) for *row, key in zip(masked, batch, keys)]
        return masked, Position(epoch, index, window)

    def _version(self, epoch: int) -> int:
        return epoch if self.versions is None else epoch % self.versions


def held_out(
    documents: Iterable[Document],
    tokenizer: Any,
    *,
    max_length: int,
    seed: int = 0,
    next_sentence: bool = True,
    max_tokens: int = 512,
    max_examples: int | None = None,
    **options: Any,
) -> list[Batch]:
    """Batches for evaluation. Their pairs and masks never change, so that numbers along a run and between runs compare.

    max_examples: a random sample of so many examples, fixed by the seed; None: all. A single held-out document has no
    next-sentence pairs. The other options are those of ``Stream``.
    """
    stream = Stream(
        documents,
        tokenizer,
        max_length=max_length,
        batch_size=1,
        seed=seed,
        next_sentence=next_sentence,
        static_masks=True,
        **options,
    )
    stream.batch_size = min(len(stream.examples(0)), max_examples or len(stream.examples(0)))
    return micro_batches(stream.batch()[0], max_tokens, pad_id=tokenizer.vocab.pad_id)
