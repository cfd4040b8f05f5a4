"""A probabilistic grammar with features: a table of rules, what may stand in for its variables, and its two readings.

A row of the table is a symbol, a weight, and what the symbol becomes::

    np.a.d        40            det.n/det nbar.a.d*
    nbar.a.d      8@relatives   noun.a* rc.a.d-/acl:relcl
    vp.f.l.d      9             aux.f/aux not/advmod! vp.base.lic.d*

``*`` marks the head, ``/relation`` says how the head of a child hangs on it, ``!`` that the first word of the child licenses
polarity items in those children that are ``lic``. Behind a dot stands a feature, or a variable, which is replaced by all its
values, the same one throughout a row; one that the symbol on the left does not have is drawn by its prior. ``d`` counts how
many more relative clauses may be nested, ``d-`` is one fewer (without a row where none is left), ``D`` the most. ``n`` is the
number of ``a``. ``@name`` multiplies a weight by a dial. What is never on the left is a *class* of words.

Two readings of one grammar: ``Grammar.skeleton`` makes a derivation, rule by rule, into the gold of a sentence; ``binary``
gives rules with exactly two children for the chart of ``posterior.py``, where chains of single children are multiplied out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate, product
from typing import NamedTuple

import numpy as np

START = "text"
_KEPT = 1 << 15  # skeletons: most sentences have one of the usual ones


class Rule(NamedTuple):
    """``parent`` becomes ``children`` with probability ``p``."""

    parent: str
    p: float
    children: tuple[str, ...]
    head: int  # which child is the head
    relations: tuple[str, ...]  # of each child to the head; "" for the head
    licensor: int | None  # which child, with its first word, licenses polarity items


@dataclass(frozen=True, eq=False)
class Skeleton:
    """A sentence without its words: what the grammar alone decides. Words are numbered from 0."""

    classes: tuple[str, ...]
    heads: tuple[int, ...]  # of each word; -1: it is the root
    relations: tuple[str, ...]
    licensors: tuple[int, ...]  # the nearest word that licenses polarity items at each word; -1: none does
    scopes: tuple[tuple[int, int, int], ...]  # licensor, first word of its scope, first word after it
    depths: tuple[int, ...]  # in how many relative clauses each word stands
    tree: str  # "(text (clause …) end)", with classes at its leaves


class Binary(NamedTuple):
    """The same language with two children a rule. Symbols are numbers; the first ``len(classes)`` are the classes of words."""

    symbols: list[str]
    classes: list[str]
    start: int
    parent: np.ndarray  # (R,) of rules with two children, sorted by parent
    left: np.ndarray
    right: np.ndarray
    p: np.ndarray
    word_parent: np.ndarray  # (R1,) symbols that become a single word, sorted by parent
    word_class: np.ndarray
    word_p: np.ndarray


class Grammar:
    """The rules of a table; symbols that cannot be reached from the start are left out, and named in ``unreachable``."""

    def __init__(self, table: str, features: Mapping[str, Mapping[str, float]], depth: int, dials: Mapping[str, float]) -> None:
        rows: dict[str, list[Rule]] = defaultdict(list)
        for line in filter(None, (line.partition("#")[0].strip() for line in table.splitlines())):
            for rule in _instances(line, features, depth, dials):
                rows[rule.parent].append(rule)
        reached, todo = set(), [START]
        while todo:
            symbol = todo.pop()
            if symbol not in reached:
                reached.add(symbol)
                todo += [child for rule in rows.get(symbol, ()) for child in rule.children]
        self.unreachable = sorted(set(rows) - reached)
        self.depth = depth
        self.of: dict[str, list[int]] = {}  # symbol -> its rules
        self.rules: list[Rule] = []
        for symbol in filter(reached.__contains__, rows):
            total = sum(rule.p for rule in rows[symbol])
            self.of[symbol] = list(range(len(self.rules), len(self.rules) + len(rows[symbol])))
            self.rules += [rule._replace(p=rule.p / total) for rule in rows[symbol]]
        self.classes = sorted(reached - set(self.of))
        self.licensed = {symbol for symbol in reached if "lic" in symbol.split(".")}
        self.growths = [_Growth(rule.parent, rule.parent.startswith("rc."), rule.head, rule.licensor,
                                [(child, child in self.licensed, child in self.of) for child in rule.children],
                                [(i, relation) for i, relation in enumerate(rule.relations) if relation]) for rule in self.rules]

    def skeleton(self, derivation: tuple[int, ...]) -> Skeleton:
        """The gold of the sentence that rules make, their numbers given from left to right, each before those of its children."""
        return _grown(self, derivation)

    @cached_property
    def choices(self) -> dict[str, tuple[list[float], list[tuple[int, list[str]]]]]:
        """symbol -> where the shares of its rules end, but the last; the rules, with what is still to be grown, last first."""
        return {symbol: (list(accumulate(self.rules[i].p for i in these))[:-1],
                         [(i, [child for child in self.rules[i].children[::-1] if child in self.of]) for i in these])
                for symbol, these in self.of.items()}

    @cached_property
    def binary(self) -> Binary:
        """See ``Binary``."""
        pairs: dict[tuple[str, str, str], float] = defaultdict(float)
        single: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for rule in self.rules:
            first, *others = rule.children
            if not others:
                single[rule.parent][first] += rule.p
                continue
            pairs[rule.parent, first, " ".join(others)] += rule.p
            while len(others) > 1:  # what is left of a rule is a symbol too, which every rule that ends alike shares
                rest, (first, *others) = " ".join(others), others
                pairs[rest, first, " ".join(others)] = 1.0
        return _without_chains(self.classes, pairs, single)


def _instances(line: str, features: Mapping[str, Mapping[str, float]], depth: int, dials: Mapping[str, float]) -> list[Rule]:
    """A row of the table, once for each choice of its variables."""
    parent, weight, *children = line.split()
    number, _, dial = weight.partition("@")
    known = {**features, "d": {str(d): 1.0 for d in range(depth + 1)}}
    said = {name for part in (parent, *children) for name in part.partition("/")[0].rstrip("*-").split(".")[1:]}
    used = [v for v in known if v in said - ({"n"} if "a" in said else set())]
    free = [v for v in used if v not in parent.split(".")]
    found = []
    for values in product(*(known[v] for v in used)):
        chosen = dict(zip(used, values))
        p = float(number) * (dials[dial] if dial else 1.0)
        for v in free:
            p *= known[v][chosen[v]]
        if "a" in chosen:
            chosen["n"] = "pl" if chosen["a"] == "many" else "sg"
        chosen["D"] = str(depth)
        chosen["d-"] = str(int(chosen.get("d", 0)) - 1)
        if p and not (chosen["d-"] == "-1" and any(".d-" in child for child in children)):
            parts = [_child(child, chosen) for child in children]
            heads = [i for i, part in enumerate(parts) if part[1] == ""]
            marks = [i for i, part in enumerate(parts) if part[2]]
            if len(heads) != 1:
                raise ValueError(f"the rule {line!r} has {len(heads)} heads; expected one child with * and /relation behind the "
                                 "others")
            found.append(Rule(_named(parent, chosen), p, tuple(part[0] for part in parts), heads[0],
                              tuple(part[1] for part in parts), marks[0] if marks else None))
    return found


def _child(text: str, chosen: Mapping[str, str]) -> tuple[str, str, bool]:
    """symbol, relation ("" for the head), does it license?"""
    symbol, _, relation = text.removesuffix("!").partition("/")
    if not relation and not symbol.endswith("*"):
        raise ValueError(f"the child {text!r} is neither the head (*) nor has a /relation")
    return _named(symbol.removesuffix("*"), chosen), relation, text.endswith("!")


def _named(symbol: str, chosen: Mapping[str, str]) -> str:
    name, *parts = symbol.split(".")
    return ".".join([name, *(chosen.get(part, part) for part in parts)])


class _Growth(NamedTuple):
    """A rule as ``_grow`` reads it."""

    parent: str
    deeper: bool  # is it a relative clause?
    head: int
    mark: int | None  # the licensor
    children: list[tuple[str, bool, bool]]  # symbol, is it licensed, does it go on?
    hanging: list[tuple[int, str]]  # which children are not the head, and how they hang on it


@lru_cache(_KEPT)
def _grown(grammar: Grammar, derivation: tuple[int, ...]) -> Skeleton:
    words: list[list] = []
    scopes: list[tuple[int, int, int]] = []
    _, tree = _grow(map(grammar.growths.__getitem__, derivation), words, scopes, -1, 0)
    classes, heads, relations, licensors, depths = zip(*words)
    return Skeleton(classes, heads, relations, licensors, tuple(scopes), depths, tree)


def _grow(growths: Iterator[_Growth], words: list[list], scopes: list[tuple[int, int, int]], licensor: int, depth: int
          ) -> tuple[int, str]:
    """Read the next rule and all below it, from left to right. The number of its head, and its tree.

    words: class, head, relation, licensor, depth of each so far, to which those of the rule are added.
    """
    parent, deeper, head, mark, children, hanging = next(growths)
    below, tree = [], "(" + parent
    depth += deeper
    for at, (child, licensed, inner) in enumerate(children):
        start, inherited = len(words), licensor if licensed else -1
        if inner:
            word, child = _grow(growths, words, scopes, inherited, depth)
        else:
            word = start
            words.append([child, -1, "root", inherited, depth])
        below.append(word)
        tree += " " + child
        if at == mark:
            licensor = start
        elif licensed and mark is not None:
            scopes.append((licensor, start, len(words)))
    for i, relation in hanging:
        words[below[i]][1:3] = below[head], relation
    return below[head], tree + ")"


def _without_chains(classes: list[str], pairs: dict[tuple[str, str, str], float],
                    single: Mapping[str, Mapping[str, float]]) -> Binary:
    """Every chain of single children is multiplied out: into rules with two children, and into single words."""
    children = {symbol for _, *both in pairs for symbol in both} | {START}
    inner = sorted({symbol for symbol, *_ in pairs} | set(single) | children - set(classes))
    at = {symbol: i for i, symbol in enumerate(inner)}
    chain = np.zeros((len(inner), len(inner)))
    for symbol, become in single.items():
        for child, p in become.items():
            if child in at:
                chain[at[symbol], at[child]] = p
    closure = np.linalg.inv(np.eye(len(inner)) - chain)  # all chains, of any length
    two_of: dict[str, list[tuple[str, str, float]]] = defaultdict(list)
    for (parent, left, right), p in pairs.items():
        two_of[parent].append((left, right, p))
    whole: dict[tuple[str, str, str], float] = defaultdict(float)
    words: dict[tuple[str, str], float] = defaultdict(float)
    for symbol in filter(children.__contains__, inner):
        for end in (inner[i] for i in closure[at[symbol]].nonzero()[0]):
            q = float(closure[at[symbol], at[end]])
            for left, right, p in two_of.get(end, ()):
                whole[symbol, left, right] += p * q
            for child, p in single.get(end, {}).items():
                if child not in at:
                    words[symbol, child] += p * q
    symbols = classes + [symbol for symbol in inner if symbol in children]
    number = {symbol: i for i, symbol in enumerate(symbols)}
    two, one = (np.array(sorted([*map(number.__getitem__, key), p] for key, p in found.items())).T for found in (whole, words))
    return Binary(symbols, classes, number[START], *two[:3].astype(int), two[3], *one[:2].astype(int), one[2])
