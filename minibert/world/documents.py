"""Sampling: documents of sentences.

A document has a topic and a protagonist, a man or a woman with a name, who stays the same. Given these its sentences are drawn
independently of one another, and after each the document goes on with the same probability, so that the length of a document says
nothing of where in it one is.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator
from itertools import chain, count
from typing import NamedTuple

import numpy as np

from minibert.world.grammar import START, Skeleton
from minibert.world.language import Language

FACT = ("name.any", "num.fact", "noun.fact")  # the classes of who has how many of what
AT_ONCE = 200  # documents of a batch


class Sentence(NamedTuple):
    """What the grammar made, and the lexemes that were put in."""

    skeleton: Skeleton
    lexemes: list[int]


class Document(NamedTuple):
    """A topic and a protagonist, by their numbers in the lexicon, and sentences."""

    topic: int
    name: int
    sentences: list[Sentence]


def documents(language: Language, tokens: int, seed: int = 0) -> Iterator[Document]:
    """Documents with together at least so many words. A seed always gives the same ones, and more of them for more words."""
    for number in count():
        for document in batch(language, seed, number):
            if tokens <= 0:
                return
            yield document
            tokens -= sum(len(sentence.lexemes) for sentence in document.sentences)


def batch(language: Language, seed: int, number: int) -> list[Document]:
    """A batch of documents. Each is drawn for itself, by its number."""
    lexicon, rng = language.lexicon, np.random.Generator(np.random.Philox(key=(seed, number)))
    lengths = rng.geometric(1 - language.stay, AT_ONCE)
    topics = rng.integers(len(lexicon.topics), size=AT_ONCE)
    names = rng.integers(len(lexicon.names), size=AT_ONCE)
    skeletons = sentences(language, rng, int(lengths.sum()))
    words = _draw(language, rng, skeletons, np.repeat(topics, lengths), np.repeat(names, lengths))
    both = iter(map(Sentence, skeletons, words))
    found = [Document(int(topic), int(name), [next(both) for _ in range(length)])
             for topic, name, length in zip(topics, names, lengths)]
    return found if language.exact else [_keep_facts(document) for document in found]


def sentences(language: Language, rng: np.random.Generator, n: int) -> list[Skeleton]:
    """Skeletons of n sentences that are not too long."""
    grammar, longest = language.grammar, language.longest
    table = grammar.choices
    uniform = chain.from_iterable(rng.random(1 << 16).tolist() for _ in count())
    found = []
    while len(found) < n:
        derivation, todo = [], [START]
        while todo:
            bounds, options = table[todo.pop()]
            rule, below = options[bisect(bounds, next(uniform))]
            derivation.append(rule)
            todo += below
        skeleton = grammar.skeleton(tuple(derivation))
        if len(skeleton.classes) <= longest:
            found.append(skeleton)
    return found


def _draw(language: Language, rng: np.random.Generator, skeletons: list[Skeleton], topics: np.ndarray, names: np.ndarray
          ) -> list[list[int]]:
    """A lexeme for each word of each sentence."""
    lexicon = language.lexicon
    categories = {category: i for i, category in enumerate(lexicon.members)}
    lengths = np.array([len(skeleton.classes) for skeleton in skeletons])
    category = np.array([categories[c] for skeleton in skeletons for c in skeleton.classes])
    gender = np.array([gender for _, gender in lexicon.names])[names]
    topic, gender, name = (np.repeat(x, lengths) for x in (topics, gender, names))
    bounds, member = lexicon.line
    cell = (category * len(lexicon.topics) + topic) * 2 + gender
    drawn = member[np.searchsorted(bounds, cell + rng.integers(1 << 32, size=len(cell)) * 2.0**-32, "right")]
    own = category == categories["name"]
    drawn[own] = lexicon.members["name"][name[own]]
    flat, stops = drawn.tolist(), np.cumsum(lengths).tolist()
    return [flat[start:stop] for start, stop in zip([0, *stops], stops)]


def _keep_facts(document: Document) -> Document:
    """What somebody has stays true: later sentences about the same person say what the first one said."""
    facts: dict[int, tuple[int, int]] = {}
    kept = []
    for sentence in document.sentences:
        if "num.fact" in sentence.skeleton.classes:
            owner, number, thing = (sentence.skeleton.classes.index(c) for c in FACT)
            lexemes = list(sentence.lexemes)
            lexemes[number], lexemes[thing] = facts.setdefault(lexemes[owner], (lexemes[number], lexemes[thing]))
            sentence = sentence._replace(lexemes=lexemes)
        kept.append(sentence)
    return document._replace(sentences=kept)
