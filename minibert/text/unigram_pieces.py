"""Unigram pieces as ALBERT, XLM-RoBERTa and CamemBERT have them in transformers: word by word, each with a ``▁`` before it.

SentencePiece takes a whole line; the ``tokenizers`` library, whose ids the models of transformers get, does otherwise:

1. the text is normalised: steps that the tokenizer lists, the charsmap of its ``.model`` among them, by clusters (``charsmap``);
2. it is cut at white space, ``▁`` goes before each word, and a ``▁`` within begins a word of its own;
3. each word is cut by a unigram model whose sums begin at 0, in 64 bits; what no piece has is unknown.

``StripAccents`` drops all marks (categories Mn, Mc and Me), where BERT's stripping drops Mn alone. tokenizers 0.23.3 knows those
of Unicode 9; of what Unicode 14 has, it keeps 313 marks and drops two letters, U+1CF2 and U+1CF3, which were marks then.

On ordinary text both give the same ids. They part in lines of dashes (``unigram``), marks on full-width letters, and where ``▁``
itself is written. ``SentencePiece`` reads the same file as sentencepiece does.

``comma``: ALBERT's own rule, in the code that it was trained with: of a piece that ends in a comma behind a digit, as ``9,``, the
comma is a piece of its own and the rest is cut anew. transformers 5 does not do that, so it is not done unless asked for.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, pairwise
from typing import Any

import numpy as np

from minibert.files import brief

from .added import AddedToken
from .charsmap import Charsmap
from .method import Cache, Method, Piece, blocks
from .normalize import Memory
from .sentencepiece import SPACE
from .unigram import Unigram
from .unigram_batch import Batch, worth
from .vocabulary import Vocabulary

Placed = tuple[str, list[int]]  # a text, and for each of its characters where it came from


class Step:
    """One step of normalisation: a text, or a text with places, becomes another. ``said``: how tokenizer.json says it."""

    def __init__(self, name: str, one: Callable[[str], str], whole: Callable[[str], str], **values: object):
        self.name, self.whole, self.said = name, whole, {"type": name, **values}
        self._lengths = Memory(lambda char: len(one(char)))

    def __call__(self, text: str) -> str:
        return self.whole(text)

    def placed(self, text: str, at: Sequence[int]) -> Placed:
        """Each character becomes nothing, one or several, by itself."""
        return self.whole(text), [place for char, place in zip(text, at) for _ in range(self._lengths[char])]


class Replace(Step):
    """One string for another."""

    def __init__(self, pattern: str, content: str):
        super().__init__("Replace", str, lambda text: text.replace(pattern, content), pattern={"String": pattern},
                         content=content)
        self.pattern, self.content = pattern, content

    def placed(self, text: str, at: Sequence[int]) -> Placed:
        """The new characters come from the last of the old ones."""
        places, done = [], 0
        for match in re.finditer(re.escape(self.pattern), text):
            places += [*at[done:match.start()], *[at[match.end() - 1]] * len(self.content)]
            done = match.end()
        return self.whole(text), [*places, *at[done:]]


class Precompiled(Step):
    """A charsmap, by clusters."""

    def __init__(self, charsmap: bytes):
        self.charsmap = Charsmap(charsmap)
        super().__init__("Precompiled", self.charsmap.by_cluster, self.charsmap.by_cluster,
                         precompiled_charsmap=base64.b64encode(charsmap).decode("ascii"))

    def placed(self, text: str, at: Sequence[int]) -> Placed:
        """Each new character comes from the old one at its place in the cluster, or from the last."""
        parts, places = [], []
        chunks = [*self.charsmap.clusters(text), (len(text), "")]
        for (start, part), (end, _) in pairwise(chunks):
            parts.append(part)
            places += [at[min(start + n, end - 1)] for n in range(len(part))]
        return "".join(parts), places


def _table(rule: Callable[[str], str]) -> Callable[[str], str]:
    table = Memory(lambda code: rule(chr(code)))
    return lambda text: text.translate(table)


def _form(name: str) -> Step:
    def whole(text: str) -> str:
        return text if text.isascii() else unicodedata.normalize(name, text)

    return Step(name, whole, whole)


_lower = _table(str.lower)  # one by one: no final sigma
_strip = _table(lambda char: "" if unicodedata.category(char)[0] == "M" else char)

NFKD = _form("NFKD")
STRIP_ACCENTS = Step("StripAccents", _strip, lambda text: text if text.isascii() else _strip(text))
LOWERCASE = Step("Lowercase", _lower, lambda text: text.lower() if text.isascii() else _lower(text))


_PLAIN = {step.name: step for step in (NFKD, STRIP_ACCENTS, LOWERCASE)}


def step_of(said: Mapping[str, Any]) -> Step:
    """The step that tokenizer.json says so. NotImplementedError for another, ValueError for a damaged charsmap."""
    name, pattern, content = said.get("type"), said.get("pattern"), said.get("content")
    if isinstance(name, str) and name in _PLAIN:
        return _PLAIN[name]
    if name == "Precompiled":
        return Precompiled(base64.b64decode(str(said.get("precompiled_charsmap") or ""), validate=True))
    string = pattern.get("String") if isinstance(pattern, dict) else None
    if name == "Replace" and isinstance(content, str) and isinstance(string, str) and string and " " not in string:
        return Replace(string, content)
    raise NotImplementedError(f"{brief(name)} ({brief(said)})")


class UnigramPieces(Method):
    """Normalisation, ``▁``, and the best way through a unigram model, word by word.

    ``scores``: one for each token of the vocabulary; ``steps``: of the normalisation, in order, or how
    tokenizer.json says them; ``family``: the class of transformers that reads its files; ``comma``: see above.
    """

    def __init__(self, vocab: Vocabulary, added: Sequence[AddedToken], *, scores: Sequence[float],
                 steps: Sequence[Step | Mapping[str, Any]] = (), family: str = "AlbertTokenizer", comma: bool = False):
        self.vocab, self.scores, self.comma, self.family = vocab, tuple(scores), comma, family
        self.steps = tuple(step if isinstance(step, Step) else step_of(step) for step in steps)
        self._special = {*vocab.special, *(token.content for token in added if token.special)}
        words = {token: score for token, score in zip(vocab.tokens, scores) if token not in self._special}
        self.unigram = Unigram(words, min(scores, default=0.0))
        self.lower_case = LOWERCASE in self.steps
        self.strip_accents = STRIP_ACCENTS in self.steps
        self._word_ids = Cache(self._look_up)

    @property
    def options(self) -> dict[str, Any]:
        return {"scores": self.scores, "steps": [step.said for step in self.steps], "family": self.family, "comma": self.comma}

    # A part is what stands between spaces.

    def parts(self, text: str, follows: bool) -> list[str]:
        return list(filter(None, text.split(" ")))

    def placed_parts(self, text: str, follows: bool) -> Iterator[tuple[str, int]]:
        return ((match[0], match.start()) for match in _PART.finditer(text))

    def ids(self, part: str) -> tuple[int, ...]:
        return tuple(number for word in self._words_in(part) for number, _ in self._word_ids[word])

    def many(self, parts: Sequence[str]) -> list[tuple[int, ...]]:  # all new words together
        words = [[*self._words_in(part)] for part in parts]
        found: dict[str, Sequence[int]] = {}
        for some in blocks(sorted(dict.fromkeys(chain.from_iterable(words)), key=len, reverse=True)):
            found.update(zip(some, self._ids_of(some)))
        return [tuple(chain.from_iterable(map(found.__getitem__, of_part))) for of_part in words]

    def _words_in(self, part: str) -> Iterable[str]:
        runs = _RUN.findall(self.whole(part))
        return chain.from_iterable(_WORD.findall(run if run.startswith(SPACE) else SPACE + run) for run in runs)

    def _ids_of(self, words: Sequence[str]) -> Iterator[Sequence[int]]:
        """The ids of each word, from the longest to the shortest."""
        unknown = self.vocab.unk_id
        alone = len(words) if self.comma or unknown is None else worth(words)
        yield from ([number for number, _ in self._word_ids[word]] for word in words[:alone])
        if words := words[alone:]:
            pieces, of_piece = self._batch
            cut = pieces.cut(words)
            numbers, stops = of_piece[cut.numbers], cut.counts.cumsum()
            again = (numbers == unknown) & (np.append(-1, numbers[:-1]) == unknown)
            again[stops[:-1]] = False
            numbers, stops = numbers[~again].tolist(), (stops - again.cumsum()[stops - 1]).tolist()
            yield from (numbers[start:stop] for start, stop in zip([0, *stops], stops))

    @cached_property
    def _batch(self) -> tuple[Batch, np.ndarray]:
        """The pieces for many words at once, and the id of each; the last is what is unknown."""
        scores = self.unigram.scores
        return (Batch([*scores], [*scores.values()], self.unigram.unknown),
                np.array([*map(self.vocab.index.__getitem__, scores), self.vocab.unk_id]))

    def words(self, part: str) -> tuple[tuple[Piece, ...], ...]:
        return tuple(self.words_of_whole(*self.whole_with_offsets(part), False))

    def whole(self, text: str) -> str:
        for step in self.steps:
            text = step(text)
        return text

    def whole_with_offsets(self, text: str) -> Placed:
        at = list(range(len(text)))
        for step in self.steps:
            text, at = step.placed(text, at)
        return text, at

    def words_of_whole(self, text: str, at: Sequence[int], follows: bool) -> Iterator[tuple[Piece, ...]]:
        for run in _RUN.finditer(text):
            marked = "" if run[0].startswith(SPACE) else SPACE
            places = [at[run.start()]] * len(marked) + list(at[run.start():run.end()])
            for word in _WORD.finditer(marked + run[0]):
                pieces, start = [], word.start()
                for number, length in self._word_ids[word[0]]:
                    pieces.append((number, places[start], places[start + length - 1] + 1))
                    start += length
                yield tuple(pieces)

    def continues(self, token: str) -> bool:
        return not token.startswith(SPACE)

    def written(self, token: str, first: bool) -> str:
        if token in self._special or token == SPACE:
            return token
        return token.removeprefix(SPACE) if first or token.startswith(SPACE) else f"##{token}"

    def decode(self, ids: Sequence[int]) -> str:
        """Pieces joined, with spaces where they have ``▁``, but for the one before the text."""
        first, *others = [self.vocab.tokens[number] for number in ids] or [""]
        return first.replace(SPACE, "") + "".join(others).replace(SPACE, " ")

    def _look_up(self, word: str) -> tuple[tuple[int, int], ...]:
        """(id, length) of each piece of a word; what is unknown is one piece as long as it lasts."""
        rows: list[tuple[int, int]] = []
        unknown = self.vocab.unk_id
        for piece in self._cut(word):
            number = self.vocab.index[piece] if piece in self.unigram.scores else unknown
            if number is None:
                self.vocab.require(f"{piece!r}, which no piece has,", "[UNK]")
            if number == unknown and rows and rows[-1][0] == unknown:
                rows[-1] = unknown, rows[-1][1] + len(piece)
            else:
                rows.append((number, len(piece)))
        return tuple(rows)

    def _cut(self, word: str) -> Sequence[str]:
        pieces = self.unigram.cut(word).pieces
        return [part for piece in pieces for part in self._without_comma(piece)] if self.comma else pieces

    def _without_comma(self, piece: str) -> Sequence[str]:
        """The pieces of ``9,``, if ``piece`` is of that kind: the number is cut as a word, without the ``▁`` that it had not."""
        if not (piece.endswith(",") and piece[-2:-1].isdigit()):
            return [piece]
        first, *others = self.unigram.cut(SPACE + piece[:-1].replace(SPACE, "")).pieces
        first = first if piece.startswith(SPACE) else first.removeprefix(SPACE)
        return [*[first] * bool(first), *others, ","]


_PART = re.compile("[^ ]+")
_RUN = re.compile("[^\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")  # no White_Space of Unicode
_WORD = re.compile(f"{SPACE}[^{SPACE}]*")
