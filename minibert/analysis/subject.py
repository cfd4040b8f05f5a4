"""What an analysis looks at: a model, and sentences with all that is known of them.

>>> from minibert.analysis import analyses, subject
>>> found = analyses.run("trees", subject.of(minibert.load("bert-base"), "en_ewt-ud-dev.conllu"))
>>> print(found)                                       # a table; found.result holds the numbers, found.figure() draws them

The data is a file of CoNLL-U, a file of plain text, or the generated language, where the exact posterior is known as well. A
column that the data does not have is None, and an analysis that needs it refuses in one sentence (``Subject.gold``).

Of CoNLL-U: what stands for several words (``1-2``) and what is not written (``8.1``) is left out. A sentence with a head that is
not known (``_``) has none; heads that are no tree are an error. Number and Gender are read from FEATS; Chunk, Entity, Antecedent,
Sense, Licensor, Scope and Fact from MISC, as ``minibert world --out`` writes them. Sentences that the model cannot read whole,
since they are too long for it or have words that its vocabulary does not know, are left out, and ``notes`` says how many.
"""

from __future__ import annotations

import os
import re
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from minibert.batched import needs_tokens
from minibert.data import conll
from minibert.data.sentences import split_sentences
from minibert.files import decode_utf8, line_ends
from minibert.world import SIZES, World

if TYPE_CHECKING:
    from minibert.pretrained import Trained

SENTENCES, QUICK = 2000, 400  # at most, and where it is to be quick
LEAST = 20  # sentences, for a number to say something
HELD_OUT = 10**6  # the seed of the world's text, plus that of the analysis: no training reads it
_ENDLESS = 10**9  # words


class Sentence(NamedTuple):
    """W words, and a column for each property that is known. All places count from 0."""

    words: Sequence[str]
    document: int = 0
    order: int = 0  # of the sentence in its document
    lemmas: list[str] | None = None
    upos: list[str] | None = None  # part of speech
    heads: list[int] | None = None  # the place of each word's head, -1 for the root
    relations: list[str] | None = None
    chunks: list[str] | None = None  # B-NP, I-NP, O
    numbers: list[str] | None = None  # Sing, Plur; "" where there is none, here and below
    genders: list[str] | None = None
    entities: list[str] | None = None
    antecedents: list[tuple[int, int] | None] | None = None  # (order of its sentence, word)
    senses: list[str] | None = None
    licensors: list[int] | None = None  # of polarity items; -1 for other words
    scopes: list[tuple[int, int] | None] | None = None  # of licensors: the first word, and the one behind the last
    facts: list[str] | None = None
    depths: list[int] | None = None  # relative clauses around the word

    @property
    def text(self) -> str:
        """The words, with a blank between each two."""
        return " ".join(self.words)


@dataclass(frozen=True)
class Subject:
    """``world``: the language of the sentences, where it is a generated one. ``quick``: less data, for a first look. ``other``:
    another training of the same architecture, for what compares two."""

    bert: Trained
    sentences: Sequence[Sentence]
    world: World | None = None
    seed: int = 0
    quick: bool = False
    other: Trained | None = None
    data: str = "sentences"  # what it is called
    notes: Sequence[str] = ()

    @property
    def different(self) -> list[Sentence]:
        """The sentences of two words or more, each once. ValueError where there are fewer than ``LEAST``."""
        found = _different(self.sentences)
        if len(found) < LEAST:
            raise ValueError(f"{self.data} has {len(found)} different sentences of two words or more that the model can read "
                             f"whole, and a number says something from {LEAST} on: give more text")
        return found

    @property
    def texts(self) -> list[list[str]]:
        """The words of every sentence. ValueError where fewer than ``LEAST`` are ``different``."""
        return [list(sentence.words) for sentence in self.sentences] if self.different else []

    @property
    def documents(self) -> list[list[Sentence]]:
        """The sentences of every document."""
        found: dict[int, list[Sentence]] = {}
        for sentence in self.sentences:
            found.setdefault(sentence.document, []).append(sentence)
        return list(found.values())

    def gold(self, *columns: str, least: int = LEAST) -> list[Sentence]:
        """The sentences that have all these columns. ValueError where fewer than ``least`` are ``different``."""
        lacking = [name for name in columns if all(getattr(sentence, name) is None for sentence in self.sentences)]
        if lacking:
            raise ValueError(f"{self.data} has no gold {', '.join(lacking)}: give a CoNLL-U file with them (--data), or analyse "
                             "a model of the generated language")
        found = [sentence for sentence in self.sentences if all(getattr(sentence, name) is not None for name in columns)]
        if (count := len(_different(found))) < least:
            raise ValueError(f"{self.data} has {count} different sentences of two words or more with gold {', '.join(columns)}, "
                             f"and a number says something from {least} on: give more text")
        return found

    def need_world(self) -> World:
        """The generated language. ValueError where the sentences are of another."""
        if self.world is None:
            raise ValueError(f"this is known of the generated language only, and {self.data} is another: give a model that was "
                             "trained on it (minibert train --corpus world-small --no-next-sentence), and no --data")
        return self.world


