"""What examples of tasks are made of: noun phrases, verbs and names, of one topic and of the words that a split may have."""

from __future__ import annotations

import hashlib
from bisect import bisect
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from minibert.world.language import Language
from minibert.world.lexicon import Lexeme, Lexicon


class Flaws(NamedTuple):
    """What is wrong with the examples, on purpose."""

    artefacts: float = 0.0  # how often a wrong choice gives itself away by a word
    noise: float = 0.0  # how often a label of ``train`` is another one


NONE = Flaws()


class Noun(NamedTuple):
    """A noun phrase: ``text`` with its modifiers, ``bare`` without; ``form`` of the verbs that agree with it."""

    lemma: str
    text: str
    bare: str
    form: str


class Verb(NamedTuple):
    """What somebody does: ``forms`` of the verb by its class, and whom it is done to, with a blank in front."""

    lemma: str
    forms: dict[str, str]
    thing: str

    def said(self, form: str, denied: bool = False) -> str:
        does = {"sg": "does", "pl": "do"}[form]
        return (f"{does} not {self.forms['base']}" if denied else self.forms[form]) + self.thing


class Maker:
    """Draws words for one example: of one topic, and of those words that its split may have."""

    def __init__(self, language: Language, rng: np.random.Generator, split: str, flaws: Flaws) -> None:
        self.lexicon, self.rng, self.split, self.flaws = language.lexicon, rng, split, flaws
        topics = len(self.lexicon.topics)
        near = topics - far(self.lexicon)
        self.topic = int(rng.integers(near, topics) if split == "out_of_domain" and near < topics else rng.integers(near))

    def chance(self, p: float = 0.5) -> bool:
        return bool(self.rng.random() < p)

    def among(self, values: Sequence[Any]) -> Any:
        return values[self.rng.integers(len(values))]

    def lexeme(self, category: str, but: Sequence[str] = ()) -> Lexeme:
        """A lexeme of a class whose lemma is not in ``but``."""
        lexemes, ends, total = _shares(self.lexicon, category, self.topic, self.split == "new_words", frozenset(but))
        return lexemes[bisect(ends, self.rng.random() * total)]

    def noun(self, but: Sequence[str] = (), categories: Sequence[str] = ("noun.same", "noun.neut", "noun.many")) -> Noun:
        """the (adjective) noun (that …)"""
        category = self.among(categories)
        noun = self.lexeme(category, but)
        form = "pl" if category == "noun.many" else "sg"
        adjective = f"{self.lexeme('adj').form} " if self.chance(0.3) else ""
        return Noun(noun.lemma, f"the {adjective}{noun.form}{self.clause(form)}", f"the {noun.form}", form)

    def clause(self, form: str) -> str:
        """A relative clause, with a blank in front, in the split of new structures; nothing in others. form: of its verb."""
        return (f" that {self.lexeme(f'vt.{form}').form} the {self.lexeme('noun.neut').form}" if self.split == "new_structures"
                else "")

    def verb(self, but: Sequence[str] = ()) -> Verb:
        kind = self.among(("vi", "vt"))
        forms = self.verb_of(kind, but)
        return Verb(forms["base"], forms, f" the {self.lexeme('noun.neut').form}" if kind == "vt" else "")

    def verb_of(self, kind: str, but: Sequence[str] = ()) -> dict[str, str]:
        """The forms sg, pl and base of a verb with an object, ``vt``, or without, ``vi``."""
        lemma = self.lexeme(f"{kind}.base", but).lemma
        return {form: next(self.lexicon.lexemes[i].form for i in self.lexicon.members[f"{kind}.{form}"]
                           if self.lexicon.lexemes[i].lemma == lemma) for form in ("sg", "pl", "base")}

    def names(self, n: int) -> list[str]:
        everybody = [name for name, _ in self.lexicon.names]
        return [everybody[i] for i in self.rng.permutation(len(everybody))[:n]]


def far(lexicon: Lexicon) -> int:
    """How many topics, the last ones, are out of domain."""
    topics = len(lexicon.topics)
    return max(1, topics // 4) if topics > 1 else 0


@lru_cache(1 << 14)
def _shares(lexicon: Lexicon, category: str, topic: int, new_words: bool, but: frozenset[str]
            ) -> tuple[list[Lexeme], list[float], float]:
    """The lexemes of a class that a topic has, where the share of each ends, and the sum. A word that the split may not have
    has a share only where no other is left, one in ``but`` only where there is none of these either."""
    lexemes, weight, new = _members(lexicon, category, topic)
    fresh = np.array([lexeme.lemma not in but for lexeme in lexemes])
    for may in ((new if new_words else ~new) & fresh, fresh, np.ones(len(lexemes), bool)):
        if (weight * may).any():
            return lexemes, np.cumsum(weight * may).tolist(), float((weight * may).sum())
    raise ValueError(f"the class {category} has no words for the topic {lexicon.topics[topic]}")


@lru_cache(4096)
def _members(lexicon: Lexicon, category: str, topic: int) -> tuple[list[Lexeme], np.ndarray, np.ndarray]:
    """The lexemes of a class that a topic has, their weights, and whether each is new."""
    lexemes = [(lexicon.lexemes[i], lexicon.weight[i, topic].sum()) for i in lexicon.members[category]]
    lexemes = [(lexeme, weight) for lexeme, weight in lexemes if weight]
    return ([lexeme for lexeme, _ in lexemes], np.array([weight for _, weight in lexemes]),
            np.array([is_new(lexeme.lemma) for lexeme, _ in lexemes]))


@lru_cache(8192)
def is_new(lemma: str) -> bool:
    """Is this one of the words that only the split ``new_words`` has? A sixth of all."""
    return hashlib.sha256(lemma.encode("utf-8")).digest()[0] % 6 == 0
