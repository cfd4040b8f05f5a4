"""A generated language: a grammar, a lexicon, and what all sentences of a document share."""

from __future__ import annotations

from dataclasses import dataclass, fields

from minibert.world import english, lexicon
from minibert.world.grammar import Grammar
from minibert.world.lexicon import Dials, Lexicon


@dataclass(frozen=True)
class Settings:
    """The dials. A weight of 1 is what the tables of ``english.py`` say."""

    depth: int = 3  # relative clauses within one another
    topics: int = 8
    words: int = 420  # at least so many different ones
    names: int = 8  # that a protagonist may have, for men and for women each
    zipf: float = 1.0  # exponent, within the words of a kind
    focus: float = 0.9  # share of the content words that belong to the topic
    skew: float = 0.8  # how much people's work says of their gender; 0 nothing
    homographs: float = 1.0  # weight of words with several senses
    attractors: float = 1.0  # weight of nouns with a prepositional phrase behind them
    relatives: float = 1.0  # weight of relative clauses
    comparatives: float = 1.0  # weight of comparisons
    facts: float = 0.0  # weight of sentences that state how many things somebody has; see Language.exact
    stay: float = 0.85  # how likely a document goes on after a sentence
    longest: int = 24  # words of a sentence; longer ones are drawn again

    def __post_init__(self) -> None:
        def need(name: str, right: bool, what: str) -> None:
            if not right:
                raise ValueError(f"{name} must be {what}, got {getattr(self, name)!r}")

        need("depth", 0 <= self.depth <= 5, "from 0 to 5")
        need("topics", 1 <= self.topics <= len(english.TOPICS), f"from 1 to {len(english.TOPICS)}")
        need("words", self.words <= 5000, "at most 5,000")
        need("names", 1 <= self.names <= len(english.NAMES[0].split()), f"from 1 to {len(english.NAMES[0].split())}")
        need("focus", 0 < self.focus <= 1, "a share above 0, at most 1")
        need("skew", 0 <= self.skew <= 1, "a share from 0 to 1")
        need("stay", 0 <= self.stay < 1, "a probability below 1")
        need("longest", self.longest >= 8, "at least 8")
        for name in ("zipf", "homographs", "attractors", "relatives", "comparatives", "facts"):
            need(name, 0 <= getattr(self, name) <= 20, "from 0 to 20")


#: ``small`` is what a tiny model nearly masters, ``full`` has every construction.
SIZES = {"small": Settings(depth=1, topics=4, words=200, names=3, longest=20), "full": Settings()}


class Language:
    """``grammar``, ``lexicon``; a document goes on after a sentence with probability ``stay``; sentences have at most
    ``longest`` words.

    ``exact``: are all sentences of a document independent, given its topic and protagonist? Facts stay true for a whole document,
    which no posterior here sums over; it treats each mention as drawn anew.
    """

    def __init__(self, grammar: Grammar, lexicon: Lexicon, stay: float, longest: int) -> None:
        self.grammar, self.lexicon, self.stay, self.longest = grammar, lexicon, stay, longest
        self.exact = "num.fact" not in grammar.classes
        missing = set(grammar.classes) - set(lexicon.members)
        if missing:
            raise ValueError(f"the grammar ends in {', '.join(sorted(missing))}, and the lexicon has no words for that")

    @classmethod
    def of(cls, settings: Settings) -> Language:
        """The English of ``english.py`` with these dials."""
        grammar = Grammar(english.GRAMMAR, english.FEATURES, settings.depth, vars(settings))
        dials = Dials(*(getattr(settings, name) for name in Dials._fields))
        return cls(grammar, lexicon.build(dials), settings.stay, settings.longest)


NAMES = tuple(field.name for field in fields(Settings))
