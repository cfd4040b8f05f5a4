"""By structure or by place? A classifier learns to find a word where counting would do, and is tried where it would not.

::

    score of a word = w·h + b        trained to tell the word that is looked for from all others of its sentence
    answer          = the word of a sentence with the highest score, over all its words

====================  =======================  ==========================  =====================================
task                  looked for               trained where               tried as well where
====================  =======================  ==========================  =====================================
main verb             the root                 it is the first verb        a clause with a verb comes before it
subject               the root's subject       it is the first noun        another noun comes before it
n-th word             the word at place n      (the same sentences)        (the same sentences)
====================  =======================  ==========================  =====================================

So counting verbs or nouns is right for all of the first sentences and for none of the others: ``apart`` above 0 is structure. The
n-th word is what counting alone can find. Control: a model with random weights.

Source: Lin et al. 2019, "Open Sesame: Getting Inside BERT's Linguistic Knowledge", arXiv:1906.01698, code
yongjie-lin/bert-opensesame, where the first task is the main auxiliary, sentences are 40,000 for training and 10,000 for the
rest, and the model reads them without [CLS] and [SEP]; its classifier has two outputs, of which the answer is the highest of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import controls, probing
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, UNVERIFIED, Line
from minibert.analysis.probing import Settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "With every layer less is known of a word's place in the row, and more of its place in the sentence's structure."
PAPER = UNVERIFIED
CONTROLS = ("random",)

TASKS = ("main verb", "subject", "n-th word")
NOUNS = ("NOUN", "PROPN", "PRON")
PLACE = 3  # of the n-th word, from 0
LEAST = 20  # sentences that counting does not solve


class Hierarchy(NamedTuple):
    """Shares of sentences whose word was found, for S seeds, tasks and L+1 hidden states."""

    tasks: list[str]
    alike: np.ndarray  # (S, tasks, L+1) in new sentences of the kind trained on
    apart: np.ndarray  # (S, tasks, L+1) in those of the other kind
    sentences: list[tuple[int, int]]  # of each kind
    random: Hierarchy | None = None  # of random weights, where that was measured


def looked_for(task: str, sentence: Any) -> tuple[int, bool] | None:
    """The place of the word, and whether counting finds it; None where there is none. ``sentence``: heads, relations, upos."""
    if task == "n-th word":
        return (PLACE, True) if len(sentence.words) > PLACE else None
    root = list(sentence.heads).index(-1)
    if task == "main verb":
        word, kind = root, ("VERB",)
    else:
        subjects = [w for w, h in enumerate(sentence.heads) if h == root and sentence.relations[w].partition(":")[0] == "nsubj"]
        word, kind = subjects[0] if len(subjects) == 1 else root, NOUNS
    if sentence.upos[word] not in kind:
        return None
    return word, not any(upos in kind for upos in sentence.upos[:word])


def answers(scores: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Scores of words ``(N,)`` -> the place of the highest in each sentence; the sentences begin at ``starts``."""
    return np.array([part.argmax() for part in np.split(scores, starts[1:])])


def measure(bert: Trained, sentences: Sequence[Any], tasks: Sequence[str] = TASKS, seeds: Sequence[int] = (0,),
            settings: Settings = probing.DEFAULT) -> Hierarchy:
    """Sentences with words, heads, relations and upos. A task with too few sentences of either kind is left out."""
    x = probing.states(bert, [s.words for s in sentences])
    starts = np.cumsum([0, *(len(s.words) for s in sentences)])
    names, sizes, found = [], [], []
    for task in tasks:
        known = {i: target for i, s in enumerate(sentences) if (target := looked_for(task, s))}
        easy, hard = (np.array([i for i, (_, counted) in known.items() if counted == kind], int) for kind in (True, False))
        hard = easy if task == "n-th word" else hard
        if len(easy) < 10 * LEAST or len(hard) < LEAST:
            continue
        names.append(task)
        sizes.append((len(easy), len(hard)))
        found.append([_scores(x, starts, known, easy, hard, seed, settings) for seed in seeds])
    if not names:
        raise ValueError(f"{len(sentences)} sentences are too few: each task needs {10 * LEAST} in which counting finds the word "
                         f"and {LEAST} in which it does not; give more")
    alike, apart = np.array(found).transpose(2, 1, 0, 3)
    return Hierarchy(names, alike, apart, sizes)


