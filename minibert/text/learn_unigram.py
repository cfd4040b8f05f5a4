"""Learning a unigram model from text: begin with far too many pieces, and drop those that are missed least.

1. **Candidates**: every string inside a word that stands there twice or more, at most ``longest`` characters, none of mixed
   kind (letters, digits, signs); of these the ``candidates`` with the highest count times length, and every character.
   sentencepiece finds them with a suffix array over the whole text; here the strings of each distinct word are counted, which
   finds the same ones.
2. **Expectation, maximisation**, two rounds: how often is each piece used, summed over all ways to cut each word, each with its
   probability? From the forward and the backward sums of a word, α and β, a piece from ``i`` to ``j`` is used with ``exp(α(i) +
   score + β(j) - α(n))``. The new score is ``ψ(expected) - ψ(total)``, ψ the digamma function, which pulls rare pieces down
   (Bayesian, as in sentencepiece); pieces that are expected less than half a time go.
3. **Pruning**: without a piece, each of its uses becomes its best cut into others. What likelihood does the text lose? The
   quarter (``1 - shrink``) of the pieces with the least loss goes, and from 2 again, until 1.1 times the size is left.
4. The characters, and the best of the rest, fill the size.

"Subword Regularization" (Kudo, 2018, arXiv:1804.10959), ``unigram_model_trainer.cc``; the code is our own, and so are the
candidates' kinds, which sentencepiece tells by script. The vocabularies are alike, not the same.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from .sentencepiece import SPACE, SentencePiece
from .spm import CONTROL, NORMAL, UNKNOWN, USER_DEFINED, Spm
from .unigram import Unigram

META = (("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL))  # what stands before the pieces: sentencepiece's own
ALBERT = (("<pad>", CONTROL), ("<unk>", UNKNOWN), ("[CLS]", CONTROL), ("[SEP]", CONTROL), ("[MASK]", CONTROL),
          *((sign, USER_DEFINED) for sign in '()"-.–£€'))
_ROUNDS = 2  # of expectation and maximisation between two prunings
_RARE = 0.5
_ENOUGH = 1.1
_KINDS = {"L": "letter", "M": "letter", "N": "digit"}

Score = dict[str, float]


def learn_unigram(
    texts: Iterable[str],
    size: int,
    *,
    like: Spm | None = None,
    meta: Sequence[tuple[str, int]] = META,
    coverage: float = 0.9995,
    longest: int = 16,
    candidates: int = 1_000_000,
    shrink: float = 0.75,
    progress: Callable[[int, int], object] | None = None,
) -> Spm:
    """A model of ``size`` pieces, those of ``meta`` first.

    ``texts``: strings of any length, read once; only their distinct words are kept. ``like``: a model whose normalisation is
    taken over; without one only spaces are looked after. ``coverage``: so large a share of all characters, the most frequent
    ones, becomes pieces; the others are unknown. ``progress(pieces, size)`` is called after every pruning.

    Raises ValueError where ``size`` has no room for the characters, or the texts hold no word.
    """
    if isinstance(texts, str):
        raise TypeError("texts must be an iterable of strings, got one str; pass [text]")
    symbols = [piece for piece, kind in meta if kind == USER_DEFINED]
    blank = (like or Spm((), (), ()))._replace(
        pieces=(*(piece for piece, _ in meta), SPACE), scores=(0.0,) * (len(meta) + 1),
        types=(*(kind for _, kind in meta), NORMAL),
        byte_fallback=False, trainer=b"", whitespace_as_suffix=False, escape_whitespaces=True)
    words = count_words(texts, SentencePiece(blank), symbols)
    if not words:
        raise ValueError("there is nothing to learn from: the texts hold no word")
    characters = _alphabet(words, coverage)
    room = size - len(meta)
    if room < len(characters):
        raise ValueError(f"size {size} is too small: the {len(meta)} pieces that are given and {len(characters)} characters must "
                         "fit in; a lower coverage leaves rare characters out")
    words = _known(words, characters)
    scores = _seed(words, characters, longest, candidates)
    while True:
        for _ in range(_ROUNDS):
            scores = maximise(expect(words, scores), characters)
        if progress:
            progress(len(scores), size)
        if len(scores) <= room * _ENOUGH:
            break
        scores = _prune(words, scores, characters, max(int(room * _ENOUGH), int(len(scores) * shrink)))
    pieces = _final(scores, characters, room)
    return blank._replace(pieces=(*(piece for piece, _ in meta), *pieces), scores=(*(0.0 for _ in meta), *pieces.values()),
                          types=(*(kind for _, kind in meta), *(NORMAL for _ in pieces)))


def count_words(texts: Iterable[str], model: SentencePiece, symbols: Sequence[str] = ()) -> Counter[str]:
    """How often each word of the normalised texts occurs, with its ``▁``; symbols are no part of any."""
    counts: Counter[str] = Counter()
    for text in texts:
        written = model.normalize(text)[0]
        for symbol in symbols:
            written = written.replace(symbol, " ")
        counts.update(filter(None, written.replace(SPACE, " " + SPACE).split(" ")))
    return counts


def likelihood(words: Mapping[str, int], scores: Score) -> float:
    """The logarithm of how likely the words are, summed over all ways to cut them."""
    lattices = _Lattices(scores)
    return sum(count * lattices.forward(lattices.edges(word), len(word))[-1] for word, count in words.items())


def expect(words: Mapping[str, int], scores: Score) -> Score:
    """How often each piece is used, over all ways to cut each word."""
    found: defaultdict[str, float] = defaultdict(float)
    lattices = _Lattices(scores)
    for word, count in words.items():
        edges = lattices.edges(word)
        alpha, beta = lattices.forward(edges, len(word)), lattices.backward(edges, len(word))
        whole = alpha[-1]
        for start, end, piece, score in edges:
            found[piece] += count * math.exp(alpha[start] + score + beta[end] - whole)
    return found


def maximise(expected: Score, characters: Iterable[str]) -> Score:
    """The scores from expected counts. Characters stay, however rare they are."""
    always = {*characters}
    kept = {piece: count for piece, count in expected.items() if count >= _RARE or piece in always}
    kept |= {piece: _RARE for piece in always if kept.get(piece, 0.0) < _RARE}
    total = _digamma(sum(kept.values()))
    return {piece: _digamma(count) - total for piece, count in kept.items()}


class _Lattices:
    """All ways to cut a word, as edges ``(start, end, piece, score)`` in order of their starts."""

    def __init__(self, scores: Score):
        self.model = Unigram(scores, min(scores.values()))

    def edges(self, word: str) -> list[tuple[int, int, str, float]]:
        return [(start, end, word[start:end], score)
                for start in range(len(word)) for end, score in self.model.beginning(word, start)]

    @staticmethod
    def forward(edges: Sequence[tuple[int, int, str, float]], n: int) -> list[float]:
        alpha = [0.0, *[-math.inf] * n]
        for start, end, _, score in edges:
            alpha[end] = _add(alpha[end], alpha[start] + score)
        return alpha

    @staticmethod
    def backward(edges: Sequence[tuple[int, int, str, float]], n: int) -> list[float]:
        beta = [*[-math.inf] * n, 0.0]
        for start, end, _, score in reversed(edges):
            beta[start] = _add(beta[start], beta[end] + score)
        return beta


def _alphabet(words: Mapping[str, int], coverage: float) -> list[str]:
    """The characters that are pieces by themselves, the most frequent first, ``▁`` always."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    total, seen, found = sum(counts.values()), 0, [SPACE]
    for character, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        if seen >= total * coverage:
            break
        seen += count
        found += [character] * (character != SPACE)
    return found


