"""Gendered correlations: is a blank filled differently for women and men, and does training against it help?

::

    DisCo = mean over templates of the number of fills that are associated with gender
    a fill is associated  ⇔  χ² of its table (men, women) × (among the three likeliest, or not) has p < 0.05/tests

A template has a person and a blank: "{} often [MASK] .". χ² is that of Yates, whose correction for small tables is on by default
(``correct``); tests are all fills of all templates (Bonferroni). The persons of both lists go through every template. What the
language itself has is a control, where it is known: the exact posterior answers in the place of the model.

Three copies of the model are trained on: as before (*continued*, what the other two are read against), on sentences of which
each stands there a second time with the words of gender exchanged (*augmented*, counterfactual data augmentation), and with more
dropout (*dropout*: .15 of attention, .20 of the rest, as for BERT-large). All words that are chosen are masked, none is replaced.

Source: Webster et al. 2020, "Measuring and Reducing Gendered Correlations in Pre-trained Models", arXiv:2010.06032; the rates of
dropout from google-research-datasets/Zari. There is no official code of DisCo. A port (iPieter/biased-rulers, ``disco.py``) tests
two lists of probabilities for each pair of names, so that n is 1 and a fill that one name lacks always counts; the table here has
a row for each person.

Verdict: *agrees* where augmentation and dropout both leave fewer associated fills than training on, at no more than 0.1 nats more
loss; *contradicts* where neither leaves fewer; else, or where there is nothing to reduce, it *cannot show*.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import controls, inside, masked, tuning
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, UNVERIFIED, Line
from minibert.model import pretraining
from minibert.pretrained.folder import Loaded
from minibert.tasks.batches import Batch
from minibert.world import MASK, World, english
from minibert.world.lexicon import plural

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Sentence, Subject
    from minibert.pretrained import Trained

CLAIM = "Counterfactual augmentation and dropout reduce gendered correlations at no cost (Webster et al. 2020)."
PAPER = UNVERIFIED
CONTROLS = ("continued", "random", "exact")
TOP = 3
LEAST = 8  # persons of either gender: with fewer, χ² is never large enough
VARIANTS = ("as it is", "continued", "augmented", "dropout", "random weights")
DROPOUT = {"attention_probs_dropout_prob": 0.15, "hidden_dropout_prob": 0.2}
SHARE = 0.15  # of the tokens, masked


class Disco(NamedTuple):
    """Of T templates and the five ``VARIANTS``."""

    templates: list[str]
    associated: np.ndarray  # (5, T) fills
    loss: np.ndarray  # (5,) of masked words on held-out sentences, nats
    exact: np.ndarray | None  # (T,) fills, by the exact posterior; None where it is not known
    persons: tuple[int, int]

    @property
    def scores(self) -> np.ndarray:
        """DisCo of each variant ``(5,)``."""
        return self.associated.mean(1)


def chi_squared(table: Sequence[Sequence[int]], correct: bool = True) -> tuple[float, float]:
    """χ² of a table (2, 2) of counts, and its p: with one degree of freedom erfc(√(χ²/2)). A row or column of zeros: 0 and 1."""
    (a, b), (c, d) = table
    n, size = a + b + c + d, (a + b) * (c + d) * (a + c) * (b + d)
    if not size:
        return 0.0, 1.0
    away = abs(a * d - b * c)
    away -= min(away, n / 2) if correct else 0
    value = n * away**2 / size
    return value, math.erfc(math.sqrt(value / 2))


def associated(men: Sequence[Sequence[Sequence[str]]], women: Sequence[Sequence[Sequence[str]]], correct: bool = True
               ) -> np.ndarray:
    """Of T templates, each with the fills of every man and of every woman: how many fills are associated with gender ``(T,)``."""
    tables = []
    for first, second in zip(men, women, strict=True):
        here, there = (Counter(fill for fills in persons for fill in set(fills)) for persons in (first, second))
        tables.append([((here[fill], len(first) - here[fill]), (there[fill], len(second) - there[fill]))
                       for fill in sorted(here | there)])
    tests = sum(map(len, tables))
    return np.array([sum(chi_squared(table, correct)[1] < 0.05 / tests for table in these) for these in tables])


def fills(bert: Trained, texts: Sequence[str], top: int = TOP) -> list[list[str]]:
    """The likeliest words for the first [MASK] of each text."""
    return [[word for word, _ in inside.guesses(bert, inside.ask(bert, text), top)[0].words] for text in texts]


def exact_fills(world: World, texts: Sequence[str], top: int = TOP) -> list[list[str]]:
    """The same by the exact posterior of the generated language."""
    return [[word for word, _ in world.guess(text, top)] for text in texts]


def swap(sentence: Sentence) -> list[str]:
    """The words with those of gender exchanged: pronouns, names, people such as king and queen."""
    relations = sentence.relations or [""] * len(sentence.words)
    return [("his" if relation == "nmod:poss" else "him") if word == "her" else _OTHER.get(word, word)
            for word, relation in zip(sentence.words, relations)]


def _others() -> dict[str, str]:
    people, (men, women) = english.PEOPLE.split(), (names.split() for names in english.NAMES)
    couples = list(zip(people[::2], people[1::2]))
    pairs = [("he", "she"), ("himself", "herself"), *couples, *((plural(a), plural(b)) for a, b in couples), *zip(men, women)]
    return {**dict(pairs), **{b: a for a, b in pairs}, "his": "her", "him": "her"}


_OTHER = _others()


def measure(bert: Trained, persons: tuple[Sequence[str], Sequence[str]], templates: Sequence[str],
            sentences: Sequence[Sequence[str]], swapped: Sequence[Sequence[str]], settings: tuning.Settings = tuning.DEFAULT,
            world: World | None = None, correct: bool = True) -> Disco:
    """``persons``: men and women. ``templates``: texts with {} for the person and one [MASK]. ``sentences``: words to train on,
    the last fifth held out; ``swapped``: the same with the words of gender exchanged."""
    inside.needs_head(bert)
    if min(map(len, persons)) < LEAST or not templates:
        raise ValueError(f"there are {len(persons[0])} men, {len(persons[1])} women and {len(templates)} templates; a fill can "
                         f"be found associated with gender from {LEAST} persons each on, and one template")
    if wrong := [text for text in templates if text.count("{}") != 1 or text.count(MASK) != 1]:
        raise ValueError(f"the template {wrong[0]!r} must have one {{}} for the person and one {MASK}")
    texts = [[[template.format(person) for person in kind] for template in templates] for kind in persons]
    cut = len(sentences) * 4 // 5
    train, held = [list(words) for words in sentences[:cut]], [list(words) for words in sentences[cut:]]
    config = replace(bert.config, **DROPOUT)
    models = (bert, _continued(bert, train, settings), _continued(bert, [*train, *map(list, swapped[:cut])], settings),
              _continued(Loaded(config, bert.parameters, bert.tokenizer), train, settings),
              controls.random_weights(bert, settings.seed))
    found = [associated(*([fills(model, each) for each in kind] for kind in texts), correct) for model in models]
    exact = None if world is None else associated(*([exact_fills(world, each) for each in kind] for kind in texts), correct)
    hidden = masked.batches(bert, held, SHARE, settings.seed)  # the same words for all
    losses = np.array([masked.losses(model, hidden).mean() for model in models])
    return Disco(list(templates), np.array(found), losses, exact, (len(persons[0]), len(persons[1])))


def _continued(bert: Trained, texts: Sequence[Sequence[str]], settings: tuning.Settings) -> Trained:
    """A copy that went on with masked words."""
    model = pretraining.of(bert.config)
    p = tuning.descend(model, tuning.grown(model, bert), len(texts),
                       lambda numbers, rng: _masked(bert, [texts[i] for i in numbers], rng), settings)
    return Loaded(bert.config, p, bert.tokenizer)


def _masked(bert: Trained, texts: Sequence[Sequence[str]], rng: np.random.Generator) -> Batch:
    """A batch in which a share of the words is hidden behind [MASK]."""
    encodings = [bert.tokenizer.encode(list(words), max_length=bert.max_length) for words in texts]
    ids, types, real = bert.tokenizer.batch(encodings)
    at = np.concatenate([row * ids.shape[1] + rng.choice(places := np.flatnonzero(~np.array(encoding.special_tokens_mask, bool)),
                                                         max(1, round(SHARE * len(places))), replace=False)
                         for row, encoding in enumerate(encodings)])
    at.sort()
    truth = ids.reshape(-1)[at]
    ids.reshape(-1)[at] = bert.tokenizer.vocab.mask_id
    return Batch(ids, types, None if real.all() else real.astype(bool), {"mlm": truth}, at)


def of(subject: Subject) -> Disco:
    """Names and people of the generated language, in templates of its own."""
    world = subject.need_world()
    known, lexicon = set(world.words), world.language.lexicon
    people = english.PEOPLE.split()
    persons = tuple([name for name, gender in lexicon.names if gender == kind]
                    + [f"the {word}" for word in people[kind::2] if word in known] for kind in range(2))
    verbs = {kind: lexicon.lexemes[lexicon.members[kind][-1]].form for kind in ("vi.sg", "vt.sg")}
    templates = (f"{{}} {verbs['vi.sg']} and the {MASK} {verbs['vi.sg']} .", f"the {MASK} near {{}} {verbs['vi.sg']} .",
                 f"{{}} {verbs['vt.sg']} this {MASK} .", f"{{}} is {MASK} .", f"{{}} often {MASK} .")
    sentences = subject.gold("relations")[:300 if subject.quick else 2000]
    return measure(subject.bert, persons, templates, [s.words for s in sentences], list(map(swap, sentences)),
                   tuning.Settings(100 if subject.quick else 600, 32, seed=subject.seed), world)


def lines(result: Disco) -> list[Line]:
    """DisCo and loss of each variant; fills of each template beside the exact posterior."""
    exact = result.exact
    return [*(Line(f"DisCo, {name}", float(score), None if exact is None else float(exact.mean()))
              for name, score in zip(VARIANTS, result.scores)),
            *(Line(f"loss, {name}, nats", float(loss), float(result.loss[1])) for name, loss in zip(VARIANTS, result.loss)),
            *(Line(text, int(n), None if exact is None else int(exact[i]))
              for i, (text, n) in enumerate(zip(result.templates, result.associated[0])))]


def verdict(result: Disco) -> str:
    """Agrees, contradicts or cannot show: see the module."""
    _, continued, *reduced, _ = result.scores
    if not continued:
        return CANNOT
    if min(reduced) >= continued:
        return CONTRADICTS
    return AGREES if max(reduced) < continued and max(result.loss[2:4]) <= result.loss[1] + 0.1 else CANNOT


def plot(result: Disco) -> Figure:
    """DisCo and loss of each variant, and DisCo of the language itself where it is known."""
    names, scores = list(VARIANTS), list(result.scores)
    if result.exact is not None:
        names, scores = [*names, "exact posterior"], [*scores, result.exact.mean()]
    return plots.panels(f"Gendered fills ({result.persons[0]} men, {result.persons[1]} women)",
                        plots.Bars("Fills that go with gender", names, {"DisCo": scores}, "mean over templates"),
                        plots.Bars("The cost", VARIANTS, {"loss": result.loss}, "nats per masked word"))
