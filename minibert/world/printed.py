"""The gold of a document, written: its text, CoNLL-U, and a line of JSON.

Half of all sentences differ in nothing but their words from one before: what these leave as it is is made once, with gaps.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain, count
from typing import NamedTuple

from minibert.world import gold
from minibert.world.documents import Document
from minibert.world.grammar import Skeleton
from minibert.world.language import Language
from minibert.world.lexicon import GENDERS, Lexicon


class Printed(NamedTuple):
    """A document in each form."""

    text: str  # a sentence a line, and an empty line
    conllu: str
    json: str  # a line; columns without anything in them are left out


def printed(language: Language, number: int, document: Document) -> Printed:
    """The document of a number, with what is known of it."""
    lexemes, topic = _lexemes(language.lexicon), language.lexicon.topics[document.topic]
    name, gender = language.lexicon.names[document.name]
    texts, blocks, objects = [], [f"# newdoc id = {number}\n# topic = {topic}\n# protagonist = {name}\n"], []
    for order, (sentence, references) in enumerate(zip(document.sentences, gold.references(language, document)), start=1):
        frame = _frame(sentence.skeleton)
        form, cell, misc, spelled, lemma, upos, plural, sex, sense = zip(*[lexemes[i] for i in sentence.lexemes])
        entity = antecedent = fact = ()
        if references:
            misc, entity, antecedent = list(misc), [""] * len(form), [""] * len(form)
            for i, who, where in references:
                misc[i] += "|Entity=" * bool(who) + who + "|Antecedent=" * bool(where) + where
                entity[i], antecedent[i] = _spelled(who), where
        if said := gold.fact(language, sentence):
            misc, fact = [f"{more}|Fact={said.replace(' ', '_')}" for more in misc], [_spelled(said)] * len(form)
        texts.append(" ".join(form))
        lines = frame.conllu % tuple(chain.from_iterable(zip(cell, misc)))
        blocks.append(f"# sent_id = {number}-{order}\n# text = {texts[-1]}\n{lines}\n")
        objects.append(frame.json % (
            " ".join(spelled), '","'.join(spelled), '","'.join(lemma), '","'.join(upos),
            _columns(number=plural, gender=sex, entity=entity, antecedent=antecedent, sense=sense),
            _columns(fact=fact) if fact else ""))
    head = _json({"id": number, "topic": topic, "protagonist": name, "gender": GENDERS[gender]})
    return Printed("\n".join(texts) + "\n\n", "".join(blocks), f'{head[:-1]},"sentences":[{",".join(objects)}]}}\n')


class _Frame(NamedTuple):
    """A sentence without its words, with gaps for what these decide."""

    conllu: str  # two gaps in each line: FORM to FEATS, and the end of MISC
    json: str  # four: the text, the columns form to upos, number to sense, fact


@lru_cache(1 << 15)
def _frame(skeleton: Skeleton) -> _Frame:
    heads, chunks, licensors, scopes, _ = gold.fixed(skeleton)
    lines = [f"{i}\t%s\t{head}\t{relation}\t_\tChunk={chunk}{f'|Licensor={licensor}' if licensor else ''}"
             f"{f'|Scope={scope}' if scope else ''}%s\n"
             for i, head, relation, chunk, licensor, scope in zip(count(1), heads, skeleton.relations, chunks, licensors, scopes)]
    return _Frame("".join(lines), "".join([
        '{"text":"%s","derivation":"', _json(skeleton.tree)[1:-1], '","form":["%s"],"lemma":["%s"],"upos":["%s"]',
        _columns(category=skeleton.classes), _numbers(head=heads), _columns(relation=skeleton.relations, chunk=chunks), "%s",
        _numbers(licensor=licensors), _columns(scope=scopes), "%s", _numbers(depth=list(skeleton.depths)), "}"]))


def _columns(**columns: Sequence[str]) -> str:
    """Columns of a sentence in JSON, of what stands between quotes; without those that have nothing in them."""
    return "".join([f',"{name}":["' + '","'.join(column) + '"]' for name, column in columns.items() if any(column)])


def _numbers(**columns: list[int]) -> str:
    """The same of numbers."""
    return "".join([f',"{name}":{column}'.replace(" ", "") for name, column in columns.items() if any(column)])


@lru_cache(4)
def _lexemes(lexicon: Lexicon) -> list[tuple[str, ...]]:
    """Of each lexeme its form; what stands in FORM to FEATS, and what it adds to MISC; and what its columns in JSON have."""
    found = []
    for form, lemma, category, upos, number, gender, sense in lexicon.lexemes:
        features = "|".join([f"Gender={gender}"] * bool(gender) + [f"Number={number}"] * bool(number)) or "_"
        found.append((form, f"{form}\t{lemma}\t{upos}\t{category}\t{features}", f"|Sense={sense}" * bool(sense),
                      *map(_spelled, (form, lemma, upos, number, gender, sense))))
    return found


@lru_cache(1 << 12)
def _spelled(text: str) -> str:
    """What JSON has between the quotes."""
    return _json(text)[1:-1]


_json = json.JSONEncoder(separators=(",", ":")).encode