def of(bert: Trained, data: str | os.PathLike[str] | World | None = None, seed: int = 0, quick: bool = False,
       other: Trained | None = None) -> Subject:
    """A model and data: a file, or a generated language; None: the one whose words are the model's vocabulary.

    ``seed``: everything random follows from it, the text of a generated language too. With ``other`` the sentences are those that
    both models can read. OSError for a file that cannot be read, ValueError for one that is neither CoNLL-U nor text, or of which
    the model can read nothing.
    """
    needs_tokens(bert)
    world = data if isinstance(data, World) else world_of(bert) if data is None else None
    most = QUICK if quick else SENTENCES
    if world is not None:
        name, found = f"the world of {len(world.words)} words", islice(_of_world(world, seed), 10 * most)
    elif data is None:
        raise ValueError("this model does not have the vocabulary of a generated language, so what is it to read? Give a CoNLL-U "
                         "file, or a text (--data)")
    else:
        name, found = Path(data).name, _of_file(Path(data), bert)
    left: Counter[str] = Counter()
    for reader in (bert,) if other is None else (bert, other):
        found = _readable(reader, found, left)
    sentences = list(islice(found, most))
    if not sentences and not left:
        raise ValueError(f"{name} has no sentences; expected CoNLL-U, or plain text")
    if not sentences:
        raise ValueError(f"the model can read no sentence of {name} whole: {left.total():,} are left out, most of them for "
                         f"{left.most_common(1)[0][0]}; give text of the model's language, in sentences of its length")
    notes = [f"{count:,} sentences are left out: {why}" for why, count in left.most_common()]
    if world is None and (bare := sum(s.upos is not None and s.heads is None for s in sentences)):
        notes.append(f"{bare:,} sentences have words without a head, and count as sentences without heads")
    return Subject(bert, sentences, world, seed, quick, other, name, notes)


def _different(sentences: Iterable[Sentence]) -> list[Sentence]:
    """Those of two words or more, each once: only these can differ in what stands around a word."""
    found: dict[tuple[str, ...], Sentence] = {}
    for sentence in sentences:
        if len(sentence.words) > 1:
            found.setdefault(tuple(sentence.words), sentence)
    return list(found.values())


def world_of(bert: Trained) -> World | None:
    """The generated language that the vocabulary of a model is that of."""
    vocab = bert.tokenizer.vocab
    words = sorted(token for i, token in enumerate(vocab.tokens) if i not in vocab.special_ids)
    return next((world for world in map(World.of, SIZES) if list(world.words) == words), None)


def _readable(bert: Trained, sentences: Iterable[Sentence], left: Counter[str]) -> Iterator[Sentence]:
    """The sentences of which the model reads every word. ``left`` counts the others, by the reason."""
    for sentence in sentences:
        encoding = bert.tokenizer.encode(list(sentence.words), max_length=sys.maxsize)
        if bert.tokenizer.vocab.unk_id in encoding.ids:
            left["words that the model's vocabulary does not know"] += 1
        elif len({*encoding.words} - {None}) < len(sentence.words):
            left["words of which the model's tokenizer leaves nothing"] += 1
        elif len(encoding) > bert.max_length:
            left[f"more tokens than the {bert.max_length} that the model reads"] += 1
        else:
            yield sentence


def _of_world(world: World, seed: int) -> Iterator[Sentence]:
    for number, document in enumerate(world.documents(_ENDLESS, HELD_OUT + seed)):
        for order, gold in enumerate(world.gold(document)):
            scopes = [tuple(map(int, scope.split("-"))) if scope else None for scope in gold.scope]
            yield Sentence(gold.form, number, order, gold.lemma, gold.upos, [head - 1 for head in gold.head], gold.relation,
                           gold.chunk, gold.number, gold.gender, gold.entity, [_antecedent(cell) for cell in gold.antecedent],
                           gold.sense, [licensor - 1 for licensor in gold.licensor],
                           [scope and (scope[0] - 1, scope[1]) for scope in scopes], gold.fact, gold.depth)


