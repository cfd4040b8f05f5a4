"""Which layer knows what of a sentence? Eight tasks: what it looks like, how it is built, what it says.

=============  ===============  ==========================================================================================
group          task             label
=============  ===============  ==========================================================================================
surface        length           the number of words, in six bins of about equal size
surface        content          which of thirty words is there, in sentences that have just one of them
syntax         depth            edges between the root and the deepest word
syntax         top              the relations of the root's dependents, in order: the 19 most frequent rows, and the rest
syntax         shift            whether two neighbours have been exchanged, in every second sentence
semantics      subject number   of the root's subject
semantics      object number    of the root's object
semantics      odd word         whether a noun or verb was replaced by another of its kind, in every second sentence
=============  ===============  ==========================================================================================

The vector is that of [CLS], or the mean over the words. Labels with fewer than 20 sentences are left out, and tasks with fewer
than 200. Equal sentences are never in training and test both. Controls: the most frequent label; a linear probe on which words
there are, without their order; a model with random weights.

Source: Conneau et al. 2018, arXiv:1805.01070, which has ten: tense and exchanged clauses are not here, and *top* is of phrases
there. By layer: Jawahar et al. 2019, "What Does BERT Learn about the Structure of Language?", section 4, code
ganeshjawahar/interpret_bert, on [CLS] with 50 sigmoids; its probes always stop after four passes, since a ``return`` stands in
the loop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minibert import plots
from minibert.analysis import controls, probing
from minibert.analysis.analyses import AGREES, CANNOT, CONTRADICTS, UNVERIFIED, Line
from minibert.analysis.collecting import collect
from minibert.analysis.probing import Settings
from minibert.analysis.structural import depths

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.analysis.subject import Subject
    from minibert.pretrained import Trained

CLAIM = "Lower layers know best what a sentence looks like, middle layers how it is built, the highest what it says."
PAPER = UNVERIFIED
CONTROLS = ("majority", "words", "random")

GROUPS = {"surface": ("length", "content"), "syntax": ("depth", "top", "shift"),
          "semantics": ("subject number", "object number", "odd word")}
TASKS = tuple(task for group in GROUPS.values() for task in group)
VECTORS = ("cls", "mean")
HIDDEN = 50
WORDS, ROWS, BINS = 30, 19, 6
LEAST = 200  # sentences of a task

Labelled = list[tuple[list[str], str]]  # words, label


class Tasks(NamedTuple):
    """Shares of sentences whose label was read, for S seeds, T tasks, L+1 hidden states, the embeddings first."""

    tasks: list[str]
    accuracy: np.ndarray  # (S, T, L+1)
    majority: np.ndarray  # (T,)
    words: np.ndarray  # (T,) of which words there are
    sentences: list[int]
    labels: list[int]
    random: np.ndarray | None = None  # (S, T, L+1) of random weights, where that was measured


def examples(task: str, sentences: Sequence[Any], seed: int = 0) -> Labelled:
    """Sentences with words, heads, relations, upos and numbers -> those that have a label, with it. ``seed``: what is changed."""
    found = _LABELLED[task](sentences, np.random.default_rng([seed, TASKS.index(task)]))
    often = Counter(label for _, label in found)
    return [(list(words), label) for words, label in found if label and often[label] >= probing.LEAST]


def _length(sentences: Sequence[Any], rng: np.random.Generator) -> Labelled:
    lengths = [len(s.words) for s in sentences]
    edges = np.unique(np.quantile(lengths, np.arange(1, BINS) / BINS, method="lower"))
    return [(s.words, f"bin {np.searchsorted(edges, n)}") for s, n in zip(sentences, lengths)]


def _content(sentences: Sequence[Any], rng: np.random.Generator) -> Labelled:
    counts = Counter(word for s in sentences for word in dict.fromkeys(s.words) if word.isalpha())
    chosen = [word for word, n in counts.most_common() if n <= len(sentences) / 10][:WORDS]  # those in every sentence say nothing
    there = [[word for word in s.words if word in chosen] for s in sentences]
    return [(s.words, words[0]) for s, words in zip(sentences, there) if len(words) == 1]


def _depth(sentences: Sequence[Any], rng: np.random.Generator) -> Labelled:
    return [(s.words, f"{depths(s.heads).max():02}") for s in sentences]


def _top(sentences: Sequence[Any], rng: np.random.Generator) -> Labelled:
    roots = [list(s.heads).index(-1) for s in sentences]
    rows = [" ".join(r for w, (r, head) in enumerate(zip(s.relations, s.heads)) if root in (head, w))
            for s, root in zip(sentences, roots)]
    often = {row for row, _ in Counter(rows).most_common(ROWS)}
    return [(s.words, row if row in often else "other") for s, row in zip(sentences, rows)]


def _shift(sentences: Sequence[Any], rng: np.random.Generator) -> Labelled:
    found: Labelled = []
    for s in sentences:
        words, places = list(s.words), [i for i, (a, b) in enumerate(pairwise(s.words)) if a != b]
        if places and len(found) % 2:
            i = int(rng.choice(places))
            words[i:i + 2] = words[i + 1], words[i]
        if places:
            found.append((words, ("as it was", "exchanged")[len(found) % 2]))
    return found


def _odd(sentences: Sequence[Any], rng: np.random.Generator) -> Labelled:
    forms: dict[tuple[str, str], set[str]] = {}  # part of speech and number
    for s in sentences:
        for word, kind in zip(s.words, zip(s.upos, s.numbers)):
            forms.setdefault(kind, set()).add(word)
    forms = {kind: words for kind, words in forms.items() if kind[0] in ("NOUN", "VERB") and len(words) > 1}
    found: Labelled = []
    for s in sentences:
        words, kinds = list(s.words), list(zip(s.upos, s.numbers))
        places = [w for w, kind in enumerate(kinds) if kind in forms]
        if places and len(found) % 2:
            w = int(rng.choice(places))
            words[w] = str(rng.choice(sorted(forms[kinds[w]] - {words[w]})))
        if places:
            found.append((words, ("as it was", "replaced")[len(found) % 2]))
    return found


def _number(relation: str) -> Callable[[Sequence[Any], np.random.Generator], Labelled]:
    """Of the one word that is this to the root."""
    def of(sentences: Sequence[Any], rng: np.random.Generator) -> Labelled:
        found = []
        for s in sentences:
            root = list(s.heads).index(-1)
            places = [w for w, head in enumerate(s.heads) if head == root and s.relations[w].partition(":")[0] == relation]
            found += [(s.words, s.numbers[places[0]])] if len(places) == 1 else []
        return found

    return of


_LABELLED = {"length": _length, "content": _content, "depth": _depth, "top": _top, "shift": _shift,
             "subject number": _number("nsubj"), "object number": _number("obj"), "odd word": _odd}


def vectors(bert: Trained, texts: Sequence[Sequence[str]], vector: str = "cls") -> np.ndarray:
    """``(L+1, N, H)``: of the first token, or the mean over the words."""
    if vector not in VECTORS:
        raise ValueError(f"vector must be one of {', '.join(VECTORS)}, got {vector!r}")
    out = np.empty((bert.config.num_hidden_layers + 1, len(texts), bert.config.hidden_size), bert.parameters.flat.dtype)
    for units in collect(bert, [list(words) for words in texts], states="mean", truncate=True):
        words = [word is not None for word in units.words]
        out[:, units.index] = units.states[:, 0] if vector == "cls" else units.states[:, words].mean(1)
    return out


def measure(bert: Trained, sentences: Sequence[Any], seeds: Sequence[int] = (0,), vector: str = "cls", hidden: int = HIDDEN,
            settings: Settings = probing.DEFAULT) -> Tasks:
    """Every task, with probes of so many hidden units, or linear. The first seed changes sentences, each deals them out."""
    names, sizes, counts, found = [], [], [], []
    for task in TASKS:
        some = examples(task, sentences, seeds[0])
        if len(some) < LEAST or len({label for _, label in some}) < 2:
            continue
        texts, (labels, kinds) = [words for words, _ in some], probing.numbered([label for _, label in some])
        x, groups = vectors(bert, texts, vector), np.array([" ".join(sorted(words)) for words in texts])
        bags = controls.bag_of_words(texts)[0][None]
        names.append(task)
        sizes.append(len(some))
        counts.append(len(kinds))
        deals = [probing.split(groups, seed) for seed in seeds]
        found.append(([probing.accuracies(x, labels, parts, hidden, settings, seed) for parts, seed in zip(deals, seeds)],
                      probing.majority(labels, deals[0]), probing.accuracies(bags, labels, deals[0], 0, settings, seeds[0])[0]))
    if not names:
        raise ValueError(f"{len(sentences)} sentences are too few: a task needs {LEAST}, and 20 of each label; give more")
    accuracy, majority, words = map(np.array, zip(*found))
    return Tasks(names, accuracy.swapaxes(0, 1), majority, words, sizes, counts)


def of(subject: Subject) -> Tasks:
    """All sentences with a tree and numbers, on [CLS]; the same with random weights, of one seed."""
    known, seeds = subject.gold("heads", "relations", "upos", "numbers"), probing.seeds(subject.seed, subject.quick)
    untrained = controls.random_weights(subject.bert, subject.seed)
    return measure(subject.bert, known, seeds)._replace(random=measure(untrained, known, seeds[:1]).accuracy)


def lines(result: Tasks) -> list[Line]:
    """Of each task the best layer, beside the best of random weights; then what needs no model."""
    found = []
    for t, task in enumerate(result.tasks):
        layers = result.accuracy[:, t].mean(0)
        best = int(layers[1:].argmax()) + 1
        control = None if result.random is None else float(result.random[:, t].mean(0).max())
        found += [Line(f"{task}, best: {probing.layer_name(best)}", float(layers[best]), control),
                  Line(f"{task}, which words there are", float(result.words[t]), float(result.majority[t]))]
    return found


def verdict(result: Tasks) -> str:
    """The best layer from 1 to L of each task, where it is above the majority by .05 or more; the mean of each group. Agrees
    where that rises from surface to syntax to semantics, contradicts where surface is above semantics; else, and of fewer than
    three layers, nothing can be shown."""
    layers = result.accuracy.mean(0)[:, 1:]
    if layers.shape[1] < 3:
        return CANNOT
    best = {task: int(row.argmax()) for task, row, most in zip(result.tasks, layers, result.majority) if row.max() >= most + 0.05}
    means = [np.mean([best[task] for task in group if task in best]) if any(task in best for task in group) else np.nan
             for group in GROUPS.values()]
    if means[0] < means[1] < means[2]:
        return AGREES
    return CONTRADICTS if means[0] > means[2] else CANNOT


def plot(result: Tasks) -> Figure:
    """The tasks of each group by layer, and the best of each beside its controls."""
    layers, best = result.accuracy.mean(0), result.accuracy.mean(0).max(1)
    panels = []
    for name, group in GROUPS.items():
        if series := {task: layers[result.tasks.index(task)] for task in group if task in result.tasks}:
            panels.append(plots.Lines(name.capitalize(), "layer", range(layers.shape[1]), series, "labels read"))
    bars = {"best layer": best, "which words": result.words, "most frequent": result.majority}
    if result.random is not None:
        bars["random weights"] = result.random.mean(0).max(1)
    panels.append(plots.Bars("The best layer", result.tasks, bars, "labels read"))
    return plots.panels("Tasks on the vector of a sentence", *panels)
