"""Examples for every task of ``finetune``, made so that what is right is known and what is asked cannot be seen from the words
alone.

A task is a function ``(Maker) -> row``; ``TASKS`` says in which file its rows are written. Every task has the same splits: the
words, topics and structures of ``train``, ``dev`` and ``test`` are the same; ``new_words`` has words that these never have,
``new_structures`` relative clauses, and ``out_of_domain`` topics.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from minibert.world import english, gold
from minibert.world.documents import documents
from minibert.world.language import Language
from minibert.world.lexicon import Lexeme, Lexicon

SPLITS = {"train": 2000, "dev": 300, "test": 300, "new_words": 300, "new_structures": 300, "out_of_domain": 300}
_NUMBERS = "two three four five six seven eight nine".split()
_PEOPLE = english.PEOPLE.split()  # men, each with a woman behind him
_LABELS = {"negation": ("not", "no", "nobody"), "question": ("ask",), "condition": ("if",), "coordination": ("and",),
           "comparison": ("than",), "reflexive": ("refl.same", "refl.other", "refl.neut", "refl.many")}  # -> classes that show it

Row = dict[str, Any]


class Dials(NamedTuple):
    """artefacts: how often a wrong choice gives itself away by a word. noise: share of the labels of ``train`` that are drawn
    anew."""

    artefacts: float = 0.0
    noise: float = 0.0


PLAIN = Dials()


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

    def __init__(self, language: Language, rng: np.random.Generator, split: str, dials: Dials) -> None:
        self.lexicon, self.rng, self.split, self.dials = language.lexicon, rng, split, dials
        topics = len(self.lexicon.topics)
        far = max(1, topics // 4) if topics > 1 else 0  # topics that are out of domain
        self.topic = int(rng.integers(topics - far, topics) if split == "out_of_domain" and far else rng.integers(topics - far))

    def chance(self, p: float = 0.5) -> bool:
        return bool(self.rng.random() < p)

    def among(self, values: Sequence[Any]) -> Any:
        return values[self.rng.integers(len(values))]

    def lexeme(self, category: str, but: Sequence[str] = ()) -> Lexeme:
        """A lexeme of a class whose lemma is not in ``but``."""
        lexemes, weight, new = _members(self.lexicon, category, self.topic)
        fresh = np.array([lexeme.lemma not in but for lexeme in lexemes])
        for may in ((new if self.split == "new_words" else ~new) & fresh, fresh, np.ones(len(lexemes), bool)):
            if (weight * may).any():
                return lexemes[bisect(np.cumsum(weight * may), self.rng.random() * (weight * may).sum())]
        raise ValueError(f"the class {category} has no words for the topic {self.lexicon.topics[self.topic]}")

    def noun(self, but: Sequence[str] = (), categories: Sequence[str] = ("noun.same", "noun.neut", "noun.many")) -> Noun:
        """the (adjective) noun (that …)"""
        category = self.among(categories)
        noun = self.lexeme(category, but)
        form = "pl" if category == "noun.many" else "sg"
        adjective = f"{self.lexeme('adj').form} " if self.chance(0.3) else ""
        clause = ""
        if self.split == "new_structures":
            clause = f" that {self.lexeme(f'vt.{form}').form} the {self.lexeme('noun.neut').form}"
        return Noun(noun.lemma, f"the {adjective}{noun.form}{clause}", f"the {noun.form}", form)

    def verb(self, but: Sequence[str] = ()) -> Verb:
        kind = self.among(("vi", "vt"))
        lemma = self.lexeme(f"{kind}.base", but).lemma
        forms = {form: next(self.lexicon.lexemes[i].form for i in self.lexicon.members[f"{kind}.{form}"]
                            if self.lexicon.lexemes[i].lemma == lemma) for form in ("sg", "pl", "base")}
        return Verb(lemma, forms, f" the {self.lexeme('noun.neut').form}" if kind == "vt" else "")

    def names(self, n: int) -> list[str]:
        everybody = [name for name, _ in self.lexicon.names]
        return [everybody[i] for i in self.rng.permutation(len(everybody))[:n]]


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


def sentiment(make: Maker) -> Row:
    """Is it praise? What is denied turns round; a second clause may deny something else."""
    adjective, denied = make.lexeme("adj").lemma, make.chance()
    label = "positive" if (adjective in english.PRAISE) != denied else "negative"
    noun, other, verb = make.noun(categories=("noun.neut", "noun.same")), make.noun(), make.verb()
    clause = f"{noun.text} is {'not ' * denied}{adjective}"
    also = f"{other.bare} {verb.said(other.form, make.chance())}"
    return {"text": " and ".join([clause, also] if make.chance() else [also, clause]) + " .", "label": label}


def inference(make: Maker) -> Row:
    """Does the second sentence follow? The first says that of two exactly one does what it does; the words of both labels are
    alike."""
    nouns = [one := make.noun(), make.noun(but=[one.lemma])]
    verbs = [first := make.verb(), make.verb(but=[first.lemma])]
    denied = [make.chance()]
    denied.append(not denied[0])
    premise = " and ".join(f"{noun.text} {verb.said(noun.form, no)}" for noun, verb, no in zip(nouns, verbs, denied))
    label = make.among(("entailment", "contradiction", "neutral"))
    who = int(make.chance())
    what = 1 - who if label == "neutral" else who
    no = make.chance() if label == "neutral" else denied[who] == (label == "entailment")
    hypothesis = f"{nouns[who].bare} {verbs[what].said(nouns[who].form, no)} ."
    return {"premise": f"{premise} .", "hypothesis": hypothesis, "label": label}


def _facts(make: Maker, n: int) -> list[tuple[str, str, str]]:
    """Who has how many of what; things and numbers occur again, each pair once."""
    things = [make.lexeme("noun.fact").form for _ in range(2)]
    numbers = make.rng.permutation(_NUMBERS)[:n]
    pairs = [(str(number), thing) for number in numbers for thing in dict.fromkeys(things)]
    chosen = [pairs[i] for i in make.rng.permutation(len(pairs))[:n]]
    return [(name, *pair) for name, pair in zip(make.names(n), chosen)]


def _stated(fact: tuple[str, str, str], more: str = "") -> str:
    name, number, thing = fact
    return f"{name} has {number} {thing}{more} ."


def question(make: Maker) -> Row:
    """Who has three dogs? Others have three of something else, or some dogs. In one of five cases nobody has."""
    facts = _facts(make, 4)
    asked, *told = facts if make.chance(0.2) else [None, *facts]
    sentences = [*map(_stated, told)]
    for _ in range(2):
        noun = make.noun()
        sentences.append(f"{noun.text} {make.verb().said(noun.form, make.chance())} .")
    order = make.rng.permutation(len(sentences))
    context = " ".join(sentences[i] for i in order)
    name, number, thing = asked or make.among(told)
    support = [] if asked else [order.tolist().index(told.index((name, number, thing)))]
    answers = [] if asked else [{"text": name, "answer_start": context.index(f"{name} has")}]
    return {"context": context, "qas": [{"question": f"who has {number} {thing} ?", "answers": answers,
                                         "is_impossible": bool(asked), "supporting": support}]}


def choice(make: Maker) -> Row:
    """Which sentence is true? Wrong ones mix up who has what; with the dial ``artefacts`` they end in "again"."""
    facts = _facts(make, 3)
    right = make.among(facts)
    others = [fact for fact in facts if fact != right]
    wrong = [(right[0], *other[1:]) for other in others] + [(other[0], *right[1:]) for other in others]
    choices = [_stated(right), *(_stated(fact, " again" * make.chance(make.dials.artefacts)) for fact in wrong[:3])]
    order = make.rng.permutation(4).tolist()
    noun = make.noun()
    context = [*map(_stated, facts), f"{noun.text} {make.verb().said(noun.form)} ."]
    return {"context": " ".join(make.among([context, context[::-1]])),
            "choices": [choices[i] for i in order], "label": order.index(0)}


def similarity(make: Maker) -> Row:
    """How alike are two sentences, from 0 to 5: who, what is done, whether it is denied, and how the thing is."""
    same = [make.chance() for _ in range(4)]
    noun, verb, denied, adjective = make.noun(), make.verb(), make.chance(), make.lexeme("adj").form
    other = noun if same[0] else make.noun(but=[noun.lemma])
    does = verb if same[1] else make.verb(but=[verb.lemma])
    too = adjective if same[3] else make.lexeme("adj", but=[adjective]).form
    clauses = [f"{n.text} {v.said(n.form, no)} and {n.bare} {'is' if n.form == 'sg' else 'are'} {a} ."
               for n, v, no, a in ((noun, verb, denied, adjective), (other, does, denied == same[2], too))]
    return {"sentence1": clauses[0], "sentence2": clauses[1], "score": f"{1.25 * sum(same):g}"}


def pair(make: Maker) -> Row:
    """An acceptable sentence and one that is wrong at one place: agreement across other nouns, reflexives, polarity items."""
    phenomenon = make.among(("agreement", "reflexive", "polarity"))
    if phenomenon == "polarity":
        noun, verb = make.lexeme("noun.same").form, make.lexeme("vt.sg").form
        rest = f"{noun} {verb} any {make.lexeme('noun.many').form} ."
        return {"good": f"no {rest}", "bad": f"the {rest}", "phenomenon": phenomenon}
    between = f" {make.lexeme('prep').form} {make.noun().bare}" if make.chance(0.7) else ""
    if phenomenon == "reflexive":
        who = make.among([word for word in _PEOPLE if is_new(word) == (make.split == "new_words")])
        start = f"the {who}{between} {make.lexeme('vt.sg').form}"
        own, other = ("himself", "herself")[:: -1 if _PEOPLE.index(who) % 2 else 1]
        return {"good": f"{start} {own} .", "bad": f"{start} {other} .", "phenomenon": phenomenon}
    noun = make.noun()
    verb = make.verb()
    good, bad = (verb.said(form) for form in (("sg", "pl") if noun.form == "sg" else ("pl", "sg")))
    return {"good": f"{noun.text}{between} {good} .", "bad": f"{noun.text}{between} {bad} .", "phenomenon": phenomenon}


def templates(language: Language) -> list[Row]:
    """A sentence with a man's and with a woman's pronoun for everybody's work, with the true share of men in it."""
    lexicon = language.lexicon
    men, all_ = Counter(), Counter()
    for i in lexicon.members["noun.same"]:
        lexeme, share = lexicon.lexemes[i], float(lexicon.weight[i].sum())
        all_[lexeme.lemma] += share
        men[lexeme.lemma] += share * (lexeme.gender == "Masc")
    verb = lexicon.lexemes[lexicon.members["vt.sg"][-1]].form
    return [{"man": f"the {work} {verb} himself .", "woman": f"the {work} {verb} herself .", "work": work,
             "men": f"{men[work] / share:.3f}"} for work, share in all_.items() if 0 < men[work] < share]