def _of_file(path: Path, bert: Trained) -> Iterator[Sentence]:
    if path.is_dir():
        raise ValueError(f"{path} is a folder; expected a file of CoNLL-U or plain text: name one that is in it")
    text = line_ends(decode_utf8(path.read_bytes(), path))
    if any(line.count("\t") == 9 and line[0].isdecimal() for line in text.split("\n")):
        yield from _of_conllu(path, text)
        return
    documents = re.split(r"\n\s*\n", text)
    for number, document in enumerate(documents):
        sentences = [s for line in document.split("\n") for s in split_sentences(line)]
        for order, words in enumerate(_words(bert, sentence) for sentence in sentences):
            if words:
                yield Sentence(words, number, order)


def _words(bert: Trained, text: str) -> list[str]:
    """The words of a text as the model's tokenizer finds them."""
    encoding = bert.tokenizer.encode(text, max_length=sys.maxsize, special_tokens=False)
    spans: dict[int, list[int]] = {}
    for word, (start, stop) in zip(encoding.words, encoding.offsets):
        if word is not None:
            spans.setdefault(word, [start, stop])[1] = stop
    return [text[start:stop] for start, stop in spans.values() if stop > start]


def _of_conllu(path: Path, text: str) -> Iterator[Sentence]:
    found = conll.read(path, text, None, [])
    if not found.universal:
        raise ValueError(f"{path} has ten columns, but not those of CoNLL-U: {', '.join(conll.UNIVERSAL)}, where ID counts the "
                         "words of each sentence; mend that, or give plain text")
    begins = [n for n, line in enumerate(text.split("\n"), start=1) if line.startswith("# newdoc")]
    document, order = 0, -1
    misc = {key: f"{key}=" in text for key in ("Chunk", "Entity", "Antecedent", "Sense", "Licensor", "Scope", "Fact")}
    features = {key: f"{key}=" in text for key in ("Number", "Gender")}
    for lines in found.sentences:
        now = max(0, bisect_right(begins, lines[0][0]) - 1)
        document, order = (document, order + 1) if now == document else (now, 0)
        ids, words, lemmas, upos, _, feats, heads, relations, _, more = map(list, zip(*(cells for _, cells in lines)))
        place = {number: i for i, number in enumerate(ids)}
        known, told = ([_pairs(cell) for cell in column] for column in (feats, more))

        def column(key: str) -> list[str] | None:
            return [row.get(key, "") for row in told] if misc[key] else None  # noqa: B023 - called at once

        number, gender = ([row.get(key, "") for row in known] if features[key] else None for key in ("Number", "Gender"))
        licensors, scopes, antecedents = column("Licensor"), column("Scope"), column("Antecedent")
        yield Sentence(words, document, order, _known(lemmas), _known(upos), _heads(path, lines, place, heads), _known(relations),
                       column("Chunk"), number, gender, column("Entity"), antecedents and [_antecedent(c) for c in antecedents],
                       column("Sense"), licensors and [place.get(cell, -1) for cell in licensors],
                       scopes and [_scope(cell, place) for cell in scopes], column("Fact"))


def _pairs(cell: str) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in cell.split("|")) if cell != "_" else {}


def _known(cells: list[str]) -> list[str] | None:
    return None if all(cell == "_" for cell in cells) else cells


def _antecedent(cell: str) -> tuple[int, int] | None:
    order, _, word = cell.partition(":")
    return (int(order) - 1, int(word) - 1) if order.isdecimal() and word.isdecimal() else None


def _scope(cell: str, place: dict[str, int]) -> tuple[int, int] | None:
    first, _, last = cell.partition("-")
    return (place[first], place[last] + 1) if first in place and last in place else None


def _heads(path: Path, lines: Sequence[Any], place: dict[str, int], heads: list[str]) -> list[int] | None:
    """The places of the heads; None where one is not known. ValueError, with the line, where they make no tree."""
    if "_" in heads:
        return None
    above = []
    for (line, _), head in zip(lines, heads):
        if head != "0" and head not in place:
            raise ValueError(f"{path}, line {line}: the head is {head!r}, and the sentence has no such word; expected the number "
                             "of one, 0 for the root, or _")
        above.append(place.get(head, -1))
    if (roots := above.count(-1)) != 1:
        raise ValueError(f"{path}, line {lines[0][0]}: the sentence that begins here has {roots} roots, words with head 0; a "
                         "tree has one")
    below = {-1}  # what is known to hang below the root
    for i, at in enumerate(above):
        walk = {i}
        while at not in below and at not in walk:
            walk.add(at)
            at = above[at]
        if at in walk:
            raise ValueError(f"{path}, line {lines[i][0]}: from this word upwards the heads run in a circle, and a tree has none")
        below |= walk
    return above
