"""Learning a vocabulary from text: ``learn`` for WordPiece, ``learn_bpe`` for byte pairs.

Start with single characters, and again and again join the two neighbouring pieces that score best, until the
vocabulary is as large as wanted. Two scores are in use:

``"frequency"``   f(ab), how often the pair stands in the text: byte-pair encoding (Sennrich et al., 2016,
                  arXiv:1508.07909), and what the usual tools compute when they "train WordPiece";
``"likelihood"``  f(ab) / (f(a)·f(b)), the gain in likelihood of the text per joined pair, which is how "Japanese and
                  Korean voice search" (Schuster and Nakajima, 2012) chooses. It likes pieces that rarely occur apart.

Frequency is the default: it gives the shorter sequences. Measured on WikiText-2's test split (1.3 MB, 250,000 words) at
6,000 tokens, it cuts a word into 1.22 pieces on average, likelihood into 3.14: a pair of rare characters that are always
together beats any pair of common ones, so the vocabulary fills with fragments of rare words. Only where rare pairs are
kept out does likelihood come near (1.43 with ``min_frequency=20``).

The text is counted once into distinct words; every join then touches only the words that contain the pair, and a heap
holds the pairs by score. Nothing depends on the order of a hash table: equal scores are decided by the text of the pair, and
between byte pairs by their ids, as in the ``tokenizers`` library, whose joins these are.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Generic, Literal, TypeVar

from . import bytepairs, normalize
from .cut import Cut
from .vocabulary import SPECIAL, Vocabulary, fits_a_line
from .wordpiece import CONTINUES, MAX_CHARACTERS

Piece = TypeVar("Piece", str, int)  # WordPieces by name, byte pairs by id

#: What the special tokens of byte pairs are called, in the order of ``SPECIAL``; and in that of their ids, which is RoBERTa's.
BYTE_SPECIAL = ("<pad>", "<unk>", "<s>", "</s>", "<mask>")
BYTE_FIRST = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")

_RAW_WORDS = 1 << 17  # distinct raw words that wait for their normalisation


def learn(
    texts: Iterable[str],
    size: int,
    *,
    lower_case: bool = True,
    strip_accents: bool | None = None,
    split_cjk: bool = True,
    cut: Cut | str | None = None,
    min_frequency: int = 2,
    limit_alphabet: int | None = None,
    score: Literal["frequency", "likelihood"] = "frequency",
    progress: Callable[[int, int], object] | None = None,
    on_merge: Callable[[int, str, str, float], object] | None = None,
) -> Vocabulary:
    """A vocabulary of ``size`` tokens: the five special ones, the alphabet, then what the joins made, in their order.

    With a ``cut`` nothing is joined: it is what the cut finds, most frequent first, each ``min_frequency`` times at least.

    ``texts``: strings of any length, read once; only their distinct words are kept. ``lower_case``, ``strip_accents``,
    ``split_cjk``, ``cut``: as for the ``Tokenizer`` that will use the vocabulary. ``min_frequency``: pairs that occur less often
    are not joined; where no others are left, the vocabulary stays smaller than ``size``. ``limit_alphabet``: at most so
    many distinct characters, the most frequent ones (default: as many as ``size`` has room for); words with any other
    character are left out, for the tokenizer they are ``[UNK]``. ``progress(tokens, size)`` is called now and then,
    ``on_merge(step, left, right, score)`` after every join, ``step`` counting from 1.

    Raises ValueError where ``size`` has no room for a single character, or the texts hold no word.
    """
    if score not in ("frequency", "likelihood"):
        raise ValueError(f"score must be 'frequency' or 'likelihood', got {score!r}")
    if size <= len(SPECIAL):
        raise ValueError(f"size {size} is too small: the {len(SPECIAL)} special tokens and an alphabet must fit in")
    if isinstance(texts, str):
        raise TypeError("texts must be an iterable of strings, got one str; pass [text]")
    normalizer = normalize.Normalizer(lower_case=lower_case, strip_accents=strip_accents, split_cjk=split_cjk,
                                      cut=Cut(cut) if isinstance(cut, str) else cut)
    counts = count_words(texts, normalizer)
    if not counts:
        raise ValueError("there is nothing to learn from: the texts hold no word")

    if cut:
        found = sorted((word for word, n in counts.items() if n >= min_frequency and word not in SPECIAL and fits_a_line(word)),
                       key=lambda word: (-counts[word], word))
        return Vocabulary([*SPECIAL, *found[:size - len(SPECIAL)]])
    alphabet = choose_alphabet(counts, size - len(SPECIAL), limit_alphabet)
    tokens = dict.fromkeys([*SPECIAL, *alphabet])  # in order, each once: two different joins can make the same token
    known = set(alphabet)
    cut_up = (([word[0], *(CONTINUES + char for char in word[1:])], count) for word, count in counts.items())
    words = _Words(((pieces, count) for pieces, count in cut_up if known.issuperset(pieces)), min_frequency,
                   lambda left, right: left + right.removeprefix(CONTINUES), likelihood=score == "likelihood")
    step = 0
    while len(tokens) < size and (best := words.best_pair()):
        left, right, value = best
        tokens[words.join(left, right)] = None
        step += 1
        if on_merge:
            on_merge(step, left, right, value)
        if progress and step % 100 == 0:
            progress(len(tokens), size)
    if progress:
        progress(len(tokens), size)
    return Vocabulary(list(tokens))


def learn_bpe(
    texts: Iterable[str],
    size: int,
    *,
    add_prefix_space: bool = False,
    min_frequency: int = 2,
    progress: Callable[[int, int], object] | None = None,
) -> tuple[Vocabulary, list[bytepairs.Join]]:
    """A vocabulary of ``size`` tokens, the special ones, the 256 bytes, then what the joins made; and the joins, in their order.

    What ``Tokenizer(vocab, method=BytePairs, frame=ROBERTA, merges=merges)`` reads with. ``add_prefix_space``: as there.
    ``texts``, ``min_frequency``, ``progress``: as for ``learn``. ValueError where ``size`` has no room for the bytes, or the
    texts hold nothing.
    """
    if isinstance(texts, str):
        raise TypeError("texts must be an iterable of strings, got one str; pass [text]")
    tokens = [*BYTE_FIRST, *sorted(bytepairs.CHARACTERS)]
    if size < len(tokens):
        raise ValueError(f"size {size} is too small: the {len(BYTE_FIRST)} special tokens and 256 bytes must fit in")
    index = {token: number for number, token in enumerate(tokens)}
    counts = Counter(word for text in texts for word in bytepairs.words_of(text, add_prefix_space))
    if not counts:
        raise ValueError("there is nothing to learn from: the texts are empty")

    def joined(left: int, right: int) -> int:
        token = tokens[left] + tokens[right]
        if token not in index:  # two different joins can make the same token
            index[token] = len(tokens)
            tokens.append(token)
        return index[token]

    numbers = [index[char] for char in bytepairs.CHARACTERS]
    words = _Words((([numbers[byte] for byte in bytepairs.encoded(word)], count) for word, count in counts.items()),
                   min_frequency, joined)
    merges: list[bytepairs.Join] = []
    while len(tokens) < size and (best := words.best_pair()):
        left, right, _ = best
        merges.append((tokens[left], tokens[right]))
        words.join(left, right)
        if progress and len(merges) % 100 == 0:
            progress(len(tokens), size)
    if progress:
        progress(len(tokens), size)
    return Vocabulary(tokens, special=BYTE_SPECIAL), merges


def count_words(texts: Iterable[str], normalizer: normalize.Normalizer) -> Counter[str]:
    """How often each normalised word occurs, without those too long for WordPiece. Each raw word is normalised once."""
    counts: Counter[str] = Counter()
    waiting: Counter[str] = Counter()

    def normalise() -> None:
        for raw, count in waiting.items():
            for word in normalizer.words(raw):
                if len(word) <= MAX_CHARACTERS:
                    counts[word] += count
        waiting.clear()

    for text in texts:
        waiting.update(normalize.raw_words(text))
        if len(waiting) > _RAW_WORDS:
            normalise()
    normalise()
    return counts


def choose_alphabet(counts: Counter[str], room: int, limit: int | None = None) -> list[str]:
    """The tokens of one character, sorted: ``x`` for each character, and ``##x`` for those found in longer words.

    The most frequent characters come in first, at most ``limit`` of them, until ``room`` tokens are used up.
    """
    found: Counter[str] = Counter()
    inside: set[str] = set()
    for word, count in counts.items():
        for char in word:
            found[char] += count
        if len(word) > 1:
            inside.update(word)
    alphabet: list[str] = []
    for char in sorted(found, key=lambda char: (-found[char], char))[:limit]:
        forms = [char, CONTINUES + char] if char in inside else [char]
        if len(alphabet) + len(forms) > room:
            break
        alphabet += forms
    return sorted(alphabet, key=lambda token: (len(token), token))


class _Words(Generic[Piece]):
    """Words cut into pieces, each with its count, and the counts of these pieces and their pairs, kept up to date.

    ``joined``: the piece that two others become.
    """

    def __init__(self, words: Iterable[tuple[list[Piece], int]], min_frequency: int, joined: Callable[[Piece, Piece], Piece],
                 likelihood: bool = False):
        self.min_frequency = min_frequency
        self.joined = joined
        self.likelihood = likelihood
        self.words: list[list[Piece]] = []
        self.counts: list[int] = []
        self.pieces: defaultdict[Piece, int] = defaultdict(int)  # f(a)
        self.pairs: defaultdict[tuple[Piece, Piece], int] = defaultdict(int)  # f(ab)
        self.places: defaultdict[tuple[Piece, Piece], set[int]] = defaultdict(set)  # the words in which it stands, or once stood
        self.pairs_of: defaultdict[Piece, set[tuple[Piece, Piece]]] = defaultdict(set)  # by piece; filled for the likelihood only
        self.heap: list[tuple[float, Piece, Piece]] = []
        self.queued: dict[tuple[Piece, Piece], float] = {}  # the score of a pair's entry in the heap that counts

        for pieces, count in words:
            for piece in pieces:
                self.pieces[piece] += count
            for pair in pairwise(pieces):
                self._add(pair, count, len(self.words))
            self.words.append(pieces)
            self.counts.append(count)
        for pair in self.pairs:
            self._queue(pair)

    def _add(self, pair: tuple[Piece, Piece], count: int, place: int) -> None:
        self.pairs[pair] += count
        self.places[pair].add(place)
        if self.likelihood:
            self.pairs_of[pair[0]].add(pair)
            self.pairs_of[pair[1]].add(pair)

    def _remove(self, pair: tuple[Piece, Piece], count: int) -> None:
        self.pairs[pair] -= count
        if not self.pairs[pair]:
            del self.pairs[pair], self.places[pair]
            if self.likelihood:
                self.pairs_of[pair[0]].discard(pair)
                self.pairs_of[pair[1]].discard(pair)

    def _score(self, pair: tuple[Piece, Piece]) -> float:
        if not self.likelihood:
            return self.pairs[pair]
        return self.pairs[pair] / (self.pieces[pair[0]] * self.pieces[pair[1]])

    def _queue(self, pair: tuple[Piece, Piece]) -> None:
        """See to it that the heap has an entry with the present score of a pair."""
        if pair in self.pairs and self.pairs[pair] >= self.min_frequency:
            score = self._score(pair)
            if self.queued.get(pair) != score:
                self.queued[pair] = score
                heapq.heappush(self.heap, (-score, *pair))

    def best_pair(self) -> tuple[Piece, Piece, float] | None:
        """The pair to join next, with its score; of equal scores the first by its text. None where none is left.

        The heap may hold several entries of a pair. Only the last one counts, and where the pair has lost score since
        (that is not worth a new entry each time), it goes back with what it has now.
        """
        while self.heap:
            negative, left, right = heapq.heappop(self.heap)
            pair = left, right
            if self.queued.get(pair) != -negative:
                continue
            del self.queued[pair]
            if self.pairs.get(pair, 0) >= self.min_frequency and self._score(pair) == -negative:
                return left, right, -negative
            self._queue(pair)
        return None

    def join(self, left: Piece, right: Piece) -> Piece:
        """Make one piece of a pair wherever it stands, and bring all counts and scores up to date."""
        joined = self.joined(left, right)
        risen: set[tuple[Piece, Piece]] = set()
        for place in list(self.places[left, right]):
            old, count = self.words[place], self.counts[place]
            new = _join_in(old, left, right, joined)
            if len(new) == len(old):
                continue
            for pair in pairwise(new):
                self._add(pair, count, place)
                if joined in pair:
                    risen.add(pair)
            for pair in pairwise(old):
                self._remove(pair, count)
            times = len(old) - len(new)
            self.pieces[left] -= count * times
            self.pieces[right] -= count * times
            self.pieces[joined] += count * times
            self.words[place] = new
        if self.likelihood:  # f(a) and f(b) fell, so every other pair with a or b rose
            risen |= self.pairs_of[left] | self.pairs_of[right]
        for pair in risen:
            self._queue(pair)
        return joined


def _join_in(word: list[Piece], left: Piece, right: Piece, joined: Piece) -> list[Piece]:
    """``word`` with every ``left, right``, found from the left, made one piece."""
    new: list[Piece] = []
    for piece in word:
        if piece == right and new and new[-1] == left:
            new[-1] = joined
        else:
            new.append(piece)
    return new
