"""Paradigms of polarity items: the same words with and without a licensor, in its scope and outside, with an item and without.

::

    licensor  scope  item
    yes       in     yes     the dog sleeps and no cat sees any birds .
    yes       out    yes     no dog sleeps and the cat sees any birds .          not acceptable
    no        in     yes     the dog sleeps and this cat sees any birds .        not acceptable
    yes       in     no      the dog sleeps and no cat sees these birds .

Of the eight sentences of a paradigm five are acceptable: a polarity item needs a licensor and has to be in its scope. Where the
licensor is not there, what stands for it licenses nothing, and no word stands so in two environments. An environment is a kind of
licensor. In that of questions, *does* or *who*, the two clauses are two sentences, since a question is one of its own.
Source: the design of Warstadt et al. 2019, "Investigating BERT's Knowledge of Language: Five Analysis Methods with NPIs",
arXiv:1909.02597, section 4, with the constructions of the generated language.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np

from minibert.world.language import Language
from minibert.world.maker import NONE, Maker

ENVIRONMENTS = ("determiner", "pronoun", "negation", "condition", "only", "question")


class Item(NamedTuple):
    """One of the eight sentences."""

    text: str
    environment: str
    paradigm: int
    licensor: bool
    scope: bool
    polarity: bool  # is there a polarity item?

    @property
    def acceptable(self) -> bool:
        return not self.polarity or (self.licensor and self.scope)


def paradigms(language: Language, count: int, seed: int = 0) -> list[Item]:
    """So many paradigms of each environment, eight sentences each."""
    rng = np.random.Generator(np.random.Philox(key=(seed, 0x9017)))
    found = []
    for number in range(count * len(ENVIRONMENTS)):
        environment, make = ENVIRONMENTS[number % len(ENVIRONMENTS)], Maker(language, rng, "train", NONE)
        first = make.lexeme("noun.same")
        category = "noun.same" if environment == "only" else "noun.neut"  # the grammar has only people behind "only"
        other = make.lexeme(category, [first.lemma])
        words = [noun.form for noun in ((first, other) if make.chance() else (other, first))]
        tell = make.among(_TEXT[environment])
        name, kind = make.names(1)[0], make.among(("any", "ever", "yet"))
        idle, busy, things = make.verb_of("vi"), make.verb_of("vi" if kind == "yet" else "vt"), make.lexeme("noun.many").form
        for licensor, scope, polarity in product((True, False), repeat=3):
            text = tell(words, name, idle, _predicate(kind, busy, things, polarity), licensor, scope)
            found.append(Item(text, environment, number, licensor, scope, polarity))
    return found


class _Predicate(NamedTuple):
    """What is said where the item stands."""

    told: str  # sees any birds
    bare: str  # see any birds


def _predicate(kind: str, verb: dict[str, str], things: str, polarity: bool) -> _Predicate:
    forms = verb["sg"], verb["base"]
    if kind == "any":
        return _Predicate(*(f"{form} {'any' if polarity else 'these'} {things}" for form in forms))
    if kind == "ever":
        return _Predicate(*(f"{'ever' if polarity else 'often'} {form} these {things}" for form in forms))
    return _Predicate(*(f"{form} {'yet' if polarity else 'today'}" for form in forms))


def _two(first: str, second: str) -> str:
    return f"{first} and {second} ."


def _determiner(n: list[str], name: str, idle: dict[str, str], said: _Predicate, licensor: bool, scope: bool) -> str:
    det = "no" if licensor else "this"
    outer, inner = ("the", det) if scope else (det, "the")
    return _two(f"{outer} {n[0]} {idle['sg']}", f"{inner} {n[1]} {said.told}")


def _pronoun(n: list[str], name: str, idle: dict[str, str], said: _Predicate, licensor: bool, scope: bool) -> str:
    who = "nobody" if licensor else name
    outer, inner = (f"the {n[0]}", who) if scope else (who, f"the {n[0]}")
    return _two(f"{outer} {idle['sg']}", f"{inner} {said.told}")


def _negation(n: list[str], name: str, idle: dict[str, str], said: _Predicate, licensor: bool, scope: bool) -> str:
    outer = f"does not {idle['base']}" if licensor and not scope else idle["sg"]
    inner = f"does not {said.bare}" if licensor and scope else said.told
    return _two(f"the {n[0]} {outer}", f"the {n[1]} {inner}")


def _condition(n: list[str], name: str, idle: dict[str, str], said: _Predicate, licensor: bool, scope: bool) -> str:
    parts = [f"the {n[1]} {said.told}", f"the {n[0]} {idle['sg']}"][:: 1 if scope else -1]
    return f"if {parts[0]} , {parts[1]} ." if licensor else f"{parts[0]} because {parts[1]} ."


def _only(n: list[str], name: str, idle: dict[str, str], said: _Predicate, licensor: bool, scope: bool) -> str:
    who = "only the" if licensor else "every"
    outer, inner = ("the", who) if scope else (who, "the")
    return _two(f"{outer} {n[0]} {idle['sg']}", f"{inner} {n[1]} {said.told}")


def _does(n: list[str], name: str, idle: dict[str, str], said: _Predicate, licensor: bool, scope: bool) -> str:
    outer = f"does the {n[0]} {idle['base']} ?" if licensor and not scope else f"the {n[0]} {idle['sg']} ."
    inner = f"does the {n[1]} {said.bare} ?" if licensor and scope else f"the {n[1]} {said.told} ."
    return f"{outer} {inner}"


def _who(n: list[str], name: str, idle: dict[str, str], said: _Predicate, licensor: bool, scope: bool) -> str:
    asked = "who {} ?" if licensor else "he {} ."
    outer, inner = (f"the {n[0]} {{}} .", asked) if scope else (asked, f"the {n[0]} {{}} .")
    return f"{outer.format(idle['sg'])} {inner.format(said.told)}"


_TEXT = {"determiner": [_determiner], "pronoun": [_pronoun], "negation": [_negation], "condition": [_condition], "only": [_only],
         "question": [_does, _who]}