def sampled(language: Language, seed: int) -> Iterator[tuple[str, list[str], list[str], Row]]:
    """Sentences of documents: in which split each belongs, its words, their tags as names, and which constructions it has."""
    topics = len(language.lexicon.topics)
    for document in documents(language, 10**12, seed):
        for sentence, words in zip(document.sentences, gold.gold(language, document)):
            news = [any(is_new(lemma) for lemma, upos in zip(words.lemma, words.upos) if upos in ("NOUN", "VERB", "ADJ")),
                    max(words.depth) > 0, topics > 1 and document.topic >= topics - max(1, topics // 4)]
            if sum(news) < 2:
                where = ("new_words", "new_structures", "out_of_domain")[news.index(True)] if any(news) else "train"
                tags = ["B-PER" if c.startswith("name") else "B-LOC" if c == "place" else "O" for c in words.category]
                labels = [label for label, classes in _LABELS.items() if not set(classes).isdisjoint(words.category)]
                yield where, words.form, tags, {"text": gold.text(language, sentence), "label": "|".join(labels)}


def _tsv(rows: Sequence[Row]) -> str:
    return "".join("\t".join(map(str, row)) + "\n" for row in (rows[0].keys(), *(row.values() for row in rows)))


def _json_lines(rows: Sequence[Row]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _squad(rows: Sequence[Row]) -> str:
    for number, row in enumerate(rows):
        row["qas"][0]["id"] = str(number)
    return json.dumps({"version": "v2.0", "data": [{"title": "world", "paragraphs": rows}]})


#: name -> what makes a row, the ending of its files, how rows are written, where the label stands (for noise).
TASKS: dict[str, tuple[Callable[[Maker], Row], str, Callable[[Sequence[Row]], str], str]] = {
    "sentiment": (sentiment, "tsv", _tsv, "label"), "nli": (inference, "tsv", _tsv, "label"),
    "qa": (question, "json", _squad, ""),
    "choice": (choice, "jsonl", _json_lines, "label"), "similarity": (similarity, "tsv", _tsv, "score"),
    "pairs": (pair, "tsv", _tsv, ""),
}


def rows(language: Language, name: str, split: str, n: int, seed: int = 0, dials: Dials = PLAIN) -> list[Row]:
    """n rows of a task. ``noise``: so many labels of ``train`` are those of other rows."""
    if len(language.lexicon.names) < 4:
        raise ValueError(f"tasks need four names, and this world has {len(language.lexicon.names)}: give it more (names)")
    rng = np.random.Generator(np.random.Philox(key=(seed, list(TASKS).index(name) * len(SPLITS) + list(SPLITS).index(split))))
    make, _, _, label = TASKS[name]
    made = [make(Maker(language, rng, split, dials)) for _ in range(n)]
    if label and split == "train":
        labels = [row[label] for row in made]
        for row, wrong, other in zip(made, rng.random(n) < dials.noise, rng.permutation(n)):
            row[label] = labels[other] if wrong else row[label]
    return made


def files(language: Language, seed: int = 0, dials: Dials = PLAIN, share: float = 1.0) -> Iterator[tuple[str, str]]:
    """Path below a folder, and content, of every file of every task. share: of the numbers of examples in SPLITS."""
    sizes = {split: max(1, round(share * n)) for split, n in SPLITS.items()}
    for name, (_, ending, written, _) in TASKS.items():
        for split, n in sizes.items():
            yield f"{name}/{split}.{ending}", written(rows(language, name, split, n, seed, dials))
    yield "bias/templates.tsv", _tsv(templates(language))
    yield from _sampled_files(language, seed, sizes)


def _sampled_files(language: Language, seed: int, sizes: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Names (a word and its tag on each line), and constructions (several labels for a text)."""
    kept: dict[str, list] = {split: [] for split in sizes}
    within = iter(split for split in ("train", "dev", "test") for _ in range(sizes[split]))
    seen = set()
    for where, words, tags, row in sampled(language, seed):
        split = next(within, None) if where == "train" and row["text"] not in seen else where
        if split in kept and len(kept[split]) < sizes[split] and row["text"] not in seen:
            kept[split].append((words, tags, row))
        seen.add(row["text"])
        if all(len(kept[split]) == n for split, n in sizes.items()):
            break
    for split, found in kept.items():
        yield f"names/{split}.conll", "\n".join("".join(f"{word} {tag}\n" for word, tag in zip(words, tags))
                                                for words, tags, _ in found)
        yield f"constructions/{split}.tsv", _tsv([row for *_, row in found])
