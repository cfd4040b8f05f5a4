"""The gold: what is known of every word, sentence and document. ``printed.py`` writes it as CoNLL-U and as JSON Lines.

Words are numbered from 1 within their sentence, and sentences from 1 within their document, as in CoNLL-U; what has no such
word is 0 or empty. In MISC: ``Chunk``; ``Sense`` of a homograph; ``Licensor`` of a polarity item; ``Scope`` of a licensor,
first and last word; ``Entity`` and ``Antecedent`` (sentence:word, where the entity was last mentioned; of a reflexive, its
subject); ``Fact``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from minibert.world.documents import Document, Sentence
from minibert.world.grammar import Skeleton
from minibert.world.language import Language

#: class up to its first dot -> the kind of chunk that it stands in, "-" in front where it always begins one.
_CHUNKS = {
    **dict.fromkeys(("det", "no", "some", "any", "num", "name", "place", "pron", "nobody", "that", "who", "refl"), "-NP"),
    **dict.fromkeys(("noun", "unit", "the"), "NP"), **dict.fromkeys(("does", "is", "not", "vt", "vi", "has"), "VP"),
    **dict.fromkeys(("prep", "in", "than"), "PP"), **dict.fromkeys(("if", "because"), "SBAR"), "comp": "ADJP",
    **dict.fromkeys(("adv", "tail"), "ADVP"),
}
_PRONOUNS = ("pron", "pron.obj", "pron.poss")  # all of them stand for the protagonist
_REFERS = {*_PRONOUNS, "name", "name.any"}  # and the reflexives
Reference = tuple[int, str, str]  # a word that refers: its number from 0, its entity, its antecedent


class Words(NamedTuple):
    """The gold of a sentence, a column for each property."""

    form: list[str]
    lemma: list[str]
    upos: list[str]
    category: list[str]  # the class, as XPOS
    head: list[int]
    relation: list[str]
    chunk: list[str]
    number: list[str]
    gender: list[str]
    entity: list[str]
    antecedent: list[str]
    sense: list[str]
    licensor: list[int]
    scope: list[str]  # of a licensor: "3-7"
    fact: list[str]  # "Anna has three dogs", at each word of the sentence
    depth: list[int]  # relative clauses around the word


def text(language: Language, sentence: Sentence) -> str:
    """The words, with a blank between each two."""
    return " ".join(language.lexicon.lexemes[i].form for i in sentence.lexemes)


def gold(language: Language, document: Document) -> list[Words]:
    """The gold of every sentence of a document."""
    return [_words(language, sentence, found) for sentence, found in zip(document.sentences, references(language, document))]


def _words(language: Language, sentence: Sentence, referring: list[Reference]) -> Words:
    skeleton, known = sentence.skeleton, fixed(sentence.skeleton)
    form, lemma, category, upos, number, gender, sense = map(list, zip(*(language.lexicon.lexemes[i] for i in sentence.lexemes)))
    entities, antecedents = [""] * len(form), [""] * len(form)
    for i, entity, antecedent in referring:
        entities[i], antecedents[i] = entity, antecedent
    return Words(form, lemma, upos, category, known.heads, list(skeleton.relations), known.chunks, number, gender, entities,
                 antecedents, sense, known.licensors, known.scopes, [fact(language, sentence)] * len(form), list(skeleton.depths))


def references(language: Language, document: Document) -> list[list[Reference]]:
    """All that refers, sentence by sentence."""
    protagonist, lexemes = language.lexicon.names[document.name][0], language.lexicon.lexemes
    found, last = [], {}  # last: where each entity was mentioned last
    for order, (skeleton, words) in enumerate(document.sentences, start=1):
        here = []
        for i, pronoun, subject in fixed(skeleton).mentions:
            if subject:
                here.append((i, "", f"{order}:{subject}"))
                continue
            entity = protagonist if pronoun else lexemes[words[i]].form
            here.append((i, entity, last.get(entity, "")))
            last[entity] = f"{order}:{i + 1}"
        found.append(here)
    return found


def fact(language: Language, sentence: Sentence) -> str:
    """What the sentence states, "Anna has three dogs"; "" where it states nothing that stays true."""
    if "num.fact" not in sentence.skeleton.classes:
        return ""
    return " ".join(language.lexicon.lexemes[i].form for i in sentence.lexemes[:-1])


class Fixed(NamedTuple):
    """What of the gold follows from the skeleton alone."""

    heads: list[int]
    chunks: list[str]
    licensors: list[int]
    scopes: list[str]
    mentions: list[tuple[int, bool, int]]  # a word that refers, is it a pronoun of the protagonist, the subject of a reflexive


@lru_cache(1 << 15)
def fixed(skeleton: Skeleton) -> Fixed:
    """See ``Fixed``."""
    mentions = [(i, c in _PRONOUNS, _subject(skeleton, i) + 1 if c.startswith("refl") else 0)
                for i, c in enumerate(skeleton.classes) if c in _REFERS or c.startswith("refl")]
    licensors = [licensor + 1 for licensor in skeleton.licensors]
    scopes = [""] * len(licensors)
    for licensor, start, stop in skeleton.scopes:
        scopes[licensor] = f"{start + 1}-{stop}"
    return Fixed([head + 1 for head in skeleton.heads], _chunks(skeleton), licensors, scopes, mentions)


def _subject(skeleton: Skeleton, reflexive: int) -> int:
    """The subject of its verb; for a relative pronoun, the noun that it stands for."""
    verb = skeleton.heads[reflexive]
    subject = next(i for i, head in enumerate(skeleton.heads) if head == verb and skeleton.relations[i] == "nsubj")
    return skeleton.heads[verb] if skeleton.classes[subject] == "that" else subject


def _chunks(skeleton: Skeleton) -> list[str]:
    chunks, before = [], ""
    for category, relation in zip(skeleton.classes, skeleton.relations):
        kind, begins, goes_on = _marks(category, relation == "amod")
        chunks.append(goes_on if kind == before else begins)
        before = kind
    return chunks


@lru_cache(1 << 10)
def _marks(category: str, attribute: bool) -> tuple[str, str, str]:
    """The kind of chunk that a class stands in, how its word is marked behind another kind, and how behind the same."""
    kind = ("NP" if attribute else "ADJP") if category == "adj" else _CHUNKS.get(category.partition(".")[0], "")
    bare = kind.removeprefix("-")
    begins = f"B-{bare}" if kind else "O"
    return bare, begins, f"I-{bare}" if kind == bare != "" else begins