def _scores(x: np.ndarray, starts: np.ndarray, known: dict[int, tuple[int, bool]], easy: np.ndarray, hard: np.ndarray, seed: int,
            settings: Settings) -> np.ndarray:
    """``(2, L+1)``: the share of easy test sentences and of hard ones whose word is found."""
    train, dev, test = (easy[part] for part in probing.split(np.arange(len(easy)), seed))
    hard = test if hard is easy else hard

    def words(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Places in the table, which of them are looked for, and where each sentence begins among them."""
        lengths = starts[numbers + 1] - starts[numbers]
        begins = np.cumsum([0, *lengths[:-1]])
        places = np.repeat(starts[numbers] - begins, lengths) + np.arange(lengths.sum())
        right = np.zeros(len(places), int)
        right[begins + [known[i][0] for i in numbers]] = 1
        return places, right, begins

    parts = [words(numbers) for numbers in (train, dev, test, hard)]
    out = np.empty((2, len(x)))
    for i, layer in enumerate(x):
        (trained, is_it, _), (held, held_is_it, _) = parts[:2]
        probe = probing.fit(layer[trained], is_it, layer[held], held_is_it, settings=settings, seed=seed)
        for k, (numbers, (places, _, begins)) in enumerate(zip((test, hard), parts[2:])):
            found = answers(probe.logits(layer[places])[:, 1], begins)
            out[k, i] = (found == [known[i][0] for i in numbers]).mean()
    return out


def of(subject: Subject) -> Hierarchy:
    """All sentences with a tree, and the same with random weights."""
    known, seeds = subject.gold("heads", "relations", "upos"), probing.seeds(subject.seed, subject.quick)
    untrained = controls.random_weights(subject.bert, subject.seed)
    return measure(subject.bert, known, seeds=seeds)._replace(random=measure(untrained, known, seeds=seeds[:1]))


def lines(result: Hierarchy) -> list[Line]:
    """Of each task, of the embeddings, the first and the last layer."""
    last, found = result.alike.shape[-1] - 1, []
    for t, task in enumerate(result.tasks):
        for kind, shares in (("alike", "alike"), ("other structures", "apart"))[:1 if task == "n-th word" else 2]:
            for i in (0, 1, last):
                control = None if result.random is None else float(getattr(result.random, shares)[:, t, i].mean())
                value = float(getattr(result, shares)[:, t, i].mean())
                found.append(Line(f"{task}, {kind}, {probing.layer_name(i)}", value, control))
    return found


def verdict(result: Hierarchy) -> str:
    """Two parts: the n-th word is found less often after the last layer than after the first, by .02 or more; and the best layer
    finds words in other structures more often than the embeddings and random weights, by a tenth. Agrees where both hold for all
    tasks, contradicts where neither holds for any; else, and of a model of one layer, nothing can be shown."""
    apart, alike = result.apart.mean(0), result.alike.mean(0)
    tasks = [t for t, task in enumerate(result.tasks) if task != "n-th word"]
    if not tasks or "n-th word" not in result.tasks or alike.shape[-1] < 3:
        return CANNOT
    place = alike[result.tasks.index("n-th word")]
    gains = [apart[t].max() - max([apart[t][0]] + ([] if result.random is None else [result.random.apart[:, t].mean(0).max()]))
             for t in tasks]
    falls = place[1] - place[-1] >= 0.02
    if falls and min(gains) >= 0.1:
        return AGREES
    return CANNOT if falls or max(gains) >= 0.1 else CONTRADICTS


def plot(result: Hierarchy) -> Figure:
    """The tasks by layer, in sentences of the same kind and of the other."""
    layers = range(result.alike.shape[-1])
    panels = []
    for name, shares in (("Sentences of the kind trained on", "alike"), ("Other structures: counting is always wrong", "apart")):
        series = {task: getattr(result, shares)[:, t].mean(0) for t, task in enumerate(result.tasks)
                  if shares == "alike" or task != "n-th word"}
        if result.random is not None and shares == "apart":
            series |= {f"{task}, random": result.random.apart[:, t].mean(0) for t, task in enumerate(result.tasks)
                       if task != "n-th word"}
        if series:  # where only the n-th word was asked for, there are no other structures
            panels.append(plots.Lines(name, "layer", layers, series, "words found"))
    return plots.panels("By structure or by place?", *panels)
