"""A language so small that everything it can say is listed: homographs, chains of rules, names, two topics."""

from collections import defaultdict
from functools import lru_cache
from itertools import product

import numpy as np

from minibert.world.grammar import START, Grammar
from minibert.world.language import Language
from minibert.world.lexicon import Lexeme, Lexicon

TABLE = """
text     3         who/nsubj verb* end/punct
text     2         who/nsubj verb* whom/obj end/punct
text     1@dial    verb* end/punct
who      2         name*
who      1         he*
who      2         noun*
whom     3         who*
whom     1         noun* that/acl
that     2         so/mark verb*
that     1         so/mark verb* whom/obj
"""
LEXEMES = {  # class -> word: weight by topic, and by gender (a man, a woman)
    "name": {"Al": (1, 1, 1, 1), "Bo": (1, 1, 1, 1), "Cy": (1, 1, 1, 1)},
    "he": {"he": (1, 0, 1, 0), "she": (0, 1, 0, 1)},
    "noun": {"run": (1, 1, 3, 3), "cat": (4, 4, 0, 0), "he": (0.5, 0.5, 1, 0)},
    "verb": {"run": (2, 2, 1, 1), "see": (1, 1, 3, 3)},
    "so": {"so": (1, 1, 1, 1)},
    "end": {".": (3, 3, 1, 1), "so": (1, 1, 1, 1)},
}
GENDER = {"Al": "Masc", "Bo": "Masc", "Cy": "Fem"}


def language(stay=0.6, longest=6):
    rows = [(Lexeme(word, word, category, "X", gender=GENDER.get(word, "")), np.array(weight, float).reshape(2, 2))
            for category, words in LEXEMES.items() for word, weight in words.items()]
    lexicon = Lexicon(["one", "two"], [lexeme for lexeme, _ in rows], np.array([weight for _, weight in rows]))
    return Language(Grammar(TABLE, {}, 0, {"dial": 0.5}), lexicon, stay, longest)


def derivations(grammar, room, symbols=(START,)):
    """(probability, classes) of everything that a row of symbols becomes in so many words at most."""
    if len(symbols) > room:
        return
    if not symbols:
        yield 1.0, ()
        return
    first, *others = symbols
    if first not in grammar.of:
        for p, classes in derivations(grammar, room - 1, tuple(others)):
            yield p, (first, *classes)
        return
    for number in grammar.of[first]:
        rule = grammar.rules[number]
        for p, classes in derivations(grammar, room, (*rule.children, *others)):
            yield rule.p * p, classes


@lru_cache(1)
def sentences(lang):
    """For each topic and name a dictionary: words -> probability, of all sentences that are not too long."""
    found = []
    for topic, (name, gender) in product(range(2), lang.lexicon.names):
        table = defaultdict(float)
        for p, classes in derivations(lang.grammar, lang.longest):
            choices = [[(name, 1.0)] if c == "name" else
                       [(lang.lexicon.lexemes[i].form, lang.lexicon.weight[i][topic, gender]) for i in lang.lexicon.members[c]]
                       for c in classes]
            for chosen in product(*choices):
                if q := p * np.prod([weight for _, weight in chosen]):
                    table[tuple(word for word, _ in chosen)] += q
        total = sum(table.values())
        found.append({words: p / total for words, p in table.items()})
    return found


def texts(lang, length, single):
    """words -> probability, of all runs of whole sentences with this length, latent variables summed out."""
    found = defaultdict(float)
    for table in sentences(lang):
        by_length = defaultdict(list)
        for words, p in table.items():
            by_length[len(words)].append((words, p))

        def runs(n, by_length=by_length):
            if n == 0:
                yield (), 1.0
            for size, these in by_length.items():
                if size <= n:
                    for rest, q in runs(n - size):
                        for words, p in these:
                            yield words + rest, p * q * lang.stay

        for words, p in (by_length[length] if single else runs(length)):
            found[words] += p
    return found
