"""Examples of tasks, made so that what is right is known, and what is asked cannot be seen from the words alone.

Each function makes one example, as a row of a file, of what ``Maker`` draws.
"""

from __future__ import annotations

from typing import Any

from minibert.world import english
from minibert.world.maker import Maker, is_new

_NUMBERS = "two three four five six seven eight nine".split()
_PEOPLE = english.PEOPLE.split()  # men, each with a woman behind him

SENTIMENT = ("positive", "negative")
INFERENCE = ("entailment", "contradiction", "neutral")
SCORES = ("0", "1.25", "2.5", "3.75", "5")  # of similarity

AGAIN = "again"  # by which a wrong choice gives itself away

Row = dict[str, Any]


def sentiment(make: Maker) -> Row:
    """Is it praise? What is denied turns round; a second clause may deny something else."""
    adjective, denied = make.lexeme("adj").lemma, make.chance()
    label = SENTIMENT[(adjective in english.PRAISE) == denied]
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
    label = make.among(INFERENCE)
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
    """Which sentence is true? Each of two names is said to have each of two things; of the other three combinations none is true,
    since one of the things belongs to somebody else. So without the context any is as likely. With the dial ``artefacts`` the
    wrong ones end in "again"."""
    facts = _facts(make, 3)
    right, other, third = (facts[i] for i in make.rng.permutation(3))
    wrong = [(right[0], *third[1:]), (other[0], *right[1:]), (other[0], *third[1:])]
    choices = [_stated(right), *(_stated(fact, f" {AGAIN}" * make.chance(make.flaws.artefacts)) for fact in wrong)]
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
    return {"sentence1": clauses[0], "sentence2": clauses[1], "score": SCORES[sum(same)]}


def pair(make: Maker) -> Row:
    """An acceptable sentence and one that is wrong at one place: agreement across other nouns, reflexives, polarity items. A new
    structure is a clause of the subject, or of the polarity item, since "no" takes none."""
    phenomenon = make.among(("agreement", "reflexive", "polarity"))
    if phenomenon == "polarity":
        noun, verb = make.lexeme("noun.same").form, make.lexeme("vt.sg").form
        rest = f"{noun} {verb} any {make.lexeme('noun.many').form}{make.clause('pl')} ."
        return {"good": f"no {rest}", "bad": f"the {rest}", "phenomenon": phenomenon}
    between = f" {make.lexeme('prep').form} {make.noun().bare}" if make.chance(0.7) else ""
    if phenomenon == "reflexive":
        who = make.among([word for word in _PEOPLE if is_new(word) == (make.split == "new_words")])
        start = f"the {who}{make.clause('sg')}{between} {make.lexeme('vt.sg').form}"
        own, other = ("himself", "herself")[:: -1 if _PEOPLE.index(who) % 2 else 1]
        return {"good": f"{start} {own} .", "bad": f"{start} {other} .", "phenomenon": phenomenon}
    noun = make.noun()
    verb = make.verb()
    good, bad = (verb.said(form) for form in (("sg", "pl") if noun.form == "sg" else ("pl", "sg")))
    return {"good": f"{noun.text}{between} {good} .", "bad": f"{noun.text}{between} {bad} .", "phenomenon": phenomenon}