def _known(words: Mapping[str, int], characters: Iterable[str]) -> Counter[str]:
    """The words cut at characters that are no pieces."""
    known, parts = {*characters}, Counter()
    for word, count in words.items():
        for part in "".join(character if character in known else " " for character in word).split(" "):
            if part:
                parts[part] += count
    return parts


def _seed(words: Mapping[str, int], characters: Sequence[str], longest: int, most: int) -> Score:
    """The candidates, with scores from their counts."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for part, at in _runs(word):
            for start in range(len(part)):
                for end in range(start + 2, min(len(part), start + longest) + 1):
                    counts[part[start:end]] += count
            if at and word[at - 1] == SPACE:
                for end in range(1, min(len(part), longest - 1) + 1):
                    counts[SPACE + part[:end]] += count
    found = sorted(((count * len(piece), piece) for piece, count in counts.items() if count > 1),
                   key=lambda pair: (-pair[0], pair[1]))
    alone: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            alone[character] += count
    weights = {character: alone[character] for character in characters} | {piece: weight for weight, piece in found[:most]}
    total = math.log(sum(weights.values()))
    return {piece: math.log(max(weight, _RARE)) - total for piece, weight in weights.items()}


def _runs(word: str) -> list[tuple[str, int]]:
    """The word in runs of one kind of characters, with their places; without the ``▁`` at its beginning."""
    runs: list[tuple[str, int]] = []
    last = None
    for at, character in enumerate(word):
        kind = "space" if character == SPACE else _KINDS.get(unicodedata.category(character)[0], "sign")
        if kind == "space":
            last = None
        elif kind == last:
            runs[-1] = (runs[-1][0] + character, runs[-1][1])
        else:
            runs.append((character, at))
            last = kind
    return runs


def _prune(words: Mapping[str, int], scores: Score, characters: Iterable[str], wanted: int) -> Score:
    """``wanted`` pieces: without those whose loss costs least."""
    model, always = Unigram(scores, min(scores.values())), {*characters}
    uses, words_with = Counter(), Counter()
    for word, count in words.items():
        pieces = model.cut(word).pieces
        for piece in pieces:
            uses[piece] += count
        for piece in {*pieces}:
            words_with[piece] += count
    total = sum(uses.values())
    kept = {piece: scores[piece] for piece in always}
    losses = []
    for piece in scores.keys() - always:
        if not uses[piece] or model.cut(piece).pieces != (piece,):
            continue  # never the best way: nothing is lost
        others = model.cut(piece, whole=False).pieces
        before = math.log(uses[piece] / total)
        rest = math.log(total + uses[piece] * (len(others) - 1))
        after = sum(math.log(uses[other] + uses[piece]) - rest for other in others)
        losses.append((words_with[piece] * (before - after), piece))
    losses.sort(key=lambda pair: (-pair[0], pair[1]))
    return kept | {piece: scores[piece] for _, piece in losses[:max(0, wanted - len(kept))]}


def _final(scores: Score, characters: Sequence[str], room: int) -> Score:
    """The characters and the best others, so many as there is room for, by their scores."""
    others = sorted(scores.keys() - {*characters}, key=lambda piece: (-scores[piece], piece))
    chosen = [*characters, *others[:room - len(characters)]]
    return {piece: scores[piece] for piece in sorted(chosen, key=lambda piece: (-scores[piece], piece))}


def _add(a: float, b: float) -> float:
    """log(exp a + exp b)."""
    if a < b:
        a, b = b, a
    return a if b == -math.inf else a + math.log1p(math.exp(b - a))


def _digamma(x: float) -> float:
    """ψ(x), by ψ(x) = ψ(x + 1) - 1/x up to 7 and the asymptotic series from there (to 1e-10)."""
    result = 0.0
    while x < 7:
        result -= 1 / x
        x += 1
    square = 1 / (x * x)
    return result + math.log(x) - 0.5 / x - square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square / 240)))
