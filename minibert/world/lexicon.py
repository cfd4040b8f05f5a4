"""The words: lexemes with their classes, and their probabilities given the topic and the gender of the protagonist.

A *class* is what the grammar ends in. A *lexeme* is a word in one class and one sense; several lexemes may be written alike.
Given the topic, a content word is one of the topic's with probability ``focus``, else one that belongs to no topic; in either
list Zipf's law holds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, count, product
from typing import NamedTuple

import numpy as np

from minibert.world import english

GENDERS = ("Masc", "Fem")
_SYLLABLES = [c + v for v in "aeiou" for c in "bdfgklmnprstvz"]


class Lexeme(NamedTuple):
    """A word in one class and one sense."""

    form: str
    lemma: str
    category: str  # the class
    upos: str
    number: str = ""  # Sing, Plur
    gender: str = ""  # Masc, Fem, Neut
    sense: str = ""  # where the lemma has several: "bank.NOUN.sea"


class Lexicon:
    """Lexemes, with ``weight[i]`` (K, 2): how likely each is in its class, by topic and by the protagonist's gender (0: a man).

    ``words`` is what is written, sorted. The class ``name`` is drawn once a document: ``names`` are its words with their genders.
    """

    def __init__(self, topics: Sequence[str], lexemes: Sequence[Lexeme], weight: np.ndarray) -> None:
        self.topics = tuple(topics)
        self.lexemes = list(lexemes)
        self.words = sorted({lexeme.form for lexeme in lexemes})
        self.index = {word: i for i, word in enumerate(self.words)}
        self.word_of = np.array([self.index[lexeme.form] for lexeme in lexemes])
        self.names = [(lexeme.form, GENDERS.index(lexeme.gender)) for lexeme in lexemes if lexeme.category == "name"]
        members = defaultdict(list)
        for i, lexeme in enumerate(lexemes):
            members[lexeme.category].append(i)
        self.members = {category: np.array(these) for category, these in members.items()}
        self.weight = weight.copy()
        for these in self.members.values():
            self.weight[these] /= self.weight[these].sum(0)

    @cached_property
    def line(self) -> tuple[np.ndarray, np.ndarray]:
        """All shares in one long line, for drawing: in [cell, cell + 1) they end, for a class, topic and gender; and the
        lexemes."""
        bounds, lexemes = [], []
        cell = count()
        for these in self.members.values():
            for shares in self.weight[these].reshape(len(these), -1).T:
                ends = np.cumsum(shares)
                bounds.append(next(cell) + ends / ends[-1])
                lexemes.append(these)
        return np.concatenate(bounds), np.concatenate(lexemes)


class Dials(NamedTuple):
    """What the lexicon may be told; see ``World``."""

    topics: int
    words: int  # at least so many, by longer lists of content words
    names: int  # of each gender
    zipf: float
    focus: float
    skew: float  # 0: people's work says nothing of their gender; 1: as much as the table has
    homographs: float  # weight of words with several senses, against those with one


def build(dials: Dials) -> Lexicon:
    """The English of ``english.py``. Past the ends of its lists words are made of syllables."""
    if not 1 <= dials.topics <= len(english.TOPICS):
        raise ValueError(f"topics must be from 1 to {len(english.TOPICS)}, got {dials.topics}")
    sizes = range(2, 4 + dials.words // (2 * dials.topics))  # each thing is two words, one and many
    return _of_size(dials, sizes[bisect_left(sizes, dials.words, hi=len(sizes) - 1,
                                             key=lambda size: len(_of_size(dials, size).words))])


def _of_size(dials: Dials, size: int) -> Lexicon:
    """With ``size`` things for each topic, and other words in proportion."""
    topics = list(english.TOPICS)[:dials.topics]
    rows = [*_closed(len(topics)), *_names(dials, len(topics))]
    fresh = _fresh()
    for at, topic in enumerate(topics):
        share = np.zeros((len(topics), 1))
        share[at] = dials.focus
        lists = _lists(english.TOPICS[topic], size, fresh)
        rows += [(lexeme, share * gender) for lexeme, gender in _content(topic, lists, dials)]
    common = _lists(english.COMMON, 0, fresh)
    rows += [(lexeme, (1 - dials.focus) * gender * np.ones((len(topics), 1))) for lexeme, gender in _content("", common, dials)]
    return Lexicon(topics, *_with_senses(rows, dials.homographs))


def _closed(topics: int) -> Iterator[tuple[Lexeme, np.ndarray]]:
    for category, (upos, words) in english.CLOSED.items():
        number = {"sg": "Sing", "pl": "Plur"}.get(category.rpartition(".")[2], "")
        for word, weight in (item.split(":") for item in words.split()):
            yield Lexeme(word, english.LEMMAS.get(word, word), category, upos, number), np.full((topics, 2), float(weight))
    for category, (upos, *words) in english.GENDERED.items():
        for protagonist, word in enumerate(words):
            gender = GENDERS[word in ("she", "her", "herself")]
            weight = np.arange(2) == protagonist
            yield Lexeme(word, english.LEMMAS.get(word, word), category, upos, "Sing", gender), np.tile(1.0 * weight, (topics, 1))


def _names(dials: Dials, topics: int) -> Iterator[tuple[Lexeme, np.ndarray]]:
    for gender, names in zip(GENDERS, english.NAMES):
        for name in names.split()[:dials.names]:
            for category in ("name", "name.any"):
                yield Lexeme(name, name, category, "PROPN", "Sing", gender), np.ones((topics, 2))


def _lists(columns: Sequence[str], size: int, fresh: Iterator[str]) -> dict[str, list[str]]:
    """kind -> lemmas, as many as ``size`` asks for; all of the table for 0."""
    found = {}
    for (kind, share), column in zip(english.SHARES.items(), columns):
        words = column.split()
        n = max(1, round(share * size)) if size else len(words)
        found[kind] = [*words[:n], *(next(fresh).capitalize() if kind == "place" else next(fresh) for _ in range(n - len(words)))]
    return found


def _content(topic: str, lists: Mapping[str, list[str]], dials: Dials) -> Iterator[tuple[Lexeme, np.ndarray]]:
    """The lexemes of a topic ("" for none), each with its share of its class within the topic for a man and a woman."""
    people = [(lemma, 0.5 + dials.skew * (float(men or 0.5) - 0.5))
              for lemma, _, men in (item.partition(":") for item in lists["people"])]
    if not topic:
        people = [(lemma, float(i % 2 == 0)) for i, lemma in enumerate(english.PEOPLE.split())] + people
    of_people, of_things = _zipf(len(people), dials.zipf), _zipf(len(lists["thing"]), dials.zipf)
    for (lemma, men), p in zip(people, of_people):
        for gender, share in zip(GENDERS, np.diag([p * men, p * (1 - men)])):
            if share.any():
                yield Lexeme(lemma, lemma, "noun.same", "NOUN", "Sing", gender, topic), share
                yield Lexeme(lemma, lemma, "noun.other", "NOUN", "Sing", gender, topic), share[::-1]
        yield Lexeme(plural(lemma), lemma, "noun.many", "NOUN", "Plur", "", topic), np.full(2, 0.4 * p)
    for lemma, p in zip(lists["thing"], of_things):
        yield Lexeme(lemma, lemma, "noun.neut", "NOUN", "Sing", "Neut", topic), np.full(2, p)
        yield Lexeme(plural(lemma), lemma, "noun.many", "NOUN", "Plur", "Neut", topic), np.full(2, 0.6 * p)
        yield Lexeme(plural(lemma), lemma, "noun.fact", "NOUN", "Plur", "Neut", topic), np.full(2, p)
    for kind in ("vt", "vi"):
        for lemma, p in zip(lists[kind], _zipf(len(lists[kind]), dials.zipf)):
            yield Lexeme(plural(lemma), lemma, f"{kind}.sg", "VERB", "Sing", "", topic), np.full(2, p)
            yield Lexeme(lemma, lemma, f"{kind}.pl", "VERB", "Plur", "", topic), np.full(2, p)
            yield Lexeme(lemma, lemma, f"{kind}.base", "VERB", "", "", topic), np.full(2, p)
    for kind, upos in (("adj", "ADJ"), ("place", "PROPN")):
        for lemma, p in zip(lists[kind], _zipf(len(lists[kind]), dials.zipf)):
            yield Lexeme(lemma, lemma, kind, upos, "Sing" if kind == "place" else "", "", topic), np.full(2, p)


def plural(lemma: str) -> str:
    """A noun's plural, and a verb's third person."""
    if lemma in english.IRREGULAR:
        return english.IRREGULAR[lemma]
    if lemma.endswith("y") and lemma[-2] not in "aeiou":
        return lemma[:-1] + "ies"
    return lemma + ("es" if lemma.endswith(("s", "sh", "ch", "x", "z")) else "s")


def _zipf(n: int, exponent: float) -> np.ndarray:
    p = np.arange(1, n + 1.0) ** -exponent
    return p / p.sum()


def _with_senses(rows: Sequence[tuple[Lexeme, np.ndarray]], homographs: float) -> tuple[list[Lexeme], np.ndarray]:
    """The topics that ``sense`` held so far become senses, where a word has several; such words are weighted."""
    senses = defaultdict(set)
    for lexeme, _ in rows:
        if lexeme.upos in ("NOUN", "VERB"):
            senses[lexeme.lemma].add((lexeme.upos, lexeme.sense))
    lexemes, weights = [], []
    for lexeme, weight in rows:
        several = lexeme.upos in ("NOUN", "VERB") and len(senses[lexeme.lemma]) > 1
        if several and not homographs:
            continue
        sense = f"{lexeme.lemma}.{lexeme.upos}.{lexeme.sense or 'common'}" if several else ""
        lexemes.append(lexeme._replace(sense=sense))
        weights.append(weight * (homographs if several else 1.0))
    return lexemes, np.array(weights)


def _fresh() -> Iterator[str]:
    """Words that no table has, without end: two syllables, then three."""
    known = set(chain.from_iterable(column.replace(":", " ").split() for columns in (*english.TOPICS.values(), english.COMMON)
                                    for column in columns))
    for syllables in (2, 3):
        for parts in product(_SYLLABLES, repeat=syllables):
            word = "".join(parts)
            if word not in known:
                yield word
