"""The gold: what is known of every word, sentence and document; as CoNLL-U and as JSON Lines.

Words are numbered from 1 within their sentence, and sentences from 1 within their document, as in CoNLL-U; what has no such
word is 0 or empty. In MISC: ``Chunk``; ``Sense`` of a homograph; ``Licensor`` of a polarity item; ``Scope`` of a licensor,
first and last word; ``Entity`` and ``Antecedent`` (sentence:word, where the entity was last mentioned; of a reflexive, its
subject); ``Fact``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from minibert.world.documents import Document, Sentence
from minibert.world.grammar import Skeleton
from minibert.world.language import Language
from minibert.world.lexicon import GENDERS, Lexicon

#: class up to its first dot -> the kind of chunk that it stands in, "-" in front where it always begins one.
_CHUNKS = {
    **dict.fromkeys(("det", "no", "some", "any", "num", "name", "place", "pron", "nobody", "that", "who", "refl"), "-NP"),
    **dict.fromkeys(("noun", "unit", "the"), "NP"), **dict.fromkeys(("does", "is", "not", "vt", "vi", "has"), "VP"),
    **dict.fromkeys(("prep", "in", "than"), "PP"), **dict.fromkeys(("if", "because"), "SBAR"), "comp": "ADJP",
    **dict.fromkeys(("adv", "tail"), "ADVP"),
}
_PRONOUNS = ("pron", "pron.obj", "pron.poss")  # all of them stand for the protagonist
_REFERS = {*_PRONOUNS, "name", "name.any"}  # and the reflexives


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
    name, last = language.lexicon.names[document.name][0], {}
    return [_words(language, number, sentence, name, last) for number, sentence in enumerate(document.sentences, start=1)]


def _words(language: Language, order: int, sentence: Sentence, name: str, last: dict[str, str]) -> Words:
    skeleton = sentence.skeleton
    fixed = _fixed(skeleton)
    form, lemma, category, upos, number, gender, sense = map(list, zip(*(language.lexicon.lexemes[i] for i in sentence.lexemes)))
    entities, antecedents = [""] * len(form), [""] * len(form)
    for i, entity, antecedent in _references(language, order, sentence, name, last):
        entities[i], antecedents[i] = entity, antecedent
    fact = [_fact(language, sentence)] * len(form)
    return Words(form, lemma, upos, category, fixed.heads, list(skeleton.relations), fixed.chunks, number, gender, entities,
                 antecedents, sense, fixed.licensors, fixed.scopes, fact, list(skeleton.depths))


def _references(language: Language, order: int, sentence: Sentence, name: str, last: dict[str, str]
                ) -> Iterator[tuple[int, str, str]]:
    """Word, entity, antecedent of all that refers. ``last``: where each entity was mentioned last, which is brought up to
    date."""
    fixed = _fixed(sentence.skeleton)
    for i in fixed.mentions:
        if subject := fixed.subjects.get(i):
            yield i, "", f"{order}:{subject}"
            continue
        entity = name if sentence.skeleton.classes[i] in _PRONOUNS else language.lexicon.lexemes[sentence.lexemes[i]].form
        yield i, entity, last.get(entity, "")
        last[entity] = f"{order}:{i + 1}"


def _fact(language: Language, sentence: Sentence) -> str:
    """What the sentence states, "Anna has three dogs"; "" where it states nothing that stays true."""
    if "num.fact" not in sentence.skeleton.classes:
        return ""
    return " ".join(language.lexicon.lexemes[i].form for i in sentence.lexemes[:-1])


class _Fixed(NamedTuple):
    """What of the gold follows from the skeleton alone."""

    heads: list[int]
    chunks: list[str]
    licensors: list[int]
    scopes: list[str]
    mentions: list[int]
    subjects: dict[int, int]  # of the reflexives


@lru_cache(1 << 15)
def _fixed(skeleton: Skeleton) -> _Fixed:
    mentions = [i for i, c in enumerate(skeleton.classes) if c in _REFERS or c.startswith("refl")]
    licensors = [i + 1 if ".lic" in c else 0 for i, c in zip(skeleton.licensors, skeleton.classes)]
    scopes = [""] * len(licensors)
    for licensor, start, stop in skeleton.scopes:
        scopes[licensor] = f"{start + 1}-{stop}"
    return _Fixed([head + 1 for head in skeleton.heads], _chunks(skeleton), licensors, scopes, mentions,
                  {i: _subject(skeleton, i) + 1 for i in mentions if skeleton.classes[i].startswith("refl")})


def _subject(skeleton: Skeleton, reflexive: int) -> int:
    """The subject of its verb; for a relative pronoun, the noun that it stands for."""
    verb = skeleton.heads[reflexive]
    subject = next(i for i, head in enumerate(skeleton.heads) if head == verb and skeleton.relations[i] == "nsubj")
    return skeleton.heads[verb] if skeleton.classes[subject] == "that" else subject


def _chunks(skeleton: Skeleton) -> list[str]:
    chunks, before = [], ""
    for category, relation in zip(skeleton.classes, skeleton.relations):
        kind = _kind(category, relation == "amod")
        inside = kind == before and kind  # a class that always begins a chunk never equals what is before it
        kind = kind.removeprefix("-")
        chunks.append(f"{'I' if inside else 'B'}-{kind}" if kind else "O")
        before = kind
    return chunks


@lru_cache(1 << 10)
def _kind(category: str, attribute: bool) -> str:
    if category == "adj":
        return "NP" if attribute else "ADJP"
    return _CHUNKS.get(category.partition(".")[0], "")


def conllu(language: Language, number: int, document: Document) -> str:
    """The document as CoNLL-U."""
    name, topic = language.lexicon.names[document.name][0], language.lexicon.topics[document.topic]
    lines, last = [f"# newdoc id = {number}\n# topic = {topic}\n# protagonist = {name}\n"], {}
    for order, sentence in enumerate(document.sentences, start=1):
        cells = [part for i in sentence.lexemes for part in _printed(language.lexicon)[i]]
        for i, entity, antecedent in _references(language, order, sentence, name, last):
            cells[2 * i + 1] += "|Entity=" * bool(entity) + entity + "|Antecedent=" * bool(antecedent) + antecedent
        if fact := _fact(language, sentence):
            cells[1::2] = [f"{cell}|Fact={fact.replace(' ', '_')}" for cell in cells[1::2]]
        lines.append(f"# sent_id = {number}-{order}\n# text = {text(language, sentence)}\n"
                     f"{_lines(sentence.skeleton) % tuple(cells)}\n")
    return "".join(lines)


def json_line(language: Language, number: int, document: Document) -> str:
    """The document as a line of JSON. Columns without anything in them are left out."""
    name, gender = language.lexicon.names[document.name]
    sentences = [{"text": text(language, sentence), "derivation": sentence.skeleton.tree,
                  **{key: column for key, column in words._asdict().items() if any(column)}}
                 for sentence, words in zip(document.sentences, gold(language, document))]
    return json.dumps({"id": number, "topic": language.lexicon.topics[document.topic], "protagonist": name,
                       "gender": GENDERS[gender], "sentences": sentences}, separators=(",", ":")) + "\n"


@lru_cache(4)
def _printed(lexicon: Lexicon) -> list[tuple[str, str]]:
    """Of each lexeme what stands in FORM to FEATS, and what it adds to MISC."""
    found = []
    for form, lemma, category, upos, number, gender, sense in lexicon.lexemes:
        features = "|".join([f"Gender={gender}"] * bool(gender) + [f"Number={number}"] * bool(number)) or "_"
        found.append((f"{form}\t{lemma}\t{upos}\t{category}\t{features}", f"|Sense={sense}" * bool(sense)))
    return found


@lru_cache(1 << 15)
def _lines(skeleton: Skeleton) -> str:
    """The lines of a sentence with two gaps in each: FORM to FEATS, and the end of MISC."""
    fixed = _fixed(skeleton)
    rows = zip(fixed.heads, skeleton.relations, fixed.chunks, fixed.licensors, fixed.scopes)
    return "".join([f"{i}\t%s\t{head}\t{relation}\t_\tChunk={chunk}{f'|Licensor={licensor}' if licensor else ''}"
                    f"{f'|Scope={scope}' if scope else ''}%s\n"
                    for i, (head, relation, chunk, licensor, scope) in enumerate(rows, start=1)])
